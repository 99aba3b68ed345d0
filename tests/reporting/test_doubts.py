"""Answers that are hard to believe are said to be."""

import pandas as pd

from polycal.reporting.doubts import (
    describe_subjects,
    warn_of_chance,
    warn_of_dtypes,
    warn_of_letters,
    warn_of_place,
)


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


def test_scores_of_several_dtypes_are_said():
    """A base model scored on a CPU and a tuned one on a GPU differ by rounding, too."""
    (told,) = warn_of_dtypes({"dtype": ["bfloat16", "float32"]})
    assert told.startswith("Some scores are in bfloat16 and float32, as each device")
    assert warn_of_dtypes({"dtype": ["float32"]}) == warn_of_dtypes({}) == []


def test_answers_in_one_place_are_named():
    """In over nine of ten questions; texts have no letters."""
    rows = [("m", -1.0, "all", 0.95), ("m", 0.0, "all", 0.9), ("m", 0.0, "low", 1.0)]
    levels = pd.DataFrame(rows, columns=["facet", "rank", "level", "letter_share"])
    told = warn_of_place(levels)
    assert told.startswith("In more than 90% of the questions")
    assert "for base: such answers" in told
    assert warn_of_place(levels.drop(columns="letter_share")) == ""


def test_standard_errors_over_subjects_are_compared_with_those_over_questions():
    """By the median of the ratios of each metric; rows without either are left out."""
    rows = [("accuracy", 0.02, 0.03), ("accuracy", 0.02, 0.05), ("accuracy", 0.0, 0.9)]
    rows += [("gap", 0.04, 0.03), ("confidence", 0.04, None), ("ece", 0.1, 0.9)]
    metrics = pd.DataFrame(rows, columns=["metric", "se", "se_subjects"])
    told = describe_subjects(metrics)
    assert "standard errors are 2.00 for accuracy and 0.75 for gap times as" in told
    assert describe_subjects(metrics.assign(se_subjects=float("nan"))) == ""
