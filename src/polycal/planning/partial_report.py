"""The page of an unfinished study, from what is measured so far."""

import itertools
from collections.abc import Iterable
from pathlib import Path

from polycal.errors import InputError
from polycal.measuring.measured import find_measured, measured_paths
from polycal.planning.status import count_done, list_all_jobs
from polycal.reporting.measured_page import compare_measured, write_page
from polycal.storage.files import check_folder
from polycal.study import layout
from polycal.study.config import load_study
from polycal.verb import verb

_TRIES = 3  # to read everything while no job writes it


@verb()
def partial_report(
    *,
    config: Path = Path("config.yaml"),
    results: Path = Path("results"),
    out: Path | None = None,
) -> None:
    """Write tables, figures and page of what is measured so far.

    A benchmark compares the runs that are measured in all of its languages. The top of
    the page lists what is missing and how far each stage is, and a browser that shows
    it reads it again once a minute. Only complete files of `results` are read, and read
    again if a job replaces them meanwhile, so this may be called while a study runs.

    Args:
        config: the study's config file.
        results: the folder that the workflow writes into.
        out: the folder to write into; default: `partial` in `results`. It is new,
            empty or of this verb.

    Raises:
        InputError: `out` holds other files, the study is wrong, nothing is measured
            yet, a table is broken, or jobs keep writing what is read.
    """
    out = out or layout.below(results, layout.PARTIAL_REPORT)
    check_folder(out, verb="partial_report")
    study = load_study(config)
    resources = results.parent / layout.RESOURCES
    for _ in range(_TRIES):
        measured = find_measured(study, results)
        paths = measured_paths(results, measured).values()
        before = _stamp(paths)
        try:
            compare_measured(study, results, measured, out)
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
    progress = count_done(list_all_jobs(study, results, resources))
    write_page(study, results, measured, out, progress)


def _stamp(paths: Iterable[Iterable[Path]]) -> list[tuple[int, int] | None]:
    """Return the inode and time of every file, None where it is gone.

    A job that measures a run again writes its files one after the other: metrics and
    replicates that are read meanwhile may be of two measurements.
    """
    stamps: list[tuple[int, int] | None] = []
    for path in itertools.chain.from_iterable(paths):
        try:
            facts = path.stat()
            stamps.append((facts.st_ino, facts.st_mtime_ns))
        except FileNotFoundError:
            stamps.append(None)
    return stamps
