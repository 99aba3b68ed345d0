"""The arithmetic of attention, for the packed ways that polycal attends in.

Which tokens are seen is their business; here are scores, softmax and values.
"""

import torch
from torch.nn import functional


def attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float,
    *,
    softcap: float | None,
    dropout: float = 0.0,
) -> torch.Tensor:
    """Attention of N tokens to M: [1, heads, N, size].

    Args:
        query: [1, heads, N, size].
        key: [1, groups, M, size]; several heads share one where there are fewer.
        value: as `key`.
        mask: [N, M] booleans, what is seen; None: all before a token and itself.
        scaling: of the scores.
        softcap: scores z become c tanh(z / c) before the softmax (Gemma-2); None: they
            do not, and PyTorch's fused attention computes everything.
        dropout: of the weights, as in training.
    """
    if softcap is None:
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
    if mask is None:
        n = query.shape[2]
        mask = torch.ones(n, n, dtype=torch.bool, device=query.device).tril()
    groups = query.shape[1] // key.shape[1]
    key, value = (each.repeat_interleave(groups, dim=1) for each in (key, value))
    scores = query @ key.transpose(2, 3) * scaling
    scores = torch.tanh(scores / softcap) * softcap
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    weights = scores.softmax(-1, dtype=torch.float32).to(value.dtype)
    return functional.dropout(weights, dropout) @ value
