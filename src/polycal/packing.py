"""Which tokens the model reads, in which row of which batch.

A context is computed once: the continuations of a prompt follow it in one row, each at
the positions that it would have alone ("tree"). Where that cannot be, a continuation
gets a row of its own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Row:
    """A context and the branches that follow it.

    A branch is what the model reads of a continuation: all its tokens but the last.
    Continuations that differ in the last token only share one.

    Attributes:
        prompt: index of the prompt.
        context: token ids, at least one.
        branches: token ids of a branch -> indices of the continuations that end there.
    """

    prompt: int
    context: list[int]
    branches: dict[tuple[int, ...], list[int]]

    def __len__(self) -> int:
        return len(self.context) + sum(map(len, self.branches))

    @property
    def is_tree(self) -> bool:
        """Whether a causal mask is not enough."""
        return len(self.branches) > 1

    def tokens(self) -> list[int]:
        """The context, then all branches."""
        return [*self.context, *(token for branch in self.branches for token in branch)]

    def positions(self) -> list[int]:
        """Of the tokens; every branch continues where the context ends."""
        end = len(self.context)
        branches = (range(end, end + len(branch)) for branch in self.branches)
        return [*range(end), *(position for each in branches for position in each)]

    def segments(self) -> list[int]:
        """0 for tokens of the context, 1, 2, ... for those of the branches."""
        branches = ([index] * len(each) for index, each in enumerate(self.branches, 1))
        return [0] * len(self.context) + [index for each in branches for index in each]


def plan_rows(
    prompt: int,
    context: list[int],
    continuations: Sequence[tuple[int, ...]],
    *,
    max_length: int,
    max_tree: int,
) -> Iterator[Row]:
    """One tree where it fits, else one row per distinct branch.

    Args:
        prompt: index of the prompt.
        context: token ids.
        continuations: token ids, each at least one and at most `max_length`.
        max_length: tokens that the model can read at once. A context that is too long
            loses its left end, as in `lm_eval`; a branch never loses anything.
        max_tree: largest position + 1 up to which the model is exact on trees.

    Yields:
        Rows in which every continuation has its place once.
    """
    branches: dict[tuple[int, ...], list[int]] = {}
    for index, tokens in enumerate(continuations):
        branches.setdefault(tokens[:-1], []).append(index)
    longest = len(context) + max(map(len, branches))
    if longest <= min(max_length, max_tree):
        yield Row(prompt, context, branches)
        return
    for branch, members in branches.items():
        kept = context[-(max_length - len(branch)) :]  # at least one token
        yield Row(prompt, kept, {branch: members})


def make_batches(rows: Sequence[Row], budget: int) -> Iterator[list[Row]]:
    """Rows of similar length, longest first, at most `budget` tokens with padding.

    A longer row is a batch of its own. Trees and plain rows do not mix: a tree's mask
    would switch off a plain row's sliding window.
    """
    batch: list[Row] = []
    for row in sorted(rows, key=lambda row: (row.is_tree, len(row)), reverse=True):
        if batch and (
            (len(batch) + 1) * len(batch[0]) > budget or row.is_tree != batch[0].is_tree
        ):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def pad(rows: Sequence[Sequence[int]], fill: int) -> np.ndarray:
    """Rows of different lengths as one int64 array [rows, longest], padded right."""
    padded = np.full((len(rows), max(map(len, rows))), fill, np.int64)
    for line, row in zip(padded, rows, strict=True):
        line[: len(row)] = row
    return padded
