"""The words follow the numbers."""

import pandas as pd
import pytest

from polycal.comparing.conditions import BASE_RANK
from polycal.reporting import sentences


def numbers(accuracy: float, confidence: float, **others: float) -> dict[str, float]:
    """One group of languages."""
    gap = confidence - accuracy
    values = {"accuracy": accuracy, "confidence": confidence, "gap": gap}
    return values | {"ece": abs(gap), "chance": 0.25} | others


def levels(*rows: tuple) -> pd.DataFrame:
    """Rows of (rank, level, number of languages, accuracy, confidence)."""
    return pd.DataFrame(
        [
            {"facet": "m", "rank": rank, "level": level, "n_languages": n}
            | numbers(accuracy, confidence)
            for rank, level, n, accuracy, confidence in rows
        ]
    )


METRICS = ("accuracy", "confidence", "gap", "ece")


def changes(verdicts: dict[float, tuple[str, ...]]) -> pd.DataFrame:
    """For each rank the verdicts of `METRICS` over all languages."""
    columns = ["rank", "level", "metric", "verdict", "sim_low", "sim_high"]
    rows = [
        (rank, "all", metric, verdict, None, None)
        for rank, words in verdicts.items()
        for metric, verdict in zip(METRICS, words, strict=True)
    ]
    return pd.DataFrame(rows, columns=columns).astype(
        {"sim_low": float, "sim_high": float}
    )


def languages(*rows: tuple, facet: str = "m") -> pd.DataFrame:
    """Rows of (rank, language, accuracy, confidence)."""
    return pd.DataFrame(
        [
            {"facet": facet, "rank": rank, "language": code, "n_questions": 100}
            | numbers(accuracy, confidence)
            for rank, code, accuracy, confidence in rows
        ]
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.123, "+12.3 pp"), (-0.05, "−5.0 pp"), (0.0, "0.0 pp"), (-0.0001, "0.0 pp")],
)
def test_points_are_signed_unless_zero(value, text):
    """A difference has a sign, with a real minus, and zero has none."""
    assert sentences.points(value) == text


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        ("increase", "accuracy rises from 40.0% to 41.0%"),
        ("decrease", "accuracy falls from 40.0% to 41.0%"),
        ("equivalent", "accuracy stays (40.0% and 41.0%)"),
        ("inconclusive", "accuracy goes from 40.0% to 41.0%, which may be noise"),
    ],
)
def test_a_change_is_named_by_its_verdict(verdict, words):
    """Not by its size: the same change may be sure, or none."""
    assert sentences.describe_change("accuracy", 0.4, 0.41, verdict) == words


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (0.05, 0.20, "over-confidence grows"),
        (0.20, 0.05, "over-confidence shrinks"),
        (-0.05, -0.20, "under-confidence grows"),
        (-0.20, -0.05, "under-confidence shrinks"),
        (-0.10, 0.10, "under-confidence turns into over-confidence"),
        (0.10, -0.10, "over-confidence turns into under-confidence"),
        (-0.002, 0.10, "over-confidence arises"),
        (-0.10, 0.0, "under-confidence all but vanishes"),
        (-0.10, 0.004, "under-confidence all but vanishes"),
        (0.10, -0.004, "over-confidence all but vanishes"),
        (0.004, -0.10, "under-confidence arises"),
    ],
)
def test_a_gap_is_named_by_its_side_and_size(before, after, words):
    """Every case of two signed gaps has its own words."""
    verdict = "increase" if after > before else "decrease"
    assert sentences.describe_gap(before, after, verdict).startswith(words)


def test_a_state_is_told_in_its_own_numbers():
    """Each under its own name, the gap with its sign."""
    values = {"accuracy": 0.4, "confidence": 0.55, "gap": 0.15, "ece": 0.2}
    assert sentences.describe_state(values) == (
        "accuracy is 40.0%, confidence 55.0%, the gap +15.0 pp and the ECE 20.0%"
    )


def test_a_gap_that_may_be_noise_has_no_side():
    """Nor has one that stays."""
    said = sentences.describe_gap(-0.05, 0.05, "inconclusive")
    assert said == "the gap goes from −5.0 pp to +5.0 pp, which may be noise"
    said = sentences.describe_gap(0.05, 0.051, "equivalent")
    assert said == "the gap stays (+5.0 pp and +5.1 pp)"


