"""Packed attention: score many questions in one row without padding.

A token sees its own segment of the row and a prefix that all segments share; branches
of a segment follow its context and do not see each other. transformers calls it as an
attention implementation, so all else stays the architecture's own.
"""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field

import torch
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface

NAME = "polycal_packed"
_Layer = tuple[torch.Tensor, torch.Tensor]  # keys and values, [1, heads, tokens, size]


@dataclass
class Segment:
    """One question's tokens within the row."""

    start: int  # index of its first token in the row
    # [n] positions of its tokens, counted from the start of the shared prefix.
    positions: torch.Tensor
    branches: torch.Tensor  # [n] 0 in the context, 1, 2, ... in the branches
    # Whether it has several branches, which a causal mask cannot separate.
    is_tree: bool
    # The largest position + 1, as a number, so that no layer waits for a GPU.
    reach: int
    n_scored: int  # number of scored tokens; they are its last ones
    _masks: dict[tuple[object, ...], torch.Tensor | None] = field(default_factory=dict)

    def mask(
        self, shared: int, window: int | None, device: torch.device
    ) -> torch.Tensor | None:
        """Return what each token sees: [n, shared + n] booleans; None is causal.

        Args:
            shared: tokens of the prefix, which stand before the segment's own.
            window: a token sees at most this many positions, its own included.
            device: of the layer; layers may lie on different devices.
        """
        cuts = window is not None and window < self.reach
        key = (shared, window if cuts else None, device)
        if key not in self._masks:
            self._masks[key] = self._make_mask(*key)
        return self._masks[key]

    def last_mask(
        self, shared: int, window: int | None, device: torch.device
    ) -> torch.Tensor:
        """Return what the scored tokens see: [n_scored, shared + n] booleans."""
        mask = self.mask(shared, window, device)
        if mask is None:
            n = len(self.positions)
            mask = torch.ones(n, n, dtype=torch.bool, device=device).tril()
        return mask[-self.n_scored :]

    def _make_mask(
        self, shared: int, window: int | None, device: torch.device
    ) -> torch.Tensor | None:
        if not (self.is_tree or shared or window):
            return None
        positions, branches = self.positions.to(device), self.branches.to(device)
        n = len(positions)
        query, key = branches[:, None], branches[None, :]
        causal = torch.ones(n, n, dtype=torch.bool, device=device).tril()
        seen = ((key == 0) | (key == query)) & causal
        seen = torch.cat([seen.new_ones(n, shared), seen], dim=1)
        if window:
            prefix = torch.arange(shared, device=device)
            seen_positions = torch.cat([prefix, positions])
            seen &= positions[:, None] - seen_positions[None, :] < window
        return seen


@dataclass
class Plan:
    """The segments and the shared prefix of one forward pass."""

    last: int  # index of the last layer, where only scored tokens attend
    # Layer -> keys and values that every segment sees; empty without a prefix.
    prefix: dict[int, _Layer] = field(default_factory=dict)
    # Whether this pass reads a prefix, and keeps its keys and values.
    keep: bool = False
    # In the order of the row; together they hold every token.
    segments: list[Segment] = field(default_factory=list)


_plan: ContextVar[Plan] = ContextVar("plan")


@contextlib.contextmanager
def following(plan: Plan) -> Iterator[None]:
    """Context manager: packed attention follows the plan for the duration."""
    token = _plan.set(plan)
    try:
        yield
    finally:
        _plan.reset(token)


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
    """Compute attention of N tokens to M, in every row: [rows, heads, N, size].

    Args:
        query: [rows, heads, N, size].
        key: [rows, groups, M, size]; with fewer groups than heads, heads share them.
        value: as `key`.
        mask: [N, M] booleans, true where a token is seen; None: causal.
        scaling: factor of the scores.
        softcap: scores z become c tanh(z / c) before the softmax (Gemma-2); None: no
            cap, and PyTorch's fused attention computes everything.
        dropout: probability of dropping a weight, as in training.
    """
    rows, copies = len(query), query.shape[1] // key.shape[1]
    if softcap is None:
        # Each key head becomes a row that all its query heads see; for one row these
        # are views. Without this, no fused CUDA kernel takes a mask together with
        # grouped keys, and PyTorch would silently materialise all scores.
        query, key, value = (
            tensor.reshape(-1, heads, *tensor.shape[2:])
            for tensor, heads in ((query, copies), (key, 1), (value, 1))
        )
        output = functional.scaled_dot_product_attention(
            query,
            key.expand(-1, copies, -1, -1),
            value.expand(-1, copies, -1, -1),
            attn_mask=mask,
            dropout_p=dropout,
            is_causal=mask is None,
            scale=scaling,
        )
        return output.reshape(rows, -1, *output.shape[2:])
    if mask is None:
        n = query.shape[2]
        mask = torch.ones(n, n, dtype=torch.bool, device=query.device).tril()
    key, value = (tensor.repeat_interleave(copies, dim=1) for tensor in (key, value))
    scores = query @ key.transpose(2, 3) * scaling
    scores = torch.tanh(scores / softcap) * softcap
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    weights = scores.softmax(-1, dtype=torch.float32).to(value.dtype)
    return functional.dropout(weights, dropout) @ value


def _attend_packed(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: None,
    scaling: float,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """Attend as transformers asks: [1, heads, T, size] -> [1, T, heads, size].

    In the last layer the rows of tokens that are not scored are undefined.
    """
    plan = _plan.get()
    if plan.keep:
        plan.prefix[module.layer_idx] = (key, value)
    shared, buffers = 0, None
    if plan.prefix and not plan.keep:
        shared, buffers = _make_buffers(plan, plan.prefix[module.layer_idx], key, value)
    result = torch.empty_like(query.transpose(1, 2))
    for segment in plan.segments:
        n = len(segment.positions)
        own = slice(segment.start, segment.start + n)
        keys, values = key[:, :, own], value[:, :, own]
        if buffers:
            for buffer, new in zip(buffers, (keys, values), strict=True):
                buffer[:, :, shared : shared + n] = new
            keys, values = (buffer[:, :, : shared + n] for buffer in buffers)
        asking, mask_of = own, segment.mask
        if module.layer_idx == plan.last:
            asking = slice(own.stop - segment.n_scored, own.stop)
            mask_of = segment.last_mask
        mask = mask_of(shared, sliding_window, query.device)
        output = attend(
            query[:, :, asking], keys, values, mask, scaling, softcap=softcap
        )
        result[:, asking] = output.transpose(1, 2)
    return result, None


def _make_buffers(
    plan: Plan, prefix: _Layer, key: torch.Tensor, value: torch.Tensor
) -> tuple[int, _Layer]:
    """Return the prefix's length, and its keys and values with space for a segment.

    Segments use the space in turn, so the prefix is copied once per pass, not once per
    segment.
    """
    longest = max(len(segment.positions) for segment in plan.segments)
    buffers = tuple(
        torch.cat([cached, own[:, :, :longest]], dim=2)
        for cached, own in zip(prefix, (key, value), strict=True)
    )
    return prefix[0].shape[2], buffers


def register_attention(name: str, attention: Callable) -> None:
    """Register an attention implementation that makes its own masks."""
    AttentionInterface.register(name, attention)
    AttentionMaskInterface.register(name, lambda *_, **__: None)


register_attention(NAME, _attend_packed)
