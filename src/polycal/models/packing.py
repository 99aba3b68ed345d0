"""Which tokens the model reads, in which row or segment of which batch.

A context is computed once: the continuations of a prompt follow it, each at the
positions that it would have alone ("tree"). Where that cannot be, a continuation gets
a copy of the context of its own. Tokens that many contexts begin with are computed once
for all of them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

_WORTH_SHARING = 16  # tokens; a shorter prefix costs more than it saves


@dataclass(frozen=True)
class Row:
    """A context and the branches that follow it.

    A branch is what the model reads of a continuation: all its tokens but the last.
    Continuations that differ in the last token only share one.

    Attributes:
        prompt: index of the prompt.
        context: token ids, at least one.
        branches: token ids of a branch -> indices of the continuations that end there.
        shared: tokens at the beginning of the context that are computed elsewhere.
    """

    prompt: int
    context: list[int]
    branches: dict[tuple[int, ...], list[int]]
    shared: int = 0

    def __len__(self) -> int:
        return len(self.context) - self.shared + sum(map(len, self.branches))

    @property
    def is_tree(self) -> bool:
        """Whether a causal mask is not enough."""
        return len(self.branches) > 1

    @property
    def n_scored(self) -> int:
        """The context's last token and all branch tokens: each predicts something."""
        return 1 + sum(map(len, self.branches))

    def tokens(self) -> list[int]:
        """The context without what is shared, then all branches."""
        own = self.context[self.shared :]
        return [*own, *(token for branch in self.branches for token in branch)]

    def positions(self) -> list[int]:
        """Of the tokens; every branch continues where the context ends."""
        end = len(self.context)
        branches = (range(end, end + len(branch)) for branch in self.branches)
        own = range(self.shared, end)
        return [*own, *(position for each in branches for position in each)]

    def segments(self) -> list[int]:
        """0 for tokens of the context, 1, 2, ... for those of the branches."""
        branches = ([index] * len(each) for index, each in enumerate(self.branches, 1))
        own = [0] * (len(self.context) - self.shared)
        return own + [index for each in branches for index in each]


def plan_rows(
    prompt: int,
    context: list[int],
    continuations: Sequence[tuple[int, ...]],
    *,
    max_length: int,
    tree: bool,
    shared: int = 0,
) -> Iterator[Row]:
    """One tree where it fits, else one row per distinct branch.

    Args:
        prompt: index of the prompt.
        context: token ids.
        continuations: token ids, each at least one and at most `max_length`.
        max_length: tokens that the model can read at once. A context that is too long
            loses its left end, as in `lm_eval`; a branch never loses anything.
        tree: whether the model is exact on trees.
        shared: tokens of the context that are computed elsewhere, for a tree.

    Yields:
        Rows in which every continuation has its place once.
    """
    branches: dict[tuple[int, ...], list[int]] = {}
    for index, tokens in enumerate(continuations):
        branches.setdefault(tokens[:-1], []).append(index)
    longest = len(context) + max(map(len, branches))
    if longest <= max_length and (tree or len(branches) == 1):
        yield Row(prompt, context, branches, shared if tree else 0)
        return
    for branch, members in branches.items():
        kept = context[-(max_length - len(branch)) :]  # at least one token
        yield Row(prompt, kept, {branch: members})


def count_shared(contexts: Sequence[Sequence[int]]) -> int:
    """Tokens that all contexts begin with, if there are enough to compute them once.

    Every context keeps at least its last token, whose prediction is scored.
    """
    if len(contexts) < 2:
        return 0
    first, last = min(contexts), max(contexts)  # in the order of lists
    most = min(map(len, contexts)) - 1
    pairs = zip(first[:most], last[:most], strict=True)
    same = next((i for i, (one, other) in enumerate(pairs) if one != other), most)
    return same if same >= _WORTH_SHARING else 0


def group_rows(
    shared: Sequence[str],
    contexts: Sequence[list[int]],
    continuations: Sequence[Sequence[tuple[int, ...]]],
    *,
    max_length: int,
    tree: bool,
) -> list[list[Row]]:
    """Rows in groups that share the beginning of their contexts, or nothing.

    Args:
        shared: of every prompt, the text that its context has in common with others.
        contexts: token ids of every prompt's context.
        continuations: token ids of every prompt's continuations.
        max_length: as in `plan_rows`.
        tree: as in `plan_rows`.
    """
    groups: dict[str, list[int]] = {}
    for index, text in enumerate(shared):
        groups.setdefault(text, []).append(index)
    planned: list[list[Row]] = [[]]
    for text, members in groups.items():
        common = count_shared([contexts[i] for i in members]) if text else 0
        rows = [
            row
            for index in members
            for row in plan_rows(
                index,
                contexts[index],
                continuations[index],
                max_length=max_length,
                tree=tree,
                shared=common,
            )
        ]
        planned[0] += [row for row in rows if not row.shared]
        planned.append([row for row in rows if row.shared])
    return [rows for rows in planned if rows]


def pack_batch(waiting: list[Row], max_tokens: int, max_scored: int) -> list[Row]:
    """Remove from the end of a list what one forward pass without padding reads.

    Args:
        waiting: rows with the same shared tokens; at least one.
        max_tokens: of all rows.
        max_scored: scored positions of all rows. A row that exceeds one of the two is
            a pass of its own.
    """
    batch = [waiting.pop()]
    n_tokens, n_scored = len(batch[0]), batch[0].n_scored
    while waiting:
        n_tokens += len(waiting[-1])
        n_scored += waiting[-1].n_scored
        if n_tokens > max_tokens or n_scored > max_scored:
            break
        batch.append(waiting.pop())
    return batch


def pad_batch(waiting: list[Row], max_tokens: int, max_scored: int) -> list[Row]:
    """Remove from the end of a list what one forward pass with padding reads.

    Args:
        waiting: rows by length, shortest first; at least one.
        max_tokens: with padding.
        max_scored: as in `pack_batch`.
    """
    batch = [waiting.pop()]
    n_scored = batch[0].n_scored
    while waiting and (len(batch) + 1) * len(batch[0]) <= max_tokens:
        n_scored += waiting[-1].n_scored
        if n_scored > max_scored:
            break
        batch.append(waiting.pop())
    return batch


def pad(rows: Sequence[Sequence[int]], fill: int) -> np.ndarray:
    """Rows of different lengths as one int64 array [rows, longest], padded right."""
    padded = np.full((len(rows), max(map(len, rows))), fill, np.int64)
    for line, row in zip(padded, rows, strict=True):
        line[: len(row)] = row
    return padded
