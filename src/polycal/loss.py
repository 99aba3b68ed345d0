"""Label-smoothed cross-entropy, and the plain one out of the same pass."""

from typing import NamedTuple

import torch

_ROWS = 1024  # positions whose logits are in float32 at the same time


class Losses(NamedTuple):
    """Sums over positions, in nats (0-dimensional float32, or float64 if given it)."""

    smoothed: torch.Tensor
    plain: torch.Tensor


def cross_entropies(
    logits: torch.Tensor, targets: torch.Tensor, *, smoothing: float
) -> Losses:
    """Sum the smoothed and the plain cross-entropy over N positions.

    With K classes, z the logits and y the target (Szegedy et al. 2016, and
    `torch.nn.functional.cross_entropy`): smoothed = logsumexp(z) - (1 - smoothing) z_y
    - smoothing * mean_k z_k. K counts every row of the vocabulary, padding rows too.
    Losses of different smoothing cannot be compared with each other; the plain ones
    can.

    Args:
        logits: [N, K], any floating dtype; the arithmetic is float32 or better.
        targets: [N] class indices; what is to be ignored must be left out before.
        smoothing: epsilon, from 0 to below 1.

    Returns:
        Two sums; gradients flow through `smoothed`, and `plain` is detached.
    """
    smoothed = plain = logits.new_zeros((), dtype=_wide(logits).dtype)
    for rows, wanted in zip(logits.split(_ROWS), targets.split(_ROWS), strict=True):
        wide = _wide(rows)
        normaliser = wide.logsumexp(-1)
        right = wide.gather(-1, wanted[:, None])[:, 0]
        negative = (normaliser - right).sum()
        plain = plain + negative.detach()
        if smoothing:
            negative = negative + smoothing * (right - wide.mean(-1)).sum()
        smoothed = smoothed + negative
    return Losses(smoothed, plain)


def _wide(logits: torch.Tensor) -> torch.Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()
