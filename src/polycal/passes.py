"""One forward pass over a batch of rows, packed or padded, and the sums of its logits.

Packed rows stand one after the other without padding, trees and shared prefixes
included. Padded rows are what every model of transformers takes.
"""

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from transformers import PreTrainedModel

from polycal.attention import NAME, Plan, Segment, following
from polycal.models import only_positions
from polycal.packing import Row, pad

# Model types whose packed scores equal their plain scores (tests/test_engine.py).
PACKED_TYPES = ("llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text")
_SOFTMAX_ROWS = 256  # positions whose logits are in float32 at the same time


def can_pack(model: PreTrainedModel) -> bool:
    """Whether the model is known to be exact on packed rows."""
    return model.config.get_text_config().model_type in PACKED_TYPES


@contextlib.contextmanager
def packing(model: PreTrainedModel) -> Iterator[None]:
    """Inside, the model reads packed rows; `padded_logits` is not for it then."""
    before = model.config._attn_implementation
    model.set_attn_implementation(NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def read_prefix(model: PreTrainedModel, tokens: Sequence[int]) -> dict:
    """Every layer's keys and values of tokens that many rows begin with."""
    device = model.device
    whole = _segment(0, range(len(tokens)), [0] * len(tokens), False, device)
    plan = Plan([whole], keep=True)
    last = torch.tensor([len(tokens) - 1], device=device)
    with following(plan), only_positions(model, last):
        model(
            input_ids=torch.tensor([list(tokens)], device=device),
            position_ids=whole.positions[None],
            use_cache=False,
        )
    return plan.prefix


def packed_logits(
    model: PreTrainedModel, rows: Sequence[Row], prefix: dict
) -> torch.Tensor:
    """Logits [n_scored, vocabulary] at the scored positions of all rows, in order.

    Args:
        model: inside `packing`.
        rows: all with the same shared tokens.
        prefix: `read_prefix` of the shared tokens; empty if there are none.
    """
    device = model.device
    ids, positions, kept, segments = [], [], [], []
    for row in rows:
        start = len(ids)
        segments.append(
            _segment(start, row.positions(), row.segments(), row.is_tree, device)
        )
        ids += row.tokens()
        positions += row.positions()
        kept += range(len(ids) - row.n_scored, len(ids))
    with (
        following(Plan(segments, prefix)),
        only_positions(model, torch.tensor(kept, device=device)),
    ):
        return model(
            input_ids=torch.tensor([ids], device=device),
            position_ids=torch.tensor([positions], device=device),
            use_cache=False,
        ).logits[0]


def padded_logits(model: PreTrainedModel, rows: Sequence[Row]) -> torch.Tensor:
    """The same for rows that are no trees, one in each line of the input."""
    device = model.device
    ids = torch.from_numpy(pad([row.tokens() for row in rows], 0)).to(device)
    kept = [
        index * ids.shape[1] + position
        for index, row in enumerate(rows)
        for position in range(len(row) - row.n_scored, len(row))
    ]
    with only_positions(model, torch.tensor(kept, device=device)):
        # Right padding is never looked at, so no mask is needed.
        return model(input_ids=ids, use_cache=False).logits[0]


def sum_logprobs(
    logits: torch.Tensor,
    rows: Sequence[Row],
    continuations: Sequence[Sequence[tuple[int, ...]]],
) -> Iterator[tuple[tuple[int, int], np.float32]]:
    """Pairs of (prompt, continuation) and its summed log-probability in nats.

    Args:
        logits: [n_scored, vocabulary] at the scored positions of all rows. In each row
            they are its tail: the context's last token, which predicts the first token
            of every continuation, and all branch tokens.
        rows: in the same order.
        continuations: token ids of every continuation of every prompt.
    """
    owners, slots, targets, starts = [], [], [], []
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


def _segment(
    start: int,
    positions: Sequence[int],
    branches: Sequence[int],
    is_tree: bool,
    device: torch.device,
) -> Segment:
    return Segment(
        start,
        torch.tensor(positions, device=device),
        torch.tensor(branches, device=device),
        is_tree,
        max(positions) + 1,
    )
