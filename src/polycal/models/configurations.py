"""Read the configuration (config.json) of a full model; name what is wrong with it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import AutoConfig, PreTrainedConfig

from polycal.errors import InputError, summarise

# Where nothing else is read: not on the Hub, and no code of a checkpoint's.
SOURCE = {"trust_remote_code": False, "local_files_only": True}
# What transformers raises on values in a config.json that it does not expect.
# RuntimeError is left out: it is also how a GPU runs out of memory.
UNREADABLE = (
    *(OSError, ValueError, LookupError, TypeError, AttributeError, ImportError),
    *(ArithmeticError, AssertionError, SafetensorError, StrictDataclassError),
    re.error,  # of the patterns in an adapter's configuration
)


def read_config(checkpoint: Path, **settings: float) -> PreTrainedConfig:
    """Return a causal decoder's configuration, with some settings overridden.

    Raises:
        InputError: the directory holds no readable configuration, or that of an
            encoder, such as BERT's and T5's.
    """
    try:
        config = AutoConfig.from_pretrained(checkpoint, **SOURCE, **settings)
    except UNREADABLE as error:
        raise unreadable(checkpoint, error) from error
    text = config.get_text_config()
    # Only models that can be either have both keys; GPT-NeoX is never an encoder, but
    # its `is_decoder` is false, too.
    either = hasattr(text, "is_decoder") and hasattr(text, "add_cross_attention")
    if text.is_encoder_decoder or (either and not text.is_decoder):
        raise InputError(
            f"{checkpoint}: a model of type {config.model_type} is not a causal "
            "decoder, so it gives no probability of a text; take another model"
        )
    return config


def unreadable(checkpoint: Path, error: Exception) -> InputError:
    """Return the error that names a checkpoint which transformers cannot load.

    Args:
        checkpoint: directory of a full model.
        error: as transformers raised it. `KeyError: 'gelo'` says nothing by itself, so
            the keys of config.json with that value are named.
    """
    reason = summarise(error)
    if isinstance(error, KeyError | ZeroDivisionError):
        value = error.args[0] if isinstance(error, KeyError) else 0
        keys = [
            key
            for key, other in _read_items(checkpoint)
            if other == value and type(other) is type(value)
        ]
        if keys:
            reason += f"; {', '.join(dict.fromkeys(keys))} cannot be {value!r}"
    return InputError(f"{checkpoint} has no readable model: {reason}")


def _read_items(checkpoint: Path) -> Iterator[tuple[str, object]]:
    """Yield every key and value in config.json, whatever its depth."""
    try:
        parts = [json.loads((checkpoint / "config.json").read_text("utf-8"))]
    except (OSError, ValueError):
        return
    while parts:
        part = parts.pop()
        if isinstance(part, dict):
            yield from part.items()
            parts += part.values()


def read_attention_dropout(checkpoint: Path) -> float | None:
    """Return the attention dropout in a full model's configuration, if it has one.

    Raises:
        InputError: the directory holds no readable configuration.
    """
    return getattr(read_config(checkpoint), "attention_dropout", None)


def choose_dropout(checkpoint: Path, wanted: float | None) -> dict[str, float]:
    """Return the attention dropout as a setting of a configuration that has one.

    Raises:
        InputError: the architecture lacks the dropout that is wanted.
    """
    if wanted is not None and read_attention_dropout(checkpoint) is not None:
        return {"attention_dropout": wanted}
    if wanted:
        raise InputError(
            f"attention_dropout is {wanted}, but the architecture of {checkpoint} has "
            "no attention dropout; set it to 0"
        )
    return {}


def pick_attention(config: PreTrainedConfig) -> str | None:
    """Return the attention implementation for a config; None is transformers' default.

    PyTorch's fused attention (sdpa) has no soft cap; before 5.21, transformers uses it
    for Gemma-2 and silently drops the cap. The choice in a config.json is ignored: that
    kernel may not be installed, or not take the masks of scoring.
    """
    cap = getattr(config.get_text_config(), "attn_logit_softcapping", None)
    return None if cap is None else "eager"
