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
    ("parts", "text"),
    [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (list("abcd"), "a, b, c and d")],
)
def test_a_list_is_joined_by_commas_and_one_and(parts, text):
    """However long."""
    assert sentences.join(parts) == text


def test_a_difference_may_stand_without_its_unit():
    """In an interval, which has the unit once."""
    assert sentences.points(-0.0234, unit="") == "−2.3"
    assert sentences.percent(0.4567) == "45.7%"


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
        (-0.10, 0.0, "under-confidence almost vanishes"),
        (-0.10, 0.004, "under-confidence almost vanishes"),
        (0.10, -0.004, "over-confidence almost vanishes"),
        (0.004, -0.10, "under-confidence arises"),
        # Half a point is still a gap of neither side.
        (-0.005, 0.10, "over-confidence arises"),
        (0.005, -0.10, "under-confidence arises"),
        (-0.10, 0.005, "under-confidence almost vanishes"),
        (0.10, -0.005, "over-confidence almost vanishes"),
        (0.004, 0.005, "over-confidence arises"),
        (-0.004, -0.003, "under-confidence almost vanishes"),
        (0.10, 0.10, "over-confidence shrinks"),
    ],
)
def test_a_gap_is_named_by_its_side_and_size(before, after, words):
    """Every case of two signed gaps has its own words."""
    verdict = "increase" if after > before else "decrease"
    assert sentences.describe_gap(before, after, verdict).startswith(words)


def test_a_gap_s_sentence_has_its_numbers():
    """From the reference to the condition, in parentheses where words come between."""
    for before, after, said in (
        (0.05, 0.2, "over-confidence grows from +5.0 pp to +20.0 pp"),
        (0.2, -0.1, "over-confidence turns into under-confidence (from +20.0 pp to "),
        (-0.1, 0.2, "under-confidence turns into over-confidence (from −10.0 pp to "),
        (0.0, 0.1, "over-confidence arises (from 0.0 pp to +10.0 pp)"),
    ):
        assert sentences.describe_gap(before, after, "increase").startswith(said)


def test_a_comparison_tells_each_metric_by_its_own_verdict():
    """Four metrics, four verdicts, eight numbers."""
    before = {"accuracy": 0.4, "confidence": 0.5, "gap": 0.1, "ece": 0.12}
    after = {"accuracy": 0.38, "confidence": 0.7, "gap": 0.32, "ece": 0.33}
    verdicts = {"accuracy": "equivalent", "confidence": "increase"}
    verdicts |= {"gap": "inconclusive", "ece": "decrease"}
    assert sentences.describe_comparison(before, after, verdicts) == (
        "accuracy stays (40.0% and 38.0%); confidence rises from 50.0% to 70.0%; "
        "the gap goes from +10.0 pp to +32.0 pp, which may be noise; "
        "the ECE falls from 12.0% to 33.0%"
    )


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
        ([BASE_RANK], ["as it is"]),
    ):
        found = sentences.describe_findings(
            levels(*[(rank, "all", 1, *ranks[rank]) for rank in held]),
            languages(*[(rank, "de", *ranks[rank]) for rank in held]),
            changes(dict.fromkeys((0.0, 0.1), ("inconclusive",) * 4)),
        )
        assert [title for title, _ in found] == titles


