"""Packed attention for training: several examples in one row without padding.

A token sees its own example only. The examples' lengths are an argument of the model's
forward pass, so a layer that is recomputed in the backward pass has them, too.
"""

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from polycal.models.attention import attend, register_attention

NAME = "polycal_segments"


def read_segments(model: PreTrainedModel) -> None:
    """Make the model take `segments`, the lengths of the examples in a row.

    Without them a row is one example, with or without padding on the right.

    Args:
        model: of a type that `polycal.models.passes.can_pack` accepts.
    """
    model.set_attn_implementation(NAME)


def _attend_segments(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: None,
    scaling: float,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    segments: Sequence[int] | None = None,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """Attend as transformers asks: [1, heads, T, size] -> [1, T, heads, size]."""
    lengths = list(segments or (query.shape[2],))
    outputs = [
        attend(
            *(*parts, _mask(parts[0], sliding_window), scaling),
            softcap=softcap,
            dropout=dropout,
        )
        for parts in zip(
            *(tensor.split(lengths, dim=2) for tensor in (query, key, value)),
            strict=True,
        )
    ]
    return torch.cat(outputs, dim=2).transpose(1, 2), None


def _mask(query: torch.Tensor, window: int | None) -> torch.Tensor | None:
    """Return what a token sees under a window: [n, n] booleans; None is causal."""
    n = query.shape[2]
    if window is None or window >= n:
        return None
    everything = torch.ones(n, n, dtype=torch.bool, device=query.device)
    return everything.tril().triu(1 - window)


register_attention(NAME, _attend_segments)
