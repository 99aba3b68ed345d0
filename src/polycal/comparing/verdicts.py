"""The verdict on each claim of a study, from its contrasts."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from polycal.calibration import METRICS
from polycal.comparing.claims import CLAIMS, DIRECTIONS, EACH, Claim, inside
from polycal.comparing.inference import Noise, half_width, holm, p_two_sided
from polycal.comparing.power import OF_POWER, plan, tipping_sd
from polycal.comparing.reasons import FAMILY, find_cases
from polycal.comparing.released import NONE_RELEASED, Released
from polycal.study.scorings import HEADLINE

HOLDS, REVERSED, NEGLIGIBLE = "holds", "reversed", "negligible"
INCONCLUSIVE, NOT_JUDGED = "inconclusive", "not judged"
# What ends a verdict that knows one seed only, and one about a released checkpoint.
THIS_TRAINING, THIS_CHECKPOINT = " for this training", " for this checkpoint"
PRIMARY, EXPLORATORY = "primary", "exploratory"
_SHOWN = ("level", "before", "after", "estimate", "margin")
_COUNTED = ("n_seeds", "n_questions", "n_languages")


class Primary(NamedTuple):
    """The task and the scoring whose claims are not exploratory; None: the first."""

    task: str | None = None
    scoring: str | None = None


class Decision(NamedTuple):
    """A p-value with the contrast that it is from.

    Attributes:
        p: two-sided, not adjusted.
        row: label of the contrast.
        share: rows that the level is divided by.
        together: rows that all have to be shown.
    """

    p: float
    row: int
    share: int = 1
    together: int = 1


class Test(NamedTuple):
    """A claim about one condition.

    Attributes:
        claim: the record.
        about: model, sft, task, scoring, normaliser and smoothing.
        holds: of "the claim is true".
        reversed: of "the opposite is true".
        negligible: of "the difference is within the margin".
    """

    claim: Claim
    about: dict[str, Any]
    holds: Decision
    reversed: Decision
    negligible: Decision

    @property
    def direction(self) -> Decision:
        """Return the smaller of the first two, of which one at most can be small."""
        return self.reversed if self.reversed.p < self.holds.p else self.holds

    @property
    def family(self) -> tuple:
        """Return what the hypotheses that are adjusted together share."""
        return self.claim.name, self.about["task"], self.about["scoring"]


def judge(
    contrasts: pd.DataFrame,
    *,
    primary: Primary,
    alpha: float,
    letter_shares: Mapping[tuple, float] = MappingProxyType({}),
    released: Released = NONE_RELEASED,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Judge every claim about every condition that the study has.

    One claim of one task and scoring is one family, over models, SFT sets and smoothing
    values, under the headline normaliser. Holm's procedure keeps the probability that
    any of them holds or is reversed by mistake below alpha. All tests are two-sided at
    their level, so holding and reversing take the same evidence.

    Args:
        contrasts: rows of a contrasts table, with `low`, `high` and the columns of
            `Noise`.
        primary: the task and scoring that are not exploratory.
        alpha: such as 0.05.
        letter_shares: (model, sft, smoothing, task, scoring, level) -> share of the
            answers at the most frequent position, in a resource level, `ALL` languages
            or a single one; above `DEGENERATE`, no claim about them is judged.
        released: the study's released checkpoints; a verdict is about each as it is.

    Returns:
        The contrasts with `p_adjusted` where a row carries a hypothesis, and the rows
        of the claims table.
    """
    headline = contrasts["normaliser"] == contrasts["scoring"].map(HEADLINE)
    rows = contrasts[headline]
    contrasts = contrasts.copy()
    if rows.empty:
        return contrasts, pd.DataFrame()
    primary = Primary(
        primary.task or rows["task"].min(), primary.scoring or rows["scoring"].min()
    )
    judged = []
    tests: dict[tuple, list] = {}
    for claim, about, own in find_cases(rows, letter_shares, released):
        if isinstance(own, str):
            judged.append(_describe(claim, about) | _reject(own))
        else:
            test = _test(claim, about, own)
            tests.setdefault(test.family, []).append(test)
    for family in tests.values():
        direction = holm([test.direction.p for test in family], alpha=alpha)
        negligible = holm([test.negligible.p for test in family], alpha=alpha)
        for index, test in enumerate(family):
            levels = direction.level[index], negligible.level[index]
            adjusted = direction.p[index], negligible.p[index]
            judged.append(
                _describe(test.claim, test.about)
                | _decide(test, contrasts, adjusted, levels, released)
            )
            if test.claim.level != EACH:
                contrasts.loc[test.direction.row, "p_adjusted"] = adjusted[0]
    scorings = set(rows["scoring"])
    for row in judged:
        about, own = (row["task"], row["scoring"]), CLAIMS[row["claim"]].scoring
        asked = primary.task, own if own in scorings else primary.scoring
        row["family"] = PRIMARY if about == asked else EXPLORATORY
    order = {name: position for position, name in enumerate(CLAIMS)}
    judged.sort(
        key=lambda row: (
            *(row[name] for name in FAMILY),
            np.nan_to_num(row["smoothing"], nan=np.inf),
            order[row["claim"]],
        )
    )
    return contrasts, pd.DataFrame(judged)


def _describe(claim: Claim, about: dict[str, Any]) -> dict[str, Any]:
    names = {"claim": claim.name, "statement": claim.statement, "metric": claim.metric}
    return names | {"level": claim.level, "reason": None} | about


def _reject(reason: str) -> dict[str, Any]:
    return {"verdict": NOT_JUDGED, "reason": reason}


