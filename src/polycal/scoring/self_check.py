"""Whether packed scores are those of transformers' own attention, as far as is seen."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from transformers import PreTrainedModel

from polycal.errors import InputError
from polycal.models.packing import Row

# Nats by which the two may differ: for an option, and for each of its tokens. In
# bfloat16 one step of a logit of 25 is 0.125. A wrong mask differs by whole nats.
_TOLERANCES = {torch.float32: (0, 1e-3)}
_ROUGH = (0.5, 0.05)


class SelfCheck:
    """Remembers which kinds of rows of one model have been compared."""

    def __init__(self, model: PreTrainedModel) -> None:
        config = model.config.get_text_config()
        self._model_type = config.model_type
        self._window = getattr(config, "sliding_window", None)
        self._allowed = _TOLERANCES.get(model.dtype, _ROUGH)
        self._seen: set[tuple[bool, ...]] = set()

    def pick(self, groups: Iterable[list[Row]]) -> list[int]:
        """The prompts of the longest row of every kind that is new."""
        longest: dict[tuple[bool, ...], Row] = {}
        for row in (row for rows in groups for row in rows):
            kind = self._kind(row)
            if kind not in self._seen:
                longest[kind] = max(longest.get(kind, row), row, key=len)
        self._seen |= longest.keys()
        return sorted({row.prompt for row in longest.values()})

    def _kind(self, row: Row) -> tuple[bool, ...]:
        """What of the attention a row puts to use: tree, prefix, window."""
        cut = self._window is not None and max(row.positions()) >= self._window
        return row.is_tree, row.shared > 0, cut

    def compare(
        self, tokens: Sequence[Sequence[int]], packed: np.ndarray, plain: np.ndarray
    ) -> None:
        """Compare the scores of one prompt's options.

        Args:
            tokens: of each option.
            packed: [K] nats.
            plain: [K] nats, by the model's own attention.

        Raises:
            InputError: they differ by more than rounding.
        """
        option, token = self._allowed
        allowed = option + token * np.array([len(each) for each in tokens])
        if (abs(packed - plain) > allowed).any():
            raise InputError(
                f"{self._model_type} models are not exact when questions are packed "
                f"({packed} and {plain} nats for the same options); please report it "
                "with the versions of torch and transformers, and take another "
                "version meanwhile"
            )
