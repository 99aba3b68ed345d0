"""Examples as the tensors of one forward pass, packed or padded."""

from collections.abc import Sequence

import numpy as np
import torch

from polycal.models.packing import pad
from polycal.tuning.examples import Example

IGNORED = -100  # the label of a token that no loss is computed on


def pad_examples(examples: Sequence[Example]) -> dict[str, torch.Tensor]:
    """Examples as one batch, padded on the right: three int64 tensors [rows, longest].

    A label is the token itself where it is a target, elsewhere `IGNORED`. The padding
    is neither attended to nor trained on, so its token does not matter.
    """
    columns = {
        "input_ids": pad([each.tokens for each in examples], 0),
        "attention_mask": pad([np.ones_like(each.tokens) for each in examples], 0),
        "labels": pad([_label(each) for each in examples], IGNORED),
    }
    return {name: torch.from_numpy(column) for name, column in columns.items()}


def pack_examples(
    examples: Sequence[Example],
) -> dict[str, torch.Tensor | tuple[int, ...]]:
    """Examples as one row without padding: three int64 tensors [1, all tokens].

    Labels are as in `pad_examples`; that of an example's first token is `IGNORED`, so
    nothing is predicted across the border of two examples. `segments` has their
    lengths, for `polycal.tuning.segments`.
    """
    lengths = tuple(len(each.tokens) for each in examples)
    columns = {
        "input_ids": np.concatenate([each.tokens for each in examples]),
        "position_ids": np.concatenate([np.arange(length) for length in lengths]),
        "labels": np.concatenate([_label(each) for each in examples]),
    }
    tensors = {
        name: torch.from_numpy(column.astype(np.int64))[None]
        for name, column in columns.items()
    }
    return {**tensors, "segments": lengths}


def _label(example: Example) -> np.ndarray:
    return np.where(example.targets, example.tokens, IGNORED)
