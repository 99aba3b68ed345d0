"""Compute the log-likelihood of every candidate continuation of every prompt.

The numbers equal those of `lm_eval`'s hf backend with a float32 softmax. A context, and
text that many contexts begin with, is computed once (`polycal.models.packing`). Models
that are not known to be exact on packed rows get one padded row per continuation.
"""

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from polycal.errors import InputError, join_lines
from polycal.models import passes
from polycal.models.chat_templates import ChatWriter, RefusedError
from polycal.models.packing import Row, group_rows, pack_batch, pad_batch, plan_rows
from polycal.models.tokens import Tokenized, read_length, tokenize_prompts
from polycal.scoring.budget import pick_budget
from polycal.scoring.self_check import SelfCheck
from polycal.study.prompts import ChatPrompt, Prompt

_logger = logging.getLogger(__name__)


class UnscorableError(ValueError):
    """A prompt has no score.

    Attributes:
        index: of the prompt in the call.
        reason: part of a sentence.
    """

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(f"prompt {index}: {reason}")
        self.index = index
        self.reason = reason


@dataclass(frozen=True)
class PromptScores:
    """Scores of the K continuations of one prompt."""

    logprobs: np.ndarray  # [K] nats, float32: sum over a continuation's tokens
    tokens: tuple[tuple[int, ...], ...]  # the K continuations' token ids
    # [K] whether the context lost its left end before this continuation.
    truncated: tuple[bool, ...]


