"""Files and directories that are complete or absent, and their digests."""

import contextlib
import errno
import fcntl
import hashlib
import logging
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from polycal.errors import InputError

_MARK = ".partial"
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # Lustre without -o flock
_logger = logging.getLogger(__name__)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; on success it becomes `path`.

    The temporary name lies in the same folder, so the final rename is atomic: a
    reader sees the old file, the new one or none, never half of one. When the body
    raises, nothing is left behind. A process that was killed leaves its temporary
    file, which the next writer of the same path removes.

    Args:
        path: the final name of a file or of a directory.

    Yields:
        A name that does not exist yet. The body creates a file or a directory there.

    Raises:
        OSError: the folder cannot be written or the disk is full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in path.parent.glob(f".{path.name}.*{_MARK}"):
        if not _alive(leftover):
            _remove(leftover)
    temporary = path.parent / f".{path.name}.{os.getpid()}{_MARK}"
    try:
        yield temporary
        if path.is_dir():  # an older result, or one that Snakemake made in advance
            shutil.rmtree(path)
        _sync(temporary)
        os.replace(temporary, path)
        _fsync(path.parent)
    finally:
        _remove(temporary)


def _alive(leftover: Path) -> bool:
    """Whether the process that the temporary name belongs to still runs here."""
    pid = int(leftover.name.removesuffix(_MARK).rsplit(".", 1)[1])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid != os.getpid()


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Flush a file, or all files below a directory, to the disk."""
    for each in [path, *path.rglob("*")] if path.is_dir() else [path]:
        _fsync(each)


def _fsync(path: Path) -> None:
    """Flush one file, or one directory's list of names."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Wait until no other process on this machine makes `path`, and hold others off.

    A workflow that was killed leaves its jobs running. The same job started again
    waits here for the one that is left, so the two never replace each other's result
    under a reader. The lock is the kernel's: it goes with the process that holds it.

    Args:
        path: what is going to be made; the lock is a hidden file beside it. Where the
            file system has none, a warning says so, and the body runs.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / f".{path.name}.lock").open("w") as lock:
        if not take_lock(lock):
            _logger.warning("another process makes %s; waiting for it to end", path)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def take_lock(lock: IO) -> bool:
    """Take the kernel's lock of an open file; whether nobody else has it.

    Where the file system has no locks, a warning says so, and nobody is in the way.

    Raises:
        OSError: the file system has locks, and something else is wrong.
    """
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        _logger.warning(
            "the file system of %s knows no locks (%s); never start a study there "
            "while a killed one's jobs still run",
            lock.name,
            error.strerror,
        )
    return True


def check_outputs(
    paths: Iterable[Path], kind: str, names: Iterable[str], suffixes: Iterable[str]
) -> None:
    """Refuse files to write whose name does not say what to write.

    Args:
        paths: the files.
        kind: what they are, in the singular.
        names: what they may be called, without a suffix.
        suffixes: how they may end.

    Raises:
        InputError: a name or suffix is not known; the text lists those that are.
    """
    known, endings = list(names), list(suffixes)
    for path in paths:
        if path.stem not in known:
            raise InputError(
                f"no {kind} is called {path.stem!r}; known: {', '.join(known)}"
            )
        if path.suffix not in endings:
            raise InputError(
                f"{path}: a {kind} is a file that ends in {', '.join(endings)}"
            )


def copy_or_link(source: Path, target: Path) -> None:
    """Give the file `source` a second name, or a copy where links cannot be made.

    A hard link costs no disk space for gigabytes of weights. polycal never writes
    into an existing file, so the two names never see each other's changes.
    """
    source = source.resolve()
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def digest(paths: Iterable[Path]) -> str:
    """SHA-256 (hex) over the names and the contents of files, in the order of names.

    Names without their folders, so a moved directory keeps its digest.
    """
    total = hashlib.sha256()
    for path in sorted(map(Path, paths), key=lambda path: path.name):
        with path.open("rb") as handle:
            content = hashlib.file_digest(handle, "sha256").hexdigest()
        total.update(f"{path.name} {content}\n".encode())
    return total.hexdigest()
