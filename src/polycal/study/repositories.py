"""Find the data files of a repository that lies in a directory."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from polycal.errors import InputError
from polycal.study.card import Card, Patterns
from polycal.study.data_files import (
    KINDS,
    check_kind,
    check_layout,
    check_shards,
    choose_form,
    infer,
    spell_files,
)
from polycal.study.saved import find_saved


@dataclass(frozen=True)
class Splits:
    """The data files of some splits."""

    files: dict[str, list[Path]]  # split -> its files in order
    revision: str | None  # commit of a Hub repository; the caller's for a directory
    sizes: dict[str, int | None]  # split -> its rows, if README.md says so


def find_local(
    repo: str,
    *,
    splits: Sequence[str],
    optional: Sequence[str] = (),
    name: str | None = None,
    revision: str | None = None,
) -> Splits:
    """Find the data files of some splits on this machine.

    The parameters and errors are those of `polycal.preparing.hub.find_splits`.
    """
    path = Path(os.path.expanduser(repo))
    if path.is_file():
        return Splits({splits[0]: [_take_file(path, name, splits)]}, revision, {})
    if not path.is_dir():
        raise InputError(f"{repo}: there is no such directory; correct `repo:`")
    if saved := find_saved(repo, path, name, splits, optional):
        return Splits(saved, revision, {})
    files, sizes = pick_files(repo, path, Card(repo, path), name, splits, optional)
    return Splits(files, revision, sizes)


def pick_files(
    repo: str,
    folder: Path,
    card: Card,
    name: str | None,
    splits: Sequence[str],
    optional: Sequence[str],
) -> tuple[dict[str, list[Path]], dict[str, int | None]]:
    """Return the files of each split, and its rows if README.md states them.

    Args:
        repo: name of the repository in messages.
        folder: where it lies.
        card: its header.
        name: the config; None is the default one.
        splits: the splits that are needed.
        optional: splits that are taken if they are there.

    Raises:
        InputError: a config, a split or a part of one is not there.
    """
    patterns = find_patterns(repo, card, name, [*splits, *optional])
    chosen = card.find_default() if name is None else name
    is_listed = patterns is not None and chosen in card.configs
    files = _resolve(folder, patterns, is_listed=is_listed)
    if name is not None and name not in card.configs and not any(files.values()):
        known = {*splits, *optional}
        raise InputError(_explain_missing(repo, name, card, folder, known))
    for split in splits:
        if not files.get(split):
            offered = ", ".join(key for key in files if files[key]) or "none"
            raise InputError(
                f"{repo} has no files of the split {split!r} "
                f"(splits with files: {offered}; kinds: {', '.join(KINDS)})"
            )
    taken = [*splits, *(split for split in optional if files.get(split))]
    for split in taken:
        for file in files[split]:
            check_kind(file)
        check_shards(repo, split, files[split])
        if not is_listed:
            is_named = name is not None
            check_layout(repo, split, files[split], is_named=is_named)
    sizes = {split: card.get_size(chosen, split) for split in taken}
    return {split: files[split] for split in taken}, sizes


def _take_file(path: Path, name: str | None, splits: Sequence[str]) -> Path:
    check_kind(path)
    if name not in (None, path.stem):
        raise InputError(
            f"{path} is one file, of {path.stem!r} by its name; a benchmark is a "
            f"folder with a file for each language, such as {name}{path.suffix}: name "
            "the folder, or, if the file holds this language, say `configs: "
            f"{{LANGUAGE: {path.stem}}}`"
        )
    if len(splits) > 1:
        raise InputError(f"{path} is one file, but {', '.join(splits)} are needed")
    return path


def find_patterns(
    repo: str, card: Card, name: str | None, splits: Sequence[str]
) -> Patterns | None:
    """Return the patterns of the files of a config; None if they are to be inferred.

    Raises:
        InputError: no config is named, and the repository has several.
    """
    chosen = card.find_default() if name is None else name
    if chosen in card.configs:
        return card.get_patterns(chosen)
    if name is not None:
        return {split: spell_files(name, split, splits) for split in splits}
    if card.configs:
        raise InputError(
            f"{repo} does not offer {name!r}; it offers: {', '.join(card.configs)}"
        )
    return None


def _explain_missing(
    repo: str, name: str, card: Card, folder: Path, splits: set[str]
) -> str:
    """Return one line about a config that a repository lacks."""
    paths = [*folder.glob("*"), *folder.glob("*/*")]
    files = [path.relative_to(folder) for path in paths if path.suffix in KINDS]
    names = {part for path in files for part in (*path.parts[:-1], path.stem)}
    names -= {"state", "dataset_info", "dataset_dict"}  # of `save_to_disk`
    offered = [*card.configs, *sorted(names - splits - set(card.configs))]
    return (
        f"{repo} does not offer {name!r}; it offers: {', '.join(offered) or 'none'} "
        f"(configs of README.md, or files such as {name}.jsonl)"
    )


def _resolve(
    folder: Path, patterns: Patterns | None, *, is_listed: bool
) -> dict[str, list[Path]]:
    """Return the files of each split, in the order of their names."""
    if patterns is None:
        files = infer(folder)
    else:
        files = {
            split: sorted({path for globs in spelt for path in folder.glob(globs)})
            for split, spelt in patterns.items()
        }
    if is_listed:
        return files
    return {split: choose_form(paths) for split, paths in files.items()}
