"""Render conversations as token sequences with a loss on the assistant's turns only."""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from tokenizers import Encoding
from transformers import PreTrainedTokenizerBase

from polycal.errors import InputError
from polycal.models.tokens import to_encodings
from polycal.study.recipe import Rendering
from polycal.tuning.chat import Chat, RefusedError, Written
from polycal.tuning.examples import Example

BATCH = 1024  # conversations per call of the tokenizer
_SHOWN = 3  # examples that the report shows in full
_logger = logging.getLogger(__name__)


_Text = tuple[int, Written]  # conversation and text


@dataclass
class Tally:
    """Counts of what became of the conversations; complete after the last example.

    Attributes:
        counts: conversations; copies (conversations whose text is that of an earlier
            one, whose `example_id` they get); split_by_turn (conversations that are one
            sequence for each of the assistant's turns); truncated (sequences of which
            tokens were cut); dropped_refused (conversations, by the chat template);
            dropped_no_target (sequences without a target); tokens, target_tokens,
            cut_tokens and unknown_tokens (that stand for text which the tokenizer does
            not know).
        lengths: number of tokens before the cut -> number of sequences.
        first: the first few examples, and how many tokens of each were cut.
        refusal: the chat template's message about the first conversation that it
            refused.
    """

    counts: Counter[str] = field(
        default_factory=lambda: Counter(
            conversations=0,
            copies=0,
            split_by_turn=0,
            truncated=0,
            dropped_refused=0,
            dropped_no_target=0,
            tokens=0,
            target_tokens=0,
            cut_tokens=0,
            unknown_tokens=0,
        )
    )
    lengths: Counter[int] = field(default_factory=Counter)
    first: list[tuple[Example, int]] = field(default_factory=list)
    refusal: str | None = None


def make_examples(
    conversations: Iterable[pa.RecordBatch],
    tokenizer: PreTrainedTokenizerBase,
    rendering: Rendering,
    tally: Tally,
    *,
    positions: int | None = None,
) -> Iterator[Example]:
    """Render, tokenise and mask conversations, a batch at a time.

    The loss is on the assistant's turns, end-of-turn token included. A turn that opens
    a conversation answers nothing and has no loss. Where the chat template writes
    earlier turns differently, each of the assistant's turns is a sequence of its own.
    Sequences that are too long are cut on the right. A batch is rendered while the
    previous one is tokenised. The tokenizer gets the chat template of the rendering,
    and the tally all counts.

    Yields:
        The sequences in order.

    Raises:
        InputError: the tokenizer has no offsets or no BOS; or the chat template refuses
            every conversation (the message names one).
    """
    if not tokenizer.is_fast:
        raise InputError(
            f"{type(tokenizer).__name__} does not give the characters of a token; add "
            "a tokenizer.json to the model"
        )
    if rendering.bos == "always" and tokenizer.bos_token_id is None:
        raise InputError(
            f"bos is {rendering.bos}, but the tokenizer has no BOS token; set bos: auto"
        )
    chat = Chat(tokenizer, rendering.chat_template)
    bos, counts = tokenizer.bos_token_id, tally.counts
    unknown = tokenizer.unk_token_id
    limit = min(rendering.max_length, positions or rendering.max_length)
    first_ids: dict[int, int] = {}
    texts = (_render(batch, chat, tally, first_ids) for batch in conversations)
    for batch, encodings in _tokenize_ahead(tokenizer, texts):
        for (example_id, written), encoding in zip(batch, encodings, strict=True):
            tokens, targets = _mask(encoding, written.spans, rendering.bos, bos)
            tally.lengths[len(tokens)] += 1
            example = Example(example_id, tokens[:limit], targets[:limit])
            counts["truncated"] += len(tokens) > limit
            if not example.n_targets:
                counts["dropped_no_target"] += 1
                continue
            cut = len(tokens) - len(example.tokens)
            if len(tally.first) < _SHOWN:
                tally.first.append((example, cut))
            counts["cut_tokens"] += cut
            counts["tokens"] += len(example.tokens)
            if unknown is not None:
                counts["unknown_tokens"] += int(np.sum(example.tokens == unknown))
            counts["target_tokens"] += example.n_targets
            yield example
    if tally.refusal and not counts["tokens"]:
        raise InputError(tally.refusal)
    if tally.refusal:
        _logger.warning(
            "conversations dropped: %d; %s", counts["dropped_refused"], tally.refusal
        )


def _render(
    batch: pa.RecordBatch, chat: Chat, tally: Tally, first_ids: dict[int, int]
) -> list[_Text]:
    """Return the texts of a batch's conversations.

    Args:
        batch: of a conversations table.
        chat: writes them.
        tally: gets the counts.
        first_ids: hash of a conversation's texts -> `example_id` of the first one;
            texts take too much memory.
    """
    written = []
    for row in batch.select(["example_id", "input", "messages"]).to_pylist():
        tally.counts["conversations"] += 1
        try:
            texts = chat.render(row)
        except RefusedError as error:
            tally.counts["dropped_refused"] += 1
            tally.refusal = tally.refusal or str(error)
            continue
        tally.counts["split_by_turn"] += len(texts) > 1
        key = hash(tuple(text for text, _ in texts))
        example_id = first_ids.setdefault(key, row["example_id"])
        tally.counts["copies"] += example_id != row["example_id"]
        written += [(example_id, text) for text in texts]
    return written


def _tokenize_ahead(
    tokenizer: PreTrainedTokenizerBase, batches: Iterable[list[_Text]]
) -> Iterator[tuple[list[_Text], list[Encoding]]]:
    """Yield every batch with its encodings; the next one is tokenised meanwhile."""
    before: tuple[list[_Text], Future[list[Encoding]]] | None = None
    with ThreadPoolExecutor(max_workers=1) as pool:
        for batch in batches:
            texts = [written.text for _, written in batch]
            future = pool.submit(to_encodings, tokenizer, texts)
            if before:
                yield before[0], before[1].result()
            before = batch, future
        if before:
            yield before[0], before[1].result()


def _mask(
    encoding: Encoding,
    spans: Iterable[tuple[int, int]],
    bos_choice: str,
    bos: int | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return token ids, and which of them have a character in one of the spans."""
    ids, shift = encoding.ids, 0
    has_bos = bool(ids) and ids[0] == bos
    if bos_choice == "always" and not has_bos:
        ids, shift = [bos, *ids], 1
    elif bos_choice == "never" and has_bos:
        ids, shift = ids[1:], -1
    targets = np.zeros(len(ids), bool)
    for span in spans:
        first, stop = _find_tokens(encoding, *span)
        targets[max(first + shift, 0) : max(stop + shift, 0)] = True
    targets[:1] = False
    return np.array(ids, np.int32), targets


def _find_tokens(encoding: Encoding, begin: int, end: int) -> tuple[int, int]:
    """Return the first token with a character of [begin, end), and the end of the last.

    Asking for single characters is many times faster than reading every token's
    offsets.
    """
    characters = range(begin, end)
    first = next(filter(_is_some, map(encoding.char_to_token, characters)), None)
    if first is None:
        return 0, 0
    last = next(filter(_is_some, map(encoding.char_to_token, reversed(characters))))
    # A character of several bytes can have several tokens; `last` is the first of them.
    while last + 1 < len(encoding):
        span = encoding.token_to_chars(last + 1)
        if span is None or span[0] >= end or span[1] <= begin:
            break
        last += 1
    return first, last + 1


def _is_some(value: object) -> bool:
    return value is not None
