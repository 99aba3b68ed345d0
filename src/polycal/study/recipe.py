"""The recipe: every training setting except model, data, smoothing and seed.

`Rendering` is how conversations become token sequences, once per model and SFT set;
`Recipe` is how a model is trained on them. The command line has a flag per field.
Standard library only, because the workflow imports it at every start.
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from polycal.errors import InputError

METHODS = ("full", "lora")
DTYPES = ("auto", "float32", "bfloat16")
REDUCTIONS = ("mean", "sum")
CHAT_TEMPLATES = ("auto", "own", "tulu", "alpaca")
BOS = ("auto", "always", "never")
# As in the schema of a study; a training beyond would not end.
_LARGEST = {"epochs": 10_000}


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
        _check_choices(self, chat_template=CHAT_TEMPLATES, bos=BOS)
        if not _fits(self.max_length, "a whole number of at least 2"):
            raise InputError(
                f"max_length is {self.max_length}; it must be a whole number of at "
                "least 2"
            )
        if self.max_length > 10**7:
            raise InputError(f"max_length is {self.max_length}; it must be at most 1e7")


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
        _check_choices(self, method=METHODS, loss_reduction=REDUCTIONS, dtype=DTYPES)
        ranges = {
            "above 0": ("lr", "epochs", "lora_alpha"),
            "at least 0": ("weight_decay", "max_grad_norm"),
            "at least 0 and below 1": (
                *("warmup_ratio", "attention_dropout", "lora_dropout"),
            ),
            "above 0 and below 1": ("validation_fraction",),
            "a whole number of at least 1": (
                *("max_steps", "batch_size", "micro_batch_size", "lora_rank"),
            ),
        }
        for wanted, names in ranges.items():
            for name in names:
                value = getattr(self, name)
                if value is not None and not _fits(value, wanted):
                    raise InputError(f"{name} is {value}; it must be {wanted}")
                most = _LARGEST.get(name, 10**9)
                if value is not None and value > most:
                    raise InputError(f"{name} is {value}; it must be at most {most}")
        if self.load_in_4bit and self.method != "lora":
            raise InputError(
                f"load_in_4bit needs method lora, not {self.method}; change one of them"
            )
        if self.batch_size % self.micro_batch_size:
            raise InputError(
                f"batch_size {self.batch_size} is not a multiple of micro_batch_size "
                f"{self.micro_batch_size}; a step would not see batch_size sequences"
            )

    def count_steps(self, n_examples: int) -> int:
        """Return the optimiser steps of a training over this many examples.

        The last step of an epoch may have fewer examples than `batch_size`.
        """
        if self.max_steps is not None:
            return self.max_steps
        return math.ceil(self.epochs * math.ceil(n_examples / self.batch_size))


def _check_choices(settings: object, **allowed: tuple[str, ...]) -> None:
    for name, choices in allowed.items():
        value = getattr(settings, name)
        if value not in choices:
            raise InputError(f"{name} {value!r} is not one of {', '.join(choices)}")


def _fits(value: float, wanted: str) -> bool:
    if not math.isfinite(value):
        return False
    return {
        "above 0": value > 0,
        "at least 0": value >= 0,
        "at least 0 and below 1": 0 <= value < 1,
        "above 0 and below 1": 0 < value < 1,
        "a whole number of at least 1": value >= 1 and value == int(value),
        "a whole number of at least 2": value >= 2 and value == int(value),
    }[wanted]
