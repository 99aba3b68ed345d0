"""The cells of the page's tables, by hand."""

import pandas as pd
import pytest

from polycal.reporting.report_tables import (
    compare,
    count_table,
    difference_table,
    level_table,
    warn_of_chance,
    warn_of_letters,
    warn_of_place,
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
    counts = [(cell["up"], cell["down"]) for cell in row["cells"]]
    assert dict(zip(SHORT, counts, strict=True)) == {
        **{"accuracy": (0, 1), "confidence": (1, 0), "gap": (0, 0), "ece": (0, 0)}
    }


def test_accuracies_that_may_be_chance_are_named():
    """With 64 questions, 1.96 sqrt(.25 x .75 / 64) is 10.6 points over 25."""
    rows = [("m", -1.0, "all", 0.30), ("m", 0.0, "all", 0.36), ("m", 0.0, "low", 0.2)]
    columns = ["facet", "rank", "level", "accuracy"]
    levels = pd.DataFrame(rows, columns=columns).assign(chance=0.25)
    assert warn_of_chance(levels, 64) == (
        "With 64 questions per language, a mean accuracy of up to 35.6% may be chance, "
        "as it may for base."
    )
    assert warn_of_chance(levels, 6400) == ""
    every = warn_of_chance(levels.assign(accuracy=0.2), 64)
    assert every.endswith("as it may in every condition.")
    both = pd.concat([levels, levels.assign(facet="n")])
    assert warn_of_chance(both, 64).endswith("for m, base and n, base.")


def test_letters_that_are_hardly_an_answer_are_named():
    """exp(-2.5) is 8.2 %, exp(-2) 13.5 %; unknown of imported scores and of texts."""
    row = {"facet": "m", "level": "all"}
    levels = pd.DataFrame(
        [row | {"rank": rank, "log_mass": m} for rank, m in ((-1.0, -2.5), (0.0, -2.0))]
    )
    said = warn_of_letters(levels)
    assert said.startswith("All letters together hold less than 10% of the probability")
    assert "(geometric mean) for base: an answer" in said
    both = pd.concat([levels, levels.assign(facet="n", log_mass=-9.0)])
    assert "for m, base, n, base and n, SFT: an answer" in warn_of_letters(both)
    bases = both[both["rank"] == -1.0]  # models as they are
    assert "for m and n: an answer" in warn_of_letters(bases)
    assert warn_of_letters(levels.iloc[1:]) == ""
    assert warn_of_letters(levels.assign(log_mass=float("nan"))) == ""
    assert warn_of_letters(levels.drop(columns="log_mass")) == ""


def test_answers_in_one_place_are_named():
    """In over nine of ten questions; texts have no letters."""
    rows = [("m", -1.0, "all", 0.95), ("m", 0.0, "all", 0.9), ("m", 0.0, "low", 1.0)]
    levels = pd.DataFrame(rows, columns=["facet", "rank", "level", "letter_share"])
    told = warn_of_place(levels)
    assert told.startswith("In more than 90% of the questions")
    assert "for base: such answers" in told
    assert warn_of_place(levels.drop(columns="letter_share")) == ""
