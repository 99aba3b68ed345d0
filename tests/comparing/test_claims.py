"""Verdicts on made-up contrasts, each at a known distance from 0 and the margin."""

import numpy as np
import pandas as pd
import pytest
from study import REPOSITORY

from polycal.comparing.claims import CLAIMS, EACH, Claim, judge, show_claims
from polycal.comparing.inference import Noise, p_above, p_equivalence, p_two_sided

MARGIN, SE = 0.01, 0.001


def contrast(claim: str, estimate: float, se: float = SE, **changes: object) -> dict:
    """The contrasts row that carries a claim; `level` for a single language."""
    about, noise = CLAIMS[claim], Noise(se, 0.0, 1)
    sims = {"sim_low": np.nan, "sim_high": np.nan}
    if about.level == EACH:
        sims = {"sim_low": estimate - 3 * se, "sim_high": estimate + 3 * se}
    return {
        "model": "m",
        "sft": "s",
        "smoothing": 0.0 if about.reference == "base" else 0.1,
        "reference": about.reference,
        "task": "t",
        "level": about.level,
        "scoring": "text",
        "normaliser": "token",
        "calibrator": "none",
        "metric": about.metric,
        "estimate": estimate,
        "ci_low": estimate - 1.96 * se,
        "ci_high": estimate + 1.96 * se,
        "p_value": float(p_two_sided(estimate, noise)),
        "p_adjusted": np.nan,
        "margin": MARGIN,
        "p_equivalence": float(p_equivalence(estimate, estimate, noise, MARGIN)),
        "p_noninferiority": float(p_above(estimate, noise, -MARGIN)),
        "p_nonsuperiority": float(p_above(-estimate, noise, -MARGIN)),
        **sims,
        **changes,
    }


def verdicts(*rows: dict) -> list[str]:
    return judge(pd.DataFrame(rows), alpha=0.05)[1]["verdict"].tolist()


@pytest.mark.parametrize(
    ("claim", "estimate", "verdict"),
    [
        ("confidence", 0.05, "holds"),
        ("confidence", 0.004, "holds"),  # sure, if less than the margin
        ("confidence", 0.0, "fails"),  # surely less than the margin
        ("confidence", -0.05, "fails"),
        ("accuracy", 0.0, "holds"),
        ("accuracy", 0.0095, "inconclusive"),
        ("accuracy", 0.05, "fails"),
        ("accuracy", -0.05, "fails"),
        ("calibration", 0.05, "holds"),
        ("smoothing", -0.05, "holds"),
        ("smoothing", 0.0, "fails"),
        ("smoothing", 0.05, "fails"),
        ("cost", 0.05, "holds"),
        ("cost", -0.0095, "inconclusive"),
        ("cost", -0.05, "fails"),
    ],
)
def test_a_claim_alone(claim, estimate, verdict):
    """Against 0 or against the margin, as docs/statistics.md tells."""
    assert verdicts(contrast(claim, estimate)) == [verdict]


@pytest.mark.parametrize("claim", [name for name in CLAIMS if name != "everywhere"])
def test_few_questions_are_inconclusive(claim):
    """A standard error of five margins decides nothing."""
    assert verdicts(contrast(claim, 0.0, 5 * MARGIN)) == ["inconclusive"]


def test_many_hypotheses_need_more_evidence():
    """p = 0.03 is enough alone, and not among two."""
    row = contrast("confidence", 2.17 * MARGIN, MARGIN)
    assert row["p_value"] == pytest.approx(0.03, abs=1e-3)
    assert verdicts(row) == ["holds"]
    other = row | {"model": "n"}
    contrasts, claims = judge(pd.DataFrame([row, other]), alpha=0.05)
    assert claims["verdict"].tolist() == ["inconclusive"] * 2
    assert claims["p_adjusted"].tolist() == pytest.approx([0.06] * 2, abs=2e-3)
    assert contrasts["p_adjusted"].tolist() == claims["p_adjusted"].tolist()


@pytest.mark.parametrize(
    ("estimates", "worst", "verdict"),
    [
        ([-0.05, -0.03, -0.04], "l1", "holds"),
        ([-0.05, 0.03, 0.02], "l1", "fails"),
        ([-0.05, -0.0085, -0.04], "l1", "holds"),
        ([-0.05, -0.0015, -0.04], "l1", "fails"),
    ],
)
def test_every_language_counts(estimates, worst, verdict):
    """The row is that of the language that speaks most against the claim."""
    rows = [
        contrast("everywhere", value, level=f"l{number}")
        for number, value in enumerate(estimates)
    ]
    found = judge(pd.DataFrame(rows), alpha=0.05)[1]
    assert found[["claim", "level", "verdict"]].to_numpy().tolist() == [
        ["everywhere", worst, verdict]
    ]


def test_only_the_headline_reading_is_judged():
    """Other normalisers and calibrated probabilities are described, not tested."""
    row = contrast("confidence", 0.05)
    others = [row | {"normaliser": "sum"}, row | {"calibrator": "ts_en"}]
    contrasts, claims = judge(pd.DataFrame([row, *others]), alpha=0.05)
    assert len(claims) == 1
    assert contrasts["p_adjusted"].notna().tolist() == [True, False, False]


@pytest.mark.parametrize(("others", "verdict"), [(1, "fails"), (2, "inconclusive")])
def test_one_language_of_many_may_speak_against_a_claim_by_chance(others, verdict):
    """p = .02 against it in one language: .04 of two languages, .06 of three."""
    se = 0.006
    against = contrast("everywhere", -MARGIN + 2.0537 * se, se, level="l0")
    assert against["p_noninferiority"] == pytest.approx(0.02, abs=1e-4)
    rest = [contrast("everywhere", -0.05, level=f"l{n}") for n in range(1, others + 1)]
    assert verdicts(against, *rest) == [verdict]


GOOD = {
    "name": "new",
    "statement": "SFT lowers the gap.",
    "reference": "base",
    "level": "low",
    "metric": "gap",
    "direction": "falls",
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metric": "nll"}, r"claim 'new': 'nll' may not carry a claim.*'gap'"),
        ({"metric": "auroc"}, "'auroc' may not carry a claim"),
        ({"metric": "ece"}, "'ece' may not carry a claim"),
        ({"metric": "nothing"}, "'nothing' may not carry a claim"),
        ({"direction": "up"}, "there is no direction 'up'"),
        ({"level": "lowest"}, "there is no level 'lowest'"),
        ({"reference": "plain"}, "there is no reference 'plain'"),
    ],
    ids=lambda value: "" if isinstance(value, str) else "-".join(value.values()),
)
def test_a_claim_that_nothing_can_judge_cannot_be_written(changes, message):
    """A metric without a margin, without replicates, with a bias; an unknown word."""
    assert Claim(**GOOD).metric == "gap"
    with pytest.raises(ValueError, match=message):
        Claim(**GOOD | changes)


def test_the_page_shows_every_claim(capsys):
    """docs/statistics.md holds what `polycal show-claims` prints."""
    show_claims()
    printed = capsys.readouterr().out
    assert f"\n\n{printed}\n" in (REPOSITORY / "docs" / "statistics.md").read_text()
    for name, claim in CLAIMS.items():
        assert f"| `{name}` | {claim.statement} |" in printed
