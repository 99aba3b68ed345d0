"""The log-likelihood of every candidate continuation of every prompt.

The numbers are those of `lm_eval`'s hf backend with a float32 softmax. Its rules:
trailing white space of a context moves to the continuation; a continuation's tokens
are what the joint text has after as many tokens as the context alone; special tokens
are the tokenizer's own default; an input that is too long loses its left end.

A context is computed once. The continuations of a prompt follow it in one row, each
at the positions that it would have alone, and an attention mask keeps them from seeing
each other ("tree"). Where a model is not known to be exact under such a mask, every
continuation gets a row of its own ("plain").
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from polycal.models import only_positions
from polycal.packing import Row, make_batches, pad, plan_rows
from polycal.prompts import Prompt
from polycal.tokens import to_ids

# Model types whose tree scores equal their plain scores (tests/test_engine.py), as
# long as a sliding window does not cut into a row.
TREE_TYPES = ("llama", "mistral", "qwen2", "qwen3")
_SOFTMAX_ROWS = 256  # positions whose logits are in float32 at the same time
_logger = logging.getLogger(__name__)


class UnscorableError(ValueError):
    """One prompt has no score.

    Attributes:
        index: of the prompt in the call.
    """

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(f"prompt {index}: {reason}")
        self.index = index
        self.reason = reason


@dataclass(frozen=True)
class Scored:
    """The K continuations of one prompt.

    Attributes:
        logprobs: [K] nats, float32: sum over a continuation's tokens.
        tokens: the K continuations' token ids.
        truncated: whether a continuation's context lost its left end.
    """

    logprobs: np.ndarray
    tokens: tuple[tuple[int, ...], ...]
    truncated: tuple[bool, ...]


class Engine:
    """Scores prompts with one model.

    The same call gives the same bits. A prompt's score depends on the other prompts
    of the call by rounding only.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        max_tokens_per_batch: int | None = None,
        tree: bool = True,
    ) -> None:
        """Keep the model and find out what it allows.

        Args:
            model: a causal language model in evaluation mode, adapters included.
            tokenizer: its tokenizer.
            max_tokens_per_batch: padding included; a longer row is a batch of its own.
                By default what keeps the device busy.
            tree: False gives every continuation a row of its own, for comparison.
        """
        self._model = model
        self._tokenizer = tokenizer
        config = model.config.get_text_config()
        self._max_length = getattr(
            config, "max_position_embeddings", tokenizer.model_max_length
        )
        if max_tokens_per_batch is None:
            max_tokens_per_batch = 16384 if model.device.type == "cuda" else 4096
        self._budget = max_tokens_per_batch
        # Row length up to which the tree is exact.
        self._max_tree = 0
        if tree and config.model_type in TREE_TYPES:
            self._max_tree = getattr(config, "sliding_window", None) or self._max_length
        elif tree:
            _logger.info(
                "%s models have one row per option: not known to be exact otherwise",
                config.model_type,
            )

    def score(self, prompts: Sequence[Prompt]) -> list[Scored]:
        """Score all continuations of all prompts.

        Args:
            prompts: in any order; each has one continuation or more.

        Returns:
            One item per prompt, in their order.

        Raises:
            UnscorableError: a context or a continuation has no token, a continuation
                is longer than the model's context, or its score is not finite.
        """
        contexts, continuations = self._tokenize(prompts)
        rows = [
            row
            for index, context in enumerate(contexts)
            for row in plan_rows(
                index,
                context,
                continuations[index],
                max_length=self._max_length,
                max_tree=self._max_tree,
            )
        ]
        logprobs = [np.empty(len(each), np.float32) for each in continuations]
        for batch in make_batches(rows, self._budget):
            for (prompt, index), value in self._score_batch(batch, continuations):
                if not np.isfinite(value):
                    raise UnscorableError(prompt, f"log-probability {value}")
                logprobs[prompt][index] = value
        return [
            Scored(
                logprobs[index],
                tuple(tokens),
                tuple(len(context) + len(t) - 1 > self._max_length for t in tokens),
            )
            for index, (context, tokens) in enumerate(
                zip(contexts, continuations, strict=True)
            )
        ]

    def _tokenize(
        self, prompts: Sequence[Prompt]
    ) -> tuple[list[list[int]], list[list[tuple[int, ...]]]]:
        """Token ids of every context, and of every continuation of every prompt."""
        stripped = [prompt.context.rstrip() for prompt in prompts]
        contexts = self._encode(stripped)
        # The whole text is unchanged by moving white space across the border.
        joint = self._encode(
            [
                prompt.context + each
                for prompt in prompts
                for each in prompt.continuations
            ]
        )
        remaining = iter(joint)
        continuations = [
            [tuple(next(remaining)[len(context) :]) for _ in prompt.continuations]
            for prompt, context in zip(prompts, contexts, strict=True)
        ]
        for index, (context, tokens) in enumerate(
            zip(contexts, continuations, strict=True)
        ):
            if not context:
                raise UnscorableError(index, "the context has no token")
            if not all(tokens):
                raise UnscorableError(index, "a continuation has no token of its own")
            longest = max(map(len, tokens))
            if longest > self._max_length:
                raise UnscorableError(
                    index,
                    f"a continuation has {longest} tokens, the model reads "
                    f"{self._max_length}",
                )
        return contexts, continuations

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        return to_ids(self._tokenizer, texts)

    @torch.inference_mode()
    def _score_batch(
        self, rows: Sequence[Row], continuations: list[list[tuple[int, ...]]]
    ) -> Iterator[tuple[tuple[int, int], np.float32]]:
        """Pairs of (prompt, continuation) and its summed log-probability."""
        # Scored positions of a row are its tail: the context's last token, which
        # predicts the first token of every continuation, and all branch tokens.
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
        logits = self._logits(rows)  # [n_scored, vocabulary]
        normaliser = torch.cat(
            [part.float().logsumexp(-1) for part in logits.split(_SOFTMAX_ROWS)]
        )
        slot = torch.tensor(slots, device=logits.device)
        target = torch.tensor(targets, device=logits.device)
        terms = logits[slot, target].float() - normaliser[slot]
        sums = np.add.reduceat(terms.cpu().numpy().astype(np.float64), starts)
        return zip(owners, sums.astype(np.float32), strict=True)

    def _logits(self, rows: Sequence[Row]) -> torch.Tensor:
        """Logits [n_scored, vocabulary] at the scored positions of all rows."""
        device = self._model.device
        ids = _tensor([row.tokens() for row in rows], 0, device)
        inputs = {"input_ids": ids}  # right padding is never looked at
        if rows[0].is_tree:
            positions = _tensor([row.positions() for row in rows], 0, device)
            segments = _tensor([row.segments() for row in rows], -1, device)
            mask = _tree_mask(segments, self._model.dtype)
            inputs |= {"position_ids": positions, "attention_mask": mask}
        scored = [
            index * ids.shape[1] + position
            for index, row in enumerate(rows)
            for position in range(len(row.context) - 1, len(row))
        ]
        kept = torch.tensor(scored, device=device)

        with only_positions(self._model, kept):
            return self._model(**inputs, use_cache=False).logits[0]


def _tensor(
    rows: Sequence[Sequence[int]], fill: int, device: torch.device
) -> torch.Tensor:
    return torch.from_numpy(pad(rows, fill)).to(device)


def _tree_mask(segments: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The mask [rows, 1, query, key] that is added to the attention scores.

    A token sees the tokens before it in the context and in its own segment.
    """
    width = segments.shape[1]
    query, key = segments[:, :, None], segments[:, None, :]
    causal = torch.ones(width, width, dtype=torch.bool, device=segments.device).tril()
    seen = ((key == 0) | (key == query)) & causal
    mask = torch.zeros(seen.shape, dtype=dtype, device=segments.device)
    return mask.masked_fill_(~seen, torch.finfo(dtype).min)[:, None]
