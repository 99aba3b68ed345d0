"""The paper's claims as hypotheses, and what a study says about each."""

from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from polycal.comparing.inference import holm
from polycal.study.scorings import HEADLINE

HOLDS, FAILS, INCONCLUSIVE = "holds", "fails", "inconclusive"
_FAMILY = ["model", "sft", "smoothing", "task", "scoring", "normaliser"]
_SHOWN = ["level", "metric", "estimate", "ci_low", "ci_high"]


class Claim(NamedTuple):
    """A directional claim about one contrast.

    Attributes:
        statement: as a sentence.
        reference: `base` or `sft`, as in the contrasts table; `others` compares a
            model's change by smoothing with the mean of the other models' changes.
        level: of the languages; `each` language for a claim about every one of them.
        metric: that is compared.
        direction: what is claimed of the difference: `rises`, `falls`, `stays` within
            the margin, or is `kept`, not falling by more than it.
    """

    statement: str
    reference: str
    level: str
    metric: str
    direction: str


class Test(NamedTuple):
    """A claim about one condition.

    Attributes:
        name: of the claim.
        row: of the contrasts that it is tested by.
        p: of 'it does not hold', not adjusted.
        p_against: of 'it is true', to the margin, not adjusted.
    """

    name: str
    row: int
    p: float
    p_against: float


EACH = "each"  # the level of a claim about every single language

# Calibration is judged by the signed gap: ECE is biased upwards on few questions, the
# more the wider the confidences spread, and a mean over languages does not undo that.
# arXiv 2601.01362; the last one is the doubt that others have.
CLAIMS: dict[str, Claim] = {
    "confidence": Claim(
        "SFT raises confidence in low-resource languages.",
        "base",
        "low",
        "confidence",
        "rises",
    ),
    "accuracy": Claim(
        "SFT leaves accuracy in low-resource languages as it is.",
        "base",
        "low",
        "accuracy",
        "stays",
    ),
    "calibration": Claim(
        "SFT makes the model more over-confident in low-resource languages.",
        "base",
        "low",
        "gap",
        "rises",
    ),
    "smoothing": Claim(
        "Label smoothing keeps over-confidence below that of plain SFT.",
        "sft",
        "all",
        "gap",
        "falls",
    ),
    "everywhere": Claim(
        "Label smoothing keeps over-confidence below that of plain SFT in every "
        "language.",
        "sft",
        EACH,
        "gap",
        "falls",
    ),
    "vocabulary": Claim(
        "Label smoothing lowers over-confidence less in the model with the largest "
        "vocabulary than in the others.",
        "others",
        "all",
        "gap",
        "rises",
    ),
    "cost": Claim(
        "Label smoothing costs no accuracy.",
        "sft",
        "all",
        "accuracy",
        "kept",
    ),
}


def judge(
    contrasts: pd.DataFrame, *, alpha: float
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Test all hypotheses of a study together.

    One family: every claim about every model, SFT set, smoothing, benchmark and
    scoring, with the headline normaliser and no calibrator. Holm's procedure keeps the
    probability that any of them holds by mistake below alpha, and likewise that any
    of them fails by mistake.

    Args:
        contrasts: rows of a contrasts table.
        alpha: such as 0.05.

    Returns:
        The contrasts with `p_adjusted` where a row carries a hypothesis, and the rows
        of the claims table.
    """
    tested = list(_hypotheses(contrasts))
    for_it = holm([test.p for test in tested])
    against = holm([test.p_against for test in tested])
    contrasts, rows = contrasts.copy(), []
    for test, p, p_against in zip(tested, for_it, against, strict=True):
        claim, row = CLAIMS[test.name], contrasts.loc[test.row]
        if claim.level != EACH:
            contrasts.loc[test.row, "p_adjusted"] = p
        shown = {name: row[name] for name in (*_FAMILY, *_SHOWN)}
        shown |= {"claim": test.name, "statement": claim.statement, "p_adjusted": p}
        denied = FAILS if p_against < alpha else INCONCLUSIVE
        rows.append({**shown, "verdict": HOLDS if p < alpha else denied})
    return contrasts, pd.DataFrame(rows)


def _hypotheses(contrasts: pd.DataFrame) -> Iterator[Test]:
    """Every claim about every condition that the study has contrasts for.

    That a claim holds for each language is tested by the language that speaks most
    against it: it holds for all if it holds for that one (Berger 1982). It fails if it
    fails for any, of which there are many to try (Bonferroni).
    """
    headline = contrasts["normaliser"] == contrasts["scoring"].map(HEADLINE)
    headline &= contrasts["calibrator"] == "none"
    for _, own in contrasts[headline].groupby(_FAMILY, sort=True):
        for name, claim in CLAIMS.items():
            rows = own[
                (own["reference"] == claim.reference)
                & ((own["smoothing"] == 0) == (claim.reference == "base"))
                & (own["metric"] == claim.metric)
            ]
            if claim.level == EACH:
                rows = rows[rows["sim_low"].notna()]
            else:
                rows = rows[rows["level"] == claim.level]
            if len(rows):
                p_values, against = _p_values(claim, rows), _p_against(claim, rows)
                worst = rows["estimate"][p_values == p_values.max()]
                lowest = min(1.0, float(against.min()) * len(rows))
                yield Test(name, worst.idxmax(), p_values.max(), lowest)


def _p_values(claim: Claim, rows: pd.DataFrame) -> pd.Series:
    """Of 'the claim does not hold'; two-sided for a direction, and 1 against it."""
    if claim.direction == "stays":
        return rows["p_equivalence"]
    if claim.direction == "kept":
        return rows["p_noninferiority"]
    centre = rows["ci_low"] + rows["ci_high"]
    towards = centre > 0 if claim.direction == "rises" else centre < 0
    return rows["p_value"].where(towards, 1.0)


def _p_against(claim: Claim, rows: pd.DataFrame) -> pd.Series:
    """Of 'the claim is true', to the margin.

    A difference that does not reach the margin is no rise or fall worth the name,
    one beyond it has not stayed, and one below -margin is not kept.
    """
    below, above = 1 - rows["p_noninferiority"], 1 - rows["p_nonsuperiority"]
    return {
        "rises": rows["p_nonsuperiority"],
        "falls": rows["p_noninferiority"],
        "stays": (2 * below.where(below < above, above)).clip(upper=1),
        "kept": below,
    }[claim.direction]
