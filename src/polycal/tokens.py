"""Texts to tokens: the one rule about special tokens, for training and for scoring."""

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase


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
