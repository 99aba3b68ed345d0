"""The log-likelihood of every candidate continuation of every prompt.

The numbers are those of `lm_eval`'s hf backend with a float32 softmax. Its rules:
trailing white space of a context moves to the continuation; a continuation's tokens
are what the joint text has after as many tokens as the context alone; special tokens
are the tokenizer's own default; an input that is too long loses its left end.

A context is computed once, and so is what the contexts of many prompts begin with
(`Prompt.shared`). Prompts stand one after the other in one row without padding, and
their continuations see the context but not each other. Where a model is not known to be
exact so, every continuation gets a padded row of its own.
"""

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from polycal.errors import InputError
from polycal.models import passes
from polycal.models.packing import Row, group_rows, pack_batch, pad_batch, plan_rows
from polycal.models.tokens import Tokenized, read_length, tokenize_prompts
from polycal.scoring.budget import pick_budget
from polycal.scoring.self_check import SelfCheck
from polycal.study.prompts import Prompt

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

    Attributes:
        max_tokens: of a forward pass, as it stands.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        max_tokens: int | None = None,
        packed: bool = True,
    ) -> None:
        """Keep the model and find out what it allows.

        Args:
            model: a causal language model in evaluation mode, adapters included.
            tokenizer: its tokenizer.
            max_tokens: of a forward pass, padding included; a longer row is a pass of
                its own. By default what fits the free memory of a GPU. It is halved
                when the memory does not suffice.
            packed: False gives every continuation a padded row of its own, for
                comparison.
        """
        self._model = model
        self._tokenizer = tokenizer
        config = model.config.get_text_config()
        self._max_length = read_length(config, tokenizer)
        budget = pick_budget(model)
        self._max_scored = max(1, budget.logits // config.vocab_size)
        self.max_tokens = max_tokens or budget.tokens
        self._packed = packed and passes.can_pack(model)
        self._self_check = SelfCheck(model)
        if packed and not self._packed:
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
            UnscorableError: as `tokenize` and `score_tokens`.
            InputError: as `score_tokens`.
        """
        return self.score_tokens(self.tokenize(prompts))

    def tokenize(self, prompts: Sequence[Prompt]) -> Tokenized:
        """The tokens of prompts; the model's device has nothing to do with it.

        Raises:
            UnscorableError: a context or a continuation has no token, or a continuation
                is longer than the model's context.
        """
        contexts, continuations = tokenize_prompts(self._tokenizer, prompts)
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
        return Tokenized([each.shared for each in prompts], contexts, continuations)

    def score_tokens(
        self, asked: Tokenized, follow: Callable[..., Iterable] | None = None
    ) -> list[Scored]:
        """Score all continuations of all prompts.

        Of every kind of row that is new, the longest is scored in the padded way, too.

        Args:
            asked: by `tokenize`.
            follow: called with the scored options, one after the other, and
                `n_options`, how many there are; it passes them on.

        Returns:
            One item per prompt, in their order.

        Raises:
            UnscorableError: a score is not finite.
            InputError: the two ways differ by more than rounding, or the memory does
                not suffice for a single row.
        """
        contexts, continuations = asked.contexts, asked.continuations
        logprobs = [np.empty(len(each), np.float32) for each in continuations]
        groups = group_rows(
            asked.shared if self._packed else [""] * len(contexts),
            contexts,
            continuations,
            max_length=self._max_length,
            tree=self._packed,
        )
        found = self._score(groups, continuations, packed=self._packed)
        if follow:
            found = follow(found, n_options=sum(map(len, continuations)))
        self._fill(logprobs, found)
        if self._packed:
            self._check(groups, contexts, continuations, logprobs)
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

    @torch.inference_mode()
    def _score(
        self,
        groups: Iterable[list[Row]],
        continuations: Sequence[Sequence[tuple[int, ...]]],
        *,
        packed: bool,
    ) -> Iterator[tuple[tuple[int, int], np.float32]]:
        """Pairs of (prompt, continuation) and its log-probability in nats."""
        way = passes.packing(self._model) if packed else contextlib.nullcontext()
        with way:
            for rows in groups:
                prefix = self._read_prefix(rows[0])
                waiting = sorted(rows, key=len)  # the longest is taken first
                while waiting:
                    batch = self._take(waiting, packed=packed)
                    found = self._try(batch, continuations, prefix, packed=packed)
                    if found is None:
                        self._shrink(batch)
                        waiting += reversed(batch)
                    else:
                        yield from found

    def _read_prefix(self, row: Row) -> dict:
        """Keys and values of what a row shares; empty if that is nothing.

        Raises:
            InputError: the memory does not suffice.
        """
        if not row.shared:
            return {}
        try:
            return passes.read_prefix(self._model, row.context[: row.shared])
        except torch.OutOfMemoryError:
            raise InputError(
                f"the memory does not suffice for shots of {row.shared} tokens; take "
                "fewer `shots`, or a larger GPU"
            ) from None

    def _try(
        self,
        batch: Sequence[Row],
        continuations: Sequence[Sequence[tuple[int, ...]]],
        prefix: dict,
        *,
        packed: bool,
    ) -> list[tuple[tuple[int, int], np.float32]] | None:
        """The log-probabilities of a batch; None if the memory does not suffice."""
        try:
            if packed:
                logits = passes.packed_logits(self._model, batch, prefix)
            else:
                logits = passes.padded_logits(self._model, batch)
            return list(passes.sum_logprobs(logits, batch, continuations))
        except torch.OutOfMemoryError:
            return None

    def _take(self, waiting: list[Row], *, packed: bool) -> list[Row]:
        """Remove the rows of the next forward pass from the end of the list."""
        take = pack_batch if packed else pad_batch
        return take(waiting, self.max_tokens, self._max_scored)

    def _shrink(self, batch: Sequence[Row]) -> None:
        """Take half as many tokens from now on.

        Raises:
            InputError: there was a single row, so there is nothing to take away.
        """
        if len(batch) == 1:
            raise InputError(
                f"the memory does not suffice for a single question of {len(batch[0])} "
                "tokens; take a larger GPU, or --dtype bfloat16"
            )
        self.max_tokens = max(1, sum(map(len, batch)) // 2)
        torch.cuda.empty_cache()
        _logger.warning(
            "out of memory; going on with %d tokens a pass",
            self.max_tokens,
        )

    def _fill(
        self,
        logprobs: list[np.ndarray],
        found: Iterable[tuple[tuple[int, int], np.float32]],
    ) -> None:
        for (prompt, index), value in found:
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
        """Compare new kinds of rows with padded rows, transformers' own attention.

        Raises:
            InputError: they differ by more than rounding.
        """
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
        plain = [np.empty_like(each) for each in logprobs]
        self._fill(plain, self._score([rows], continuations, packed=False))
        for index in chosen:
            tokens = continuations[index]
            self._self_check.compare(tokens, logprobs[index], plain[index])
