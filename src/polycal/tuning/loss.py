"""Label-smoothed cross-entropy, and the plain one from the same pass."""

from typing import NamedTuple

import torch
from torch.autograd.function import once_differentiable

# Positions per chunk. Fewer make matrix products slow; twice as many are 2 % faster
# and take 125 MiB more at a vocabulary of 128,000 (benchmarks/loss.py).
_CHUNK = 256
_ROWS = 2**14  # of a head whose gradient product is rounded before the sum


class Losses(NamedTuple):
    """Sums over positions, in nats (0-dimensional float32, or float64 if given it)."""

    smoothed: torch.Tensor
    plain: torch.Tensor


class Final(NamedTuple):
    """The step after the LM head, whose output is x.

    z = scale * x or, with a soft cap as in Gemma-2, cap * tanh(z / cap).
    """

    scale: float = 1.0
    cap: float | None = None


def cross_entropies(
    logits: torch.Tensor, targets: torch.Tensor, *, smoothing: float
) -> Losses:
    """Sum the smoothed and the plain cross-entropy over N positions.

    With K classes, logits z and target y (Szegedy et al. 2016, and
    `torch.nn.functional.cross_entropy`): smoothed = logsumexp(z) - (1 - smoothing) z_y
    - smoothing * mean_k z_k. K counts every row of the vocabulary, padding rows
    included. Losses of different smoothing are not comparable; the plain ones are.

    Args:
        logits: [N, K], any floating dtype; the arithmetic is float32 or better.
        targets: [N] class indices, without ignored positions.
        smoothing: epsilon, from 0 to below 1.

    Returns:
        Two sums; gradients flow through `smoothed`, and `plain` is detached.
    """
    wide = logits if logits.dtype == torch.float64 else logits.float()
    target_logits = wide.gather(-1, targets[:, None])[:, 0]
    plain = (wide.logsumexp(-1) - target_logits).sum()
    if not smoothing:
        return Losses(plain, plain.detach())
    return Losses(
        plain + smoothing * (target_logits - wide.mean(-1)).sum(), plain.detach()
    )


def head_cross_entropies(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    targets: torch.Tensor,
    *,
    smoothing: float,
    bias: torch.Tensor | None = None,
    final: Final | None = None,
    chunk: int = _CHUNK,
) -> Losses:
    """Return `cross_entropies` of a linear head, a chunk of positions at a time.

    Losses and gradients are computed in one pass, so that no logits are kept. Per
    chunk, p = softmax(z) replaces z; (p - (1 - smoothing) onehot(y)) W is the gradient
    of the hidden states, and the transposed product that of the weight. The missing
    part, of the mean logit, needs no logits: mean_k z_k = h . mean_k W_k (+ mean bias).
    Under a soft cap it needs them, and is subtracted from p.

    The matrix products have the dtype of `hidden`, or autocast's where it is on.
    Logits, losses and the sum of the weight's gradient are float32 or better.

    Args:
        hidden: [N, H], the head's input.
        weight: [K, H] of the head, on the same device; if it needs no gradient, none is
            computed.
        targets: [N] class indices, without ignored positions.
        smoothing: epsilon, from 0 to below 1.
        bias: [K] of the head.
        final: the step after the head; None: none.
        chunk: positions per chunk.

    Returns:
        Two sums; gradients flow through `smoothed`, once, and `plain` is detached.
    """
    device = hidden.device.type
    dtype = hidden.dtype
    if torch.is_autocast_enabled(device) and dtype != torch.float64:
        dtype = torch.get_autocast_dtype(device)
    inputs = (hidden, weight, bias)
    needed = tuple(
        torch.is_grad_enabled() and tensor is not None and tensor.requires_grad
        for tensor in inputs
    )
    settings = _Settings(smoothing, final or Final(), chunk, dtype, needed)
    return Losses(*_HeadLoss.apply(*inputs, targets, settings))


class _Settings(NamedTuple):
    smoothing: float
    final: Final
    chunk: int
    dtype: torch.dtype
    needed: tuple[bool, ...]  # gradients of hidden, weight, bias


class _HeadLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden, weight, bias, targets, settings):
        with torch.autocast(hidden.device.type, enabled=False):
            chunks = _ChunkSums(hidden, weight, bias, targets, settings)
            for begin in range(0, len(targets), settings.chunk):
                chunks.add(slice(begin, begin + settings.chunk))
            (smoothed, plain), ctx.gradients = chunks.losses(), chunks.gradients()
        ctx.mark_non_differentiable(plain)
        return smoothed, plain

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient, _):
        # A second copy of the weight's gradient would cost as much as the head itself.
        gradients, ctx.gradients = ctx.gradients, None
        if gradients is None:
            raise RuntimeError("these losses were differentiated before; compute anew")
        scaled = (None if own is None else own.mul_(gradient) for own in gradients)
        return (*scaled, None, None)


