"""Texts to tokens: the one rule about special tokens, for training and for scoring.

The tokenizer's own default of special tokens holds, but a text that already begins with
BOS does not get a second one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tokenizers import Encoding
from transformers import (
    AutoTokenizer,
    BatchEncoding,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
)

from polycal.errors import InputError
from polycal.study.prompts import Prompt

_Found = TypeVar("_Found")


@dataclass(frozen=True)
class Tokenized:
    """Prompts as token ids.

    Attributes:
        shared: texts that the contexts of several prompts begin with.
        contexts: of every prompt.
        continuations: of every prompt.
    """

    shared: list[str]
    contexts: list[list[int]]
    continuations: list[list[tuple[int, ...]]]


def check_directory(path: Path) -> None:
    """Refuse a checkpoint that is not there.

    Raises:
        InputError: it is not a directory.
    """
    if not path.is_dir():
        raise InputError(f"there is no checkpoint directory {path}")


def load_tokenizer(checkpoint: Path) -> PreTrainedTokenizerBase:
    """The tokenizer that lies in a checkpoint's directory.

    Raises:
        InputError: there is none that can be read.
    """
    check_directory(checkpoint)
    try:
        return AutoTokenizer.from_pretrained(
            checkpoint, trust_remote_code=False, local_files_only=True
        )
    except (OSError, ValueError) as error:
        raise InputError(f"{checkpoint} has no readable tokenizer: {error}") from error


def read_length(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase) -> int:
    """How many tokens a model reads at once: a prompt that has more loses its start."""
    text = config.get_text_config()
    return getattr(text, "max_position_embeddings", tokenizer.model_max_length)


def to_ids(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text, in order, by any tokenizer."""
    return _tokenize(tokenizer, texts, lambda columns: columns["input_ids"])


def to_encodings(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]
) -> list[Encoding]:
    """What a fast tokenizer knows of each text, in order: its tokens and their places.

    The Python lock is free while the texts are tokenised, on all cores.
    """
    return _tokenize(tokenizer, texts, lambda columns: columns.encodings)


def _tokenize(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    read: Callable[[BatchEncoding], Sequence[_Found]],
) -> list[_Found]:
    bos = tokenizer.bos_token
    begun = [bool(bos) and text.startswith(bos) for text in texts]
    found: dict[int, _Found] = {}
    for special in (True, False):
        chosen = [index for index, has in enumerate(begun) if has != special]
        if not chosen:
            continue
        columns = tokenizer(
            [texts[index] for index in chosen],
            add_special_tokens=special,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,  # no warning about long texts: callers cut them
        )
        found.update(zip(chosen, read(columns), strict=True))
    return [found[index] for index in range(len(texts))]


def tokenize_prompts(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Prompt]
) -> tuple[list[list[int]], list[list[tuple[int, ...]]]]:
    """The token ids that a model is given of some prompts.

    Trailing white space of a context moves to the continuation, whose tokens are what
    the joint text has after as many tokens as the context alone.

    Args:
        tokenizer: any tokenizer.
        prompts: any number of them.

    Returns:
        The ids of every context, and those of every continuation of every prompt.
    """
    contexts = to_ids(tokenizer, [prompt.context.rstrip() for prompt in prompts])
    # The whole text is unchanged by moving white space across the border.
    texts = [
        prompt.context + each for prompt in prompts for each in prompt.continuations
    ]
    joint = iter(to_ids(tokenizer, texts))
    continuations = [
        [tuple(next(joint)[len(context) :]) for _ in prompt.continuations]
        for prompt, context in zip(prompts, contexts, strict=True)
    ]
    return contexts, continuations
