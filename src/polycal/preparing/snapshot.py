"""Copy a base model into a directory of its own, with its provenance."""

import contextlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from polycal.errors import InputError
from polycal.preparing import hub
from polycal.storage.files import copy_or_link, digest, replacing_folder
from polycal.storage.provenance import write_provenance
from polycal.study.grid import is_local
from polycal.verb import verb

# Names of weights that transformers loads. Pickles are left out, and so is the second
# copy of the weights in some repositories (consolidated.safetensors, original/).
_INDEX = "model.safetensors.index.json"
WEIGHTS = ("model.safetensors", "model-*-of-*.safetensors", _INDEX)
VOCABULARIES = ("tokenizer.json", "tokenizer.model", "vocab.json")
WITHOUT_WEIGHTS = (
    "config.json",
    "generation_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "merges.txt",
    "chat_template.jinja",
    *VOCABULARIES,
)
_logger = logging.getLogger(__name__)


@verb(makes="{out}/")
def prepare_model(
    *, repo: str, revision: str | None = None, model: str, out: Path
) -> None:
    """Bring a base model into a directory of its own.

    Only the configuration, the tokenizer and safetensors weights are taken. Files of
    the Hub's cache are linked where possible, so that the weights take disk space once;
    those of a local directory are copied. `provenance.json`
    has the keys model, repo, revision (the resolved commit) and digest (of all other
    files).

    Args:
        repo: Hub id (owner/name) or a local directory.
        revision: commit or branch of the Hub repository.
        model: short name of the model.
        out: directory to write.

    Raises:
        InputError: the repository is not available, or is not a complete causal model
            with a tokenizer that fits it.
    """
    source, revision = fetch_repository(repo, revision, [*WITHOUT_WEIGHTS, *WEIGHTS])
    names = list_files(repo, source)
    with replacing_folder(out) as temporary:
        copy_files(repo, source, names, temporary)
        from polycal.models.meta_loading import check_model  # imports PyTorch, if any

        with naming(repo, temporary):
            check_model(temporary)
        write_provenance(
            temporary,
            model=model,
            repo=repo,
            revision=revision,
            digest=digest(temporary.iterdir()),
        )


def fetch_repository(
    repo: str, revision: str | None, patterns: Sequence[str]
) -> tuple[Path, str | None]:
    """Return the directory of a model's repository, and its resolved revision.

    Raises:
        InputError: the repository is not available.
    """
    if not is_local(repo):
        source = hub.download(
            repo, revision=revision, repo_type="model", patterns=patterns
        )
        return source, source.name
    source = Path(os.path.expanduser(repo))
    if not source.is_dir():
        raise InputError(f"{repo}: there is no such directory; correct `repo:`")
    return source, revision


def list_files(repo: str, source: Path) -> list[str]:
    """Return the names of the files of a full model that are needed.

    Raises:
        InputError: a file is missing or truncated.
    """
    weights = _find_weights(repo, source)
    check_complete(repo, source, weights)
    return [*weights, *_find_small_files(repo, source)]


@contextlib.contextmanager
def naming(repo: str, folder: Path) -> Iterator[None]:
    """Context manager: name the repository in errors about a copy of it."""
    try:
        yield
    except InputError as error:
        raise InputError(str(error).replace(str(folder), repo)) from error


def copy_files(repo: str, source: Path, names: Sequence[str], folder: Path) -> None:
    """Copy files of a local repository, and link those of the Hub's cache."""
    for name in names:
        if is_local(repo):
            # A link would show the user's later edits of the file.
            shutil.copyfile(source / name, folder / name)
        else:
            copy_or_link(source / name, folder / name)
    _logger.info("%d files of %s", len(names), repo)


def check_complete(repo: str, source: Path, weights: Sequence[str]) -> None:
    """Refuse truncated files, such as an interrupted copy leaves."""
    from safetensors import SafetensorError, safe_open

    for name in weights:
        if name == _INDEX:
            continue
        try:
            with safe_open(source / name, framework="numpy"):
                pass
        except SafetensorError as error:
            raise InputError(
                f"{repo}: {name} is not a complete safetensors file ({error}); delete "
                f"{(source / name).resolve()}, bring it here again, and run again"
            ) from error


def has_weights(source: Path) -> bool:
    """Return whether a repository has the weights of a full model."""
    return (source / "model.safetensors").exists() or (source / _INDEX).exists()


def _find_weights(repo: str, source: Path) -> list[str]:
    """Return the names of the weight files, by transformers' order of precedence."""
    if (source / "model.safetensors").exists():
        return ["model.safetensors"]
    if not (source / _INDEX).exists():
        kinds = {path.suffix for path in source.iterdir()}
        advice = "complete the download"
        if not is_local(repo):
            advice += ", or take a revision that has them"
        if ".gguf" in kinds:
            advice = (
                "it has GGUF files, which are not read, because transformers restores "
                "their tokenizer in part only; take the original model"
            )
        elif kinds & {".bin", ".pt", ".pth"}:
            advice = "save the model again with transformers' save_pretrained"
        raise InputError(
            f"{repo} has no model.safetensors and no {_INDEX}; safetensors weights are "
            f"required: {advice}"
        )
    try:
        shards = sorted(
            set(json.loads((source / _INDEX).read_text("utf-8"))["weight_map"].values())
        )
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise InputError(
            f"{source / _INDEX} is not a weight index ({error})"
        ) from error
    for name in shards:
        # Such as ../outside.safetensors, which would be written beside `--out`.
        if not isinstance(name, str) or Path(name).name != name or name in ("", ".."):
            raise InputError(
                f"{source / _INDEX} names {name!r}, which is not a file beside it"
            )
    missing = [name for name in shards if not (source / name).exists()]
    if missing:
        raise InputError(
            f"{repo}: {_INDEX} names {', '.join(missing)}, which are not there; "
            "complete the download"
        )
    return [*shards, _INDEX]


def _find_small_files(repo: str, source: Path) -> list[str]:
    """Return the names of the configuration and tokenizer files that exist."""
    names = [name for name in WITHOUT_WEIGHTS if (source / name).exists()]
    if "config.json" not in names:
        raise InputError(
            f"{repo} has no config.json, so it is not a transformers model"
        )
    if not set(VOCABULARIES) & set(names):
        raise InputError(f"{repo} has no tokenizer (none of {', '.join(VOCABULARIES)})")
    return names
