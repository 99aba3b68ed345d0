"""How far a study is, while it runs or afterwards, from what its jobs have left behind.

Only files are read: a running workflow is not asked, and holds nobody off.
"""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from polycal.comparing.conditions import by_condition, label
from polycal.models.gpu_types import find_gpu
from polycal.planning.forecast import forecast
from polycal.planning.jobs import Job
from polycal.planning.text_table import align
from polycal.planning.timings import read_timings
from polycal.storage import tables
from polycal.study import layout
from polycal.study.config import load_study
from polycal.study.grid import expand_runs
from polycal.study.scorings import HEADLINE
from polycal.verb import verb

_SILENT = 15 * 60  # seconds
_DONE = re.compile(r"\bstep \d+ of \d+|\d+ of \d+ questions, .* left").search
_SHOWN = ("accuracy", "confidence", "gap", "ece")


@dataclass(frozen=True)
class Stage:
    """The jobs of one stage.

    Attributes:
        name: tune or score.
        all: how many.
        done: that have finished.
        failed: logs whose last words are an error.
        begun: logs of the others that have begun and not finished -> how far their
            last line about it says that they are, or nothing.
        silent: those of the begun ones that have had no new line for `_SILENT`
            seconds, and how many: they wait, take long, or were killed.
        hours: that what is left will take, one job after the other; None if no job of
            the kind has finished yet.
    """

    name: str
    all: int
    done: int
    failed: list[Path]
    begun: dict[Path, str]
    silent: dict[Path, float]
    hours: float | None


@verb()
def status(
    *,
    config: Path = Path("config.yaml"),
    logs: Path = Path("logs"),
    results: Path = Path("results"),
    resources: Path = Path("resources"),
) -> None:
    """Print how many jobs are done, running or failed, and the first numbers.

    Args:
        config: the study's file.
        logs: folder of the jobs' logs.
        results: the folder that the workflow writes into; it may be absent.
        resources: folder of prepared models, SFT sets and tasks.

    Raises:
        InputError: the study, a timing or a table is wrong.
    """
    study = load_study(config)
    taken = read_timings(results)
    jobs = forecast(
        study, gpu=find_gpu("h200"), timings=taken, resources=resources
    ).jobs
    stages = [find_stage(name, jobs, logs) for name in ("tune", "score")]
    numbers = read_numbers(results, study)
    print("\n".join(write_status(study, stages, numbers)))


def find_stage(name: str, jobs: Sequence[Job], logs: Path) -> Stage:
    """What the jobs of a stage have left behind.

    Args:
        name: of the stage.
        jobs: of the whole study.
        logs: folder of the jobs' logs.
    """
    own = [job for job in jobs if job.stage == name]
    open_logs = [
        path
        for job in own
        if not job.done and (path := logs / f"{job.address}.log").exists()
    ]
    failed = [path for path in open_logs if _has_failed(path)]
    begun = {path: _find_progress(path) for path in open_logs if path not in failed}
    quiet = {path: time.time() - path.stat().st_mtime for path in begun}
    left = [job for job in own if not job.done]
    known = all(job.samples and job.seconds is not None for job in left)
    return Stage(
        name,
        len(own),
        len(own) - len(left),
        failed,
        begun,
        {path: seconds for path, seconds in quiet.items() if seconds > _SILENT},
        sum(job.seconds for job in left) / 3600 if known else None,
    )


def _find_progress(log: Path) -> str:
    """Return the last `step 3 of 9` or `3 of 9 questions, ...` of a log, or nothing."""
    lines = log.read_text(errors="replace").splitlines()
    return next((found[0] for line in reversed(lines) if (found := _DONE(line))), "")


def _has_failed(log: Path) -> bool:
    """Whether a log ends with an error: polycal's one line, or a traceback."""
    lines = log.read_text(errors="replace").splitlines()[-1:]
    return any(
        line.startswith("polycal ") or line.split(":")[0].endswith("Error")
        for line in lines
    )


def read_numbers(results: Path, study: Mapping) -> pd.DataFrame:
    """Means over the languages that are measured: one row per condition and task.

    Args:
        results: the folder that the workflow writes into; it may be absent.
        study: a complete study; what is there of another one is left out.

    Returns:
        The columns facet, rank, task, scoring and languages, and the shown metrics as
        fractions; no rows if nothing is measured.

    Raises:
        InputError: a file is not a metrics table.
    """
    metrics = layout.measured("metrics")
    paths = [
        path
        for run in expand_runs(study)
        for task in study["tasks"]
        if (
            path := layout.below(results, metrics, task=task["name"], **vars(run))
        ).exists()
    ]
    if not paths:
        return pd.DataFrame()
    rows = tables.where(
        tables.read_many(paths, "metrics"), subset="all", calibrator="none"
    ).to_pandas()
    rows = rows[rows["normaliser"] == rows["scoring"].map(HEADLINE)]
    held = [(t["name"], code) for t in study["tasks"] for code in t["languages"]]
    rows = rows[rows.set_index(["task", "language"]).index.isin(held)]
    rows = by_condition(rows[rows["metric"].isin(_SHOWN)])
    keys = ["facet", "rank", "task", "scoring"]
    means = rows.pivot_table(index=keys, columns="metric", values="value")
    languages = rows.groupby(keys)["language"].nunique().rename("languages")
    return means.join(languages).reset_index()


def write_status(
    study: Mapping, stages: Sequence[Stage], numbers: pd.DataFrame
) -> Iterator[str]:
    """The lines that are printed.

    Args:
        study: a complete study.
        stages: trainings and scorings.
        numbers: as `read_numbers` gives them.
    """
    yield f"Study {study['study']!r}"
    yield ""
    rows = []
    for each in stages:
        waiting = each.all - each.done - len(each.begun) - len(each.failed)
        hours = "?" if each.hours is None else f"{each.hours:.1f}"
        counts = (each.all, each.done, len(each.begun), len(each.failed), waiting)
        rows.append([each.name, *map(str, counts), hours])
    head = ["jobs", "all", "done", "begun", "failed", "waiting", "hours left"]
    yield from align(head, rows, "<" + 6 * ">")
    yield "Hours are of one job after the other, by the jobs that have finished."
    for path, done in (item for each in stages for item in each.begun.items()):
        if done:
            yield f"at {done}: {path}"
    for path in (path for each in stages for path in each.failed):
        yield f"failed: {path}"
    for path, seconds in (item for each in stages for item in each.silent.items()):
        yield f"silent for {seconds / 60:.0f} minutes: {path}"
    yield ""
    if numbers.empty:
        yield "Nothing is measured yet."
        return
    yield "Measured so far, means over languages in percent:"
    rows = [
        [
            row["facet"],
            label(row["rank"]),
            row["task"],
            row["scoring"],
            str(row["languages"]),
            *(f"{100 * row[name]:.1f}" for name in _SHOWN),
        ]
        for _, row in numbers.iterrows()
    ]
    head = ["model", "condition", "task", "scoring", "languages", *_SHOWN]
    yield from align(head, rows, 4 * "<" + 5 * ">")
