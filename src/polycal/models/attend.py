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
    """Attention of N tokens to M, in every row: [rows, heads, N, size].

    Args:
        query: [rows, heads, N, size].
        key: [rows, groups, M, size]; several heads share one where there are fewer.
        value: as `key`.
        mask: [N, M] booleans, what is seen; None: all before a token and itself.
        scaling: of the scores.
        softcap: scores z become c tanh(z / c) before the softmax (Gemma-2); None: they
            do not, and PyTorch's fused attention computes everything.
        dropout: of the weights, as in training.
    """
    rows, copies = len(query), query.shape[1] // key.shape[1]
    if softcap is None:
        # A head of keys becomes a row, which all its heads of queries see. For one row
        # these are views; with fewer heads of keys and a mask no fused kernel of CUDA
        # would do, and PyTorch would silently make all scores.
        query, key, value = (
            each.reshape(-1, heads, *each.shape[2:])
            for each, heads in ((query, copies), (key, 1), (value, 1))
        )
        found = functional.scaled_dot_product_attention(
            query,
            key.expand(-1, copies, -1, -1),
            value.expand(-1, copies, -1, -1),
            attn_mask=mask,
            dropout_p=dropout,
            is_causal=mask is None,
            scale=scaling,
        )
        return found.reshape(rows, -1, *found.shape[2:])
    if mask is None:
        n = query.shape[2]
        mask = torch.ones(n, n, dtype=torch.bool, device=query.device).tril()
    key, value = (each.repeat_interleave(copies, dim=1) for each in (key, value))
    scores = query @ key.transpose(2, 3) * scaling
    scores = torch.tanh(scores / softcap) * softcap
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    weights = scores.softmax(-1, dtype=torch.float32).to(value.dtype)
    return functional.dropout(weights, dropout) @ value
