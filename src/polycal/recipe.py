"""The recipe: every setting of a training run but its model, data, smoothing and seed.

Standard library only; the command line makes one flag of each field.
"""

import dataclasses
import math
from dataclasses import dataclass

from polycal.errors import InputError

METHODS = ("full", "lora")
DTYPES = ("auto", "float32", "bfloat16")


def _setting(text: str, default: object = dataclasses.MISSING) -> dataclasses.Field:
    return dataclasses.field(default=default, metadata={"help": text})


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Training settings; names, meanings and defaults are the config's.

    Raises:
        InputError: a value has no meaning; the message names the setting.
    """

    lr: float = _setting("peak learning rate")
    method: str = _setting("full: all weights; lora: a low-rank adapter", "full")
    epochs: float = _setting("passes over the SFT set", 2)
    max_steps: int | None = _setting("optimiser steps; overrides epochs", None)
    batch_size: int = _setting("sequences per optimiser step", 128)
    micro_batch_size: int = _setting("sequences per forward pass", 8)
    warmup_ratio: float = _setting("fraction of the steps with a rising rate", 0.02)
    weight_decay: float = _setting("AdamW's decoupled weight decay", 0)
    max_grad_norm: float = _setting("clip gradients to this norm; 0: do not", 1.0)
    max_length: int = _setting("tokens of a sequence; the rest is cut off", 4096)
    validation_fraction: float = _setting("held-out part of the SFT set", 0.02)
    lora_rank: int = _setting("rank of the adapter", 64)
    lora_alpha: float = _setting("scale of the adapter", 16)
    lora_dropout: float = _setting("dropout in the adapter", 0.1)
    lora_target_modules: str = _setting(
        "layers with an adapter, as peft names them", "all-linear"
    )
    dtype: str = _setting("arithmetic; auto: bfloat16 on a GPU, else float32", "auto")

    def __post_init__(self) -> None:
        """Refuse what no training can mean."""
        for name, allowed in (("method", METHODS), ("dtype", DTYPES)):
            if getattr(self, name) not in allowed:
                raise InputError(
                    f"{name} {getattr(self, name)!r} is not one of {', '.join(allowed)}"
                )
        ranges = {
            "above 0": ("lr", "epochs", "lora_alpha"),
            "at least 0": ("weight_decay", "max_grad_norm"),
            "at least 0 and below 1": ("warmup_ratio", "lora_dropout"),
            "above 0 and below 1": ("validation_fraction",),
            "a whole number of at least 1": (
                *("max_steps", "batch_size", "micro_batch_size", "max_length"),
                "lora_rank",
            ),
        }
        for wanted, names in ranges.items():
            for name in names:
                value = getattr(self, name)
                if value is not None and not _fits(value, wanted):
                    raise InputError(f"{name} is {value}; it must be {wanted}")
        if self.batch_size % self.micro_batch_size:
            raise InputError(
                f"batch_size {self.batch_size} is not a multiple of micro_batch_size "
                f"{self.micro_batch_size}; a step would not see batch_size sequences"
            )

    def count_steps(self, n_examples: int) -> int:
        """Optimiser steps of a training run over this many examples.

        The last step of an epoch may see fewer examples than `batch_size`.
        """
        if self.max_steps is not None:
            return self.max_steps
        return math.ceil(self.epochs * math.ceil(n_examples / self.batch_size))


def _fits(value: float, wanted: str) -> bool:
    if not math.isfinite(value):
        return False
    return {
        "above 0": value > 0,
        "at least 0": value >= 0,
        "at least 0 and below 1": 0 <= value < 1,
        "above 0 and below 1": 0 < value < 1,
        "a whole number of at least 1": value >= 1 and value == int(value),
    }[wanted]
