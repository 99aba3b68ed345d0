"""Plan rows and batches: which tokens a model reads, in which order.

A context is computed once: the continuations of a prompt follow it as branches of a
tree, each at its own positions. Where a tree is not possible, each continuation gets a
copy of the context. Tokens that many contexts begin with are computed once for all.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

_WORTH_SHARING = 16  # tokens; sharing a shorter prefix costs more than it saves


@dataclass(frozen=True)
class Row:
    """A context and the branches that follow it.

    A branch is the part of a continuation that the model reads: all its tokens but the
    last. Continuations that differ only in their last token share a branch.
    """

    prompt: int  # index of the prompt
    context: list[int]  # token ids, at least one
    # Token ids of a branch -> indices of the continuations that end there.
    branches: dict[tuple[int, ...], list[int]]
    # Number of tokens at the start of the context that are computed elsewhere.
    shared: int = 0

    def __len__(self) -> int:
        return len(self.context) - self.shared + sum(map(len, self.branches))

    @property
    def is_tree(self) -> bool:
        """Return whether there are several branches, so causality is not enough."""
        return len(self.branches) > 1

    @property
    def n_scored(self) -> int:
        """Return how many tokens predict: the context's last and all of branches."""
        return 1 + sum(map(len, self.branches))

    def tokens(self) -> list[int]:
        """Return the context's tokens after the shared ones, then all branches'."""
        own = self.context[self.shared :]
        return [*own, *(token for branch in self.branches for token in branch)]

    def positions(self) -> list[int]:
        """Return the tokens' positions; each branch begins where the context ends."""
        end = len(self.context)
        branches = (range(end, end + len(branch)) for branch in self.branches)
        own = range(self.shared, end)
        return [*own, *(position for branch in branches for position in branch)]

    def segments(self) -> list[int]:
        """Return 0 for tokens of the context, 1, 2, ... for those of the branches."""
        own = [0] * (len(self.context) - self.shared)
        numbered = enumerate(self.branches, 1)
        return own + [index for index, branch in numbered for _ in branch]


def plan_rows(
    prompt: int,
    context: list[int],
    continuations: Sequence[tuple[int, ...]],
    *,
    max_length: int,
    tree: bool,
    shared: int = 0,
) -> Iterator[Row]:
    """Yield one tree where it fits, else one row per distinct branch.

    Args:
        prompt: index of the prompt.
        context: token ids.
        continuations: token ids, each at least one and at most `max_length`.
        max_length: tokens that the model can read at once. A context that is too long
            loses its left end, as in `lm_eval`; a branch is never cut.
        tree: whether the model is exact on trees.
        shared: number of the context's tokens that are computed elsewhere, for a tree.

    Yields:
        Rows that together hold every continuation once.
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


def count_shared(contexts: Sequence[list[int]]) -> int:
    """Return how many tokens all contexts begin with; 0 if too few to share.

    Every context keeps at least its last token, whose prediction is scored.
    """
    if len(contexts) < 2:
        return 0
    first, last = min(contexts), max(contexts)  # they differ earliest
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
    """Return rows in groups whose contexts share their beginning, or nothing."""
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
    """Remove the rows of one unpadded forward pass from the end of a list.

    A row that alone exceeds a limit is a pass of its own.

    Args:
        waiting: rows with the same shared tokens; at least one.
        max_tokens: limit for the tokens of all rows.
        max_scored: limit for the scored positions of all rows.
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
    """Remove the rows of one padded forward pass from the end of a list.

    The arguments are those of `pack_batch`; rows are by length, shortest first, and
    padding counts as tokens.
    """
    batch = [waiting.pop()]
    n_scored = batch[0].n_scored
    while waiting and (len(batch) + 1) * len(batch[0]) <= max_tokens:
        n_scored += waiting[-1].n_scored
        if n_scored > max_scored:
            break
        batch.append(waiting.pop())
    return batch


def pad(rows: Sequence[Sequence[int] | np.ndarray], fill: int) -> np.ndarray:
    """Return rows as an int64 array [rows, longest], padded on the right."""
    padded = np.full((len(rows), max(map(len, rows))), fill, np.int64)
    for line, row in zip(padded, rows, strict=True):
        line[: len(row)] = row
    return padded
