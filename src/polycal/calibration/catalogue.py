"""The records of all metrics that are computed from answers."""

import functools
import math

import numpy as np
from numpy.typing import ArrayLike

from polycal.calibration import answers, binned, influence, proper, ranking
from polycal.calibration.answers import Answers
from polycal.calibration.calibration_errors import CALIBRATION_ERRORS
from polycal.calibration.metric import HIGHEST, LOWEST, SIGNED, ZERO, Metric


def all_metrics(scores: ArrayLike, gold: ArrayLike) -> dict[str, float]:
    """Compute every metric of the catalogue.

    Raises:
        ValueError: as `answer`.

    Example:
        >>> values = all_metrics(np.log([[0.8, 0.2], [0.6, 0.4]]), [0, 1])
        >>> round(values["confidence"], 6), values["accuracy"], round(values["ece"], 6)
        (0.7, 0.5, 0.4)
    """
    given = answers.answer(scores, gold)
    return {name: metric.compute(given) for name, metric in METRICS.items()}


@functools.lru_cache(maxsize=1)
def _corp(given: Answers) -> proper.Decomposition:
    """Return the decomposition that two metrics are parts of."""
    return proper.corp(*given.top, ties=given.ties)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan


def _chance_corrected(given: Answers, values: np.ndarray) -> float:
    return answers.above_chance(_mean(values), answers.chance(given.scores))


def _at_coverage(percent: int, role: str, formula: str, use: str) -> Metric:
    return Metric(
        f"accuracy_at_{percent}",
        f"accuracy at {percent} % coverage",
        lambda a: ranking.accuracy_at_coverage(
            *a.top, coverage=percent / 100, ties=a.ties
        ),
        role,
        formula,
        use,
        best=HIGHEST,
    )


_MARGIN = "margin"  # of `statistics`: one percentage point, if the study says nothing

