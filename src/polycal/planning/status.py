"""Print how far a study is, from the files that its jobs have left behind.

A running workflow is not asked, and nothing is locked.
"""

import contextlib
import itertools
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa

from polycal.comparing.conditions import by_condition, label
from polycal.errors import InputError
from polycal.measuring.measured import find_measured
from polycal.models.gpu_types import find_gpu
from polycal.planning.jobs import Job, list_jobs, read_timings
from polycal.planning.sizes import SizedStudy
from polycal.planning.terminal import align
from polycal.storage import tables
from polycal.study import layout
from polycal.study.config import load_study
from polycal.study.grid import expand_runs
from polycal.study.scorings import HEADLINE
from polycal.verb import verb

_PAUSE = 10.0  # seconds between two looks
_SILENT = 15 * 60  # seconds without a new line in a log after which it is named
_PROGRESS = re.compile(r"\bstep \d+ of \d+|\d+ of \d+ questions, .* left")
_METRICS = ["accuracy", "confidence", "gap", "ece"]


@verb()
def status(
    *,
    config: Path = Path("config.yaml"),
    logs: Path = Path("logs"),
    results: Path = Path("results"),
    resources: Path = Path("resources"),
    watch: float | bool | None = None,
) -> None:
    """Print how many jobs are done, running or failed, and the first numbers.

    Args:
        config: the study's file.
        logs: folder of the jobs' logs.
        results: folder that the workflow writes into; it may be absent.
        resources: folder of prepared models and data; it may be absent.
        watch: print again every so many seconds (10 if none are said) until the study
            is done and its page is newer than what is measured.

    Raises:
        InputError: the study, a timing or a table is wrong, or the seconds are not
            above 0.
    """
    if watch is not None and watch <= 0:
        raise InputError(f"--watch is {watch:g}; give seconds above 0")
    study = load_study(config)
    clear = "\x1b[H\x1b[2J" if watch and sys.stdout.isatty() else ""
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            jobs = list_all_jobs(study, results, resources)
            lines = [f"{clear}Study {study['study']!r}", "", *_write_jobs(jobs, logs)]
            lines += ["", *_write_metrics(results, study)]
            print("\n".join(lines), flush=True)
            if not watch or (
                all(job.done for job in jobs) and _is_page_new(results, study)
            ):
                return
            time.sleep(_PAUSE if watch is True else watch)


def list_all_jobs(study: Mapping, results: Path, resources: Path) -> list[Job]:
    """Return the jobs whose progress is told: trainings, scorings, measurements."""
    # Hours left are measured, so the type of GPU, which estimates need, is arbitrary.
    sized = SizedStudy(study, find_gpu("h200"), resources)
    measured = find_measured(study, results)
    measurements = [
        Job(
            stage="measure",
            address=f"measure/{run.path}/{task['name']}",
            model=run.model,
            kind=("measure", task["name"]),
            devices=0,
            overhead=0.0,
            seconds=None,
            done=run in measured.get(task["name"], ()),
        )
        for run, task in itertools.product(expand_runs(study), study["tasks"])
    ]
    return [*list_jobs(sized, read_timings(results)), *measurements]


def count_done(jobs: Sequence[Job]) -> dict[str, tuple[int, int]]:
    """Return the number of finished jobs and of all jobs by stage."""
    stages: dict[str, list[bool]] = {}
    for job in jobs:
        stages.setdefault(job.stage, []).append(job.done)
    return {stage: (sum(done), len(done)) for stage, done in stages.items()}


