"""Every metric by name: its formula, its range, what it is good for."""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from polycal.calibration import answers, binned, proper, ranking, smooth
from polycal.calibration.answers import Answers


class Metric(NamedTuple):
    """One number about the answers to N questions.

    Attributes:
        compute: from the answers to the number; NaN where it is not defined.
        role: `primary` carries the claims, `secondary` supports them, `comparison` is
            there because others publish it, `diagnostic` explains the others.
        formula: g is confidence - correctness, d_b its mean in bin b, w_b the bin's
            share of the questions, p the probabilities of the options.
        use: what it is good for, and where it misleads.
        span: lowest and highest possible value.
    """

    compute: Callable[[Answers], float]
    role: str
    formula: str
    use: str
    span: tuple[float, float] = (0.0, 1.0)


@functools.lru_cache(maxsize=1)
def _corp(given: Answers) -> proper.Decomposition:
    """The decomposition that two metrics are parts of."""
    return proper.corp(*given.top, ties=given.ties)


def all_metrics(scores: ArrayLike, gold: ArrayLike) -> dict[str, float]:
    """Every metric of the catalogue.

    Args:
        scores: [N, K] nats; -inf where a question has fewer than K options.
        gold: [N] index of the right option.

    Raises:
        ValueError: as `answer`.

    Example:
        >>> found = all_metrics(np.log([[0.8, 0.2], [0.6, 0.4]]), [0, 1])
        >>> round(found["confidence"], 6), found["accuracy"], round(found["ece"], 6)
        (0.7, 0.5, 0.4)
    """
    given = answers.answer(scores, gold)
    return {name: metric.compute(given) for name, metric in METRICS.items()}


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan


def _chance_corrected(given: Answers, values: np.ndarray) -> float:
    return answers.above_chance(_mean(values), answers.chance(given.scores))


_SIGNED = (-1.0, 1.0)

