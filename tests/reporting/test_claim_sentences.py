"""A claim is told with its verdict, its number and its interval."""

import pandas as pd
import pytest

from polycal.reporting.claim_sentences import describe_claims


def claims(*rows):
    """Rows of (level, estimate, verdict) of one claim, each with the ends 2 pp away."""
    return pd.DataFrame(
        [
            {
                **{"claim": "c", "statement": "It rises.", "model": "m", "sft": "s"},
                **{"smoothing": 0.1, "task": "t", "level": level, "metric": "ece"},
                **{"estimate": estimate, "p_adjusted": 0.012, "verdict": verdict},
                **{"ci_low": estimate - 0.02, "ci_high": estimate + 0.02},
            }
            for level, estimate, verdict in rows
        ]
    )


def test_a_claim_has_a_sentence_with_numbers():
    """Verdict, metric, languages, estimate, interval and p-value."""
    (told,) = describe_claims(claims(("low", 0.05, "holds")))
    assert told["statement"] == "It rises."
    (case,) = told["cases"]
    assert case["where"] == "t, smoothing 0.1"
    assert case["text"] == ("holds (ECE +5.0 pp [+3.0, +7.0], adjusted p = 0.012)")


def test_what_the_statement_does_not_say_is_added():
    """The language of a claim about all of them; the model where there are several."""
    both = pd.concat([claims(("sw", 0.01, "fails")), claims(("all", 0.01, "holds"))])
    both["model"] = ["m", "n"]
    ((one, two),) = [each["cases"] for each in describe_claims(both)]
    assert one["text"] == "is refuted (ECE of Swahili +1.0 pp [−1.0, +3.0])"
    assert two["where"] == "t, n, SFT on s, smoothing 0.1"


@pytest.mark.parametrize(
    ("changes", "where", "text"),
    [
        (
            {"verdict": "inconclusive", "metric": "gap", "ci_low": -0.04},
            "t, smoothing 0.1",
            "is neither shown nor refuted (gap −1.0 pp [−4.0, +1.0])",
        ),
        (
            {"smoothing": 0.0, "verdict": "fails", "level": "all"},
            "t",
            "is refuted (ECE −1.0 pp [−3.0, +1.0])",
        ),
        (
            {"p_adjusted": 0.000999},
            "t, smoothing 0.1",
            "holds (ECE −1.0 pp [−3.0, +1.0], adjusted p < 0.001)",
        ),
        (
            {"p_adjusted": 0.001, "level": "mid"},
            "t, smoothing 0.1",
            "holds (ECE −1.0 pp [−3.0, +1.0], adjusted p = 0.001)",
        ),
    ],
)
def test_a_case_is_told_in_whole(changes, where, text):
    """Where it is, its verdict, and its numbers with their signs."""
    ((told,),) = [
        each["cases"]
        for each in describe_claims(claims(("low", -0.01, "holds")).assign(**changes))
    ]
    assert told == {
        "where": where,
        "verdict": changes.get("verdict", "holds"),
        "text": text,
    }


def test_claims_keep_the_order_of_their_table():
    """Statements, and the cases of each; several SFT sets are told apart, too."""
    one = claims(("low", 0.01, "fails"), ("low", 0.02, "fails"))
    one["sft"] = ["s", "r"]
    other = claims(("low", 0.03, "fails")).assign(statement="It falls.")
    told = describe_claims(pd.concat([one[:1], other, one[1:]]))
    assert [each["statement"] for each in told] == ["It rises.", "It falls."]
    places = [case["where"] for case in told[0]["cases"]]
    assert places == ["t, m, SFT on s, smoothing 0.1", "t, m, SFT on r, smoothing 0.1"]
