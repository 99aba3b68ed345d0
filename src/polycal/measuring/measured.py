"""What is measured of a study: which runs of which benchmark, and where it lies."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from polycal.storage import tables
from polycal.study import layout
from polycal.study.grid import Run, expand_runs

_KINDS = ("metrics", "reliability", "replicates")


def find_measured(study: Mapping, results: Path) -> dict[str, list[Run]]:
    """Return the runs that are measured in all languages of a benchmark.

    Args:
        study: a complete study.
        results: the folder that the workflow writes into.

    Returns:
        Benchmark -> its measured runs in the study's order; none of a benchmark that
        is not begun.
    """
    every = expand_runs(study)
    found = {
        task["name"]: [run for run in every if _has_all(results, run, task)]
        for task in study["tasks"]
    }
    return {task: runs for task, runs in found.items() if runs}


def measured_paths(
    results: Path, measured: Mapping[str, Sequence[Run]]
) -> dict[str, list[Path]]:
    """Return the files of each kind that hold what is measured."""
    pairs = [(run, task) for task, runs in measured.items() for run in runs]
    return {kind: [_path(results, kind, *pair) for pair in pairs] for kind in _KINDS}


def _path(results: Path, kind: str, run: Run, task: str) -> Path:
    return layout.below(results, layout.MEASURED, kind=kind, task=task, **vars(run))


def _has_all(results: Path, run: Run, task: Mapping) -> bool:
    """Return whether a run is measured in all languages of a benchmark."""
    paths = [_path(results, kind, run, task["name"]) for kind in _KINDS]
    if not all(path.exists() for path in paths):
        return False
    try:
        measured = tables.read(paths[0], "metrics")["language"].unique().to_pylist()
    except FileNotFoundError:  # a job has just begun to measure it again
        return False
    return set(task["languages"]) <= set(measured)