METRICS: dict[str, Metric] = {
    "accuracy": Metric(
        lambda a: _mean(a.top.correct),
        "primary",
        "mean correctness of the most probable option, the first of equal ones",
        "how much is known",
    ),
    "confidence": Metric(
        lambda a: _mean(a.top.confidence),
        "primary",
        "mean of max_j p_j",
        "how much the model claims to know; at least the chance level",
    ),
    "gap": Metric(
        lambda a: binned.overconfidence(*a.top),
        "primary",
        "mean g = confidence - accuracy",
        "over-confidence (> 0) or under-confidence; unbiased, ordinary intervals hold",
        _SIGNED,
    ),
    "ece": Metric(
        lambda a: binned.ece(*a.top),
        "primary",
        "sum w_b |d_b|, 15 bins of equal width",
        "the number that is published most; biased upwards on few questions",
    ),
    "brier": Metric(
        lambda a: proper.brier(a.probs, a.gold),
        "primary",
        "mean sum_j (p_j - [j is right])^2",
        "proper: calibration and discrimination together, over all options",
        (0.0, 2.0),
    ),
    "nll": Metric(
        lambda a: proper.nll(a.scores, a.gold),
        "primary",
        "-mean log p_right, nats",
        "proper; punishes confident errors most; what temperatures are fitted by",
        (0.0, math.inf),
    ),
    "cancellation": Metric(
        lambda a: binned.cancellation(*a.top),
        "diagnostic",
        "ece - |gap|",
        "0: all bins err to one side, and no choice of bins can matter",
    ),
    "ece_10": Metric(
        lambda a: binned.ece(*a.top, n_bins=10),
        "comparison",
        "as ece, 10 bins",
        "whether the number of bins matters",
    ),
    "ece_20": Metric(
        lambda a: binned.ece(*a.top, n_bins=20),
        "comparison",
        "as ece, 20 bins",
        "whether the number of bins matters",
    ),
    "ece_mass": Metric(
        lambda a: binned.ece_mass(*a.top),
        "secondary",
        "as ece, 15 bins of equal mass, ties together",
        "whether the kind of bins matters; noisier where confidences are concentrated",
    ),
    "ece_debiased": Metric(
        lambda a: binned.ece_debiased(*a.top),
        "secondary",
        "2 ece - sum w_b E|N(d_b, acc_b (1 - acc_b) / n_b)|",
        "few questions (Lite sets, subgroups), where ece itself is mostly noise",
        _SIGNED,
    ),
    "ece_all": Metric(
        lambda a: binned.ece_all(a.probs, a.gold, valid=np.isfinite(a.scores)),
        "comparison",
        "as ece, over each option of each question",
        "diagrams of the Kadavath kind; never compare 4 options with 10",
    ),
    "rms_ce": Metric(
        lambda a: binned.rms_ce(*a.top),
        "secondary",
        "sqrt(sum w_b d_b^2), 15 bins of equal width",
        "large errors of few bins count more than in ece",
    ),
    "rms_mass": Metric(
        lambda a: binned.rms_mass(*a.top),
        "comparison",
        "as rms_ce, bins of 100 questions by rank, all of them",
        "the formula of Hendrycks et al. 2019; moves with accuracy by its noise floor",
    ),
    "rms_hendrycks": Metric(
        lambda a: binned.rms_hendrycks(*a.top),
        "comparison",
        "as rms_mass without the most confident bin: the published code",
        "numbers that were published with that code, and nothing else",
    ),
    "l2_debiased": Metric(
        lambda a: binned.l2_debiased(*a.top),
        "secondary",
        "sqrt(max(0, sum w_b (d_b^2 - acc_b (1 - acc_b) / (n_b - 1)))), equal mass",
        "rms_ce without its noise floor",
    ),
    "mce": Metric(
        lambda a: binned.mce(*a.top),
        "comparison",
        "max |d_b| over the bins of at least 50 questions",
        "the worst bin; a maximum over noise",
    ),
    "smooth_ece": Metric(
        lambda a: smooth.smooth_ece(*a.top),
        "secondary",
        "sigma where the integral of |g smoothed by a reflected Gaussian| is sigma",
        "ece without bins",
    ),
    "ks": Metric(
        lambda a: smooth.ks(*a.top),
        "secondary",
        "max_k |sum of g over the k least confident| / n",
        "ece without bins; the gap if all errors are to one side",
    ),
    "ks_signed": Metric(
        lambda a: smooth.ks(*a.top, signed=True),
        "secondary",
        "as ks with the sign of the largest sum",
        "the side of the largest run of errors",
        _SIGNED,
    ),
    "brier_top": Metric(
        lambda a: proper.brier_top(*a.top),
        "secondary",
        "mean g^2",
        "what the corp parts add up to",
    ),
    "corp_miscalibration": Metric(
        lambda a: _corp(a).miscalibration,
        "secondary",
        "brier_top - that of the isotonic fit",
        "what recalibrating could gain",
    ),
    "corp_discrimination": Metric(
        lambda a: _corp(a).discrimination,
        "secondary",
        "uncertainty - brier_top of the isotonic fit",
        "what confidence tells about correctness",
    ),
    "corp_uncertainty": Metric(
        lambda a: _mean(a.top.correct) * (1 - _mean(a.top.correct)),
        "secondary",
        "accuracy (1 - accuracy)",
        "how hard correctness is to tell at this accuracy",
        (0.0, 0.25),
    ),
    "auroc": Metric(
        lambda a: ranking.auroc(*a.top, ties=a.ties),
        "secondary",
        "P(confidence of a right answer > of a wrong one), ties 1/2",
        "whether confidence still ranks; 0.5 says nothing",
    ),
    "aurc": Metric(
        lambda a: ranking.aurc(*a.top, ties=a.ties),
        "comparison",
        "mean over k of the errors among the k most confident / k",
        "selective answering as mostly published; dominated by the first few answers",
    ),
    "augrc": Metric(
        lambda a: ranking.augrc(*a.top, ties=a.ties),
        "secondary",
        "(1 - auroc) acc (1 - acc) + (1 - acc)^2 / 2",
        "selective answering, accuracy and ranking together",
        (0.0, 0.5),
    ),
    "accuracy_at_10": Metric(
        lambda a: ranking.accuracy_at_coverage(*a.top, coverage=0.1, ties=a.ties),
        "comparison",
        "accuracy of the most confident tenth",
        "HELM's selective accuracy",
    ),
    "accuracy_at_50": Metric(
        lambda a: ranking.accuracy_at_coverage(*a.top, coverage=0.5, ties=a.ties),
        "secondary",
        "accuracy of the more confident half",
        "what holding back half of the answers gains",
    ),
    **{
        f"accuracy_at_{percent}": Metric(
            lambda a, share=percent / 100: ranking.accuracy_at_coverage(
                *a.top, coverage=share, ties=a.ties
            ),
            "comparison",
            f"accuracy of the most confident {percent} %",
            "a point of the risk-coverage curve",
        )
        for percent in (20, 30, 40, 60, 70, 80, 90)
    },
    "confidence_right": Metric(
        lambda a: _mean(a.top.confidence[a.top.correct == 1]),
        "diagnostic",
        "mean confidence of the right answers",
        "where a change of confidence comes from",
    ),
    "confidence_wrong": Metric(
        lambda a: _mean(a.top.confidence[a.top.correct == 0]),
        "diagnostic",
        "mean confidence of the wrong answers",
        "where a change of confidence comes from",
    ),
    "chance": Metric(
        lambda a: answers.chance(a.scores),
        "diagnostic",
        "mean 1 / number of options",
        "the floor of accuracy by guessing, and of confidence",
    ),
    "accuracy_above_chance": Metric(
        lambda a: _chance_corrected(a, a.top.correct),
        "diagnostic",
        "(accuracy - chance) / (1 - chance)",
        "questions with different numbers of options on one scale",
        (-math.inf, 1.0),
    ),
    "confidence_above_chance": Metric(
        lambda a: _chance_corrected(a, a.top.confidence),
        "diagnostic",
        "(confidence - chance) / (1 - chance)",
        "the same for confidence",
    ),
    "accuracy_ties": Metric(
        lambda a: _mean(answers.tie_credit(a.probs, a.gold)),
        "diagnostic",
        "mean 1 / number of equal best options if the right one is among them, else 0",
        "accuracy if ties are broken by lot and not by the order of the options",
    ),
    "tie_rate": Metric(
        lambda a: answers.tie_rate(a.probs),
        "diagnostic",
        "share of the questions with several equal best options",
        "above about 0.01, the rule for ties matters: look at accuracy_ties",
    ),
    "letter_share": Metric(
        lambda a: float(answers.letter_shares(a.probs).max()),
        "diagnostic",
        "share of the place (A, B, ...) that is answered most",
        "near 1 the model answers one letter, whatever is asked",
    ),
}