class Engine:
    """Score prompts with one model.

    The same call returns the same bits. Other prompts in the call change a prompt's
    score by rounding only.

    Attributes:
        max_tokens: current limit for the tokens of a forward pass.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        chat: ChatWriter | None = None,
        max_tokens: int | None = None,
        packed: bool = True,
    ) -> None:
        """Choose packed or padded rows, and the memory budget.

        Args:
            model: a causal language model in evaluation mode, adapters included.
            tokenizer: its tokenizer.
            chat: writes prompts that are questions for a chat template.
            max_tokens: limit for the tokens of a forward pass, padding included; a
                longer row is a pass of its own. Default: what fits the free memory of a
                GPU. Halved when memory runs out.
            packed: False gives every continuation a padded row of its own, for
                comparison.
        """
        self._model = model
        self._tokenizer = tokenizer
        self._chat = chat
        config = model.config.get_text_config()
        self._max_length = read_length(config, tokenizer)
        budget = pick_budget(model)
        self._max_scored = max(1, budget.logits // config.vocab_size)
        self.max_tokens = max_tokens or budget.tokens
        self._packed = packed and passes.can_pack(model)
        self._self_check = SelfCheck(model)
        if packed and not self._packed:
            _logger.info(
                "%s models get one row per option: packing is not known to be exact",
                config.model_type,
            )

    def score(self, prompts: Sequence[Prompt | ChatPrompt]) -> list[PromptScores]:
        """Score all continuations of all prompts.

        Returns:
            One item per prompt, in their order.

        Raises:
            UnscorableError: as `tokenize` and `score_tokens`.
            InputError: as `score_tokens`.
        """
        return self.score_tokens(self.tokenize(prompts))

    def tokenize(self, prompts: Sequence[Prompt | ChatPrompt]) -> Tokenized:
        """Return the tokens of prompts; this needs no device.

        Raises:
            UnscorableError: the chat template refuses a question; a context or a
                continuation has no token, or a continuation is longer than the model's
                context.
        """
        written = [self._write(*numbered) for numbered in enumerate(prompts)]
        tokenized = tokenize_prompts(self._tokenizer, written)
        for index, (context, tokens) in enumerate(
            zip(tokenized.contexts, tokenized.continuations, strict=True)
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
        return tokenized

    def _write(self, index: int, asked: Any) -> Prompt:
        try:
            return self._chat.write(asked) if self._chat else asked
        except RefusedError as error:
            raise UnscorableError(index, join_lines(str(error))) from error

    def score_tokens(
        self, asked: Tokenized, follow: Callable[..., Iterable] | None = None
    ) -> list[PromptScores]:
        """Score all continuations of all prompts, with the self-check.

        The longest row of every new kind is also scored in a padded row.

        Args:
            asked: by `tokenize`.
            follow: is called with the iterator of scored options and their number,
                `n_options`; it passes the options on.

        Returns:
            One item per prompt, in their order.

        Raises:
            UnscorableError: a score is not finite.
            InputError: packed and padded scores differ by more than rounding, or memory
                is too small for a single row.
        """
        contexts, continuations = asked.contexts, asked.continuations
        logprobs = [np.empty(len(tokens), np.float32) for tokens in continuations]
        groups = group_rows(
            asked.shared if self._packed else [""] * len(contexts),
            contexts,
            continuations,
            max_length=self._max_length,
            tree=self._packed,
        )
        scores = self._score(groups, continuations, packed=self._packed)
        if follow:
            scores = follow(scores, n_options=sum(map(len, continuations)))
        self._fill(logprobs, scores)
        if self._packed:
            self._check(groups, contexts, continuations, logprobs)
        return [
            PromptScores(
                logprobs[index],
                tuple(tokens),
                tuple(len(context) + len(t) - 1 > self._max_length for t in tokens),
            )
            for index, (context, tokens) in enumerate(
                zip(contexts, continuations, strict=True)
            )
        ]

    @torch.inference_mode()
    def _score(
        self,
        groups: Iterable[list[Row]],
        continuations: Sequence[Sequence[tuple[int, ...]]],
        *,
        packed: bool,
    ) -> Iterator[tuple[tuple[int, int], np.float32]]:
        """Yield (prompt, continuation) and its log-probability in nats."""
        attention = passes.packing(self._model) if packed else contextlib.nullcontext()
        with attention:
            for rows in groups:
                prefix = self._read_prefix(rows[0])
                waiting = sorted(rows, key=len)  # the longest goes first
                while waiting:
                    take = pack_batch if packed else pad_batch
                    batch = take(waiting, self.max_tokens, self._max_scored)
                    scores = self._try(batch, continuations, prefix, packed=packed)
                    if scores is None:
                        self._shrink(batch)
                        waiting += reversed(batch)
                    else:
                        yield from scores

    def _read_prefix(self, row: Row) -> dict:
        """Return keys and values of a row's shared tokens; empty if it shares none."""
        if not row.shared:
            return {}
        try:
            return passes.read_prefix(self._model, row.context[: row.shared])
        except torch.OutOfMemoryError:
            raise InputError(
                f"out of memory with shots of {row.shared} tokens; use fewer `shots`, "
                "or a larger GPU"
            ) from None

    def _try(
        self,
        batch: Sequence[Row],
        continuations: Sequence[Sequence[tuple[int, ...]]],
        prefix: dict,
        *,
        packed: bool,
    ) -> list[tuple[tuple[int, int], np.float32]] | None:
        """Return the log-probabilities of a batch; None if memory runs out."""
        try:
            if packed:
                logits = passes.packed_logits(self._model, batch, prefix)
            else:
                logits = passes.padded_logits(self._model, batch)
            return list(passes.sum_logprobs(logits, batch, continuations))
        except torch.OutOfMemoryError:
            return None

    def _shrink(self, batch: Sequence[Row]) -> None:
        """Halve the tokens of a pass from now on."""
        if len(batch) == 1:
            raise InputError(
                f"out of memory with one question of {len(batch[0])} tokens; use a "
                "larger GPU, or --dtype bfloat16"
            )
        self.max_tokens = max(1, sum(map(len, batch)) // 2)
        torch.cuda.empty_cache()
        _logger.warning(
            "out of memory; continuing with %d tokens per pass", self.max_tokens
        )

    def _fill(
        self,
        logprobs: list[np.ndarray],
        scores: Iterable[tuple[tuple[int, int], np.float32]],
    ) -> None:
        for (prompt, index), value in scores:
            if not np.isfinite(value):
                raise UnscorableError(prompt, f"log-probability {value}")
            logprobs[prompt][index] = value

    def _check(
        self,
        groups: Iterable[list[Row]],
        contexts: Sequence[list[int]],
        continuations: Sequence[Sequence[tuple[int, ...]]],
        logprobs: Sequence[np.ndarray],
    ) -> None:
        """Compare new kinds of rows with padded rows, transformers' own attention."""
        chosen = self._self_check.pick(groups)
        if not chosen:
            return
        rows = [
            row
            for index in chosen
            for row in plan_rows(
                index,
                contexts[index],
                continuations[index],
                max_length=self._max_length,
                tree=False,
            )
        ]
        plain = [np.empty_like(row) for row in logprobs]
        self._fill(plain, self._score([rows], continuations, packed=False))
        for index in chosen:
            tokens = continuations[index]
            self._self_check.compare(tokens, logprobs[index], plain[index])
