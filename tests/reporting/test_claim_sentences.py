"""A claim is told with its verdict, both values, its difference and its interval."""

import pandas as pd
import pytest

from polycal.reporting.claim_sentences import describe_claims


def claims(*rows):
    """Rows of (level, estimate, verdict) of one claim, each with the ends 2 pp away."""
    return pd.DataFrame(
        [
            {
                **{"claim": "calibration", "statement": "It rises.", "model": "m"},
                **{"sft": "s", "family": "primary", "margin": 0.01, "reason": None},
                **{"smoothing": 0.1, "task": "t", "level": level, "metric": "ece"},
                **{"scoring": "letters"},
                **{"estimate": estimate, "p_adjusted": 0.012, "verdict": verdict},
                **{"ci_low": estimate - 0.02, "ci_high": estimate + 0.02},
                **{"before": 0.3, "after": 0.3 + estimate, "confidence": 0.975},
                **{"tipping_sd": None, "lr": 0.001, "lr_reference": 0.001},
                **{"detectable": 0.0312, "n_questions_needed": 1234.0},
                **{"n_seeds_needed": None, "n_seeds": 3},
            }
            for level, estimate, verdict in rows
        ]
    ).astype({"tipping_sd": float, "n_seeds_needed": float})


def test_a_claim_has_a_sentence_with_numbers():
    """Verdict, metric, both values, estimate, interval with its level, and p-value."""
    (told,) = describe_claims(claims(("low", 0.05, "holds")))
    assert told["statement"] == "It rises."
    (case,) = told["cases"]
    assert case == {
        "where": "t, letters, smoothing 0.1",
        "verdict": "holds",
        "kind": "holds",
        "mark": "✓",
        "text": "holds (ECE 30.0% → 35.0%: +5.0 pp [+3.0, +7.0], 97.5 % interval; "
        "adjusted p = 0.012)",
    }


def test_what_the_statement_does_not_say_is_added():
    """The language of a claim about all of them; the model where there are several."""
    both = pd.concat([claims(("sw", 0.01, "reversed")), claims(("all", 0.01, "holds"))])
    both["model"] = ["m", "n"]
    ((one, two),) = [each["cases"] for each in describe_claims(both)]
    assert one["text"].startswith("is reversed (ECE of Swahili 30.0% → 31.0%: +1.0 pp")
    assert two["where"] == "t, letters, n, SFT: s, smoothing 0.1"


RANGE = "[−3.0, +1.0], 97.5 % interval"


@pytest.mark.parametrize(
    ("changes", "where", "text"),
    [
        (
            {
                "verdict": "inconclusive",
                "metric": "gap",
                "ci_low": -0.04,
                "before": -0.1,
            },
            "t, letters, smoothing 0.1",
            "is inconclusive (gap −10.0 pp → +29.0 pp: −1.0 pp [−4.0, +1.0], 97.5 % "
            "interval; decides effects from 3.1 pp on; 1,234 questions would decide "
            "this one)",
        ),
        (
            {"smoothing": 0.0, "verdict": "holds for this checkpoint", "level": "all"},
            "t, letters",
            f"holds for this checkpoint (ECE 30.0% → 29.0%: −1.0 pp {RANGE}; "
            "adjusted p = 0.012)",
        ),
        (
            {"smoothing": 0.0, "verdict": "reversed for this training", "level": "all"}
            | {"tipping_sd": 0.0213},
            "t, letters",
            f"is reversed for this training (ECE 30.0% → 29.0%: −1.0 pp {RANGE}; "
            "adjusted p = 0.012; undone by an sd over trainings of 2.1 pp)",
        ),
        (
            {"p_adjusted": 0.000999, "verdict": "negligible", "family": "exploratory"},
            "t, letters, smoothing 0.1, exploratory",
            f"is about a negligible difference (ECE 30.0% → 29.0%: −1.0 pp {RANGE}; "
            "margin 1.0 pp; adjusted p < 0.001)",
        ),
        (
            {"p_adjusted": 0.001, "claim": "cost", "lr_reference": 0.002},
            "t, letters, smoothing 0.1",
            f"holds (ECE 30.0% → 29.0%: −1.0 pp {RANGE}; margin 1.0 pp; "
            "adjusted p = 0.001; other learning rate: 0.002 → 0.001)",
        ),
        (
            {
                "verdict": "not judged",
                "reason": "there is no language",
                "smoothing": None,
            },
            "t, letters",
            "is not judged (there is no language)",
        ),
        (
            {"verdict": "inconclusive", "reason": "over-confidence is not shown"}
            | dict.fromkeys(("n_questions_needed", "detectable"), float("nan")),
            "t, letters, smoothing 0.1",
            f"is inconclusive (ECE 30.0% → 29.0%: −1.0 pp {RANGE}; "
            "over-confidence is not shown)",
        ),
        (
            {"verdict": "inconclusive", "n_questions_needed": float("nan")},
            "t, letters, smoothing 0.1",
            f"is inconclusive (ECE 30.0% → 29.0%: −1.0 pp {RANGE}; decides effects "
            "from 3.1 pp on; more questions and more seeds would decide this one)",
        ),
        (
            {"verdict": "inconclusive", "n_seeds_needed": 7.0},
            "t, letters, smoothing 0.1",
            f"is inconclusive (ECE 30.0% → 29.0%: −1.0 pp {RANGE}; decides effects "
            "from 3.1 pp on; 1,234 questions would decide this one; 7 seeds would "
            "decide this one)",
        ),
    ],
)
def test_a_case_is_told_in_whole(changes, where, text):
    """Where it is, its verdict, and its numbers with their signs."""
    rows = claims(("low", -0.01, "holds")).assign(**changes)
    ((told,),) = [each["cases"] for each in describe_claims(rows)]
    assert (told["where"], told["text"]) == (where, text)
    assert told["verdict"] == changes.get("verdict", "holds")
    assert told["verdict"].startswith(told["kind"])


def test_claims_keep_the_order_of_their_table():
    """Statements, and the cases of each; several SFT sets are told apart, too."""
    one = claims(("low", 0.01, "holds"), ("low", 0.02, "holds"))
    one["sft"] = ["s", "r"]
    other = claims(("low", 0.03, "holds")).assign(statement="It falls.")
    told = describe_claims(pd.concat([one[:1], other, one[1:]]))
    assert [each["statement"] for each in told] == ["It rises.", "It falls."]
    places = [case["where"] for case in told[0]["cases"]]
    assert places == [f"t, letters, m, SFT: {sft}, smoothing 0.1" for sft in ("s", "r")]
