"""Texts to tokens: the one rule about special tokens, for training and for scoring."""

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from polycal.prompts import Prompt


def tokenize(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], **options: object
) -> list[dict[str, list]]:
    """Tokenise texts with the tokenizer's own default of special tokens.

    A text that already begins with BOS does not get a second one.

    Args:
        tokenizer: any tokenizer.
        texts: any number of them.
        **options: for the tokenizer, such as `return_offsets_mapping`.

    Returns:
        For each text, in order, what the tokenizer returns of it (`input_ids`, ...).
    """
    bos = tokenizer.bos_token
    begun = [bool(bos) and text.startswith(bos) for text in texts]
    found: dict[int, dict[str, list]] = {}
    for special in (True, False):
        chosen = [index for index, has in enumerate(begun) if has != special]
        if not chosen:
            continue
        columns = tokenizer(
            [texts[index] for index in chosen],
            add_special_tokens=special,
            verbose=False,  # no warning about long texts: callers cut them
            **options,
        )
        for place, index in enumerate(chosen):
            found[index] = {name: column[place] for name, column in columns.items()}
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
    contexts = _list_ids(tokenizer, [prompt.context.rstrip() for prompt in prompts])
    # The whole text is unchanged by moving white space across the border.
    texts = [
        prompt.context + each for prompt in prompts for each in prompt.continuations
    ]
    joint = iter(_list_ids(tokenizer, texts))
    continuations = [
        [tuple(next(joint)[len(context) :]) for _ in prompt.continuations]
        for prompt, context in zip(prompts, contexts, strict=True)
    ]
    return contexts, continuations


def _list_ids(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]
) -> list[list[int]]:
    return [each["input_ids"] for each in tokenize(tokenizer, texts)]