def _write_jobs(jobs: Sequence[Job], logs: Path) -> Iterator[str]:
    """Yield counts of the jobs by stage, then what the logs of unfinished jobs say."""
    rows, progress, failures, silences = [], [], [], []
    for stage in ("tune", "score", "measure"):
        own = [job for job in jobs if job.stage == stage]
        left = [job for job in own if not job.done]
        paths = [logs / f"{job.address}.log" for job in left]
        begun = failed = 0
        for path in paths:
            try:
                lines = path.read_text(errors="replace").splitlines()
                seconds = time.time() - path.stat().st_mtime
            except FileNotFoundError:  # not begun, or just begun again
                continue
            if _is_error(lines):
                failed += 1
                failures.append(f"failed: {path}")
                continue
            begun += 1
            matches = filter(None, map(_PROGRESS.search, reversed(lines)))
            if last := next(matches, None):
                progress.append(f"at {last[0]}: {path}")
            if seconds > _SILENT:
                silences.append(f"silent for {seconds / 60:.0f} minutes: {path}")
        done, waiting = len(own) - len(left), len(left) - begun - failed
        measured = all(job.samples and job.seconds is not None for job in left)
        hours = sum(job.seconds or 0 for job in left) / 3600
        counts = map(str, (len(own), done, begun, failed, waiting))
        rows.append([stage, *counts, f"{hours:.1f}" if measured else "?"])
    head = ["jobs", "all", "done", "begun", "failed", "waiting", "hours left"]
    yield from align(head, rows, "<" + 6 * ">")
    yield "Hours left: one job after the other, by the times of finished jobs."
    yield from progress + failures + silences


def find_errors(logs: Path, since: float) -> list[str]:
    """Return the last line of every log since then that ends with an error."""
    errors = []
    for path in sorted(logs.rglob("*.log")):
        lines = path.read_text(errors="replace").splitlines()
        if _is_error(lines) and path.stat().st_mtime >= since:
            errors.append(f"{lines[-1]} ({path})")
    return errors


def _is_error(lines: Sequence[str]) -> bool:
    """Return whether a log ends with polycal's line of an error, or a traceback."""
    last = lines[-1] if lines else ""
    return last.startswith("polycal ") or last.split(":")[0].endswith("Error")


def _write_metrics(results: Path, study: Mapping) -> Iterator[str]:
    means = read_means(results, study)
    if means.empty:
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
            *(f"{100 * row[metric]:.1f}" for metric in _METRICS),
        ]
        for _, row in means.iterrows()
    ]
    head = ["model", "condition", "task", "scoring", "languages", *_METRICS]
    yield from align(head, rows, 4 * "<" + 5 * ">")


def _metrics_paths(results: Path, study: Mapping) -> list[Path]:
    pattern = layout.measured("metrics")
    return [
        layout.below(results, pattern, task=task["name"], **vars(run))
        for run in expand_runs(study)
        for task in study["tasks"]
    ]


def _is_page_new(results: Path, study: Mapping) -> bool:
    """Return whether the page is there, and no metrics were written after it."""
    page = layout.below(results, layout.PAGE)
    try:
        written = page.stat().st_mtime_ns
        paths = filter(Path.exists, _metrics_paths(results, study))
        return all(path.stat().st_mtime_ns <= written for path in paths)
    except FileNotFoundError:  # no page, or a job has just begun to measure again
        return False


def read_means(results: Path, study: Mapping) -> pd.DataFrame:
    """Return means over the measured languages: one row per condition and task.

    Returns:
        The columns facet, rank, task, scoring and languages, and the shown metrics as
        fractions; no rows if nothing is measured.

    Raises:
        InputError: a file is not a metrics table.
    """
    measured = []
    for path in _metrics_paths(results, study):
        # A job that measures a run again removes its tables first.
        with contextlib.suppress(FileNotFoundError):
            measured.append(tables.read(path, "metrics"))
    if not measured:
        return pd.DataFrame()
    rows = pa.concat_tables(measured)
    rows = tables.where(rows, subset="all", calibrator="none").to_pandas()
    rows = rows[rows["normaliser"] == rows["scoring"].map(HEADLINE)]
    asked = [
        (task["name"], code) for task in study["tasks"] for code in task["languages"]
    ]
    rows = rows[rows.set_index(["task", "language"]).index.isin(asked)]
    rows = by_condition(rows[rows["metric"].isin(_METRICS)])
    keys = ["facet", "rank", "task", "scoring"]
    means = rows.pivot_table(index=keys, columns="metric", values="value")
    languages = rows.groupby(keys)["language"].nunique().rename("languages")
    return means.join(languages).reset_index()
