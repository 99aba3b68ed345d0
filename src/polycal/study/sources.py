"""Decide by their bytes whether the sources on this machine have changed.

Snakemake looks at the time of a folder, which does not change when a file in it is
rewritten, and changes when the same bytes are copied. So a source that has changed gets
a stamp: a file of polycal's own, the input of the rules in its place. Nothing of the
user's is written to. Standard library only.
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from polycal.errors import InputError
from polycal.storage.files import replacing
from polycal.study import grid, layout
from polycal.study.config import complete_format
from polycal.study.repositories import find_local

# Bytes that are read to decide what has to run; more are read when a run begins. A
# second of SHA-256.
_READ_AT_ONCE = 2**30
_CONFIGURATIONS = ("config.json", "adapter_config.json")  # of a model, of an adapter
# Path below a source -> (bytes, times of its change and of its inode's change in ns).
Stats = dict[str, list[int]]
_logger = logging.getLogger(__name__)


class Source(NamedTuple):
    """What a rule reads on this machine."""

    path: Path  # a folder or a file
    part: str = ""  # the repository's name of a language; "": all of it is read
    files: tuple[Path, ...] = ()  # those of the language

    def __str__(self) -> str:
        """Return its name in notes and stamps."""
        return f"{self.path}: {self.part}" if self.part else str(self.path)


def stamp_sources(sources: Iterable[Source], notes: Path) -> None:
    """Write a stamp for each source whose bytes have changed since they were used.

    The same bytes, touched, copied or restored, write none. Files are read only if a
    size or a time changed; a large source that was not seen before is read when a run
    begins (`note_use`).

    Args:
        sources: what the study reads.
        notes: JSON file with what was seen; it is written if anything changed.

    Raises:
        InputError: `notes` was not written by this module, or a source has changed, but
            its stamp cannot be written.
    """
    known = _read_notes(notes)
    seen, to_read = dict(known), _READ_AT_ONCE
    for source in sources:
        note, stats, stamp = known.get(str(source)), _read_stats(source), _stamp(source)
        # Snakemake takes braces in a path for a pattern; a stamp has none.
        has_braces = not {*"{}"}.isdisjoint(str(source))
        if note and _is_same(note["stats"], stats):
            digest = note["digest"]
        elif note or has_braces or stamp.exists() or _count_bytes(stats) <= to_read:
            to_read -= _count_bytes(stats)
            digest = _digest(source, stats)
        else:
            digest = None
        if note is None:
            is_stamped = has_braces or stamp.exists()
            note = {"base": None if is_stamped else digest, "stamped": is_stamped}
        if digest and (note["stamped"] or digest != note["base"]):
            _set_stamp(stamp, source, digest)
        elif stamp.exists():  # of a change that was undone before anything ran
            stamp.unlink()
        # The stats of before the reading: what is written meanwhile is seen next time.
        seen[str(source)] = {**note, "digest": digest, "stats": stats}
    if seen != known:
        _write_notes(seen, notes)


def note_use(sources: Iterable[Source], notes: Path) -> None:
    """Note that a run begins with the present bytes of the sources."""
    known = _read_notes(notes)
    seen = dict(known)
    for source in sources:
        note = known.get(str(source)) or {"base": None, "digest": None}
        if note["digest"] is None:
            stats = _read_stats(source)
            digest = _digest(source, stats)
            note = {**note, "base": digest, "digest": digest, "stats": stats}
        seen[str(source)] = {**note, "stamped": _stamp(source).exists()}
    if seen != known:
        _write_notes(seen, notes)


def find_stamp(path: str, part: str = "") -> str | None:
    """Return the stamp that stands for a source; None if it has never changed.

    A source that has not changed is an input itself, by name: a study that was finished
    before there were stamps has it so.
    """
    stamp = _stamp(Source(Path(path), part))
    return str(stamp) if stamp.exists() else None


def check_local(config: Mapping) -> list[Source]:
    """Return the sources of a study that are on this machine.

    A benchmark is a source for each language, so that another language's file is no
    reason to prepare the others again.

    Raises:
        InputError: one does not exist, a benchmark lacks a language, or a model its
            configuration.
    """
    files: dict[tuple[Path, str], set[Path]] = {}
    for key, path, entry in list_local(config):
        try:
            for source in _divide(path, entry):
                # Two tasks may read other splits of one language.
                files.setdefault(source[:2], set()).update(source.files)
        except InputError as error:
            raise InputError(f"{key}: {error}") from error
    return [Source(*name, tuple(sorted(own))) for name, own in sorted(files.items())]


def list_local(config: Mapping) -> Iterator[tuple[str, Path, Mapping]]:
    """Yield the key, the path and the entry of each repository on this machine.

    What the workflow makes itself (the embedded study's) is left out.

    Raises:
        InputError: one does not exist.
    """
    made_here = layout.MINIATURE.format(part="")
    for key, entry in grid.list_repositories(config):
        for path in map(Path, grid.local_path(entry["repo"])):
            if str(path).startswith(made_here):
                continue
            # Results that exist would otherwise hide that their source does not.
            if not path.exists():
                raise InputError(f"{key}.repo: there is no {path} in {Path.cwd()}")
            yield key, path, entry


def _divide(path: Path, entry: Mapping) -> Iterator[Source]:
    """Yield a repository, or each language of a benchmark."""
    if "format" not in entry:  # a model; only what is tuned may be an adapter
        needed = _CONFIGURATIONS[:1] if "name" in entry else _CONFIGURATIONS
        if not any((path / file).is_file() for file in needed):
            raise InputError(
                f"{path} has no {' or '.join(needed)}, so it is no transformers model"
            )
    if "languages" not in entry:
        yield Source(path)
        return
    splits = complete_format(entry["format"])["splits"]
    test, dev = splits["test"], splits.get("dev")
    for language in entry["languages"]:
        name = entry["configs"].get(language, language)
        optional = [dev] if dev else []
        found = find_local(entry["repo"], name=name, splits=[test], optional=optional)
        files = sorted({file for own in found.files.values() for file in own})
        yield Source(path, name, tuple(files))


def _stamp(source: Source) -> Path:
    name = hashlib.sha256(str(source).encode()).hexdigest()[:16]
    return Path(layout.STAMP.format(source=name))


def _set_stamp(stamp: Path, source: Source, digest: str) -> None:
    """Write a stamp, unless it is written; Snakemake compares its bytes, too."""
    text = f"{digest}  {source}\n"
    if stamp.exists() and stamp.read_text("utf-8") == text:
        return
    try:
        with replacing(stamp) as temporary:
            temporary.write_text(text, "utf-8")
    except OSError as error:
        raise InputError(
            f"{source} has changed, but {stamp}, which makes what depends on it run "
            f"again, cannot be written ({error.strerror}); make {stamp.parent} writable"
        ) from error


def _read_stats(source: Source) -> Stats:
    root = source.path
    paths = list(source.files)
    if not source.part:
        paths = [root] if root.is_file() else sorted(_walk(root, set()))
    stats = {}
    for path in paths:
        name = path.relative_to(root).as_posix()
        if path.is_file() and not any(part[0] == "." for part in Path(name).parts):
            facts = path.stat()
            stats[name] = [facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns]
    return stats


def _is_same(noted: Stats, stats: Stats) -> bool:
    """Return whether files have the size and the times that are noted.

    Old notes have no time of the inode's change.
    """
    return noted.keys() == stats.keys() and all(
        own == stats[name][: len(own)] for name, own in noted.items()
    )


def _count_bytes(stats: Stats) -> int:
    return sum(size for size, *_ in stats.values())


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


def _digest(source: Source, stats: Stats) -> str:
    """Return the SHA-256 (hex) of files, and of their names below a folder."""
    if _count_bytes(stats) > _READ_AT_ONCE:
        size = _count_bytes(stats) / 1e9
        _logger.warning("reading %s (%.1f GB), which is new or touched", source, size)

    def digest(name: str) -> str:
        with (source.path / name).open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()

    total = hashlib.sha256()
    with ThreadPoolExecutor() as pool:
        for name, content in zip(stats, pool.map(digest, stats), strict=True):
            total.update(f"{name} {content}\n".encode())
    return total.hexdigest()


def _write_notes(notes: Mapping, path: Path) -> None:
    try:
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(notes, indent=1, sort_keys=True))
    except OSError as error:  # such as a study of somebody else, who only looks
        _logger.warning(
            "%s cannot be written (%s); local sources are read again next time",
            *(path, error.strerror),
        )


def _read_notes(path: Path) -> dict[str, dict]:
    if not path.exists():
        return {}
    try:
        notes = json.loads(path.read_text("utf-8"))
        for source, note in notes.items():
            # Old notes, of times, have the bytes that were used as `digest`.
            base = note.get("base", note["digest"])
            notes[source] = {
                **{"digest": note["digest"], "base": base, "stats": note["stats"]},
                "stamped": bool(note.get("stamped")),
            }
            for value in (note["digest"], base):
                if not isinstance(value, str | None):
                    raise ValueError(f"{value!r} is no digest")
            _is_same(note["stats"], {name: [] for name in note["stats"]})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} does not hold notes on local sources ({error!r}); delete it and "
            "run again"
        ) from error
    return notes
