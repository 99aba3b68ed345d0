"""The study's claims as records."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from polycal.calibration import METRICS
from polycal.measuring.readings import UNCALIBRATED
from polycal.measuring.temperature import CALIBRATORS, FROM_ENGLISH
from polycal.study.languages import ALL, LEVELS
from polycal.study.scorings import SCORINGS
from polycal.verb import verb

# References of a contrast: the base model; SFT without smoothing; the same with a
# temperature that was fitted on English; and of the difference between models: the mean
# of the other models' changes by smoothing.
TO_BASE, TO_SFT, TO_SCALED, TO_OTHERS = "base", "sft", "scaled", "others"
EACH = "each"  # the level of a claim about every single language


class Direction(NamedTuple):
    """A difference that a claim may assert.

    Each function takes the least and the largest value of the difference without noise,
    and the margin, and returns how far it lies beyond what decides; below 0: it does
    not.

    Attributes:
        holds: the claim holds if the difference is shown to be this.
        reversed: the claim is reversed if the difference is shown to be this.
        beyond: the function of `holds`.
        beyond_reversed: the function of `reversed`.
        may_be_negligible: whether a difference within the margin is a verdict of its
            own.
    """

    holds: str
    reversed: str
    beyond: Callable[[pd.Series, pd.Series, pd.Series], pd.Series]
    beyond_reversed: Callable[[pd.Series, pd.Series, pd.Series], pd.Series]
    may_be_negligible: bool


def inside(low: pd.Series, high: pd.Series, margin: pd.Series) -> pd.Series:
    """Return how far a difference lies within its margins."""
    return np.minimum(low + margin, margin - high)


DIRECTIONS = {
    "rises": Direction(
        "above 0",
        "below 0",
        lambda low, high, margin: low,
        lambda low, high, margin: -high,
        may_be_negligible=True,
    ),
    "falls": Direction(
        "below 0",
        "above 0",
        lambda low, high, margin: -high,
        lambda low, high, margin: low,
        may_be_negligible=True,
    ),
    "stays": Direction(
        "within the margins",
        "beyond a margin",
        inside,
        lambda low, high, margin: np.maximum(low - margin, -margin - high),
        may_be_negligible=False,
    ),
    "kept": Direction(
        "above minus the margin",
        "below minus the margin",
        lambda low, high, margin: low + margin,
        lambda low, high, margin: -margin - high,
        may_be_negligible=False,
    ),
}


_OF_OVERCONFIDENCE = {("gap", "rises"), ("gap", "falls")}


@dataclass(frozen=True)
class Claim:
    """A directional claim about one contrast.

    Attributes:
        name: in tables.
        statement: as a sentence.
        reference: `TO_BASE`, `TO_SFT`, `TO_SCALED` or `TO_OTHERS`.
        level: of the languages: a resource level, `ALL`, or `EACH` single language.
        metric: that is compared.
        direction: of the difference, one of `DIRECTIONS`: it `rises`, `falls`, `stays`
            within the margin, or is `kept`, not falling by more than it.
        over: whether the claim is about over-confidence, so that the larger of the two
            gaps has to be shown above 0.
        scoring: that it is judged under; None: under each.
        calibrator: of the condition that is compared.
    """

    name: str
    statement: str
    reference: str
    level: str
    metric: str
    direction: str
    over: bool = False
    scoring: str | None = None
    calibrator: str = UNCALIBRATED

    def __post_init__(self) -> None:
        """Refuse a claim that no test can judge.

        Raises:
            ValueError: the metric has no margin or no interval; a claim about
                over-confidence is not about the gap; or the reference, level,
                direction, scoring or calibrator is unknown.
        """
        metric = METRICS.get(self.metric)
        if metric is None or not metric.may_carry_claim:
            carrying = [name for name, each in METRICS.items() if each.may_carry_claim]
            raise ValueError(
                f"claim {self.name!r}: {self.metric!r} may not carry a claim, which "
                f"needs a margin and replicates; take one of {carrying}"
            )
        if self.over and (self.metric, self.direction) not in _OF_OVERCONFIDENCE:
            raise ValueError(
                f"claim {self.name!r}: over-confidence is a gap that rises or falls, "
                f"not {self.metric!r} that {self.direction!r}"
            )
        for name, known in (
            ("reference", (TO_BASE, TO_SFT, TO_SCALED, TO_OTHERS)),
            ("level", (*LEVELS, ALL, EACH)),
            ("direction", tuple(DIRECTIONS)),
            ("scoring", (*SCORINGS, None)),
            ("calibrator", (UNCALIBRATED, *CALIBRATORS)),
        ):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"claim {self.name!r}: there is no {name} {getattr(self, name)!r}; "
                    f"take one of {known}"
                )


# From arXiv 2601.01362; `cost` and the claims about a temperature are doubts that
# others have. Over-confidence is judged by the signed gap where it is above 0,
# calibration by the ECE; whether a temperature would do, by a proper score, too.
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
        name="overconfidence",
        statement="SFT makes the model more over-confident in low-resource languages.",
        reference=TO_BASE,
        level="low",
        metric="gap",
        direction="rises",
        over=True,
    ),
    Claim(
        name="calibration",
        statement="SFT raises the calibration error in low-resource languages.",
        reference=TO_BASE,
        level="low",
        metric="ece",
        direction="rises",
    ),
    Claim(
        name="smoothing",
        statement="Label smoothing keeps over-confidence below that of plain SFT.",
        reference=TO_SFT,
        level=ALL,
        metric="gap",
        direction="falls",
        over=True,
    ),
    Claim(
        name="everywhere",
        statement="Label smoothing keeps over-confidence below that of plain SFT in "
        "every language.",
        reference=TO_SFT,
        level=EACH,
        metric="gap",
        direction="falls",
        over=True,
    ),
    Claim(
        name="smoothed_calibration",
        statement="Label smoothing keeps the calibration error below that of plain "
        "SFT.",
        reference=TO_SFT,
        level=ALL,
        metric="ece",
        direction="falls",
    ),
    Claim(
        name="vocabulary",
        statement="Label smoothing removes a smaller share of the over-confidence in "
        "the model with the largest vocabulary than in the others.",
        reference=TO_OTHERS,
        level=ALL,
        metric="gap",
        direction="rises",
        over=True,
        scoring="letters",
    ),
    Claim(
        name="cost",
        statement="Label smoothing costs no accuracy.",
        reference=TO_SFT,
        level=ALL,
        metric="accuracy",
        direction="kept",
    ),
    Claim(
        name="against_temperature",
        statement="Label smoothing gives a smaller calibration error than a "
        "temperature fitted on English.",
        reference=TO_SCALED,
        level=ALL,
        metric="ece",
        direction="falls",
    ),
    Claim(
        name="against_temperature_brier",
        statement="Label smoothing gives a better Brier score than a temperature "
        "fitted on English.",
        reference=TO_SCALED,
        level=ALL,
        metric="brier",
        direction="falls",
    ),
    Claim(
        name="beyond_temperature",
        statement="Where both get a temperature fitted on English, label smoothing "
        "keeps the calibration error below that of plain SFT.",
        reference=TO_SFT,
        level=ALL,
        metric="ece",
        direction="falls",
        calibrator=FROM_ENGLISH,
    ),
    Claim(
        name="beyond_temperature_brier",
        statement="Where both get a temperature fitted on English, label smoothing "
        "gives a better Brier score than plain SFT.",
        reference=TO_SFT,
        level=ALL,
        metric="brier",
        direction="falls",
        calibrator=FROM_ENGLISH,
    ),
)
CLAIMS: dict[str, Claim] = {claim.name: claim for claim in _RECORDS}


@verb()
def show_claims() -> None:
    """Print the table of docs/statistics.md: the record of each claim."""
    print("| claim | statement | metric | holds if shown | reversed if shown |")
    print("|---|---|---|---|---|")
    for claim in CLAIMS.values():
        direction = DIRECTIONS[claim.direction]
        holds, reversed_ = direction.holds, direction.reversed
        if claim.level == EACH:
            holds, reversed_ = (
                f"{holds} in every language",
                f"{reversed_} in any language",
            )
        cells = (f"`{claim.name}`", claim.statement, claim.metric, holds, reversed_)
        print(f"| {' | '.join(cells)} |")