def test_a_finding_is_told_from_its_own_rows():
    """Rows of other levels, ranks and facets' languages are not mixed in.

    Questions: 64 in the language that has fewest, so 1.96 sqrt(.25 x .75 / 64) = 10.6.
    """
    tongues = languages(
        *[(rank, code, 0.3, 0.3) for rank in (BASE_RANK, 0.0) for code in ("de", "sw")]
    )
    tongues["n_questions"] = [100, 64, 64, 81]
    moved = changes({0.0: ("equivalent", "increase", "increase", "inconclusive")})
    others = pd.DataFrame(
        [
            (0.0, "de", "confidence", "inconclusive", 0.1, 0.2),
            (0.0, "sw", "confidence", "inconclusive", 0.1, 0.3),
            (0.0, "sw", "accuracy", "decrease", -0.3, -0.1),
            (0.1, "sw", "accuracy", "decrease", -0.3, -0.1),
        ],
        columns=list(moved),
    )
    rows = levels(
        (BASE_RANK, "low", 1, 0.9, 0.9),
        (BASE_RANK, "all", 2, 0.3, 0.32),
        (0.0, "low", 1, 0.9, 0.9),
        (0.0, "all", 2, 0.31, 0.5),
    )
    found = sentences.describe_findings(rows, tongues, pd.concat([moved, others]))
    assert found == [
        (
            "SFT, against base",
            [
                "Over all 2 languages, accuracy stays (30.0% and 31.0%); "
                "confidence rises from 32.0% to 50.0%; "
                "over-confidence grows from +2.0 pp to +19.0 pp; "
                "the ECE goes from 2.0% to 19.0%, which may be noise. "
                "With 64 questions per language, that accuracy may be chance "
                "(25.0% ± 10.6 pp).",
                "Of 2 languages, confidence rises in 2 and falls in 0; "
                "accuracy rises in 0 and falls in 1; the ECE rises in 0 and falls in "
                "0; in the others, the simultaneous band includes 0.",
            ],
        )
    ]


def test_a_model_alone_is_told_as_it_is():
    """A base model without SFT, in one language."""
    found = sentences.describe_findings(
        levels((BASE_RANK, "all", 1, 0.6, 0.5)),
        languages((BASE_RANK, "de", 0.6, 0.5)),
        changes({}),
    )
    assert found == [
        (
            "as it is",
            [
                "In the one language, accuracy is 60.0%, confidence 50.0%, "
                "the gap −10.0 pp and the ECE 10.0%."
            ],
        )
    ]


@pytest.mark.parametrize(
    ("accuracy", "words"),
    [
        (0.15, "below chance (25.0%)"),
        (0.248, "may be chance (25.0% ± 8.5 pp)"),
        (0.32, "may be chance"),
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
    """Only if its simultaneous band excludes 0, up or down."""
    rows = [("confidence", 0.1, 0.2), ("confidence", -0.1, 0.2), ("ece", -0.3, -0.1)]
    found = pd.DataFrame(rows, columns=["metric", "sim_low", "sim_high"])
    said = sentences.count_changes(found, 3)
    assert said.startswith(
        "Of 3 languages, confidence rises in 1 and falls in 0; accuracy rises in 0 and "
        "falls in 0; the ECE rises in 0 and falls in 1; in the others"
    )


def test_a_band_that_ends_at_0_shows_no_change():
    """Neither up nor down; one language is not several."""
    rows = [("confidence", 0.0, 0.2), ("accuracy", -0.1, 0.0), ("ece", 0.1, 0.2)]
    found = pd.DataFrame(rows, columns=["metric", "sim_low", "sim_high"])
    assert sentences.count_changes(found, 1) == (
        "Of 1 language, confidence rises in 0 and falls in 0; accuracy rises in 0 and "
        "falls in 0; the ECE rises in 1 and falls in 0; in the others, the "
        "simultaneous band includes 0."
    )


def test_without_a_contrast_both_states_are_told():
    """As of a released checkpoint whose tokenizer is not its base model's."""
    whole = levels((BASE_RANK, "all", 2, 0.4, 0.5), (0.0, "all", 2, 0.6, 0.9))
    own = languages(
        (BASE_RANK, "de", 0.4, 0.5), (0.0, "de", 0.6, 0.9), (0.0, "sw", 0.6, 0.9)
    )
    ((title, said),) = sentences.describe_findings(whole, own, changes({}))
    assert title == "SFT"
    assert said[0].startswith("Over all 2 languages, accuracy is 60.0%, confidence 90")
    assert said[1].startswith("Of the base model, accuracy is 40.0%, confidence 50.0%")
    assert "The two are not compared: their tokenizers differ" in said[1]
