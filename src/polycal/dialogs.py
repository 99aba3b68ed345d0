"""From conversations to token sequences in which only the assistant's turns count."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import torch
from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from polycal.errors import InputError
from polycal.packing import pad
from polycal.tokens import tokenize

IGNORED = -100  # the label of a token that no loss is computed on

# What a tokenizer without a chat template of its own gets: Tulu's, as in the authors'
# training code (text markers, no new tokens; a turn's marker on a line of its own).
TULU_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>\n' + message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}"
    "{% if message['role'] != 'assistant' or not loop.last %}{{ '\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
_BATCH = 1024  # conversations that are tokenised in one call
# What templates raise of a conversation that they are not made for (no system role,
# two turns of one role, ...).
_REFUSALS = (TemplateError, ValueError, IndexError, TypeError)
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Example:
    """One conversation as the model reads it.

    Attributes:
        tokens: token ids.
        labels: the same ids in the assistant's turns, `IGNORED` elsewhere. The first
            is always ignored, because nothing predicts it.
    """

    tokens: list[int]
    labels: list[int]

    @property
    def n_targets(self) -> int:
        """Tokens that a loss is computed on."""
        return sum(label != IGNORED for label in self.labels)


def make_examples(
    conversations: pa.Table, tokenizer: PreTrainedTokenizerBase, *, max_length: int
) -> tuple[list[Example], dict[str, int]]:
    """Render, tokenise and mask conversations.

    The loss is on the assistant's turns, end-of-turn token included, but for one that
    opens a conversation: it answers nothing. A sequence begins as in scoring: with the
    tokenizer's default special tokens.

    Args:
        conversations: a conversations table.
        tokenizer: with offsets and a chat template.
        max_length: tokens of a sequence; what is longer is cut on the right.

    Returns:
        The sequences in order, and counts: conversations, truncated (some tokens were
        cut), dropped_refused (by the chat template), dropped_no_target (no target was
        left), tokens, target_tokens.

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
    names = "conversations truncated dropped_refused dropped_no_target tokens"
    counts = Counter(dict.fromkeys([*names.split(), "target_tokens"], 0))
    examples, refusal = [], None
    for batch in conversations.to_batches(max_chunksize=_BATCH):
        rendered = []
        for row in batch.select(["example_id", "messages"]).to_pylist():
            counts["conversations"] += 1
            try:
                rendered.append(_render(row, tokenizer))
            except _RefusedError as error:
                counts["dropped_refused"] += 1
                refusal = refusal or error
        texts = [text for text, _ in rendered]
        encoded = tokenize(tokenizer, texts, return_offsets_mapping=True)
        for (_, spans), columns in zip(rendered, encoded, strict=True):
            example = _mask(columns, spans, max_length)
            counts["truncated"] += len(columns["input_ids"]) > max_length
            if not example.n_targets:
                counts["dropped_no_target"] += 1
                continue
            counts["tokens"] += len(example.tokens)
            counts["target_tokens"] += example.n_targets
            examples.append(example)
    if refusal and not examples:
        raise InputError(str(refusal)) from refusal
    if refusal:
        _logger.warning("%d dropped; %s", counts["dropped_refused"], refusal)
    return examples, dict(counts)


class _RefusedError(Exception):
    """The chat template does not take a conversation."""


def _render(
    row: Mapping, tokenizer: PreTrainedTokenizerBase
) -> tuple[str, list[tuple[int, int]]]:
    """A conversation's text, and where in it the assistant's turns lie."""
    messages, where = row["messages"], f"conversation {row['example_id']}"

    def render(count: int, *, prompt: bool) -> str:
        try:
            return tokenizer.apply_chat_template(
                messages[:count], tokenize=False, add_generation_prompt=prompt
            )
        except _REFUSALS as error:
            raise _RefusedError(
                f"{where}: the chat template refuses it: {error}"
            ) from error

    text = render(len(messages), prompt=False)
    spans = []
    for index, message in enumerate(messages):
        if message["role"] != "assistant" or index == 0:
            continue
        before, through = render(index, prompt=True), render(index + 1, prompt=False)
        if not through.startswith(before) or not text.startswith(through):
            raise InputError(
                f"{where}: turn {index} is rendered in another way when it is not the "
                "last one, so its tokens cannot be told from the rest; give the model "
                "a chat template that writes every turn alike"
            )
        # A line break behind the end-of-turn token is not the assistant's.
        spans.append((len(before), len(through.rstrip())))
    return text, spans


def _mask(columns: Mapping, spans: Sequence[tuple[int, int]], limit: int) -> Example:
    """Cut to `limit` tokens; label those with a character in one of the spans."""
    tokens = columns["input_ids"][:limit]
    labels = [IGNORED] * len(tokens)
    for index, (begin, end) in enumerate(columns["offset_mapping"][:limit]):
        if index and any(begin < last and end > first for first, last in spans):
            labels[index] = tokens[index]
    return Example(tokens, labels)


def split_validation(
    examples: Sequence[Example], fraction: float
) -> tuple[list[Example], list[Example]]:
    """Training and validation examples, by chance but always the same.

    The split depends on nothing but the number of examples, so the validation losses
    of all candidates are about the same examples.

    Raises:
        InputError: there are fewer than two examples.
    """
    if len(examples) < 2:
        raise InputError(
            f"{len(examples)} conversations with an answer are too few to train on "
            "and to validate with"
        )
    chance = torch.Generator().manual_seed(0)
    order = torch.randperm(len(examples), generator=chance).tolist()
    held = min(max(round(fraction * len(examples)), 1), len(examples) - 1)
    return (
        [examples[index] for index in sorted(order[held:])],
        [examples[index] for index in sorted(order[:held])],
    )


def collate(examples: Sequence[Example]) -> dict[str, torch.Tensor]:
    """Examples as one batch, padded on the right: three int64 tensors [rows, longest].

    The padding is neither attended to nor trained on, so its token does not matter.
    """
    columns = {
        "input_ids": pad([each.tokens for each in examples], 0),
        "attention_mask": pad([[1] * len(each.tokens) for each in examples], 0),
        "labels": pad([each.labels for each in examples], IGNORED),
    }
    return {name: torch.from_numpy(column) for name, column in columns.items()}
