"""The study's claims as records, and the verdict on each."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from polycal.calibration import METRICS
from polycal.comparing.inference import holm
from polycal.study.languages import ALL, LEVELS
from polycal.study.scorings import HEADLINE
from polycal.verb import verb

# References of a contrast: the base model, SFT without smoothing; and of the difference
# between models: the mean of the other models' changes by smoothing.
TO_BASE, TO_SFT, TO_OTHERS = "base", "sft", "others"
EACH = "each"  # the level of a claim about every single language
HOLDS, FAILS, INCONCLUSIVE = "holds", "fails", "inconclusive"
_FAMILY = ["model", "sft", "smoothing", "task", "scoring", "normaliser"]
_SHOWN = ["level", "metric", "estimate", "ci_low", "ci_high"]


class Direction(NamedTuple):
    """A difference that a claim may assert.

    Attributes:
        holds: the claim holds if the difference is shown to be this.
        fails: the claim fails if the difference is shown to be this.
        p: from rows of a contrasts table to the p-values of "the claim is wrong".
        p_against: from the rows to the p-values of "the claim is true".
    """

    holds: str
    fails: str
    p: Callable[[pd.DataFrame], pd.Series]
    p_against: Callable[[pd.DataFrame], pd.Series]


def _p_above_zero(rows: pd.DataFrame) -> pd.Series:
    """Return the two-sided p-values where the difference is above 0, else 1."""
    return rows["p_value"].where(rows["ci_low"] + rows["ci_high"] > 0, 1.0)


def _p_below_zero(rows: pd.DataFrame) -> pd.Series:
    return rows["p_value"].where(rows["ci_low"] + rows["ci_high"] < 0, 1.0)


def _p_beyond_margin(rows: pd.DataFrame) -> pd.Series:
    """Return the p-values of "the difference is within the margins", two-sided."""
    below, above = 1 - rows["p_noninferiority"], 1 - rows["p_nonsuperiority"]
    return (2 * below.where(below < above, above)).clip(upper=1)


# A difference that does not reach the margin is no rise or fall worth the name, one
# beyond it has not stayed, and one below -margin is not kept.
DIRECTIONS = {
    "rises": Direction(
        "above 0", "below the margin", _p_above_zero, lambda r: r["p_nonsuperiority"]
    ),
    "falls": Direction(
        "below 0",
        "above minus the margin",
        _p_below_zero,
        lambda r: r["p_noninferiority"],
    ),
    "stays": Direction(
        "within the margins",
        "beyond a margin",
        lambda r: r["p_equivalence"],
        _p_beyond_margin,
    ),
    "kept": Direction(
        "above minus the margin",
        "below minus the margin",
        lambda r: r["p_noninferiority"],
        lambda r: 1 - r["p_noninferiority"],
    ),
}


@dataclass(frozen=True)
class Claim:
    """A directional claim about one contrast.

    Attributes:
        name: in tables.
        statement: as a sentence.
        reference: `TO_BASE`, `TO_SFT` or `TO_OTHERS`.
        level: of the languages: a resource level, `ALL`, or `EACH` single language.
        metric: that is compared.
        direction: of the difference, one of `DIRECTIONS`: it `rises`, `falls`, `stays`
            within the margin, or is `kept`, not falling by more than it.
    """

    name: str
    statement: str
    reference: str
    level: str
    metric: str
    direction: str

    def __post_init__(self) -> None:
        """Refuse a claim that no test can judge.

        Raises:
            ValueError: the metric has no margin, no interval or a bias; or the
                reference, level or direction is unknown.
        """
        metric = METRICS.get(self.metric)
        if metric is None or not metric.may_carry_claim:
            carrying = [name for name, each in METRICS.items() if each.may_carry_claim]
            raise ValueError(
                f"claim {self.name!r}: {self.metric!r} may not carry a claim, which "
                f"needs a margin, replicates and no bias; take one of {carrying}"
            )
        for name, known in (
            ("reference", (TO_BASE, TO_SFT, TO_OTHERS)),
            ("level", (*LEVELS, ALL, EACH)),
            ("direction", tuple(DIRECTIONS)),
        ):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"claim {self.name!r}: there is no {name} {getattr(self, name)!r}; "
                    f"take one of {known}"
                )


# Calibration is judged by the signed gap: ECE is biased upwards on few questions.
# From arXiv 2601.01362; `cost` is the doubt that others have.
_RECORDS = (
    Claim(
        name="confidence",
        statement="SFT raises confidence in low-resource languages.",
        reference=TO_BASE,
        level="low",
        metric="confidence",
        direction="rises",
    ),
    Claim(
        name="accuracy",
        statement="SFT leaves accuracy in low-resource languages as it is.",
        reference=TO_BASE,
        level="low",
        metric="accuracy",
        direction="stays",
    ),
    Claim(
        name="calibration",
        statement="SFT makes the model more over-confident in low-resource languages.",
        reference=TO_BASE,
        level="low",
        metric="gap",
        direction="rises",
    ),
    Claim(
        name="smoothing",
        statement="Label smoothing keeps over-confidence below that of plain SFT.",
        reference=TO_SFT,
        level=ALL,
        metric="gap",
        direction="falls",
    ),
    Claim(
        name="everywhere",
        statement="Label smoothing keeps over-confidence below that of plain SFT in "
        "every language.",
        reference=TO_SFT,
        level=EACH,
        metric="gap",
        direction="falls",
    ),
    Claim(
        name="vocabulary",
        statement="Label smoothing lowers over-confidence less in the model with the "
        "largest vocabulary than in the others.",
        reference=TO_OTHERS,
        level=ALL,
        metric="gap",
        direction="rises",
    ),
    Claim(
        name="cost",
        statement="Label smoothing costs no accuracy.",
        reference=TO_SFT,
        level=ALL,
        metric="accuracy",
        direction="kept",
    ),
)
CLAIMS: dict[str, Claim] = {claim.name: claim for claim in _RECORDS}


class Hypothesis(NamedTuple):
    """A claim about one condition.

    Attributes:
        claim: the record.
        row: of the contrasts that it is tested by.
        p: of "the claim is wrong", not adjusted.
        p_against: of "the claim is true", to the margin, not adjusted.
    """

    claim: Claim
    row: int
    p: float
    p_against: float


@verb()
def show_claims() -> None:
    """Print the table of docs/statistics.md: the record of each claim."""
    print("| claim | statement | holds if shown to be | fails if shown to be |")
    print("|---|---|---|---|")
    for claim in CLAIMS.values():
        direction = DIRECTIONS[claim.direction]
        holds, fails = direction.holds, direction.fails
        if claim.level == EACH:
            holds, fails = f"{holds} in every language", f"{fails} in any language"
        print(f"| `{claim.name}` | {claim.statement} | {holds} | {fails} |")


def judge(
    contrasts: pd.DataFrame, *, alpha: float
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Hypothesis all hypotheses of a study together.

    They are one family: every claim about every model, SFT set, smoothing, benchmark
    and scoring, with the headline normaliser and no calibrator. Holm's procedure keeps
    the probability that any of them holds by mistake below alpha, and likewise that
    any of them fails by mistake.

    Args:
        contrasts: rows of a contrasts table.
        alpha: such as 0.05.

    Returns:
        The contrasts with `p_adjusted` where a row carries a hypothesis, and the rows
        of the claims table.
    """
    tests = list(_hypotheses(contrasts))
    adjusted = holm([test.p for test in tests])
    adjusted_against = holm([test.p_against for test in tests])
    contrasts, rows = contrasts.copy(), []
    for test, p, p_against in zip(tests, adjusted, adjusted_against, strict=True):
        row = contrasts.loc[test.row]
        if test.claim.level != EACH:
            contrasts.loc[test.row, "p_adjusted"] = p
        shown = {name: row[name] for name in (*_FAMILY, *_SHOWN)}
        shown |= {"claim": test.claim.name, "statement": test.claim.statement}
        refuted = FAILS if p_against < alpha else INCONCLUSIVE
        verdict = HOLDS if p < alpha else refuted
        rows.append({**shown, "p_adjusted": p, "verdict": verdict})
    return contrasts, pd.DataFrame(rows)


def _hypotheses(contrasts: pd.DataFrame) -> Iterator[Hypothesis]:
    """Yield every claim about every condition that the study has contrasts for.

    A claim about each language is tested by the language that speaks most against it:
    it holds for all if it holds for that one (Berger 1982). It fails if it fails for
    any, which takes Bonferroni's correction for their number.
    """
    headline = contrasts["normaliser"] == contrasts["scoring"].map(HEADLINE)
    headline &= contrasts["calibrator"] == "none"
    for _, own in contrasts[headline].groupby(_FAMILY, sort=True):
        for claim in CLAIMS.values():
            rows = own[
                (own["reference"] == claim.reference)
                & ((own["smoothing"] == 0) == (claim.reference == TO_BASE))
                & (own["metric"] == claim.metric)
            ]
            if claim.level == EACH:
                rows = rows[rows["sim_low"].notna()]
            else:
                rows = rows[rows["level"] == claim.level]
            if len(rows):
                direction = DIRECTIONS[claim.direction]
                p_values, against = direction.p(rows), direction.p_against(rows)
                worst = rows["estimate"][p_values == p_values.max()]
                lowest = min(1.0, float(against.min()) * len(rows))
                yield Hypothesis(claim, worst.idxmax(), p_values.max(), lowest)
