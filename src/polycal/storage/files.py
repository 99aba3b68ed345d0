"""Atomic files and folders, locks, hard links, and digests."""

import contextlib
import errno
import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
import socket
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from polycal.errors import InputError

_MARK = ".partial"
_HOST = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname()) or "-"
_WEEK = 7 * 24 * 3600  # seconds
# Snakemake's file in a folder that is an output; what a killed `mark_folder` leaves.
_NOTHING = re.compile(r"\.snakemake_timestamp|\.provenance\.json\..*\.partial")
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # Lustre without -o flock
_logger = logging.getLogger(__name__)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Context manager: write a temporary file beside `path`, then rename it to `path`.

    Both lie in one folder, so the rename is atomic: a reader sees the old file, the new
    one or none, never half of one. If the body raises, nothing is left. The temporary
    file of a killed process is removed by the next writer of the same path.

    Yields:
        A name that does not exist yet; the body creates a file there.

    Raises:
        InputError: `path` is a folder.
    """
    check_file(path)
    with _renaming(path) as temporary:
        yield temporary
        _sync(temporary)


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Context manager: write a folder beside `path`, then rename it; see `replacing`.

    Yields:
        An empty folder. The body writes the result's files and `provenance.json`, by
        which the next writer recognises polycal's own folder.

    Raises:
        InputError: `check_folder` refuses `path`.
    """
    check_folder(path)
    with _renaming(path) as temporary:
        temporary.mkdir()
        yield temporary
        _sync(temporary)
        check_folder(path)
        if path.is_dir():  # half-removed, it would be neither whole nor absent
            shutil.rmtree(path.rename(_name_temporary(path, ".old")))


def move_folder(written: Path, path: Path) -> None:
    """Rename a folder to `path`, where there is none, once the disk has its files."""
    _sync(written)
    written.rename(path)
    _fsync(path.parent)


def check_file(path: Path) -> None:
    """Refuse to write a file over a folder.

    Raises:
        InputError: `path` is a folder.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder; name the file to write")


def check_folder(path: Path, *, verb: str | None = None) -> None:
    """Refuse to replace a folder, or files in it, that polycal did not make.

    Args:
        path: of the folder.
        verb: the verb that must have made it; None: any.

    Raises:
        InputError: `path` is a file, or a folder that is neither empty nor has a
            `provenance.json` of polycal's, or of the verb's.
    """
    if not path.is_dir():
        if path.exists():
            raise InputError(f"{path} is a file; name the folder to write")
        return
    if all(_NOTHING.fullmatch(inner.name) for inner in path.iterdir()):
        return
    try:
        facts = json.loads((path / "provenance.json").read_text("utf-8"))
        made = facts.get("polycal") and verb in (None, facts.get("verb"))
    except (OSError, ValueError, AttributeError):
        made = False
    if not made:
        maker = f"`polycal {verb}`" if verb else "polycal"
        raise InputError(
            f"{path} holds files that {maker} did not make; name a folder that is new "
            "or empty"
        )


@contextlib.contextmanager
def _renaming(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    temporary = _name_temporary(path)
    try:
        yield temporary
        os.replace(temporary, path)
        _fsync(path.parent)
    finally:
        _remove(temporary)


def _name_temporary(path: Path, kind: str = "") -> Path:
    return path.parent / f".{path.name}.{_HOST}.{os.getpid()}{kind}{_MARK}"


def _remove_leftovers(path: Path) -> None:
    """Remove temporary files of killed writers of a path.

    Whether a process of another machine still runs cannot be asked; a file that it
    writes has changed within a week.
    """
    name, mark = re.escape(path.name), re.escape(_MARK)
    names = re.compile(rf"\.{name}\.(?:([^.]+)\.)?(\d+)(?:\.old)?{mark}")
    for leftover in path.parent.iterdir():
        if match := names.fullmatch(leftover.name):
            host, pid = match[1], int(match[2])
            try:
                age = time.time() - leftover.stat().st_mtime
            except FileNotFoundError:  # its writer has ended in the meantime
                continue
            if (not _lives(pid)) if host == _HOST else age > _WEEK:
                _remove(leftover)


def _lives(pid: int) -> bool:
    """Return whether another process of this machine has this number."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):  # or it is no number of a process
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
    """Flush a file, or all files below a folder, to the disk."""
    for inner in [path, *path.rglob("*")] if path.is_dir() else [path]:
        _fsync(inner)


def _fsync(path: Path) -> None:
    """Flush one file, or one folder's list of names."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def exclusive(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Context manager: hold the lock of `path`, so that one process makes it at a time.

    A killed workflow leaves its jobs running. The same job, started again, waits here
    for the running one, so they never replace each other's result under a reader. The
    kernel releases the lock when its process ends.

    Args:
        path: the result to make. The lock is a hidden file beside it, removed
            afterwards. Where the file system has no locks, a warning is logged and the
            body runs.
        wait: whether to wait for another process that holds the lock.

    Yields:
        Whether this process holds the lock.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock_path = path.parent / f".{path.name}.lock"
    while True:
        with open_lock(lock_path) as lock:
            mine = take_lock(lock)
            if not mine and wait:
                _logger.warning("another process makes %s; waiting for it to end", path)
                fcntl.flock(lock, fcntl.LOCK_EX)
                mine = True
            if mine and not _is_named(lock, lock_path):
                continue  # the previous holder has removed this file
            try:
                yield mine
            finally:
                if mine:
                    lock_path.unlink(missing_ok=True)
            return


def open_lock(path: Path) -> IO:
    """Open a lock's file, which is made if need be; leave its content as it is.

    Raises:
        OSError: something else is at its path, such as a symbolic link.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    handle = os.open(path, flags, 0o666)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "not a regular file; delete it", str(path))
    return os.fdopen(handle, "r+")


def _is_named(lock: IO, path: Path) -> bool:
    """Return whether `path` is still the name of an open file."""
    try:
        return os.path.samestat(os.fstat(lock.fileno()), path.stat())
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ESTALE):
            raise
        return False


def take_lock(lock: IO) -> bool:
    """Take the kernel's lock of an open file; return whether it is free.

    Where the file system has no locks, log a warning and return true.

    Raises:
        OSError: the file system has locks, and another error occurred.
    """
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        _logger.warning(
            "the file system of %s has no locks (%s); never start a study there while "
            "jobs of a killed one still run",
            lock.name,
            error.strerror,
        )
    return True


def check_outputs(
    paths: Iterable[Path], kind: str, names: Iterable[str], suffixes: Iterable[str]
) -> None:
    """Refuse output files whose name does not say what to write.

    Raises:
        InputError: a name or suffix is not known; the message lists the known ones.
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
    """Make `target` a hard link to the file `source`, or a copy where links fail.

    A link takes no disk space for gigabytes of weights. polycal never writes into an
    existing file, so a change of one name never shows under the other.
    """
    source = source.resolve()
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def digest(paths: Iterable[Path]) -> str:
    """Return the SHA-256 (hex) of the names and contents of files, in the names' order.

    Names are without folders, so a moved folder keeps its digest.
    """
    total = hashlib.sha256()
    for path in sorted(map(Path, paths), key=lambda path: path.name):
        with path.open("rb") as handle:
            content = hashlib.file_digest(handle, "sha256").hexdigest()
        total.update(f"{path.name} {content}\n".encode())
    return total.hexdigest()
