"""Find the data files of a repository: a directory on this machine, or the Hub's.

A Hub repository is downloaded into the Hub's cache and then read as a directory.
`datasets.load_dataset` is not used: offline it serves the revision that it prepared
last instead of the pinned one, it writes a second copy of the data into the cache, and
importing it takes longer than reading a language.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from polycal.errors import InputError
from polycal.preparing.card import Card, Patterns
from polycal.preparing.data_files import (
    KINDS,
    check_kind,
    check_shards,
    choose_form,
    infer,
    spell_files,
)
from polycal.study.grid import is_local


@dataclass(frozen=True)
class Splits:
    """The data files of some splits."""

    files: dict[str, list[Path]]  # split -> its files in order
    revision: str | None  # commit of a Hub repository; the caller's for a directory
    sizes: dict[str, int | None]  # split -> its rows, if README.md says so


def download(
    repo: str, *, revision: str | None, repo_type: str, patterns: Sequence[str]
) -> Path:
    """Download files of a Hub repository into the Hub's cache, unless they are there.

    HF_HOME, HF_TOKEN and HF_HUB_OFFLINE are respected.

    Args:
        repo: the Hub id, owner/name.
        revision: a commit, or a branch or tag that is resolved to one.
        repo_type: model or dataset.
        patterns: names of files; `*` stands for any text.

    Returns:
        The snapshot's directory; its name is the commit.

    Raises:
        InputError: no revision was given, or the Hub does not give the files; the
            message says what to do.
        OSError: the disk is full or the cache cannot be written.
    """
    import huggingface_hub
    from huggingface_hub import errors

    if not revision:
        raise InputError(
            f"{repo}: a Hub repository can change at any time; pin it with `revision:`"
            " (a commit, or a branch to be resolved to one)"
        )
    try:
        folder = huggingface_hub.snapshot_download(
            repo,
            repo_type=repo_type,
            revision=revision,
            allow_patterns=list(patterns),
            # Some versions (1.33) ask for a list of files first, and fail.
            local_files_only=huggingface_hub.constants.HF_HUB_OFFLINE,
        )
    # HTTPError is httpx's, under the name that it has in every version of the library;
    # RuntimeError is how its transfer engine fails.
    except (errors.HTTPError, OSError, RuntimeError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # an error of the disk, not of the Hub
        reason = _explain(error, repo, revision, repo_type)
        raise InputError(f"{repo}: {reason}") from error
    return Path(folder)


def _explain(error: Exception, repo: str, revision: str, repo_type: str) -> str:
    """Return why the Hub did not give a repository, and what to do; one line."""
    from huggingface_hub import errors

    page = f"https://huggingface.co/{'datasets/' if repo_type == 'dataset' else ''}"
    if isinstance(error, errors.GatedRepoError):
        return (
            f"is gated; accept its terms at {page}{repo} and set HF_TOKEN to a token "
            "of that account (or run `hf auth login`)"
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            f"there is no such {repo_type} on the Hub, or it is private; correct the "
            "name (a local directory starts with ./), or set HF_TOKEN"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return f"has no revision {revision!r}; take a commit from {page}{repo}/commits"
    if isinstance(error, errors.HFValidationError):
        return "is not a Hub id (owner/name); a local path starts with ./, ../ or /"
    if isinstance(error, errors.LocalEntryNotFoundError):
        return (
            f"revision {revision} is not in the cache and the Hub cannot be reached; "
            "download it where there is a network (HF_HOME says where the cache is), "
            "unset HF_HUB_OFFLINE, or give a local directory"
        )
    first = str(error).strip().splitlines() or [type(error).__name__]
    return f"the download of revision {revision} failed ({first[0]}); run again"


def find_splits(
    repo: str,
    *,
    splits: Iterable[str],
    optional: Iterable[str] = (),
    name: str | None = None,
    revision: str | None = None,
) -> Splits:
    """Find the data files of some splits, and download them if they are on the Hub.

    The `configs` in the header of the repository's README.md list the files of a
    config. A config that it does not list is sought by the names of files, such as
    `sw.jsonl` or `sw/test.parquet`. Without a config, the splits are inferred from the
    names of the files, by the Hub's own rules.

    Args:
        repo: a Hub id, a local directory, or a local file that holds one split.
        splits: the splits that are needed, as the repository calls them.
        optional: splits that are taken if they are there.
        name: the config (in a benchmark: the language); None is the default config.
        revision: the commit of a Hub repository; only noted for a directory.

    Raises:
        InputError: the repository, config or split does not exist (the message lists
            those that do), or a split lacks some of its files.
    """
    splits, optional = list(splits), list(optional)
    commit, path = revision, Path(repo).expanduser()
    if is_local(repo) and path.is_file():
        return Splits({splits[0]: [_take_file(path, name, splits)]}, revision, {})
    if is_local(repo):
        if not path.is_dir():
            raise InputError(f"{repo}: there is no such directory; correct `repo:`")
        _refuse_saved(repo, path)
        folder, card = path, Card(repo, path)
        patterns = _find_patterns(repo, card, name, [*splits, *optional])
    else:
        folder = _fetch(repo, revision, ["README.md"])
        commit, card = folder.name, Card(repo, folder)
        patterns = _find_patterns(repo, card, name, [*splits, *optional])
        if patterns is None:
            wanted = [f"*{kind}" for kind in KINDS]
        else:
            listed = (patterns.get(split, ()) for split in (*splits, *optional))
            wanted = list(itertools.chain.from_iterable(listed))
        # By the commit: the branch may have moved since README.md was read.
        folder = _fetch(repo, commit, ["README.md", *wanted])
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
    sizes = {split: card.get_size(chosen, split) for split in taken}
    return Splits({split: files[split] for split in taken}, commit, sizes)


def _take_file(path: Path, name: str | None, splits: Sequence[str]) -> Path:
    check_kind(path)
    if name is not None:
        raise InputError(
            f"{path} is one file; a benchmark is a folder with a file for each "
            f"language, such as {path.parent}/{name}{path.suffix}: name the folder"
        )
    if len(splits) > 1:
        raise InputError(f"{path} is one file, but {', '.join(splits)} are needed")
    return path


def _fetch(repo: str, revision: str | None, patterns: Sequence[str]) -> Path:
    return download(repo, revision=revision, repo_type="dataset", patterns=patterns)


def _refuse_saved(repo: str, folder: Path) -> None:
    """Refuse a folder of the `datasets` library's own form."""
    if (folder / "dataset_dict.json").exists() or (folder / "state.json").exists():
        raise InputError(
            f"{repo} was written by `save_to_disk`, whose form is not read; write each "
            "split with `to_parquet` instead"
        )


def _find_patterns(
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
