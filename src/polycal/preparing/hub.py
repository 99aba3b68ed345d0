"""Find the data files of a repository: a directory on this machine, or the Hub's.

A Hub repository is downloaded into the Hub's cache and then read as a directory.
`datasets.load_dataset` is not used: offline it serves the revision that it prepared
last instead of the pinned one, it writes a second copy of the data into the cache, and
importing it takes longer than reading a language.
"""

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from yaml import YAMLError

from polycal.errors import InputError
from polycal.study.grid import is_local
from polycal.study.reading import load_yaml

# Kinds of file that `rows.py` reads; not CSV, which cannot tell "None" from null.
KINDS = (".parquet", ".json", ".jsonl")
_HEADER = re.compile(r"\s*---[\r\n]+(.*?)[\r\n]+---(?:[\r\n]|$)", re.DOTALL)


@dataclass(frozen=True)
class Splits:
    """The data files of some splits."""

    files: dict[str, list[Path]]  # split -> its files in order
    revision: str | None  # commit of a Hub repository; the caller's for a directory


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
    name: str | None = None,
    revision: str | None = None,
) -> Splits:
    """Find the data files of some splits, and download them if they are on the Hub.

    The `configs` in the header of the repository's README.md list the files of a
    config. Without such a header the splits are inferred from the names of the files,
    by the Hub's own rules.

    Args:
        repo: a Hub id, a local directory, or a local file that holds one split.
        splits: the splits that are needed, as the repository calls them.
        name: the config (in a benchmark: the language); None is the default config.
        revision: the commit of a Hub repository; only noted for a directory.

    Raises:
        InputError: the repository, config or split does not exist; the message lists
            those that do.
    """
    splits = list(splits)
    if not is_local(repo):
        commit, folder, patterns = _download_splits(repo, name, splits, revision)
        return Splits(_resolve(repo, folder, patterns, splits), commit)
    path = Path(repo).expanduser()
    if path.is_file() and name is None and len(splits) == 1:
        _check_kind(path)
        return Splits({splits[0]: [path]}, revision)
    if not path.is_dir():
        raise InputError(f"{repo}: there is no such directory; correct `repo:`")
    patterns = _read_patterns(repo, path, name)
    return Splits(_resolve(repo, path, patterns, splits), revision)


def _download_splits(
    repo: str, name: str | None, splits: list[str], revision: str | None
) -> tuple[str, Path, dict[str, list[str]] | None]:
    """Return the commit, the snapshot, and the patterns of the splits of a Hub id."""

    def fetch(revision: str | None, patterns: Sequence[str]) -> Path:
        return download(repo, revision=revision, repo_type="dataset", patterns=patterns)

    folder = fetch(revision, ["README.md"])
    commit = folder.name
    patterns = _read_patterns(repo, folder, name)
    if patterns is None:
        data_files = [f"*{kind}" for kind in KINDS]
    else:
        data_files = [file for split in splits for file in patterns.get(split, [])]
    # By the commit: the branch may have moved since README.md was read.
    return commit, fetch(commit, ["README.md", *data_files]), patterns


def _read_patterns(
    repo: str, folder: Path, name: str | None
) -> dict[str, list[str]] | None:
    """Return split -> patterns of files of a config; None if README.md has none."""
    configs = _read_configs(repo, folder / "README.md")
    if name is None:
        if not configs:
            return None
        chosen = [key for key, config in configs.items() if config.get("default")]
        chosen += [key for key in configs if key == "default" or len(configs) == 1]
        name = chosen[0] if chosen else None
    if name not in configs:
        offered = ", ".join(configs) or "none (README.md has no `configs` header)"
        raise InputError(f"{repo} does not offer {name!r}; it offers: {offered}")
    files = configs[name].get("data_files")
    if "data_dir" in configs[name]:
        raise InputError(
            f"{repo}: the config {name!r} has a `data_dir`, which is not read; name "
            "its files with `data_files` in README.md"
        )
    if files is None:
        return None
    try:
        if isinstance(files, str) or all(isinstance(file, str) for file in files):
            files = [{"split": "train", "path": files}]
        patterns = {str(file["split"]): file["path"] for file in files}
    except (KeyError, TypeError):
        raise InputError(
            f"{repo}: the config {name!r} in README.md has `data_files` without "
            "`split` and `path`; add them"
        ) from None
    lists = {
        split: [paths] if isinstance(paths, str) else paths
        for split, paths in patterns.items()
    }
    for pattern in itertools.chain.from_iterable(lists.values()):
        _check_inside(repo, pattern)
    return lists


def _check_inside(repo: str, pattern: object) -> None:
    """Refuse a pattern of README.md that leads out of the repository."""
    parts = PurePosixPath(str(pattern)).parts
    if not parts or ".." in parts or parts[0] == "/":
        raise InputError(
            f"{repo}: README.md names the files {pattern!r}, which are not inside the "
            "repository; name others"
        )


def _read_configs(repo: str, readme: Path) -> dict[str, dict]:
    """Return the `configs` in the header of README.md, by name.

    huggingface_hub's `DatasetCard` reads the same, but importing it takes longer than
    preparing a language of a local benchmark.
    """
    if not readme.exists():
        return {}
    try:
        header = _HEADER.match(readme.read_text(encoding="utf-8"))
        configs = (load_yaml(header[1]) or {}).get("configs") if header else None
        return {str(config["config_name"]): config for config in configs or ()}
    except (YAMLError, ValueError, TypeError, KeyError, AttributeError) as error:
        line = str(error).splitlines()[0]
        raise InputError(f"{repo}: cannot read README.md's header ({line})") from error


def _resolve(
    repo: str, folder: Path, patterns: dict[str, list[str]] | None, splits: list[str]
) -> dict[str, list[Path]]:
    """Return the files of each split.

    Raises:
        InputError: a split has no files.
    """
    if patterns is None:
        files = _infer(folder)
    else:
        files = {
            split: sorted({path for glob in globs for path in folder.glob(glob)})
            for split, globs in patterns.items()
        }
    for split in splits:
        if not files.get(split):
            offered = ", ".join(key for key in files if files[key]) or "none"
            raise InputError(
                f"{repo} has no files of the split {split!r} "
                f"(splits with files: {offered}; kinds: {', '.join(KINDS)})"
            )
        for path in files[split]:
            _check_kind(path)
    return {split: files[split] for split in splits}


def _check_kind(path: Path) -> None:
    if path.suffix not in KINDS:
        raise InputError(f"{path}: only {', '.join(KINDS)} can be read")


def _infer(folder: Path) -> dict[str, list[Path]]:
    """Return the files of each split by their names, as the `datasets` library does."""
    from datasets.data_files import DataFilesDict, get_data_patterns

    try:
        inferred = DataFilesDict.from_patterns(
            get_data_patterns(str(folder)),
            base_path=str(folder),
            allowed_extensions=list(KINDS),
        )
    except FileNotFoundError:
        return {}
    files = {split: [Path(path) for path in paths] for split, paths in inferred.items()}
    for split, paths in files.items():  # a set uploaded in two forms is read once
        parquet = [path for path in paths if path.suffix == ".parquet"]
        files[split] = parquet or paths
    return files
