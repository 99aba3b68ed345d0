"""What the runs table says of released checkpoints, and what cannot be compared."""

from typing import NamedTuple

import pyarrow as pa

from polycal.study.grid import BASE
from polycal.study.scorings import COUNT_TOKENS


class Released(NamedTuple):
    """The released checkpoints of a study, as (model, sft).

    Attributes:
        checkpoints: all of them.
        other_tokenizer: those whose tokenizer is not that of their base model.
    """

    checkpoints: frozenset[tuple[str, str]] = frozenset()
    other_tokenizer: frozenset[tuple[str, str]] = frozenset()

    def is_comparable(self, model: str, sft: str, normaliser: str) -> bool:
        """Return whether a condition's confidences compare with its base model's.

        A mean over tokens depends on how a tokenizer splits the text.
        """
        is_other = (model, sft) in self.other_tokenizer
        return not (is_other and normaliser in COUNT_TOKENS)


NONE_RELEASED = Released()


def find_released(runs: pa.Table) -> Released:
    """Return the released checkpoints of a runs table."""
    rows = [
        row
        for row in runs.to_pylist()
        if row["sft"] != BASE and row["repo"] is not None
    ]
    return Released(
        frozenset((row["model"], row["sft"]) for row in rows),
        frozenset(
            (row["model"], row["sft"])
            for row in rows
            if row["shares_tokenizer"] is False
        ),
    )
