"""The cells of the page's tables, by hand."""

import pandas as pd
import pytest

from polycal.reporting.report_tables import (
    compare,
    count_table,
    difference_table,
    level_table,
)

SHORT = ("accuracy", "confidence", "gap", "ece")


@pytest.mark.parametrize(
    ("low", "high", "bold"),
    [(0.02, 0.07, True), (-0.07, -0.02, True), (-0.02, 0.07, False)],
)
def test_a_change_is_bold_where_its_interval_leaves_0_out(low, high, bold):
    """A fall as much as a rise; the interval's lower end comes first."""
    row = {"rank": 0.0, "reference": "base", "level": "all", "n_languages": 3}
    row |= {"estimate": (low + high) / 2, "ci_low": low, "ci_high": high}
    (made,) = difference_table(pd.DataFrame([row | {"metric": m} for m in SHORT]))
    assert made["comparison"] == "SFT − base"
    for cell in made["cells"]:
        assert cell["bold"] is bold
        ends = cell["interval"].strip("[]").replace("−", "-").split(", ")
        assert [float(end) for end in ends] == pytest.approx([100 * low, 100 * high])


def test_a_single_seed_is_marked_and_a_released_checkpoint_is_not():
    """It is the checkpoint itself, not a draw of trainings."""
    row = {"level": "all", "n_languages": 1, "n_seeds": 1, "accuracy": 0.5}
    levels = pd.DataFrame([row | {"rank": rank} for rank in (-1.0, 0.0)])
    for is_released, marked in ((False, [False, True]), (True, [False, False])):
        (group,) = level_table(levels, is_released=is_released)["groups"]
        assert [line["single"] for line in group["rows"]] == marked


@pytest.mark.parametrize(
    ("rank", "reference", "words"),
    [
        (0.1, "sft", "SFT, smoothing 0.1 − SFT"),
        (0.1, "base", "SFT, smoothing 0.1 − base"),
        (-1.0, "task:plain", "base − the same on plain"),
        (0.1, "task:plain", "SFT, smoothing 0.1 − the same on plain"),
        (0.0, "stage:dpo", "this checkpoint − dpo"),
    ],
)
def test_a_comparison_in_words(rank, reference, words):
    """With another condition, or with itself asked in another way."""
    assert compare(rank, reference) == words


def test_languages_are_counted_by_their_bands():
    """Up or down only if the band leaves out 0; levels are no languages."""
    bands = [
        ("de", "confidence", 0.1, 0.2),
        ("sw", "confidence", 0.0, 0.2),
        ("sw", "accuracy", -0.3, -0.1),
        ("de", "accuracy", -0.1, 0.0),
        ("low", "ece", 0.1, 0.2),
        ("all", "ece", 0.1, 0.2),
    ]
    columns = ["level", "metric", "sim_low", "sim_high"]
    changes = pd.DataFrame(bands, columns=columns).assign(rank=0.0, reference="base")
    (row,) = count_table(changes)
    assert (row["comparison"], row["n"]) == ("SFT − base", 2)
    counts = [cell["text"] for cell in row["cells"]]
    assert dict(zip(SHORT, counts, strict=True)) == {
        **{"accuracy": "0 ↑ 1 ↓", "confidence": "1 ↑ 0 ↓"},
        **{"gap": "0 ↑ 0 ↓", "ece": "0 ↑ 0 ↓"},
    }
    assert count_table(changes[changes["level"] != "de"]) == []
