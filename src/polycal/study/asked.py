"""Which trainings the studies of a folder ask for, and which they gave up and when."""

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from polycal.errors import InputError
from polycal.storage.files import replacing


class Asked(NamedTuple):
    """What the studies of a folder ask for together.

    Attributes:
        asked: addresses of the trainings that some study asks for.
        former: address of a training that none asks for any more -> when the last
            study gave it up, seconds since 1970.
    """

    asked: set[str]
    former: dict[str, float]


def note_trainings(notes: Path, study: str, asked: Iterable[str]) -> None:
    """Write which trainings a study asks for, and when it gave up others.

    Args:
        notes: folder with a file for each study that was started here.
        study: its name.
        asked: addresses of its candidates.

    Raises:
        InputError: the study's file is not one that this function wrote.
    """
    path = notes / f"{quote(study, safe='')}.json"
    before, asked = _read_note(path) if path.exists() else {}, sorted(set(asked))
    former = dict.fromkeys(before.get("asked", ()), time.time())
    former |= before.get("former", {})  # the time when it was first given up
    former = {each: when for each, when in former.items() if each not in set(asked)}
    with replacing(path) as temporary:
        temporary.write_text(json.dumps({"asked": asked, "former": former}, indent=1))


def read_trainings(notes: Path) -> Asked:
    """Read what all studies of a folder have noted.

    Args:
        notes: as `note_trainings` writes them; it may be absent.

    Raises:
        InputError: a file is not one that `note_trainings` wrote.
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
        note = json.loads(path.read_text())
        return {"asked": list(note["asked"]), "former": dict(note["former"])}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is not a study's note ({error!r}); delete it"
        ) from error