_RECORDS = (
    Metric(
        "accuracy",
        "accuracy",
        lambda a: _mean(a.top.correct),
        "primary",
        "mean correctness of the most probable option, the first of equal ones",
        "how much the model knows",
        best=HIGHEST,
        terms=lambda a: a.top.correct,
        margin=_MARGIN,
    ),
    Metric(
        "confidence",
        "confidence",
        lambda a: _mean(a.top.confidence),
        "primary",
        "mean of max_j p_j",
        "how much the model claims to know; at least the chance level",
        terms=lambda a: a.top.confidence,
        margin=_MARGIN,
    ),
    Metric(
        "gap",
        "gap (confidence − accuracy)",
        lambda a: binned.overconfidence(*a.top),
        "primary",
        "mean g = confidence - accuracy",
        "over-confidence (> 0) or under-confidence; unbiased, ordinary intervals hold",
        unit="pp",
        span=SIGNED,
        best=ZERO,
        of_bins=lambda sums: sums.sum(-1),
        margin=_MARGIN,
    ),
    Metric(
        "ece",
        "ECE",
        lambda a: binned.ece(*a.top),
        "primary",
        "sum w_b |d_b|, 15 bins of equal width",
        "the number that is published most; biased upwards on few questions",
        best=LOWEST,
        of_bins=lambda sums: abs(sums).sum(-1),
        biased=True,
        margin=_MARGIN,
    ),
    Metric(
        "brier",
        "Brier score",
        lambda a: proper.brier(a.probs, a.gold),
        "primary",
        "mean sum_j (p_j - [j is right])^2",
        "proper: calibration and discrimination together, over all options",
        unit="",
        span=(0.0, 2.0),
        best=LOWEST,
        terms=lambda a: proper.brier_terms(a.probs, a.gold),
        margin=_MARGIN,
    ),
    Metric(
        "nll",
        "NLL",
        lambda a: proper.nll(a.scores, a.gold),
        "primary",
        "-mean log p_right",
        "proper; punishes confident errors most; what temperatures are fitted by",
        unit="nats",
        span=(0.0, math.inf),
        best=LOWEST,
        terms=lambda a: proper.nll_terms(a.scores, a.gold),
    ),
    *CALIBRATION_ERRORS,
    Metric(
        "brier_top",
        "Brier score of the answer",
        lambda a: proper.brier_top(*a.top),
        "secondary",
        "mean g^2",
        "what the corp parts add up to",
        unit="",
        best=LOWEST,
        terms=lambda a: (a.top.confidence - a.top.correct) ** 2,
    ),
    Metric(
        "corp_miscalibration",
        "CORP miscalibration",
        lambda a: _corp(a).miscalibration,
        "secondary",
        "brier_top - that of the isotonic fit",
        "the Brier score that recalibration could gain",
        unit="",
        best=LOWEST,
    ),
    Metric(
        "corp_discrimination",
        "CORP discrimination",
        lambda a: _corp(a).discrimination,
        "secondary",
        "uncertainty - brier_top of the isotonic fit",
        "how well confidence separates right from wrong answers",
        unit="",
        best=HIGHEST,
    ),
    Metric(
        "corp_uncertainty",
        "CORP uncertainty",
        lambda a: _mean(a.top.correct) * (1 - _mean(a.top.correct)),
        "secondary",
        "accuracy (1 - accuracy)",
        "the score of a constant confidence equal to the accuracy",
        unit="",
        span=(0.0, 0.25),
    ),
    Metric(
        "auroc",
        "AUROC",
        lambda a: ranking.auroc(*a.top, ties=a.ties),
        "secondary",
        "P(confidence of a right answer > of a wrong one), ties 1/2",
        "whether confidence still ranks; 0.5 says nothing",
        unit="",
        best=HIGHEST,
        terms=influence.auroc_terms,
        first_order=True,
    ),
    Metric(
        "aurc",
        "AURC",
        lambda a: ranking.aurc(*a.top, ties=a.ties),
        "comparison",
        "mean over k of the errors among the k most confident / k",
        "selective answering as mostly published; dominated by the first few answers",
        unit="",
        best=LOWEST,
    ),
    Metric(
        "augrc",
        "AUGRC",
        lambda a: ranking.augrc(*a.top, ties=a.ties),
        "secondary",
        "(1 - auroc) acc (1 - acc) + (1 - acc)^2 / 2",
        "selective answering, accuracy and ranking together",
        unit="",
        span=(0.0, 0.5),
        best=LOWEST,
        terms=influence.augrc_terms,
        first_order=True,
    ),
    _at_coverage(
        10,
        "comparison",
        "accuracy of the most confident tenth",
        "HELM's selective accuracy",
    ),
    _at_coverage(
        50,
        "secondary",
        "accuracy of the more confident half",
        "what holding back half of the answers gains",
    ),
    *(
        _at_coverage(
            percent,
            "comparison",
            f"accuracy of the most confident {percent} %",
            "a point of the risk-coverage curve",
        )
        for percent in (20, 30, 40, 60, 70, 80, 90)
    ),
    *(
        Metric(
            f"confidence_{name}",
            f"confidence of {name} answers",
            lambda a, right=right: _mean(a.top.confidence[a.top.correct == right]),
            "diagnostic",
            f"mean confidence of the {name} answers",
            "where a change of confidence comes from",
            terms=functools.partial(influence.confidence_terms, right=right),
            first_order=True,
        )
        for name, right in (("right", True), ("wrong", False))
    ),
    Metric(
        "chance",
        "chance",
        lambda a: answers.chance(a.scores),
        "diagnostic",
        "mean 1 / number of options",
        "the floor of accuracy by guessing, and of confidence",
    ),
    Metric(
        "accuracy_above_chance",
        "accuracy above chance",
        lambda a: _chance_corrected(a, a.top.correct),
        "diagnostic",
        "(accuracy - chance) / (1 - chance)",
        "questions with different numbers of options on one scale",
        span=(-math.inf, 1.0),
        best=HIGHEST,
    ),
    Metric(
        "confidence_above_chance",
        "confidence above chance",
        lambda a: _chance_corrected(a, a.top.confidence),
        "diagnostic",
        "(confidence - chance) / (1 - chance)",
        "as accuracy_above_chance, for confidence",
    ),
    Metric(
        "accuracy_ties",
        "accuracy, ties broken by lot",
        lambda a: _mean(answers.tie_credit(a.probs, a.gold)),
        "diagnostic",
        "mean 1 / number of equal best options if the right one is among them, else 0",
        "accuracy if ties are broken by lot and not by the order of the options",
        best=HIGHEST,
        terms=lambda a: answers.tie_credit(a.probs, a.gold),
    ),
    Metric(
        "tie_rate",
        "tie rate",
        lambda a: answers.tie_rate(a.probs),
        "diagnostic",
        "share of the questions with several equal best options",
        "above about 0.01, the rule for ties matters: look at accuracy_ties",
    ),
    Metric(
        "letter_share",
        "most frequent letter",
        lambda a: float(answers.letter_shares(a.probs).max()),
        "diagnostic",
        "share of the answers at the most frequent position (A, B, ...)",
        "near 1: the model answers one letter to every question",
    ),
)
METRICS: dict[str, Metric] = {metric.name: metric for metric in _RECORDS}
