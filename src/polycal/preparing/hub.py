"""Find the data files of a repository: a directory on this machine, or the Hub's.

A Hub repository is downloaded into the Hub's cache and then read as a directory.
`datasets.load_dataset` is not used: offline it serves the revision that it prepared
last instead of the pinned one, it writes a second copy of the data into the cache, and
importing it takes longer than reading a language.
"""

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

from polycal.errors import InputError
from polycal.study.card import Card
from polycal.study.data_files import KINDS
from polycal.study.grid import is_local
from polycal.study.repositories import Splits, find_local, find_patterns, pick_files


def download(
    repo: str, *, revision: str | None, repo_type: str, patterns: Sequence[str]
) -> Path:
    """Download files of a Hub repository into the Hub's cache, unless they are there.

    HF_HOME, HF_TOKEN and HF_HUB_OFFLINE are respected.

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
    if is_local(repo):
        return find_local(
            repo, splits=splits, optional=optional, name=name, revision=revision
        )
    folder = _fetch(repo, revision, ["README.md"])
    commit, card = folder.name, Card(repo, folder)
    patterns = find_patterns(repo, card, name, [*splits, *optional])
    if patterns is None:
        wanted = [f"*{kind}" for kind in KINDS]
    else:
        listed = (patterns.get(split, ()) for split in (*splits, *optional))
        wanted = list(itertools.chain.from_iterable(listed))
    # By the commit: the branch may have moved since README.md was read.
    folder = _fetch(repo, commit, ["README.md", *wanted])
    files, sizes = pick_files(repo, folder, card, name, splits, optional)
    return Splits(files, commit, sizes)


def _fetch(repo: str, revision: str | None, patterns: Sequence[str]) -> Path:
    return download(repo, revision=revision, repo_type="dataset", patterns=patterns)
