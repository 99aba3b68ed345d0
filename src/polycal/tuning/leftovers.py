"""Remove checkpoints of trainings that are done, or that no study asks for any more."""

import time
from pathlib import Path
from typing import NamedTuple

from polycal.errors import InputError
from polycal.storage.files import exclusive
from polycal.study import layout
from polycal.study.asked import read_trainings
from polycal.tuning.checkpoints import measure_checkpoints, remove_checkpoints
from polycal.verb import verb

GRACE = 24 * 3600  # seconds: a short look with fewer values gives nothing up


class Leftovers(NamedTuple):
    """What `find_and_remove` has done.

    Attributes:
        removed: bytes of the checkpoints that are gone.
        waiting: bytes of those that were given up less than a day ago.
    """

    removed: int
    waiting: int


@verb()
def remove_leftovers(*, results: Path = Path("results")) -> None:
    """Remove checkpoints that nobody needs, and print how much.

    Nothing of this is worth an error at the end of a complete study, so what cannot be
    removed is printed.

    Args:
        results: the folder that the workflow writes into.
    """
    try:
        removed, waiting = find_and_remove(results)
    except (InputError, OSError) as error:
        print(f"Checkpoints that nobody needs are left: {error}")
        return
    if removed:
        print(f"Removed {removed / 1e9:.1f} GB of checkpoints that nobody needs.")
    if waiting:
        print(
            f"Checkpoints of trainings that the study has given up take "
            f"{waiting / 1e9:.1f} GB; a run in a day or later removes them."
        )


def find_and_remove(results: Path) -> Leftovers:
    """Remove the checkpoints of trainings that are done, or were given up a day ago.

    Those of a training that still runs stay.

    Args:
        results: the folder that the workflow writes into.

    Raises:
        InputError: a file of the notes is not one that `note_trainings` wrote.
        OSError: a checkpoint cannot be removed.
    """
    trainings = read_trainings(layout.below(results, layout.STUDIES))
    removed = waiting = 0
    for address in sorted(trainings.asked | set(trainings.former)):
        folder = layout.below(results, layout.CHECKPOINTS) / address
        candidate = layout.below(results, layout.CANDIDATES) / address
        done, given_up = candidate.exists(), address in trainings.former
        if not folder.is_dir() or not (done or given_up):
            continue
        if not done and time.time() - trainings.former[address] < GRACE:
            waiting += measure_checkpoints(folder)
            continue
        with exclusive(candidate, wait=False) as nobody_trains:
            if nobody_trains:
                removed += measure_checkpoints(folder)
                remove_checkpoints(folder)
    return Leftovers(removed, waiting)
