"""Remove checkpoints of trainings that are done, or that no study asks for any more."""

import time
from pathlib import Path

from polycal.storage.files import exclusive
from polycal.study import layout
from polycal.study.asked import read_trainings
from polycal.tuning.checkpoints import measure_checkpoints, remove_checkpoints
from polycal.verb import verb

GRACE = 24 * 3600  # seconds: running a study briefly with fewer values is harmless


@verb()
def remove_leftovers(*, results: Path = Path("results")) -> None:
    """Remove checkpoints that are not needed any more, and print their size.

    Args:
        results: folder that the workflow writes into

    Raises:
        InputError: a file of `results/studies` is not one that polycal wrote.
        OSError: a checkpoint cannot be removed.
    """
    removed, waiting = find_and_remove(results)
    if removed:
        print(
            f"Removed {removed / 1e9:.1f} GB of checkpoints that are no longer needed."
        )
    if waiting:
        print(
            f"Checkpoints of trainings that the study no longer asks for take "
            f"{waiting / 1e9:.1f} GB; a run after a day removes them."
        )


def find_and_remove(results: Path) -> tuple[int, int]:
    """Remove checkpoints of trainings that are done, or were dropped a day ago.

    Checkpoints of a running training stay.

    Returns:
        Bytes of the removed checkpoints, and of those whose training was dropped less
        than a day ago.

    Raises:
        InputError: `note_trainings` did not write a file of the notes.
        OSError: a checkpoint cannot be removed.
    """
    trainings = read_trainings(layout.below(results, layout.STUDIES))
    removed = waiting = 0
    for address in sorted(trainings.asked | set(trainings.former)):
        folder = layout.below(results, layout.CHECKPOINTS) / address
        candidate = layout.below(results, layout.CANDIDATES) / address
        done, dropped = candidate.exists(), address in trainings.former
        if not folder.is_dir() or not (done or dropped):
            continue
        if not done and time.time() - trainings.former[address] < GRACE:
            waiting += measure_checkpoints(folder)
            continue
        with exclusive(candidate, wait=False) as is_idle:
            if is_idle:
                removed += measure_checkpoints(folder)
                remove_checkpoints(folder)
    return removed, waiting
