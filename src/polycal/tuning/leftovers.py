"""Checkpoints of trainings that no study of a folder asks for any more.

A study notes which trainings it asks for whenever it starts. Only what a study has
given up a day ago is removed, and not if another study of the folder asks for it.
"""

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from polycal.errors import InputError
from polycal.files import exclusive, replacing
from polycal.tuning.resume import measure_checkpoints, remove_checkpoints

GRACE = 24 * 3600  # seconds: a short look with fewer values gives nothing up


class Leftovers(NamedTuple):
    """What `remove_leftovers` has done.

    Attributes:
        removed: bytes of the checkpoints that are gone.
        waiting: bytes of those that were given up less than a day ago.
    """

    removed: int
    waiting: int


def note_trainings(notes: Path, study: str, asked: Iterable[str]) -> None:
    """Write down which trainings a study asks for, and when it gave others up.

    Args:
        notes: folder with a file for each study that was started here.
        study: its name.
        asked: addresses of its candidates.

    Raises:
        InputError: the study's file is not one that this function wrote.
    """
    path = notes / f"{quote(study, safe='')}.json"
    before, asked = _read(path) if path.exists() else {}, sorted(set(asked))
    former = dict.fromkeys(before.get("asked", ()), time.time())
    former |= before.get("former", {})  # the time when it was first given up
    former = {each: when for each, when in former.items() if each not in set(asked)}
    with replacing(path) as temporary:
        temporary.write_text(json.dumps({"asked": asked, "former": former}, indent=1))


def remove_leftovers(notes: Path, candidates: Path, checkpoints: Path) -> Leftovers:
    """Remove the checkpoints of trainings that are done, or were given up a day ago.

    Those of a training that still runs stay.

    Args:
        notes: as `note_trainings` writes them.
        candidates: folder of finished trainings.
        checkpoints: folder of their checkpoints, at the same addresses.

    Raises:
        InputError: a file of the notes is not one that `note_trainings` wrote.
        OSError: a checkpoint cannot be removed.
    """
    found = [_read(path) for path in sorted(notes.glob("*.json"))]
    asked = {address for note in found for address in note["asked"]}
    former: dict[str, float] = {}
    for note in found:
        for address, when in note["former"].items():
            former[address] = max(when, former.get(address, when))
    removed = waiting = 0
    for address in sorted(asked | set(former)):
        folder, candidate = checkpoints / address, candidates / address
        done, given_up = candidate.exists(), address not in asked
        if not folder.is_dir() or not (done or given_up):
            continue
        if not done and time.time() - former[address] < GRACE:
            waiting += measure_checkpoints(folder)
            continue
        with exclusive(candidate, wait=False) as nobody_trains:
            if nobody_trains:
                removed += measure_checkpoints(folder)
                remove_checkpoints(folder)
    return Leftovers(removed, waiting)


def _read(path: Path) -> dict:
    try:
        note = json.loads(path.read_text())
        return {"asked": list(note["asked"]), "former": dict(note["former"])}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is not a study's note ({error!r}); delete it"
        ) from error
