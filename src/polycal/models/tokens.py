"""Read a checkpoint's tokenizer; turn texts and prompts into token ids, without torch.

Training and scoring share one rule about special tokens: the tokenizer's own default
holds, but a text that already begins with one of those that the tokenizer puts first,
such as BOS, gets none.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tokenizers import Encoding
from transformers import (
    AutoTokenizer,
    BatchEncoding,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
)

from polycal.errors import InputError, summarise
from polycal.study.prompts import Prompt

_Tokens = TypeVar("_Tokens")

_BARE = {
    "add_special_tokens": False,
    "return_attention_mask": False,
    "return_token_type_ids": False,
}


@dataclass(frozen=True)
class Tokenized:
    """Prompts as token ids."""

    # Of each prompt, the text that its context shares with other prompts.
    shared: list[str]
    contexts: list[list[int]]  # token ids of each prompt's context
    # Token ids of each prompt's continuations.
    continuations: list[list[tuple[int, ...]]]
    # (prompt, continuation) whose first letters are in one token with the context's
    # last ones when both are written together.
    crossing: list[tuple[int, int]]


def check_directory(path: Path) -> None:
    """Refuse a checkpoint that does not exist.

    Raises:
        InputError: it is not a directory.
    """
    if not path.is_dir():
        raise InputError(f"there is no checkpoint directory {path}")


def load_tokenizer(checkpoint: Path) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a checkpoint's directory, and try it.

    Raises:
        InputError: the directory has no readable tokenizer, or one that turns no text
            into tokens.
    """
    check_directory(checkpoint)
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            checkpoint, trust_remote_code=False, local_files_only=True
        )
        _try(tokenizer)
    # tokenizers, which is Rust, has no error type, and its panics are no Exception.
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit | MemoryError):
            raise
        raise InputError(
            f"{checkpoint} has no readable tokenizer: {summarise(error)}"
        ) from error
    return tokenizer


def _try(tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise what a tokenizer raises of ordinary texts, alone and as a batch."""
    columns = tokenizer(["Which is it?", "फल"], **_BARE)
    tokenizer.convert_ids_to_tokens(tokenizer("Which?")["input_ids"])
    if not all(isinstance(index, int) for ids in columns["input_ids"] for index in ids):
        raise TypeError("its ids are not whole numbers")


def digest_tokenizer(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return a SHA-256 (hex) of what decides the tokens of an ordinary text.

    Special tokens, templates and padding do not: a chat model that adds them to its
    base model's tokenizer has the same digest.
    """
    facts: dict[str, Any] = {"vocabulary": tokenizer.get_vocab()}
    if tokenizer.is_fast:
        state = json.loads(tokenizer.backend_tokenizer.to_str())
        facts = {name: state[name] for name in ("normalizer", "pre_tokenizer", "model")}
        facts["added"] = [
            token["content"] for token in state["added_tokens"] if not token["special"]
        ]
    text = json.dumps(facts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def read_length(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase) -> int:
    """Return how many tokens a model reads at once; a longer prompt loses its start."""
    text = config.get_text_config()
    for name in ("max_position_embeddings", "max_seq_len"):  # the other one is MPT's
        if (length := getattr(text, name, None)) is not None:
            return length
    return tokenizer.model_max_length


def to_ids(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """Return the token ids of each text, in order, by any tokenizer.

    A text that goes on does not end with EOS, also by a tokenizer that puts EOS after
    every text (`add_eos_token`).
    """
    _, ending = _find_added(tokenizer)

    def read(columns: BatchEncoding, special: bool) -> list[list[int]]:
        length = len(ending) if special else 0
        return [ids[: len(ids) - length] for ids in columns["input_ids"]]

    return _tokenize(tokenizer, texts, read)


def to_encodings(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]
) -> list[Encoding]:
    """Return the tokens of each text with their character offsets, in order.

    A fast tokenizer releases Python's lock and uses all cores.
    """
    return _tokenize(tokenizer, texts, lambda columns, special: columns.encodings)


def _tokenize(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    read: Callable[[BatchEncoding, bool], Sequence[_Tokens]],
) -> list[_Tokens]:
    """Return what `read` makes of texts with special tokens, and of texts without."""
    first, _ = _find_added(tokenizer)
    names = tokenizer.convert_ids_to_tokens(first)
    openings = tuple({*names, tokenizer.bos_token} - {None, ""})
    has_own = [text.lstrip().startswith(openings) for text in texts]
    tokens: dict[int, _Tokens] = {}
    for special in (True, False):
        chosen = [index for index, has in enumerate(has_own) if has != special]
        if not chosen:
            continue
        columns = tokenizer(
            [texts[index] for index in chosen],
            **(_BARE | {"add_special_tokens": special}),
            verbose=False,  # do not warn about long texts: callers cut them
        )
        tokens.update(zip(chosen, read(columns, special), strict=True))
    return [tokens[index] for index in range(len(texts))]


def _find_added(tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """Return the special tokens that a tokenizer puts before and after every text."""
    bare = tokenizer("a", **_BARE)["input_ids"]
    whole = tokenizer("a", **_BARE | {"add_special_tokens": True})["input_ids"]
    for begin in range(len(whole)):
        if bare and whole[begin : begin + len(bare)] == bare:
            return whole[:begin], whole[begin + len(bare) :]
    return [], []


def split_prompts(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Prompt]
) -> Tokenized:
    """Return the token ids of contexts and continuations, as `lm_eval` splits them.

    Trailing white space of a context moves to the continuation. A continuation's tokens
    are those of the joint text after as many tokens as the context alone has. Where
    the joint text does not begin with the context's tokens, one of them has letters of
    both, and the split loses a part of the continuation: `crossing` names it.
    """
    contexts = to_ids(tokenizer, [prompt.context.rstrip() for prompt in prompts])
    # Moving white space across the border does not change the joint text.
    texts = [
        prompt.context + continuation
        for prompt in prompts
        for continuation in prompt.continuations
    ]
    joint = iter(to_ids(tokenizer, texts))
    continuations, crossing = [], []
    for index, (prompt, context) in enumerate(zip(prompts, contexts, strict=True)):
        wholes = [next(joint) for _ in prompt.continuations]
        continuations.append([tuple(whole[len(context) :]) for whole in wholes])
        crossing += [
            (index, option)
            for option, whole in enumerate(wholes)
            if whole[: len(context)] != context
        ]
    shared = [prompt.shared for prompt in prompts]
    return Tokenized(shared, contexts, continuations, crossing)


def tokenize_prompts(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Prompt]
) -> Tokenized:
    """Return the token ids of contexts and continuations, none of them shortened.

    They are those of `split_prompts`, except for the continuations in `crossing`. These
    get the tokens of their own text, which follow the tokens of the context alone.
    """
    split = split_prompts(tokenizer, prompts)
    adds_space = bool(split.crossing) and _adds_space(tokenizer)
    for index, option in split.crossing:
        context = prompts[index].context
        moved = context[len(context.rstrip()) :]  # white space
        text = moved + prompts[index].continuations[option]
        columns = tokenizer(text.removeprefix(" ") if adds_space else text, **_BARE)
        split.continuations[index][option] = tuple(columns["input_ids"])
    return split


def _adds_space(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Return whether a tokenizer puts a space before every text, as SentencePiece."""
    (first, *_) = tokenizer.convert_ids_to_tokens(tokenizer("a", **_BARE)["input_ids"])
    return first.startswith("▁")
