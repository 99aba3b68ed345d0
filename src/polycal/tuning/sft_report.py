"""A tokenised SFT set as a page of text: what went in, how long it is, how it reads."""

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from transformers import PreTrainedTokenizerBase

from polycal.tuning.examples import Example
from polycal.tuning.rendering import Tally

_BAR = 40  # characters of the longest bar
_LEGEND = (
    "What stands between ⟦ and ⟧ is learnt, the end-of-turn token included; the rest "
    "is read only."
)


def format_report(
    tokenizer: PreTrainedTokenizerBase,
    *,
    title: str,
    settings: Mapping[str, object],
    source: Mapping[str, int],
    counts: Mapping[str, int],
    tally: Tally,
) -> str:
    """The page.

    Args:
        tokenizer: that of the examples.
        title: the first line.
        settings: how the sequences were written.
        source: counts of the conversations table.
        counts: what became of its conversations.
        tally: their lengths, and the examples that are shown in full.
    """
    lines = [
        title,
        ", ".join(f"{name} {value}" for name, value in settings.items()),
        *_section("Rows of the SFT set", _count(source)),
        *_section("Conversations and tokens", _count(counts)),
        *_section("Tokens of a conversation, before the cut", _draw(tally.lengths)),
        *_section("The first examples", [_LEGEND]),
    ]
    for example, cut in tally.first:
        lines += ["", f"--- row {example.example_id} ---", _show(example, tokenizer)]
        if cut:
            lines.append(f"✂ {cut:,} more tokens were cut")
    return "\n".join(lines) + "\n"


def _section(title: str, lines: Iterator[str] | Sequence[str]) -> list[str]:
    return ["", title, "-" * len(title), *lines]


def _count(counts: Mapping[str, int]) -> Iterator[str]:
    for name, value in sorted(counts.items(), key=lambda each: each[0] != "rows"):
        yield f"{value:15,}  {name.replace('_', ' ')}"


def _draw(histogram: Mapping[int, int]) -> Iterator[str]:
    """Median and tail, then a bar for every doubling of the length."""
    lengths = np.array(sorted(histogram))
    counts = np.array([histogram[each] for each in sorted(histogram)])
    shares = np.cumsum(counts) / counts.sum()
    for share in (0.5, 0.95, 0.99):
        length = lengths[np.searchsorted(shares, share)]
        yield f"{length:15,}  {share:.0%} are not longer"
    yield f"{lengths[-1]:15,}  the longest"
    yield ""
    exponents = np.ceil(np.log2(lengths)).astype(int)
    bins = range(exponents[0], exponents[-1] + 1)
    heights = [int(counts[exponents == each].sum()) for each in bins]
    for each, height in zip(bins, heights, strict=True):
        bar = "█" * -(-_BAR * height // max(heights))
        yield f"{f'up to {2**each:,}':>15}  {bar} {height:,}"


def _show(example: Example, tokenizer: PreTrainedTokenizerBase) -> str:
    """The text with its special tokens, and a mark around every run of targets.

    A piece is what the text gains by its tokens: decoded alone, it could lose a space.
    """
    text, decoded, end = "", "", 0
    for learnt, run in itertools.groupby(example.targets):
        end += len(list(run))
        longer = tokenizer.decode(
            example.tokens[:end].tolist(), clean_up_tokenization_spaces=False
        )
        piece, decoded = longer[len(decoded) :], longer
        text += f"⟦{piece}⟧" if learnt else piece
    return text
