"""Run one forward pass over a batch of rows, and sum the log-probabilities.

Packed rows, with their trees and shared prefixes, stand in one row without padding.
Padded rows work with every causal model of transformers.
"""

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from transformers import PreTrainedModel

from polycal.models.attention import NAME, Plan, Segment, following
from polycal.models.lm_head import narrow_end, scored_logits
from polycal.models.packing import Row, pad

# Types whose packed scores equal their plain scores (tests/scoring/test_engine.py).
PACKED_TYPES = ("llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text")
_SOFTMAX_ROWS = 256  # positions whose logits are float32 at the same time


def can_pack(model: PreTrainedModel) -> bool:
    """Return whether the model is known to be exact on packed rows."""
    return model.config.get_text_config().model_type in PACKED_TYPES


@contextlib.contextmanager
def packing(model: PreTrainedModel) -> Iterator[None]:
    """Context manager: read packed rows for the duration; `padded_logits` must wait."""
    before = model.config._attn_implementation
    model.set_attn_implementation(NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def read_prefix(model: PreTrainedModel, tokens: Sequence[int]) -> dict:
    """Return every layer's keys and values of tokens that many rows begin with."""
    plan = Plan(_last_layer(model), keep=True)
    _read(model, [Row(0, list(tokens), {(): [0]})], plan)
    return plan.prefix


def packed_logits(
    model: PreTrainedModel, rows: Sequence[Row], prefix: dict
) -> torch.Tensor:
    """Return logits [n_scored, vocabulary] at the scored positions of packed rows.

    The logits are float32 where the head is a plain matrix product.

    Args:
        model: inside `packing`.
        rows: all with the same shared tokens.
        prefix: `read_prefix` of the shared tokens; empty if there are none.
    """
    return _read(model, rows, Plan(_last_layer(model), prefix))


def padded_logits(model: PreTrainedModel, rows: Sequence[Row]) -> torch.Tensor:
    """Return the same for rows that are no trees, each a padded line of the input."""
    device = model.device
    ids = torch.from_numpy(pad([row.tokens() for row in rows], 0))
    kept = torch.tensor(
        [
            index * ids.shape[1] + position
            for index, row in enumerate(rows)
            for position in range(len(row) - row.n_scored, len(row))
        ]
    )
    with scored_logits(model, _send(kept, device)):
        # Causal attention never sees right padding, so no mask is needed.
        return model(input_ids=_send(ids, device), use_cache=False).logits[0]


def sum_logprobs(
    logits: torch.Tensor,
    rows: Sequence[Row],
    continuations: Sequence[Sequence[tuple[int, ...]]],
) -> Iterator[tuple[tuple[int, int], np.float32]]:
    """Yield (prompt, continuation) and its summed log-probability in nats.

    Args:
        logits: [n_scored, vocabulary] at the scored positions of all rows. A row's
            scored tokens are its last ones: the context's last token, which predicts
            the first token of every continuation, and all branch tokens.
        rows: in the same order.
        continuations: token ids of every continuation of every prompt.
    """
    slots: list[int] = []
    targets: list[int] = []
    owners, starts = [], []
    n_scored = 0
    for row in rows:
        root, next_slot = n_scored, n_scored + 1
        for branch, members in row.branches.items():
            steps = [root, *range(next_slot, next_slot + len(branch))]
            next_slot += len(branch)
            for index in members:
                owners.append((row.prompt, index))
                starts.append(len(slots))
                slots += steps
                targets += continuations[row.prompt][index]
        n_scored = next_slot
    normaliser = torch.cat(
        [part.float().logsumexp(-1) for part in logits.split(_SOFTMAX_ROWS)]
    )
    slot = torch.tensor(slots, device=logits.device)
    target = torch.tensor(targets, device=logits.device)
    terms = logits[slot, target].float() - normaliser[slot]
    sums = np.add.reduceat(terms.cpu().numpy().astype(np.float64), starts)
    return zip(owners, sums.astype(np.float32), strict=True)


def _last_layer(model: PreTrainedModel) -> int:
    return model.config.get_text_config().num_hidden_layers - 1


def _send(numbers: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Copy to the device; a GPU copies from pinned memory while it computes."""
    if device.type == "cuda":
        return numbers.pin_memory().to(device, non_blocking=True)
    return numbers.to(device)


def _read(model: PreTrainedModel, rows: Sequence[Row], plan: Plan) -> torch.Tensor:
    """Read rows one after the other; return logits [n_scored, vocabulary].

    The plan gets the rows' segments.
    """
    columns: tuple[list[int], ...] = ([], [], [])
    kept: list[int] = []
    starts = []
    for row in rows:
        starts.append(len(columns[0]))
        parts = (row.tokens(), row.positions(), row.segments())
        for column, part in zip(columns, parts, strict=True):
            column += part
        kept += range(len(columns[0]) - row.n_scored, len(columns[0]))
    ends = [*starts[1:], len(columns[0])]
    ids, positions, branches = _send(torch.tensor(columns), model.device)
    plan.segments = [
        Segment(
            start,
            positions[start:end],
            branches[start:end],
            row.is_tree,
            max(columns[1][start:end]) + 1,
            row.n_scored,
        )
        for row, start, end in zip(rows, starts, ends, strict=True)
    ]
    kept = _send(torch.tensor(kept), model.device)
    with following(plan), scored_logits(model, kept), narrow_end(model, kept):
        return model(
            input_ids=ids[None], position_ids=positions[None], use_cache=False
        ).logits[0]
