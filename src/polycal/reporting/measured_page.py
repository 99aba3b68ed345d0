"""Tables, figures and page of what is measured of a study, benchmark by benchmark."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from polycal.comparing.aggregate import aggregate
from polycal.comparing.analyses import analyse
from polycal.comparing.contrasts import contrast
from polycal.comparing.runs import list_runs
from polycal.errors import InputError
from polycal.measuring.measured import measured_paths
from polycal.reporting.figures import FIGURES, draw
from polycal.reporting.report import report
from polycal.reporting.sentences import join
from polycal.storage.provenance import mark_folder
from polycal.study import layout
from polycal.study.grid import (
    Run,
    expand_released,
    expand_runs,
    list_stages,
    same_questions,
)
from polycal.study.scorings import HEADLINE

_NAMED = 5  # runs that a sentence names


def compare_measured(
    study: Mapping, results: Path, measured: Mapping[str, Sequence[Run]], out: Path
) -> None:
    """Write the tables of the page.

    Args:
        study: a complete study.
        results: the folder that the workflow writes into.
        measured: as `find_measured` returns it.
        out: the folder to write into.

    Raises:
        InputError: nothing is measured, or a table is broken.
    """
    if not measured:
        raise InputError(
            f"no run below {results} is measured yet on any benchmark; `polycal "
            "status` tells how far the study is"
        )
    statistics, paths = study["statistics"], measured_paths(results, measured)
    every = expand_runs(study)
    runs = [run for run in every if any(run in own for own in measured.values())]
    languages = {task["name"]: "+".join(task["languages"]) for task in study["tasks"]}
    mark_folder(out, "partial_report")
    paired = {
        "metrics": out / "metrics.parquet",
        "replicates": paths["replicates"],
        "runs": out / "runs.parquet",
        "confidence": statistics["confidence"],
        "out": out,
    }
    resources = results.parent / layout.RESOURCES
    models = sorted({run.model for run in runs})
    trained = [layout.below(results, layout.RUN, **vars(run)) for run in runs]
    released = [
        layout.below(resources, layout.RELEASED, model=run.model, sft=run.sft)
        for run in expand_released(study)
        if run in runs
    ]
    list_runs(
        models=[layout.below(resources, layout.MODEL, model=name) for name in models],
        # Scores that were imported come without a training.
        runs=[path for path in trained if path.exists()],
        released=[path for path in released if path.exists()],
        out=out / "runs.parquet",
    )
    aggregate(
        metrics=paths["metrics"],
        reliability=paths["reliability"],
        keep=[f"{task}={languages[task]}" for task in measured],
        runs=[run.path for run in runs],
        lacking=[
            f"{run.path}/{task}"
            for task, own in measured.items()
            for run in runs
            if run not in own
        ],
        checkpoints=out / "runs.parquet",
        out=out,
    )
    same = same_questions(study["tasks"])
    contrast(
        **paired,
        margin=statistics["margin"],
        primary_task=statistics["primary_task"],
        primary_scoring=statistics["primary_scoring"],
        same_questions=[f"{task}={first}" for task, first in same.items()],
        tuned_from=[f"{sft}={stage}" for sft, stage in list_stages(study).items()],
        first_model=study["models"][0]["name"],
    )
    analyse(**paired)


def write_page(
    study: Mapping,
    results: Path,
    measured: Mapping[str, Sequence[Run]],
    out: Path,
    progress: Mapping[str, Sequence[int]] | None = None,
) -> None:
    """Draw the figures and write the page from what `compare_measured` wrote.

    Each benchmark compares the runs that are measured on it; the page lists the others.

    Args:
        study: a complete study.
        results: the folder that the workflow writes into.
        measured: as `find_measured` returns it.
        out: the folder to write into.
        progress: of a study that goes on, as `report` takes it.
    """
    for task, scoring in itertools.product(measured, study["scoring"]):
        normaliser = HEADLINE[scoring]
        about = {"task": task, "scoring": scoring, "normaliser": normaliser}
        folder = out / "figures" / layout.SHOWN_TAIL.format_map(about)
        draw(tables=out, **about, out=[folder / f"{name}.svg" for name in FIGURES])
    missing = "; ".join(_list_missing(study, measured))
    page = out / "index.html"
    report(
        study=study["study"],
        description=study["description"],
        scoring=study["scoring"],
        tables=out,
        shifts=[],
        checks=[layout.below(results, layout.CHECK, task=task) for task in measured],
        figures=out / "figures",
        missing=f"Not measured yet: {missing}." if missing else None,
        progress=progress,
        out=page,
    )
    print(f"The report is {page.absolute()}")


def _list_missing(
    study: Mapping, measured: Mapping[str, Sequence[Run]]
) -> Iterator[str]:
    """Yield which runs lack benchmarks; those that lack the same are said once."""
    every = expand_runs(study)
    lacking: dict[tuple[Run, ...], list[str]] = {}
    for task in (task["name"] for task in study["tasks"]):
        left = tuple(run for run in every if run not in measured.get(task, ()))
        lacking.setdefault(left, []).append(task)
    for left, tasks in lacking.items():
        on = f" on {join(tasks)}" if len(tasks) < len(study["tasks"]) else ""
        if len(left) == len(every):
            yield f"every run{on}"
        elif left:
            named = ", ".join(run.path for run in left[:_NAMED])
            named += " and others" if left[_NAMED:] else ""
            yield f"{len(left)} of {len(every)} runs{on} ({named})"
