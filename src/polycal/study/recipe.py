"""The recipe: every training setting except model, data, smoothing and seed.

`Rendering` is how conversations become token sequences, once per model and SFT set;
`Recipe` is how a model is trained on them. The command line has a flag per field.
"""

import dataclasses
import importlib.util
import math
from dataclasses import dataclass
from typing import Any

from polycal.errors import InputError


def _setting(text: str, default: Any = dataclasses.MISSING) -> Any:
    return dataclasses.field(default=default, metadata={"help": text})


@dataclass(frozen=True, kw_only=True)
class Rendering:
    """How conversations become token sequences; names and defaults are the config's.

    Raises:
        InputError: a value has no meaning; the message names the setting.
    """

    chat_template: str = _setting(
        "template: own (the model's), tulu, alpaca, or auto (own if any, else tulu)",
        "auto",
    )
    bos: str = _setting(
        "BOS at the start of a sequence: always, never, or auto (as in scoring)",
        "auto",
    )
    max_length: int = _setting(
        "maximum tokens of a sequence; longer ones are cut", 4096
    )

    def __post_init__(self) -> None:
        """Refuse values without a meaning."""
        check_settings(**vars(self))


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Training settings; names, meanings and defaults are the config's.

    Raises:
        InputError: a value has no meaning; the message names the setting.
    """

    lr: float = _setting("peak learning rate")
    method: str = _setting(
        "full (train all weights) or lora (train a low-rank adapter)", "full"
    )
    epochs: float = _setting("passes over the SFT set", 2)
    max_steps: int | None = _setting(
        "number of optimiser steps, instead of epochs", None
    )
    batch_size: int = _setting("sequences per optimiser step", 128)
    micro_batch_size: int = _setting("sequences per forward pass", 8)
    warmup_ratio: float = _setting(
        "fraction of the steps with a rising learning rate", 0.02
    )
    weight_decay: float = _setting("AdamW's decoupled weight decay", 0)
    loss_reduction: str = _setting(
        "mean or sum of the loss over a step's target tokens", "mean"
    )
    max_grad_norm: float = _setting("clip gradients to this norm; 0: no clipping", 1.0)
    validation_fraction: float = _setting("held-out fraction of the SFT set", 0.02)
    attention_dropout: float = _setting("dropout of the attention weights", 0)
    gradient_checkpointing: bool = _setting(
        "recompute layers in the backward pass, to save memory", False
    )
    lora_rank: int = _setting("rank of the LoRA adapter", 64)
    lora_alpha: float = _setting(
        "LoRA alpha; the adapter's update is scaled by alpha / rank", 16
    )
    lora_dropout: float = _setting("dropout in the adapter", 0.1)
    lora_target_modules: str = _setting(
        "layers that get an adapter, as peft names them", "all-linear"
    )
    load_in_4bit: bool = _setting(
        "load the base model under the adapter in 4 bits (NF4)", False
    )
    dtype: str = _setting(
        "arithmetic: float32, bfloat16, or auto (bfloat16 on a GPU)", "auto"
    )

    def __post_init__(self) -> None:
        """Refuse values without a meaning."""
        check_settings(**vars(self))
        if self.load_in_4bit and self.method != "lora":
            raise InputError(
                f"load_in_4bit needs method lora, not {self.method}; change one of them"
            )

    def count_steps(self, n_examples: int) -> int:
        """Return the optimiser steps of a training over this many examples.

        The last step of an epoch may have fewer examples than `batch_size`.
        """
        if self.max_steps is not None:
            return self.max_steps
        return math.ceil(self.epochs * math.ceil(n_examples / self.batch_size))


def check_settings(**settings: object) -> None:
    """Refuse values that a study's schema refuses, of a recipe or of its own keys.

    Where jsonschema is not installed, as in envs/gpu.yaml, nothing is checked: the
    workflow, which starts such jobs, has checked the study.

    Raises:
        InputError: a value has no meaning; the message names the setting.
    """
    if importlib.util.find_spec("jsonschema"):
        from polycal.study.config import check_setting  # 0.1 s to import

        for name, value in settings.items():
            check_setting(name, value)
