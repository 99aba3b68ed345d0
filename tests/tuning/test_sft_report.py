"""The SFT report shows targets, cuts and lengths."""

from collections import Counter

import numpy as np
from tiny import make_tiny_tokenizer
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers import models as tokenizer_models
from transformers import PreTrainedTokenizerFast

from polycal.tuning.examples import Example
from polycal.tuning.rendering import Tally
from polycal.tuning.sft_report import format_report


def show(
    text: str,
    learnt: list[tuple[int, int]],
    *,
    tokenizer: PreTrainedTokenizerFast | None = None,
    cut: int = 0,
    lengths: dict[int, int] | None = None,
) -> str:
    """The page of one example, whose targets are ranges of its tokens."""
    tokenizer = tokenizer or make_tiny_tokenizer()
    tokens = np.array(tokenizer.encode(text, add_special_tokens=False), np.int32)
    targets = np.zeros(len(tokens), bool)
    for first, stop in learnt:
        targets[first:stop] = True
    return format_report(
        tokenizer,
        title="A set",
        settings={"bos": "auto"},
        source={"dropped_no_answer": 3, "rows": 1_000_000},
        counts={"examples": 12},
        tally=Tally(
            lengths=Counter(lengths or {len(tokens): 1}),
            first=[(Example(5, tokens, targets), cut)],
        ),
    )


def words(tokenizer: PreTrainedTokenizerFast, text: str) -> int:
    return len(tokenizer.encode(text, add_special_tokens=False))


def test_targets_are_marked_and_special_tokens_shown():
    """Every run of targets by itself, with the text around it as it is."""
    tokenizer = make_tiny_tokenizer()
    parts = ["<s>ask फ\n", "euro 🪨</s>", "\nmore\n", "krona</s>"]
    ends = [words(tokenizer, "".join(parts[: n + 1])) for n in range(4)]
    page = show("".join(parts), [(ends[0], ends[1]), (ends[2], ends[3])])
    assert "--- row 5 ---\n<s>ask फ\n⟦euro 🪨</s>⟧\nmore\n⟦krona</s>⟧\n" in page
    assert "✂" not in page


def test_a_space_at_the_edge_of_a_run_is_not_lost():
    """A decoder that strips the space before a text strips it once."""
    names = {name: index for index, name in enumerate(["[unk]", "▁ask", "▁euro"])}
    backend = Tokenizer(tokenizer_models.WordLevel(names, unk_token="[unk]"))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend)
    page = show("ask euro ask", [(1, 2)], tokenizer=tokenizer)
    assert "ask⟦ euro⟧ ask\n" in page


def test_the_cut_is_where_it_was_made():
    """With the number of tokens behind it."""
    page = show("<s>euro", [(1, 2)], cut=1234)
    assert page.endswith("✂ 1,234 more tokens were cut\n")


def test_counts_and_lengths_are_drawn():
    """Rows come first; bars are as long as their share; quantiles are exact."""
    page = show("euro", [], lengths={1: 1, 3: 20, 4: 20, 5: 10, 8: 10, 100: 1})
    lines = page.splitlines()
    assert lines[:2] == ["A set", "bos auto"]
    assert lines.index("      1,000,000  rows") < lines.index(
        "              3  dropped no answer"
    )
    assert "             12  examples" in lines
    assert "              4  50% are at most this long" in lines
    assert "              8  95% are at most this long" in lines
    assert "            100  the longest" in lines
    bars = {
        line[:15].strip(): (line.count("█"), line.split()[-1])
        for line in lines
        if line.strip().startswith("up to")
    }
    assert bars == {
        "up to 1": (1, "1"),
        "up to 2": (0, "0"),
        "up to 4": (40, "40"),
        "up to 8": (20, "20"),
        "up to 16": (0, "0"),
        "up to 32": (0, "0"),
        "up to 64": (0, "0"),
        "up to 128": (1, "1"),
    }
