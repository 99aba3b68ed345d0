"""Report on a tokenised SFT set as text: counts, lengths, and the first examples."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from polycal.tuning.examples import Example
from polycal.tuning.rendering import Tally

_BAR = 40  # characters of the longest bar
_LEGEND = (
    "The loss is on the tokens between ⟦ and ⟧, end-of-turn tokens included; all "
    "others are only read."
)


def format_report(
    tokenizer: PreTrainedTokenizerBase,
    *,
    title: str,
    settings: Mapping[str, Any],
    source: Mapping[str, int],
    counts: Mapping[str, int],
    tally: Tally,
) -> str:
    """Return the report."""
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
    for name, value in sorted(counts.items(), key=lambda item: item[0] != "rows"):
        yield f"{value:15,}  {name.replace('_', ' ')}"


def _draw(histogram: Mapping[int, int]) -> Iterator[str]:
    """Yield quantiles of the length, then a bar for every doubling of it."""
    lengths = np.array(sorted(histogram))
    counts = np.array([histogram[length] for length in lengths.tolist()])
    shares = np.cumsum(counts) / counts.sum()
    for share in (0.5, 0.95, 0.99):
        length = lengths[np.searchsorted(shares, share)]
        yield f"{length:15,}  {share:.0%} are at most this long"
    yield f"{lengths[-1]:15,}  the longest"
    yield ""
    exponents = np.ceil(np.log2(lengths)).astype(int)
    bins = range(exponents[0], exponents[-1] + 1)
    heights = [int(counts[exponents == exponent].sum()) for exponent in bins]
    for exponent, height in zip(bins, heights, strict=True):
        bar = "█" * -(-_BAR * height // max(heights))
        yield f"{f'up to {2**exponent:,}':>15}  {bar} {height:,}"


def _show(example: Example, tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the text with its special tokens, and marks around every run of targets.

    A run's text is what the decoded text gains by its tokens: decoded alone, it could
    lose a space.
    """
    text, decoded, end = "", "", 0
    for is_target, run in itertools.groupby(example.targets):
        end += len(list(run))
        longer = tokenizer.decode(
            example.tokens[:end].tolist(), clean_up_tokenization_spaces=False
        )
        piece, decoded = longer[len(decoded) :], longer
        text += f"⟦{piece}⟧" if is_target else piece
    return text
