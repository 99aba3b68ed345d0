"""Checkpoints of a training. Only the newest complete checkpoint is kept.

A checkpoint is complete or absent. It belongs to a key of everything that determines
the result, so a training never resumes from other settings or data.
"""

import contextlib
import hashlib
import json
import logging
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from polycal.storage.files import digest, move_folder, replacing
from polycal.storage.provenance import read_provenance, write_provenance

_NAME = re.compile(r"step-\d+")
_KEY = re.compile(r"[0-9a-f]{16}")
_logger = logging.getLogger(__name__)


def make_key(**facts: object) -> str:
    """Return a digest of facts that JSON can hold: 16 hexadecimal digits."""
    text = json.dumps(facts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def is_made(out: Path, key: str) -> bool:
    """Return whether `out` is a result that was made under this key."""
    try:
        return read_provenance(out).get("key") == key
    except (OSError, ValueError):
        return False


def remove_checkpoints(folder: Path) -> None:
    """Remove a candidate's checkpoints; files that polycal did not write stay."""
    for key_folder in _list_keys(folder):
        shutil.rmtree(key_folder)
    if not any(folder.iterdir()):
        folder.rmdir()


def measure_checkpoints(folder: Path) -> int:
    """Return the bytes of a candidate's checkpoints."""
    files = (path for key in _list_keys(folder) for path in key.rglob("*"))
    return sum(path.stat().st_size for path in files if path.is_file())


def _list_keys(folder: Path) -> list[Path]:
    named = (path for path in folder.iterdir() if _KEY.fullmatch(path.name))
    return [path for path in named if path.is_dir()]


class Checkpoints:
    """The checkpoints of one training, in a folder that may hold those of other keys.

    Attributes:
        folder: of this key's files.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self._candidate_folder = folder
        self.folder = folder / key

    @property
    def unfinished(self) -> Path:
        """Return the folder of checkpoints that are being written."""
        return self.folder / "unfinished"

    def find(self) -> Path | None:
        """Return the newest complete checkpoint, if there is one."""
        return max(
            self._list(),
            key=lambda path: int(path.name.removeprefix("step-")),
            default=None,
        )

    def written(self) -> Path:
        """Return the folder of the checkpoint that is being written."""
        (folder,) = self.unfinished.iterdir()
        return folder

    def keep(self, step: int) -> None:
        """Make the written checkpoint of a step complete; remove the others."""
        kept = self.folder / f"step-{step}"
        written = self.written()
        write_provenance(written, key=self.folder.name)
        move_folder(written, kept)
        # A process that is killed before the digest leaves a valid checkpoint.
        with replacing(kept / "digest") as temporary:
            temporary.write_text(_digest(kept))
        # Half-removed, an older one would look damaged; what is unfinished is tidied.
        for other in self._list():
            if other != kept:
                shutil.rmtree(other.rename(self.unfinished / other.name))
        _logger.info("checkpoint of step %d in %s", step, kept)

    @contextlib.contextmanager
    def tidied(self) -> Iterator[None]:
        """Context manager: before and after, remove what cannot be resumed.

        Killed processes and full disks leave half-written checkpoints.
        """
        self._tidy()
        try:
            yield
        finally:
            self._tidy()

    def set_aside_damaged(self) -> None:
        """Rename checkpoints that have changed on disk, so that `find` skips them."""
        for path in self._list():
            if _is_damaged(path):
                aside = path.with_name(f"{path.name}.damaged")
                shutil.rmtree(aside, ignore_errors=True)
                path.rename(aside)
                _logger.warning("%s is damaged; renamed to %s", path, aside.name)

    def _tidy(self) -> None:
        shutil.rmtree(self.unfinished, ignore_errors=True)
        if not any(self.folder.glob("step-*")):  # damaged ones included
            shutil.rmtree(self.folder, ignore_errors=True)
            with contextlib.suppress(OSError):  # absent, or not empty
                self._candidate_folder.rmdir()

    def remove(self) -> None:
        """Remove the checkpoints of all keys; files that polycal did not write stay."""
        if self._candidate_folder.is_dir():
            remove_checkpoints(self._candidate_folder)

    def _list(self) -> list[Path]:
        return [
            path for path in self.folder.glob("step-*") if _NAME.fullmatch(path.name)
        ]


def _digest(checkpoint: Path) -> str:
    """Return the SHA-256 (hex) of the paths and contents of a checkpoint's files."""
    total = hashlib.sha256()
    for path in sorted(checkpoint.rglob("*")):
        if path.is_file() and path != checkpoint / "digest":
            name = path.relative_to(checkpoint).as_posix()
            total.update(f"{name} {digest([path])}\n".encode())
    return total.hexdigest()


def _is_damaged(checkpoint: Path) -> bool:
    """Return whether a checkpoint's files have changed since they were written.

    A checkpoint without a digest (killed before, or of an older polycal) counts as
    sound.
    """
    stated = checkpoint / "digest"
    return stated.exists() and stated.read_bytes() != _digest(checkpoint).encode()