def test_findings_follow_the_numbers_both_ways():
    """The same code says that SFT raises confidence, or that it lowers it."""
    before, after = (0.4, 0.45), (0.4, 0.65)
    for first, last, verdict, words in (
        (before, after, "increase", ("confidence rises from", "over-confidence grows")),
        (after, before, "decrease", ("confidence falls from", "over-confidence shrin")),
    ):
        ((title, said),) = sentences.describe_findings(
            levels((BASE_RANK, "all", 1, *first), (0.0, "all", 1, *last)),
            languages((BASE_RANK, "de", *first), (0.0, "de", *last)),
            changes({0.0: ("equivalent", verdict, verdict, verdict)}),
        )
        assert title == "SFT, against base"
        assert all(each in " ".join(said) for each in words)
        assert "accuracy stays" in " ".join(said)


def test_findings_compare_smoothing_with_what_there_is():
    """With SFT without smoothing if the study has it, else with the base model."""
    ranks = {BASE_RANK: (0.4, 0.5), 0.0: (0.4, 0.7), 0.1: (0.4, 0.6)}
    for held, titles in (
        (list(ranks), ["SFT, against base", "SFT, smoothing 0.1, against SFT"]),
        ([BASE_RANK, 0.1], ["SFT, smoothing 0.1, against base"]),
        ([BASE_RANK], ["base"]),
    ):
        found = sentences.describe_findings(
            levels(*[(rank, "all", 1, *ranks[rank]) for rank in held]),
            languages(*[(rank, "de", *ranks[rank]) for rank in held]),
            changes(dict.fromkeys((0.0, 0.1), ("inconclusive",) * 4)),
        )
        assert [title for title, _ in found] == titles


@pytest.mark.parametrize(
    ("accuracy", "words"),
    [
        (0.15, "below chance (25.0%)"),
        (0.248, "cannot be told from chance (25.0% ± 8.5 pp)"),
        (0.32, "cannot be told from chance"),
        (0.4, None),
    ],
)
def test_an_accuracy_at_chance_is_called_so(accuracy, words):
    """Nobody takes a guess for knowledge, nor noise of 100 questions for less."""
    ((_, said),) = sentences.describe_findings(
        levels((BASE_RANK, "all", 1, accuracy, 0.5)),
        languages((BASE_RANK, "de", accuracy, 0.5)),
        changes({}),
    )
    assert (words in said[0]) if words else ("chance" not in said[0])


def test_changes_are_counted_by_language():
    """Only what a simultaneous band leaves 0 out of counts, up or down."""
    rows = [("confidence", 0.1, 0.2), ("confidence", -0.1, 0.2), ("ece", -0.3, -0.1)]
    found = pd.DataFrame(rows, columns=["metric", "sim_low", "sim_high"])
    said = sentences.count_changes(found, 3)
    assert said.startswith(
        "Of 3 languages, confidence rises in 1 and falls in 0; accuracy rises in 0 and "
        "falls in 0; the ECE rises in 0 and falls in 1; in the others"
    )


@pytest.mark.parametrize(
    ("policy", "missing", "differing", "words"),
    [
        ("intersection", 0, 0, "all languages have the same questions; nothing is"),
        (
            "intersection",
            2,
            0,
            "8 questions are compared in all languages; 2 are left ",
        ),
        ("intersection", 1, 0, "1 is left out (1 that some language lacks)."),
        ("intersection", 2, 1, "(2 that some language lacks and 1 whose answer or num"),
        ("own", 0, 0, "every language has its own questions"),
    ],
)
def test_what_is_compared_is_told_with_what_is_left_out(
    policy, missing, differing, words
):
    """The numbers and the reasons are those of the check."""
    left_out = missing + differing
    check = {
        "policy": policy,
        "n_all": 10,
        "n_common": None if policy == "own" else 10 - left_out,
        "test": {
            "missing": [{"questions": ["x"]}] * missing,
            "differing": [{}] * differing,
        },
    }
    assert words in sentences.describe_compared(check)