def _test(claim: Claim, about: dict[str, Any], rows: pd.DataFrame) -> Test:
    """Test a claim by one contrast, or by those of all languages.

    A claim about each language holds if it holds for the one that speaks most against
    it (Berger 1982). It is reversed if it is for any, which takes Bonferroni's
    correction for their number. All differences are negligible if each is.
    """
    direction = DIRECTIONS[claim.direction]
    bounds = rows["low"], rows["high"], rows["margin"]
    beyond = direction.beyond(*bounds)
    distances = beyond, direction.beyond_reversed(*bounds), inside(*bounds)
    # One call for all of them; a distance below 0 decides nothing, so its p is 1.
    p_values = p_two_sided(np.maximum(distances, 0.0), _noise(rows))
    holds, against, within = (pd.Series(p, rows.index) for p in p_values)
    if claim.over:
        sides = [(2 * rows[name]).clip(upper=1) for name in ("p_after", "p_before")]
        rising, falling = sides if claim.direction == "rises" else sides[::-1]
        holds, against = np.maximum(holds, rising), np.maximum(against, falling)
    if not direction.may_be_negligible:
        within[:] = 1.0
    worst = beyond[holds == holds.max()].idxmin()
    return Test(
        claim,
        about,
        Decision(float(holds.max()), worst, together=len(rows)),
        Decision(
            min(float(against.min()) * len(rows), 1.0), against.idxmin(), len(rows)
        ),
        Decision(float(within.max()), within.idxmax(), together=len(rows)),
    )


def _noise(rows: pd.DataFrame) -> Noise:
    return Noise._make(rows[name].to_numpy(float) for name in Noise._fields)


def _decide(
    test: Test,
    contrasts: pd.DataFrame,
    adjusted: tuple[float, float],
    levels: tuple[float, float],
    released: Released,
) -> dict[str, Any]:
    """Return verdict and numbers: the row that decided, at the level that did.

    Without a verdict it is the row that came nearest to one.
    """
    direction = DIRECTIONS[test.claim.direction]
    decision, p, level = test.direction, adjusted[0], levels[0]
    verdict, beyond = HOLDS, direction.beyond
    if decision is not test.holds:
        verdict, beyond = REVERSED, direction.beyond_reversed
    if decision.p >= level and test.negligible.p < levels[1]:
        verdict, beyond = NEGLIGIBLE, inside
        decision, p, level = test.negligible, adjusted[1], levels[1]
    elif decision.p >= level:
        verdict = INCONCLUSIVE
    row = contrasts.loc[decision.row]
    level /= decision.share
    noise = Noise._make(float(row[name]) for name in Noise._fields)
    half = float(half_width(noise, confidence=1 - level))
    span = METRICS[row["metric"]].span
    widest = span[1] - span[0]
    shown = {name: row[name] for name in (*_SHOWN, *_COUNTED)}
    excess = float(beyond(row["low"], row["high"], row["margin"]))
    seen = float(beyond(row["estimate"], row["estimate"], row["margin"]))
    shown |= plan(
        noise,
        level,
        excess=seen,
        bias=seen - excess,
        together=decision.together,
        **{name: row[name] for name in _COUNTED[:2]},
    )
    shown |= {
        "ci_low": max(row["low"] - half, -widest),
        "ci_high": min(row["high"] + half, widest),
        "confidence": 1 - level,
        "p_adjusted": p,
        "verdict": verdict,
    }
    if verdict in (INCONCLUSIVE, NEGLIGIBLE) and _is_under_confident(test, row, level):
        shown |= _reject("the model is under-confident before and after")
    elif verdict == INCONCLUSIVE:
        if test.claim.over:
            shown |= _explain_gap(row, level)
    elif (test.about["model"], test.about["sft"]) in released.checkpoints:
        # It is no draw of a training, so no noise of trainings can undo the verdict.
        shown["verdict"] += THIS_CHECKPOINT
    elif np.isnan(row["se_seeds"]):
        shown["verdict"] += THIS_TRAINING
        sd = tipping_sd(excess, noise.questions, level)
        # Over-confidence has a noise of its own, which may undo the verdict earlier.
        by_gap = test.claim.over and verdict != NEGLIGIBLE
        shown["tipping_sd"] = None if by_gap and _rests_on_gap(row, noise) else sd
    return shown


def _rests_on_gap(row: pd.Series, noise: Noise) -> bool:
    """Return whether over-confidence is less sure than the difference."""
    larger = row["p_after"] if row["estimate"] > 0 else row["p_before"]
    least = max(row["low"], -row["high"], 0.0)
    return 2 * larger > float(p_two_sided(least, noise))


def _is_under_confident(test: Test, row: pd.Series, level: float) -> bool:
    """Return whether a claim about over-confidence is about a model without any.

    A language of many does not make the model under-confident.
    """
    if not test.claim.over or test.claim.level == EACH:
        return False
    return min(row["p_before"], row["p_after"]) > 1 - level / 2


def _explain_gap(row: pd.Series, level: float) -> dict[str, Any]:
    """Return why a claim about over-confidence is not decided, if for want of it.

    Args:
        row: the contrast.
        level: of the test, two-sided.
    """
    changed = row["low"] > 0 or row["high"] < 0
    larger = row["p_after"] if row["estimate"] > 0 else row["p_before"]
    if changed and 2 * larger >= level:
        # The numbers of questions and of effects are those of the difference.
        unknown = dict.fromkeys(OF_POWER)
        return {"reason": "over-confidence is not shown", **unknown}
    return {}
