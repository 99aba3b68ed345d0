"""Attention over many questions in one row without padding.

The row holds segments; a token sees nothing outside its own segment but a prefix that
all segments share. Within a segment the branches of a question follow its context and
do not see each other. It is registered with transformers as an attention
implementation, so an architecture's own projections, norms and rotary embeddings stay
its own, and sliding windows and soft caps are applied as the architecture asks.
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field

import torch
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface

NAME = "polycal_packed"
_Layer = tuple[torch.Tensor, torch.Tensor]  # keys and values, [1, heads, tokens, size]


@dataclass
class Segment:
    """One question's place in the row.

    Attributes:
        start: of its tokens in the row.
        positions: [n] of its tokens, the shared prefix counted.
        branches: [n] 0 in the context, 1, 2, ... in the branches.
        is_tree: whether plain causal attention is not enough.
        reach: the largest position + 1; a number, so that no layer waits for a GPU.
        n_scored: so many of its tokens, the last ones, predict something.
    """

    start: int
    positions: torch.Tensor
    branches: torch.Tensor
    is_tree: bool
    reach: int
    n_scored: int
    _masks: dict[tuple[object, ...], torch.Tensor | None] = field(default_factory=dict)

    def mask(
        self, shared: int, window: int | None, device: torch.device
    ) -> torch.Tensor | None:
        """What a token sees: [n, shared + n] booleans; None means plainly causal.

        Args:
            shared: tokens of the prefix, which stand before the segment's own.
            window: a token sees at most so many positions, its own included.
            device: of the layer; layers may lie on different ones.
        """
        cuts = window is not None and window < self.reach
        key = (shared, window if cuts else None, device)
        if key not in self._masks:
            self._masks[key] = self._make_mask(*key)
        return self._masks[key]

    def last_mask(
        self, shared: int, window: int | None, device: torch.device
    ) -> torch.Tensor:
        """What the scored tokens see: [n_scored, shared + n] booleans."""
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
            before = torch.arange(shared, device=device)
            places = torch.cat([before, positions])
            seen &= positions[:, None] - places[None, :] < window
        return seen


@dataclass
class Plan:
    """What one forward pass is about.

    Attributes:
        segments: in the order of the row; together they hold every token.
        last: index of the last layer, where only what is scored attends.
        prefix: layer -> keys and values that every segment sees; empty without one.
        keep: whether the pass is about a prefix, whose keys and values are kept.
    """

    segments: list[Segment]
    last: int
    prefix: dict[int, _Layer] = field(default_factory=dict)
    keep: bool = False


_plan: ContextVar[Plan] = ContextVar("plan")


@contextlib.contextmanager
def following(plan: Plan) -> Iterator[None]:
    """Inside, forward passes of models with this attention follow the plan."""
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
    """Transformers' attention function: [1, heads, T, size] -> [1, T, heads, size].

    In the last layer the rows of tokens that are not scored hold anything.
    """
    plan = _plan.get()
    if plan.keep:
        plan.prefix[module.layer_idx] = (key, value)
    shared, room = 0, None
    if plan.prefix and not plan.keep:
        shared, room = _make_room(plan, plan.prefix[module.layer_idx], key, value)
    result = torch.empty_like(query.transpose(1, 2))
    for segment in plan.segments:
        n = len(segment.positions)
        own = slice(segment.start, segment.start + n)
        keys, values = key[:, :, own], value[:, :, own]
        if room:
            for held, new in zip(room, (keys, values), strict=True):
                held[:, :, shared : shared + n] = new
            keys, values = (held[:, :, : shared + n] for held in room)
        asking, mask_of = own, segment.mask
        if module.layer_idx == plan.last:
            asking = slice(own.stop - segment.n_scored, own.stop)
            mask_of = segment.last_mask
        mask = mask_of(shared, sliding_window, query.device)
        found = attend(
            query[:, :, asking], keys, values, mask, scaling, softcap=softcap
        )
        result[:, asking] = found.transpose(1, 2)
    return result, None


def _make_room(
    plan: Plan, prefix: _Layer, key: torch.Tensor, value: torch.Tensor
) -> tuple[int, _Layer]:
    """The prefix's tokens, and its keys and values with room for the longest segment.

    The segments take turns in the room, so the prefix is copied once and not for each.
    """
    longest = max(len(segment.positions) for segment in plan.segments)
    room = tuple(
        torch.cat([held, own[:, :, :longest]], dim=2)
        for held, own in zip(prefix, (key, value), strict=True)
    )
    return prefix[0].shape[2], room


def _no_mask(*_: object, **__: object) -> None:
    """Transformers' mask function: the plan has the masks."""


AttentionInterface.register(NAME, _attend_packed)
AttentionMaskInterface.register(NAME, _no_mask)
