"""Files of a repository: a directory on this machine, or one of the Hub.

Both are read by the same code. What the Hub holds is first brought into the Hub's own
cache, and a snapshot in that cache is a directory like any other.
`datasets.load_dataset` is not used for three reasons: without a connection it serves
whichever revision it has prepared last, and not the pinned one; it writes a second
copy of the data into the user's cache, behind a lock; and it takes longer to import
than a language takes to read.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from yaml import YAMLError

from polycal.errors import InputError
from polycal.study.grid import is_local
from polycal.study.reading import load_yaml

# That can be read (`rows.py`); not CSV: it cannot tell "None" from null.
KINDS = (".parquet", ".json", ".jsonl")
_HEADER = re.compile(r"\s*---[\r\n]+(.*?)[\r\n]+---(?:[\r\n]|$)", re.DOTALL)


@dataclass(frozen=True)
class Splits:
    """Where the data of some splits lie, and which revision of them.

    Attributes:
        files: the files of each split, in order.
        revision: the commit of a Hub repository; what the caller gave for a directory.
    """

    files: dict[str, list[Path]]
    revision: str | None


def download(
    repo: str, *, revision: str | None, repo_type: str, patterns: Sequence[str]
) -> Path:
    """Bring files of a Hub repository into the Hub's cache, if they are not there yet.

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
            raise  # the disk's complaint, not the Hub's
        reason = _explain(error, repo, revision, repo_type)
        raise InputError(f"{repo}: {reason}") from error
    return Path(folder)


def _explain(error: Exception, repo: str, revision: str, repo_type: str) -> str:
    """Why the Hub did not give a repository, and what to do; one line."""
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

    The files are those that the `configs` in the header of the repository's README.md
    name for the config. Without such a header the names of the files tell the splits,
    by the Hub's own rules.

    Args:
        repo: a Hub id, a local directory, or a local file that is all of one split.
        splits: the splits that are needed, as the repository calls them.
        name: the config (in a benchmark: the language); None is the default config.
        revision: the commit of a Hub repository; only noted for a directory.

    Raises:
        InputError: the repository, config or split is not there; the message says what
            there is instead.
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
    """The commit, the snapshot, and the patterns of a Hub repository's splits."""

    def bring(revision: str | None, patterns: Sequence[str]) -> Path:
        return download(repo, revision=revision, repo_type="dataset", patterns=patterns)

    folder = bring(revision, ["README.md"])
    commit = folder.name
    patterns = _read_patterns(repo, folder, name)
    if patterns is None:
        wanted = [f"*{kind}" for kind in KINDS]
    else:
        wanted = [each for split in splits for each in patterns.get(split, [])]
    # With the commit, so that a branch that moves in between changes nothing.
    return commit, bring(commit, ["README.md", *wanted]), patterns


def _read_patterns(
    repo: str, folder: Path, name: str | None
) -> dict[str, list[str]] | None:
    """A config's split -> patterns of files; None: README.md names no files."""
    configs = _read_configs(repo, folder / "README.md")
    if name is None:
        if not configs:
            return None
        chosen = [each for each, config in configs.items() if config.get("default")]
        chosen += [each for each in configs if each == "default" or len(configs) == 1]
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
    if isinstance(files, str) or all(isinstance(each, str) for each in files):
        files = [{"split": "train", "path": files}]
    return {
        each["split"]: [each["path"]] if isinstance(each["path"], str) else each["path"]
        for each in files
    }


def _read_configs(repo: str, readme: Path) -> dict[str, dict]:
    """The `configs` in the header of README.md, by name.

    huggingface_hub's `DatasetCard` reads the same; importing it takes longer than all
    that a local benchmark's language needs.
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
    """The files of each split.

    Raises:
        InputError: a split has no files.
    """
    if patterns is None:
        found = _infer(folder)
    else:
        found = {
            split: sorted(
                {path for each in patterns[split] for path in folder.glob(each)}
            )
            for split in patterns
        }
    for split in splits:
        if not found.get(split):
            offered = ", ".join(each for each in found if found[each]) or "none"
            raise InputError(
                f"{repo} has no files of the split {split!r} "
                f"(splits with files: {offered}; kinds: {', '.join(KINDS)})"
            )
        for path in found[split]:
            _check_kind(path)
    return {split: found[split] for split in splits}


def _check_kind(path: Path) -> None:
    if path.suffix not in KINDS:
        raise InputError(f"{path}: only {', '.join(KINDS)} can be read")


def _infer(folder: Path) -> dict[str, list[Path]]:
    """Splits by the names of files, by the rules of the `datasets` library."""
    from datasets.data_files import DataFilesDict, get_data_patterns

    try:
        found = DataFilesDict.from_patterns(
            get_data_patterns(str(folder)),
            base_path=str(folder),
            allowed_extensions=list(KINDS),
        )
    except FileNotFoundError:
        return {}
    files = {split: [Path(path) for path in paths] for split, paths in found.items()}
    for split, paths in files.items():  # one data set, uploaded in two forms
        parquet = [path for path in paths if path.suffix == ".parquet"]
        files[split] = parquet or paths
    return files
