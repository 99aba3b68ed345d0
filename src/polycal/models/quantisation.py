"""Checkpoints whose weights are quantised: how, and that they are not tuned."""

import json
from pathlib import Path

from polycal.errors import InputError


def describe_quantisation(checkpoint: Path) -> str | None:
    """Return how a full model's weights are quantised, such as `gptq, 4 bits`.

    None for weights that are not quantised, and for a directory without a readable
    config.json, such as that of a LoRA adapter.
    """
    try:
        config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
        settings = dict(config.get("quantization_config") or {})
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    if not settings:
        return None
    method = settings.get("quant_method") or "unknown method"
    bits = settings.get("bits")
    if settings.get("load_in_4bit"):
        bits = 4
        method += f" {settings.get('bnb_4bit_quant_type', '')}".rstrip()
    elif settings.get("load_in_8bit"):
        bits = 8
    return f"{method}, {bits} bits" if bits else method


def refuse_tuning(checkpoint: Path) -> None:
    """Refuse to tune a model whose weights are quantised.

    Raises:
        InputError: they are.
    """
    if how := describe_quantisation(checkpoint):
        raise InputError(
            f"{checkpoint} has quantised weights ({how}), which are scored and not "
            "tuned; take the original model, and `load_in_4bit: true` with `method: "
            "lora` where memory is short"
        )
