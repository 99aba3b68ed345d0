"""Self-check of the scorer: compare packed scores with transformers' own attention."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from transformers import PreTrainedModel

from polycal.errors import InputError
from polycal.models.packing import Row

# Allowed difference in nats, per option and per token of it. In bfloat16 one step of
# a logit of 25 is 0.125; a wrong mask differs by whole nats.
_TOLERANCES = {torch.float32: (0, 1e-3)}
_HALF_PRECISION = (0.5, 0.05)


class SelfCheck:
    """Which kinds of rows of one model were compared already.

    A kind is the part of the attention that a row uses: tree, prefix, sliding window.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        config = model.config.get_text_config()
        self._model_type = config.model_type
        self._window = getattr(config, "sliding_window", None)
        # Some quantised layers round their inputs, by what else is in the pass.
        is_quantised = getattr(model, "is_quantized", False)
        rounds = is_quantised or model.dtype not in _TOLERANCES
        self._allowed = _HALF_PRECISION if rounds else _TOLERANCES[model.dtype]
        self._seen: set[tuple[bool, ...]] = set()

    def pick(self, groups: Iterable[list[Row]]) -> list[int]:
        """Return the prompts of the longest row of every kind that is new."""
        longest: dict[tuple[bool, ...], Row] = {}
        for row in (row for rows in groups for row in rows):
            kind = self._kind(row)
            if kind not in self._seen:
                longest[kind] = max(longest.get(kind, row), row, key=len)
        self._seen |= longest.keys()
        return sorted({row.prompt for row in longest.values()})

    def _kind(self, row: Row) -> tuple[bool, ...]:
        cut = self._window is not None and max(row.positions()) >= self._window
        return row.is_tree, row.shared > 0, cut

    def compare(
        self, tokens: Sequence[Sequence[int]], packed: np.ndarray, plain: np.ndarray
    ) -> None:
        """Compare the scores of one prompt's options.

        Args:
            tokens: token ids of each option.
            packed: [K] nats.
            plain: [K] nats, by transformers' own attention.

        Raises:
            InputError: they differ by more than rounding.
        """
        option, token = self._allowed
        allowed = option + token * np.array(list(map(len, tokens)))
        if (abs(packed - plain) > allowed).any():
            raise InputError(
                f"packed scores of {self._model_type} models are wrong ({packed} "
                f"instead of {plain} nats for the same options); report it with your "
                "versions of torch and transformers, and use other versions meanwhile"
            )
