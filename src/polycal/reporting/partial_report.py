"""The report of an unfinished study, from the runs that are measured."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

from polycal.comparing.aggregate import aggregate
from polycal.comparing.analyses import analyse
from polycal.comparing.contrasts import contrast
from polycal.comparing.runs import list_runs
from polycal.errors import InputError
from polycal.reporting.figures import FIGURES, draw
from polycal.reporting.report import report
from polycal.storage import tables
from polycal.study import layout
from polycal.study.config import load_study
from polycal.study.grid import (
    Run,
    expand_released,
    expand_runs,
    list_stages,
    same_questions,
)
from polycal.study.scorings import HEADLINE
from polycal.verb import verb

_TRIES = 3  # to read everything while no job writes it
_MEASURED = ("metrics", "reliability", "replicates")


@verb()
def partial_report(
    *,
    config: Path = Path("config.yaml"),
    results: Path = Path("results"),
    out: Path | None = None,
) -> None:
    """Write tables, figures and page of the runs that are measured.

    A run is included if it is measured in all languages of every benchmark that any
    run is measured on. The top of the page lists what is missing. Only complete files
    of `results` are read, and read again if a job replaces them meanwhile, so this may
    be called while a study runs.

    Args:
        config: the study's config file.
        results: the folder that the workflow writes into.
        out: the folder to write into; default: `partial` in `results`.

    Raises:
        InputError: the study is wrong, nothing is measured yet, a table is broken, or
            jobs keep writing what is read.
    """
    study = load_study(config)
    out = out or layout.below(results, layout.PARTIAL_REPORT)
    for _ in range(_TRIES):
        tasks, runs = find_measured(study, results)
        if not runs:
            raise InputError(
                f"no run below {results} is measured yet on every benchmark that is "
                "begun; `polycal status` tells how far the study is"
            )
        paths = {
            kind: [
                _measured(results, kind, run, task) for run in runs for task in tasks
            ]
            for kind in _MEASURED
        }
        before = _stamp(paths)
        try:
            _compare(study, results, tasks, runs, paths, out)
        except (InputError, FileNotFoundError):
            if _stamp(paths) == before:
                raise
            continue
        if _stamp(paths) == before:
            break
    else:
        raise InputError(
            f"jobs write below {results} what was being read, {_TRIES} times; run "
            "again when they are done"
        )
    for task in tasks:
        for scoring in study["scoring"]:
            normaliser = HEADLINE[scoring]
            about = {"task": task, "scoring": scoring, "normaliser": normaliser}
            folder = out / "figures" / layout.SHOWN_TAIL.format_map(about)
            draw(tables=out, **about, out=[folder / f"{name}.svg" for name in FIGURES])
    report(
        study=study["study"],
        description=study["description"],
        scoring=study["scoring"],
        tables=out,
        shifts=[],
        checks=[layout.below(results, layout.CHECK, task=task) for task in tasks],
        figures=out / "figures",
        missing=_list_missing(study, tasks, runs),
        out=out / "index.html",
    )
    print(f"The report is {out.absolute() / 'index.html'}")


def _compare(
    study: Mapping,
    results: Path,
    tasks: Mapping[str, Sequence[str]],
    runs: Sequence[Run],
    paths: Mapping[str, Sequence[Path]],
    out: Path,
) -> None:
    """Write the tables of the page.

    Args:
        study: a complete study.
        results: the folder that the workflow writes into.
        tasks: benchmark -> languages that are compared.
        runs: that are measured.
        paths: kind -> what is measured of each run and benchmark.
        out: the folder to write into.
    """
    statistics = study["statistics"]
    keep = [f"{task}={'+'.join(codes)}" for task, codes in tasks.items()]
    out.mkdir(parents=True, exist_ok=True)
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
        keep=keep,
        runs=[run.path for run in runs],
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


def _stamp(paths: Mapping[str, Sequence[Path]]) -> list[tuple[int, int] | None]:
    """Return the inode and time of every file, None where it is gone.

    A job that measures a run again writes its files one after the other: metrics and
    replicates that are read meanwhile may be of two measurements.
    """
    stamps: list[tuple[int, int] | None] = []
    for path in itertools.chain.from_iterable(paths.values()):
        try:
            facts = path.stat()
            stamps.append((facts.st_ino, facts.st_mtime_ns))
        except FileNotFoundError:
            stamps.append(None)
    return stamps


def find_measured(
    study: Mapping, results: Path
) -> tuple[dict[str, list[str]], list[Run]]:
    """Return the begun benchmarks with their languages, and the complete runs.

    Args:
        study: a complete study.
        results: the folder that the workflow writes into.
    """
    languages = {task["name"]: task["languages"] for task in study["tasks"]}
    every = expand_runs(study)
    measured = {
        (run, task): _has_all(results, run, task, languages[task])
        for run in every
        for task in languages
    }
    begun = [task for task in languages if any(measured[run, task] for run in every)]
    runs = [run for run in every if all(measured[run, task] for task in begun)]
    return {task: languages[task] for task in begun}, runs if begun else []


def _measured(results: Path, kind: str, run: Run, task: str) -> Path:
    return layout.below(results, layout.MEASURED, kind=kind, task=task, **vars(run))


def _has_all(results: Path, run: Run, task: str, languages: list[str]) -> bool:
    """Return whether a run is measured in all languages of a benchmark."""
    paths = [_measured(results, kind, run, task) for kind in _MEASURED]
    if not all(path.exists() for path in paths):
        return False
    try:
        measured = tables.read(paths[0], "metrics")["language"].unique().to_pylist()
    except FileNotFoundError:  # a job has just begun to measure it again
        return False
    return set(languages) <= set(measured)


def _list_missing(
    study: Mapping, tasks: Mapping[str, list[str]], runs: list[Run]
) -> str | None:
    """Say in a sentence what the page lacks; None if it is complete."""
    lacking = [task["name"] for task in study["tasks"] if task["name"] not in tasks]
    left = [run.path for run in expand_runs(study) if run not in runs]
    parts = [f"the benchmarks {', '.join(lacking)}"] if lacking else []
    if left:
        named = ", ".join(left[:5]) + (" and others" if left[5:] else "")
        parts.append(f"{len(left)} of {len(left) + len(runs)} runs ({named})")
    if not parts:
        return None
    return f"Not measured yet: {' and '.join(parts)}. Numbers will change."
