"""Give local sources the time stamps of their bytes, by which Snakemake decides.

Snakemake looks at the time of a folder, which does not change when a file in it is
rewritten, and changes when the same bytes are copied. Standard library only.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from polycal.errors import InputError
from polycal.storage.files import replacing
from polycal.study import grid, layout

# Snakemake takes the time of a folder that it made from this file.
_MARK = ".snakemake_timestamp"
# Path below a source -> (bytes, time of change in ns).
Stats = dict[str, list[int]]


def stamp_sources(sources: Iterable[Path], notes: Path) -> None:
    """Set the time of each source to when its present bytes were first seen.

    Other bytes get the time of now, so that what depends on them runs; the same bytes
    keep the time that is noted, so that nothing runs. A source that was not seen before
    keeps its time. Files are read only if a size or a time changed.

    Args:
        sources: folders and files on this machine.
        notes: JSON file with what was seen; it is written if anything changed.

    Raises:
        InputError: `notes` was not written by this function; or a source has other
            bytes, but its time cannot be set.
    """
    known = _read_notes(notes) if notes.exists() else {}
    seen = dict(known)
    for source in sources:
        note, stats = known.get(str(source)), _read_stats(source)
        marked = source / _MARK if (source / _MARK).exists() else source
        own_time = marked.stat().st_mtime_ns
        if note and note["stats"] == stats and note["time"] == own_time:
            continue
        is_read = note and note["stats"] == stats
        digest = note["digest"] if is_read else _digest(source, stats)
        if note is None:
            stamp = own_time
        else:
            stamp = note["time"] if note["digest"] == digest else time.time_ns()
        if stamp != own_time:
            try:
                os.utime(marked, ns=(marked.stat().st_atime_ns, stamp))
            except OSError as error:
                if note["digest"] != digest:
                    raise InputError(
                        f"{source} has changed, but its time cannot be set "
                        f"({error.strerror}); delete what was prepared from it below "
                        f"{layout.RESOURCES} and {notes}, and run again"
                    ) from error
        seen[str(source)] = {
            "digest": digest,
            "time": marked.stat().st_mtime_ns,
            # Of before the reading: what is written meanwhile is seen the next time.
            "stats": stats if source.is_dir() else _restamp(stats, source),
        }
    if seen != known:
        with replacing(notes) as temporary:
            temporary.write_text(json.dumps(seen, indent=1, sort_keys=True))


def check_local(config: Mapping) -> list[Path]:
    """Return the sources of a study that are on this machine.

    What the workflow makes itself (the embedded study's) is left out.

    Args:
        config: the complete study.

    Raises:
        InputError: one does not exist.
    """
    made_here = layout.MINIATURE.format(part="")
    sources = []
    for key, entry in grid.list_repositories(config):
        for path in map(Path, grid.local_path(entry["repo"])):
            if str(path).startswith(made_here):
                continue
            # Results that exist would otherwise hide that their source does not.
            if not path.exists():
                raise InputError(f"{key}.repo: there is no {path} in {Path.cwd()}")
            sources.append(path)
    return sorted(set(sources))


def _read_stats(source: Path) -> Stats:
    paths = [source] if source.is_file() else sorted(_walk(source, set()))
    stats = {}
    for path in paths:
        name = path.relative_to(source).as_posix()
        if path.is_file() and not any(part[0] == "." for part in Path(name).parts):
            facts = path.stat()
            stats[name] = [facts.st_size, facts.st_mtime_ns]
    return stats


def _restamp(stats: Stats, file: Path) -> Stats:
    """Return the stats of a file with the time that was set."""
    return {name: [size, file.stat().st_mtime_ns] for name, (size, _) in stats.items()}


def _walk(folder: Path, seen: set[Path]) -> Iterator[Path]:
    """Yield the files of a folder, those behind links to folders, too."""
    if (target := folder.resolve()) in seen:
        return
    seen.add(target)
    for path in folder.iterdir():
        if path.is_dir():
            yield from _walk(path, seen)
        else:
            yield path


def _digest(source: Path, names: Iterable[str]) -> str:
    """Return the SHA-256 (hex) of files, and of their names below a folder."""
    total = hashlib.sha256()
    for name in names:
        with (source / name).open("rb") as handle:
            content = hashlib.file_digest(handle, "sha256").hexdigest()
        total.update(f"{name} {content}\n".encode())
    return total.hexdigest()


def _read_notes(path: Path) -> dict[str, dict]:
    try:
        notes = json.loads(path.read_text("utf-8"))
        for note in notes.values():
            known = isinstance(note["digest"], str) and isinstance(note["time"], int)
            if not known or not isinstance(note["stats"], dict):
                raise ValueError("a note lacks its digest, time or stats")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} does not hold notes on local sources ({error!r}); delete it and "
            "run again"
        ) from error
    return notes
