"""Notes of the trainings that a folder's studies ask for, and of those they dropped."""

import hashlib
import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from polycal.errors import InputError
from polycal.storage.files import replacing

_LONGEST = 120  # characters of a study's name that its note is called by


class Asked(NamedTuple):
    """Trainings that the studies of a folder ask for together."""

    asked: set[str]  # addresses of the trainings that some study asks for
    # Address of a training that none asks for any more -> when the last study dropped
    # it, seconds since 1970.
    former: dict[str, float]


def note_trainings(notes: Path, study: str, asked: Iterable[str]) -> None:
    """Write which trainings a study asks for, and when it dropped others.

    Raises:
        InputError: this function did not write the study's file.
    """
    path = notes / f"{_spell_file(study)}.json"
    before, asked = _read_note(path) if path.exists() else {}, sorted(set(asked))
    former = dict.fromkeys(before.get("asked", ()), time.time())
    former |= before.get("former", {})  # keep the time of the first drop
    former = {
        address: when for address, when in former.items() if address not in set(asked)
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps({"asked": asked, "former": former}, indent=1))


def _spell_file(study: str) -> str:
    """Return a study's name as one of a file, which holds 255 bytes."""
    name = quote(study, safe="")
    if len(name) <= _LONGEST:
        return name
    return f"{name[:_LONGEST]}-{hashlib.sha256(study.encode()).hexdigest()[:16]}"


def read_trainings(notes: Path) -> Asked:
    """Read the notes of all studies of a folder.

    Raises:
        InputError: `note_trainings` did not write a file of the folder.
    """
    studies = [_read_note(path) for path in sorted(notes.glob("*.json"))]
    asked = {address for study in studies for address in study["asked"]}
    former: dict[str, float] = {}
    for study in studies:
        for address, when in study["former"].items():
            if address not in asked:
                former[address] = max(when, former.get(address, when))
    return Asked(asked, former)


def _read_note(path: Path) -> dict:
    try:
        note = json.loads(path.read_text("utf-8"))
        return {"asked": list(note["asked"]), "former": dict(note["former"])}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is not a study's note ({error!r}); delete it and run again"
        ) from error
