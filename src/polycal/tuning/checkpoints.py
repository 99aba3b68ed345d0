"""Checkpoints of a training that is not finished: complete or absent, and its own.

A checkpoint belongs to a key, which stands for everything that determines the result,
so a training never goes on from one of other settings or data.
"""

import contextlib
import hashlib
import json
import logging
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from polycal.storage.files import digest, replacing, replacing_folder
from polycal.storage.provenance import read_provenance, write_provenance

_NAME = re.compile(r"step-(\d+)")
_KEY = re.compile(r"[0-9a-f]{16}")
_logger = logging.getLogger(__name__)


def make_key(**facts: object) -> str:
    """A short name of facts that JSON can hold: 16 hexadecimal digits."""
    text = json.dumps(facts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def is_made(out: Path, key: str) -> bool:
    """Whether a result is there that was made under this key."""
    try:
        return read_provenance(out).get("key") == key
    except (OSError, ValueError):
        return False


def remove_checkpoints(folder: Path) -> None:
    """Remove the checkpoints of a candidate; what polycal did not write stays."""
    for each in _list_keys(folder):
        shutil.rmtree(each)
    if not any(folder.iterdir()):
        folder.rmdir()


def measure_checkpoints(folder: Path) -> int:
    """Return how many bytes the checkpoints of a candidate take."""
    files = (path for key in _list_keys(folder) for path in key.rglob("*"))
    return sum(path.stat().st_size for path in files if path.is_file())


def _list_keys(folder: Path) -> list[Path]:
    found = (each for each in folder.iterdir() if _KEY.fullmatch(each.name))
    return [each for each in found if each.is_dir()]


class Checkpoints:
    """The checkpoints of one training; of a complete newer one, older ones go.

    Attributes:
        place: folder of this key's files.
    """

    def __init__(self, folder: Path, key: str) -> None:
        """Read and write nothing yet.

        Args:
            folder: of one candidate; it may be absent, and hold other keys' files.
            key: as `make_key` makes it.
        """
        self._folder = folder
        self.place = folder / key

    @property
    def unfinished(self) -> Path:
        """The folder that checkpoints are written into before they are complete."""
        return self.place / "unfinished"

    def find(self) -> Path | None:
        """The newest complete checkpoint, if there is one."""
        return max(self._list(), key=_read_step, default=None)

    def written(self) -> Path:
        """The folder that is being written."""
        (found,) = self.unfinished.iterdir()
        return found

    def keep(self, step: int) -> None:
        """Make what was written for a step a complete checkpoint; remove the others.

        Args:
            step: optimiser steps done.

        Raises:
            OSError: the disk is full.
        """
        kept = self.place / f"step-{step}"
        written = self.written()
        write_provenance(written, key=self.place.name)
        with replacing_folder(kept) as temporary:
            written.rename(temporary)
        # It counts from here on, should the process be killed while this is computed.
        with replacing(kept / "digest") as temporary:
            temporary.write_text(_digest(kept))
        for other in self._list():
            if other != kept:
                shutil.rmtree(other)
        _logger.info("step %d is kept in %s", step, kept)

    @contextlib.contextmanager
    def tidied(self) -> Iterator[None]:
        """Before and after, remove what nothing can go on from.

        That is what a process that was killed, or a full disk, left half written.
        """
        self._tidy()
        try:
            yield
        finally:
            self._tidy()

    def set_aside_damaged(self) -> None:
        """Rename checkpoints that have changed on disk, so that `find` leaves them."""
        for path in self._list():
            if _is_damaged(path):
                aside = path.with_name(f"{path.name}.damaged")
                shutil.rmtree(aside, ignore_errors=True)
                path.rename(aside)
                _logger.warning("%s is damaged; it is kept as %s", path, aside.name)

    def _tidy(self) -> None:
        shutil.rmtree(self.unfinished, ignore_errors=True)
        if not any(self.place.glob("step-*")):  # damaged ones count, too
            shutil.rmtree(self.place, ignore_errors=True)
            with contextlib.suppress(OSError):  # it is not there, or not empty
                self._folder.rmdir()

    def remove(self) -> None:
        """Remove the checkpoints of all keys; what polycal did not write stays."""
        if self._folder.is_dir():
            remove_checkpoints(self._folder)

    def _list(self) -> list[Path]:
        return [
            path for path in self.place.glob("step-*") if _NAME.fullmatch(path.name)
        ]


def _digest(checkpoint: Path) -> str:
    """SHA-256 (hex) over the paths and the contents of a checkpoint's files."""
    total = hashlib.sha256()
    for path in sorted(checkpoint.rglob("*")):
        if path.is_file() and path != checkpoint / "digest":
            name = path.relative_to(checkpoint).as_posix()
            total.update(f"{name} {digest([path])}\n".encode())
    return total.hexdigest()


def _is_damaged(checkpoint: Path) -> bool:
    """Return whether a checkpoint's files are not those that were written.

    One whose process was killed before it had a digest, or that an older polycal wrote,
    is taken as it is.
    """
    stated = checkpoint / "digest"
    return stated.exists() and stated.read_bytes() != _digest(checkpoint).encode()


def _read_step(path: Path) -> int:
    return int(_NAME.fullmatch(path.name)[1])
