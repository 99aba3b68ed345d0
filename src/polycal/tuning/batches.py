"""Collate examples into the tensors of one forward pass, packed or padded."""

from collections.abc import Sequence

import numpy as np
import torch

from polycal.models.packing import pad
from polycal.tuning.examples import Example

IGNORED = -100  # label of a token without a loss


def pad_examples(examples: Sequence[Example]) -> dict[str, torch.Tensor]:
    """Return examples as a right-padded batch: three int64 tensors [rows, longest].

    A target's label is its token, any other label is `IGNORED`. Padding is neither
    attended to nor trained on, so its token does not matter.
    """
    columns = {
        "input_ids": pad([example.tokens for example in examples], 0),
        "attention_mask": pad(
            [np.ones_like(example.tokens) for example in examples], 0
        ),
        "labels": pad([_label(example) for example in examples], IGNORED),
    }
    return {name: torch.from_numpy(column) for name, column in columns.items()}


def pack_examples(
    examples: Sequence[Example],
) -> dict[str, torch.Tensor | tuple[int, ...]]:
    """Return examples as one row without padding: three int64 tensors [1, all tokens].

    Labels are as in `pad_examples`. An example's first label is `IGNORED`, so nothing
    is predicted across the border of two examples. `segments` has their lengths, for
    `polycal.tuning.segments`.
    """
    lengths = tuple(len(example.tokens) for example in examples)
    columns = {
        "input_ids": np.concatenate([example.tokens for example in examples]),
        "position_ids": np.concatenate([np.arange(length) for length in lengths]),
        "labels": np.concatenate([_label(example) for example in examples]),
    }
    tensors = {
        name: torch.from_numpy(column.astype(np.int64))[None]
        for name, column in columns.items()
    }
    return {**tensors, "segments": lengths}


def _label(example: Example) -> np.ndarray:
    return np.where(example.targets, example.tokens, IGNORED)
