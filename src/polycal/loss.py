"""Label-smoothed cross-entropy, and the plain one out of the same pass."""

from typing import NamedTuple

import torch


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
    wide = logits if logits.dtype == torch.float64 else logits.float()
    right = wide.gather(-1, targets[:, None])[:, 0]
    plain = (wide.logsumexp(-1) - right).sum()
    if not smoothing:
        return Losses(plain, plain.detach())
    return Losses(plain + smoothing * (right - wide.mean(-1)).sum(), plain.detach())
