"""Bring a checkpoint that somebody released into a directory of its own."""

import json
import math
from pathlib import Path

from polycal.errors import InputError
from polycal.models import ADAPTER, ADAPTER_WEIGHTS
from polycal.preparing.snapshot import (
    VOCABULARIES,
    WEIGHTS,
    WITHOUT_WEIGHTS,
    check_complete,
    copy_files,
    fetch_repository,
    has_weights,
    list_files,
    naming,
)
from polycal.storage.files import digest, replacing_folder
from polycal.storage.provenance import read_digest, write_provenance
from polycal.verb import verb

# Ways to initialise LoRA that subtract it from the base model's weights (peft).
_OTHER_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
_OF_MODEL = ("config.json", "generation_config.json")
_TOKENIZER = tuple(name for name in WITHOUT_WEIGHTS if name not in _OF_MODEL)


@verb(makes="{out}/")
def prepare_released(
    *,
    repo: str,
    revision: str | None = None,
    base: Path,
    model: str,
    sft: str,
    out: Path,
) -> None:
    """Bring a released checkpoint into a directory of its own.

    A full model is taken and checked as `prepare_model` takes a base model. Of a LoRA
    adapter, its configuration and safetensors weights are taken, and the tokenizer: its
    own, or the base model's where it has none. `provenance.json` has the keys model,
    sft, repo, revision (the resolved commit), digest (of all other files),
    base (the digest of an adapter's base model; else null) and
    shares_tokenizer (whether texts have the tokens that the base model's tokenizer
    gives them).

    Args:
        repo: Hub id (owner/name) or a local directory.
        revision: commit or branch of the Hub repository.
        base: directory of the base model.
        model: short name of the base model.
        sft: short name of what the checkpoint was tuned with.
        out: directory to write.

    Raises:
        InputError: the repository is not available, or is neither a complete causal
            model nor a LoRA adapter of the base model.
    """
    from polycal.models.meta_loading import check_adapter, check_model
    from polycal.models.tokens import digest_tokenizer, load_tokenizer

    adapter = (ADAPTER, ADAPTER_WEIGHTS)
    patterns = [*WITHOUT_WEIGHTS, *WEIGHTS, *adapter]
    source, revision = fetch_repository(repo, revision, patterns)
    is_adapter = (source / ADAPTER).exists() and not has_weights(source)
    names = (_list_adapter if is_adapter else list_files)(repo, source)
    with replacing_folder(out) as temporary:
        copy_files(repo, source, names, temporary)
        if is_adapter and not set(VOCABULARIES) & set(names):
            # It was trained on the base model's tokens.
            found = [name for name in _TOKENIZER if (base / name).exists()]
            copy_files(str(base.absolute()), base, found, temporary)
        with naming(repo, temporary):
            if is_adapter:
                check_adapter(temporary, base)
            else:
                check_model(temporary)
            digests = [
                digest_tokenizer(load_tokenizer(folder)) for folder in (temporary, base)
            ]
        write_provenance(
            temporary,
            model=model,
            sft=sft,
            repo=repo,
            revision=revision,
            digest=digest(temporary.iterdir()),
            base=read_digest(base) if is_adapter else None,
            shares_tokenizer=digests[0] == digests[1],
        )


def read_adapter(repo: str, source: Path) -> dict[str, object]:
    """Return an adapter's configuration.

    Raises:
        InputError: it is not that of a LoRA adapter that always acts.
    """
    try:
        settings = json.loads((source / ADAPTER).read_text(encoding="utf-8"))
        kind, alpha = settings["peft_type"], settings.get("lora_alpha", 1)
        is_scaled = math.isfinite(alpha)
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise InputError(
            f"{repo}: {ADAPTER} is not an adapter's ({error!r})"
        ) from error
    if kind != "LORA":
        raise InputError(f"{repo} is an adapter of the kind {kind}; only LORA is read")
    if settings.get("alora_invocation_tokens"):  # else its scores are the base model's
        raise InputError(
            f"{repo} is an activated LoRA, which acts only after its invocation "
            "tokens; polycal's prompts have none, take an ordinary LoRA adapter"
        )
    begun = str(settings.get("init_lora_weights")).lower()
    if begun.startswith(_OTHER_BASE):
        raise InputError(
            f"{repo} has init_lora_weights: {begun}, so it belongs to changed weights "
            "of its base model; save it again with peft's "
            "path_initial_model_for_weight_conversion, or save the merged model"
        )
    if not is_scaled:
        raise InputError(f"{repo}: lora_alpha is {alpha}; save the adapter again")
    return settings


def _list_adapter(repo: str, source: Path) -> list[str]:
    """Return the names of an adapter's files, with those of its tokenizer, if any."""
    read_adapter(repo, source)
    if not (source / ADAPTER_WEIGHTS).exists():
        raise InputError(
            f"{repo} has no {ADAPTER_WEIGHTS}; save the adapter again with peft's "
            "save_pretrained"
        )
    check_complete(repo, source, [ADAPTER_WEIGHTS])
    tokenizer = [name for name in _TOKENIZER if (source / name).exists()]
    return [ADAPTER, ADAPTER_WEIGHTS, *tokenizer]