class _ChunkSums:
    """Losses and gradients, summed over chunks of positions."""

    def __init__(
        self,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        targets: torch.Tensor,
        settings: _Settings,
    ) -> None:
        self.smoothing, (self.scale, self.cap), chunk, dtype, needed = settings
        self.wide = torch.float64 if dtype == torch.float64 else torch.float32
        self.inputs, self.targets = (hidden, weight, bias), targets
        self.hidden, self.weight, self.bias = hidden.to(dtype), weight.to(dtype), bias
        # Without a cap, the mean logit is the hidden state times the mean row.
        self.by_mean_row = bool(self.smoothing) and self.cap is None
        if self.by_mean_row:
            self.mean_row = self.weight.mean(0, dtype=self.wide)
            self.mean_bias = 0 if bias is None else bias.mean(dtype=self.wide)
        self.of_hidden = torch.empty_like(hidden) if needed[0] else None
        self.of_weight = self.of_bias = None
        # With the mean row, every row has the same part of the smoothing's gradient.
        share = self.by_mean_row * self.scale * self.smoothing / len(weight)
        if needed[1]:
            summed = self.hidden.sum(0, dtype=self.wide)
            self.of_weight = (-share * summed).repeat(len(weight), 1)
        if needed[2]:
            self.of_bias = torch.full_like(bias, -share * len(hidden), dtype=self.wide)
        self.plain = targets.new_empty(len(targets), dtype=self.wide)
        self.excess = torch.zeros_like(self.plain)  # target's logit minus the mean
        # Logits of one chunk at a time; a soft cap's slope is kept beside them.
        n_buffers, rows = 1 if self.cap is None else 2, min(chunk, len(targets))
        shape = (n_buffers, rows, len(weight))
        self.buffers = targets.new_empty(shape, dtype=self.wide)

    def add(self, part: slice) -> None:
        """Add the positions of one chunk."""
        hidden, right = self.hidden[part], self.targets[part, None]
        z, curve = self._compute_logits(hidden)
        chosen = z.gather(1, right)
        if self.by_mean_row:
            mean = (hidden.to(self.wide) @ self.mean_row + self.mean_bias)[:, None]
            self.excess[part] = (chosen - self.scale * mean)[:, 0]
        elif self.smoothing:
            self.excess[part] = (chosen - z.mean(1, keepdim=True))[:, 0]
        top = z.amax(1, keepdim=True)
        p = z.sub_(top).exp_()
        total = p.sum(1, keepdim=True)
        self.plain[part] = (top + total.log() - chosen)[:, 0]
        if self.of_hidden is None and self.of_weight is None and self.of_bias is None:
            return

        slope = p.div_(total)  # of the loss over the logits, in the memory of p
        slope.scatter_add_(1, right, slope.new_full(right.shape, self.smoothing - 1))
        if curve is not None:
            slope.sub_(self.smoothing / slope.shape[1])
            slope.mul_(curve.square_().neg_().add_(1))
        if self.scale != 1:
            slope.mul_(self.scale)
        if self.of_bias is not None:
            self.of_bias.add_(slope.sum(0))
        slope = slope.to(hidden.dtype)
        if self.of_hidden is not None:
            product = (slope @ self.weight).to(self.wide)
            if self.by_mean_row:
                product.sub_(self.mean_row, alpha=self.scale * self.smoothing)
            self.of_hidden[part] = product
        if self.of_weight is not None:
            _add_product(self.of_weight, slope.t(), hidden)

    def _compute_logits(
        self, hidden: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the logits, and the tanh of a soft cap."""
        z = self.buffers[0, : len(hidden)]
        if self.wide == hidden.dtype:
            torch.mm(hidden, self.weight.t(), out=z)
        else:
            z.copy_(hidden @ self.weight.t())
        if self.bias is not None:
            z.add_(self.bias)
        if self.scale != 1:
            z.mul_(self.scale)
        if self.cap is None:
            return z, None
        curve = torch.tanh(z.div_(self.cap), out=self.buffers[1, : len(hidden)])
        return torch.mul(curve, self.cap, out=z), curve

    def losses(self) -> Losses:
        """Return both sums."""
        plain = self.plain.sum()
        return Losses(plain + self.smoothing * self.excess.sum(), plain)

    def gradients(self) -> list[torch.Tensor | None]:
        """Return the smoothed sum's gradients for hidden, weight, bias, if needed."""
        gradients = (self.of_hidden, self.of_weight, self.of_bias)
        return [
            None if gradient is None else gradient.to(tensor.dtype)
            for gradient, tensor in zip(gradients, self.inputs, strict=True)
        ]


def _add_product(total: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> None:
    """Add left @ right to `total`; a wider total is added a few rows at a time."""
    if left.dtype == total.dtype:
        total.addmm_(left, right)
        return
    for begin in range(0, len(left), _ROWS):
        part = slice(begin, begin + _ROWS)
        total[part].add_(left[part] @ right)
