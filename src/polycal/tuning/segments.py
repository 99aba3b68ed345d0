"""Attention for training on several examples in one row without padding.

The row holds the examples one after the other; a token sees its own example only. The
lengths of the examples travel with the model's arguments, so a layer that is computed
again in the backward pass sees them, too. It is registered with transformers as an
attention implementation: projections, norms, rotary embeddings, sliding windows, soft
caps and dropout stay the architecture's own.
"""

from collections.abc import Sequence

import torch
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

from polycal.models.attention import attend

NAME = "polycal_segments"


def read_segments(model: PreTrainedModel) -> None:
    """From now on the model takes `segments`, the lengths of the examples in a row.

    Without them a row is one example, with padding on the right or none.

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
    """Transformers' attention function: [1, heads, T, size] -> [1, T, heads, size]."""
    lengths = list(segments or (query.shape[2],))
    found = [
        attend(
            *parts,
            _mask(parts[0], sliding_window),
            scaling,
            softcap=softcap,
            dropout=dropout,
        )
        for parts in zip(
            *(each.split(lengths, dim=2) for each in (query, key, value)), strict=True
        )
    ]
    return torch.cat(found, dim=2).transpose(1, 2), None


def _mask(query: torch.Tensor, window: int | None) -> torch.Tensor | None:
    """What a token sees if that is not all before it: [n, n] booleans."""
    n = query.shape[2]
    if window is None or window >= n:
        return None
    everything = torch.ones(n, n, dtype=torch.bool, device=query.device)
    return everything.tril().triu(1 - window)


def _no_mask(*_: object, **__: object) -> None:
    """Transformers' mask function: there is nothing but the examples' own ends."""


AttentionInterface.register(NAME, _attend_segments)
AttentionMaskInterface.register(NAME, _no_mask)
