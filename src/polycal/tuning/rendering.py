"""From conversations to token sequences in which only the assistant's turns count."""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from tokenizers import Encoding
from transformers import PreTrainedTokenizerBase

from polycal.errors import InputError
from polycal.models.tokens import to_encodings
from polycal.study.recipe import Rendering
from polycal.tuning.chat import Chat, RefusedError
from polycal.tuning.examples import Example

BATCH = 1024  # conversations that are tokenised in one call
_SHOWN = 3  # examples that a report shows in full
_logger = logging.getLogger(__name__)


class _Text(NamedTuple):
    """A conversation that is written out; spans are (begin, end) in characters."""

    example_id: int
    text: str
    spans: list[tuple[int, int]]


@dataclass
class Tally:
    """What became of the conversations; complete when the last example is made.

    Attributes:
        counts: conversations; truncated (some tokens were cut); dropped_refused (by
            the chat template); dropped_no_target (no target was left); tokens,
            target_tokens and cut_tokens.
        lengths: tokens before the cut -> conversations of this length.
        first: the first few examples, and how many tokens of each were cut.
        refusal: what the chat template said of the first one that it refused.
    """

    counts: Counter[str] = field(
        default_factory=lambda: Counter(
            conversations=0,
            truncated=0,
            dropped_refused=0,
            dropped_no_target=0,
            tokens=0,
            target_tokens=0,
            cut_tokens=0,
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
) -> Iterator[Example]:
    """Render, tokenise and mask conversations, a batch at a time.

    The loss is on the assistant's turns, end-of-turn token included, but for one that
    opens a conversation: it answers nothing. What is too long is cut on the right. A
    batch is rendered while the one before it is tokenised.

    Args:
        conversations: batches of a conversations table.
        tokenizer: with offsets; it is given the chat template of the rendering.
        rendering: how sequences are written.
        tally: counts are added to it.

    Yields:
        The sequences in order.

    Raises:
        InputError: the tokenizer cannot do it, its chat template refuses every
            conversation, or writes a turn differently when it is not the last one; the
            message names a conversation.
    """
    if not tokenizer.is_fast:
        raise InputError(
            f"{type(tokenizer).__name__} does not tell which characters a token is "
            "made of; add a tokenizer.json to the model"
        )
    if rendering.bos == "always" and tokenizer.bos_token_id is None:
        raise InputError(
            f"bos is {rendering.bos}, but the tokenizer has no BOS token; set bos: auto"
        )
    chat = Chat(tokenizer, rendering.chat_template)
    bos, limit, counts = tokenizer.bos_token_id, rendering.max_length, tally.counts
    texts = (_render(batch, chat, tally) for batch in conversations)
    for batch, encodings in _tokenize_ahead(tokenizer, texts):
        for written, encoding in zip(batch, encodings, strict=True):
            tokens, targets = _mask(encoding, written.spans, rendering.bos, bos)
            tally.lengths[len(tokens)] += 1
            example = Example(written.example_id, tokens[:limit], targets[:limit])
            counts["truncated"] += len(tokens) > limit
            if not example.n_targets:
                counts["dropped_no_target"] += 1
                continue
            cut = len(tokens) - len(example.tokens)
            if len(tally.first) < _SHOWN:
                tally.first.append((example, cut))
            counts["cut_tokens"] += cut
            counts["tokens"] += len(example.tokens)
            counts["target_tokens"] += example.n_targets
            yield example
    if tally.refusal and not counts["tokens"]:
        raise InputError(tally.refusal)
    if tally.refusal:
        _logger.warning("%d dropped; %s", counts["dropped_refused"], tally.refusal)


def _render(batch: pa.RecordBatch, chat: Chat, tally: Tally) -> list[_Text]:
    written = []
    for row in batch.select(["example_id", "input", "messages"]).to_pylist():
        tally.counts["conversations"] += 1
        try:
            written.append(_Text(row["example_id"], *chat.render(row)))
        except RefusedError as error:
            tally.counts["dropped_refused"] += 1
            tally.refusal = tally.refusal or str(error)
    return written


def _tokenize_ahead(
    tokenizer: PreTrainedTokenizerBase, batches: Iterable[list[_Text]]
) -> Iterator[tuple[list[_Text], list[Encoding]]]:
    """Every batch with its encodings; meanwhile the next one is being tokenised."""
    before: tuple[list[_Text], Future[list[Encoding]]] | None = None
    with ThreadPoolExecutor(max_workers=1) as pool:
        for batch in batches:
            texts = [each.text for each in batch]
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
    """Token ids, and which of them have a character in one of the spans."""
    ids, shift = encoding.ids, 0
    begun = bool(ids) and ids[0] == bos
    if bos_choice == "always" and not begun:
        ids, shift = [bos, *ids], 1
    elif bos_choice == "never" and begun:
        ids, shift = ids[1:], -1
    targets = np.zeros(len(ids), bool)
    for span in spans:
        first, stop = _find_tokens(encoding, *span)
        targets[max(first + shift, 0) : max(stop + shift, 0)] = True
    targets[:1] = False
    return np.array(ids, np.int32), targets


def _find_tokens(encoding: Encoding, begin: int, end: int) -> tuple[int, int]:
    """The first token with a character of [begin, end), and the one behind the last.

    Asking for single characters is many times faster than looking at every token's.
    """
    places = range(begin, end)
    first = next(filter(_is_some, map(encoding.char_to_token, places)), None)
    if first is None:
        return 0, 0
    last = next(filter(_is_some, map(encoding.char_to_token, reversed(places))))
    # A character of several bytes can be several tokens; the first of them was found.
    while last + 1 < len(encoding):
        found = encoding.token_to_chars(last + 1)
        if found is None or found[0] >= end or found[1] <= begin:
            break
        last += 1
    return first, last + 1


def _is_some(value: object) -> bool:
    return value is not None
