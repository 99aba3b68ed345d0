"""Attention for training on several examples in one row without padding.

The row holds the examples one after the other; a token sees its own example only. The
lengths of the examples travel with the model's arguments, so a layer that is computed
again in the backward pass sees them, too. It is registered with transformers as an
attention implementation: projections, norms, rotary embeddings, sliding windows, soft
caps and dropout stay the architecture's own.
"""

from collections.abc import Sequence

import torch
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

NAME = "polycal_segments"


def read_segments(model: PreTrainedModel) -> None:
    """From now on the model takes `segments`, the lengths of the examples in a row.

    Without them a row is one example, with padding on the right or none.

    Args:
        model: of a type that `polycal.scoring.passes.can_pack` accepts.
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
    attend = _attend if softcap is None else _attend_capped
    found = [
        attend(*parts, _mask(parts[0], sliding_window), scaling, dropout, softcap)
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


def _attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float,
    dropout: float,
    _: None,
) -> torch.Tensor:
    return functional.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        dropout_p=dropout,
        is_causal=mask is None,
        scale=scaling,
        enable_gqa=key.shape[1] != query.shape[1],
    )


def _attend_capped(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float,
    dropout: float,
    softcap: float,
) -> torch.Tensor:
    """Scores z become c tanh(z / c) before the softmax (Gemma-2)."""
    if mask is None:
        n = query.shape[2]
        mask = torch.ones(n, n, dtype=torch.bool, device=query.device).tril()
    groups = query.shape[1] // key.shape[1]
    key, value = (each.repeat_interleave(groups, dim=1) for each in (key, value))
    scores = torch.tanh(query @ key.transpose(2, 3) * scaling / softcap) * softcap
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    weights = scores.softmax(-1, dtype=torch.float32).to(value.dtype)
    return functional.dropout(weights, dropout) @ value


def _no_mask(*_: object, **__: object) -> None:
    """Transformers' mask function: there is nothing but the examples' own ends."""


AttentionInterface.register(NAME, _attend_segments)
AttentionMaskInterface.register(NAME, _no_mask)
