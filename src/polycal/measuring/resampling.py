"""How far numbers would move with other questions: a bootstrap that files share.

Questions are what is drawn, once for a task: a question has the same weight in every
language, run and way of reading confidence, so that differences are paired and means
over languages keep the correlation between translations of one question. Its weights
are a function of the study's seed, the task and its id alone; files that were measured
apart, on other machines or with other languages, fit together.
"""

import hashlib
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from polycal.calibration import N_BINS, ece_debiased
from polycal.calibration.answers import Answers, of_gold
from polycal.calibration.bins import width_bins

REPLICATED = ("accuracy", "confidence", "gap", "ece", "brier", "nll")
NULLED = ("ece", "gap")  # metrics that have a value under "perfectly calibrated"
NULL_DRAWS = 200

_SUMS = ("n", "confidence", "accuracy", "brier", "nll")  # of a replicate's questions
_BLOCK = 16  # samples of one matrix product, which bounds the memory
# P(X <= k) of a Poisson variable of mean 1, in units of 2^-32.
_POISSON = np.floor(
    2**32 * np.cumsum([math.exp(-1) / math.factorial(k) for k in range(12)])
).astype(np.uint32)


class Sample(NamedTuple):
    """The questions of one language that count, under one definition of confidence.

    Attributes:
        places: [N] of the questions in the task's list.
        answers: to these N questions.
    """

    places: np.ndarray
    answers: Answers


class Spread(NamedTuple):
    """How sure a metric of one sample is.

    Attributes:
        se: standard error over questions.
        low: lower end of the interval.
        high: upper end of the interval.
    """

    se: float
    low: float
    high: float


class Null(NamedTuple):
    """A metric of a model that is as confident, but perfectly calibrated.

    Attributes:
        mean: its expected value.
        p: how often it is at least as far from 0 as the observed value.
    """

    mean: float
    p: float


def question_weights(
    task: str, questions: Sequence[str], *, replicates: int, seed: int
) -> np.ndarray:
    """How often each replicate holds each question: [R, Q], Poisson of mean 1.

    The Poisson bootstrap (Hanley & MacGibbon 2006) draws each question by itself, so
    that no question's weights depend on which others there are.

    Args:
        task: short name of the benchmark.
        questions: ids of Q questions.
        replicates: R.
        seed: of the study.

    Returns:
        float32, ready for matrix products.
    """
    weights = np.empty((len(questions), replicates), np.float32)
    for row, question in zip(weights, questions, strict=True):
        words = _words(("weights", task, question), replicates, seed)
        row[:] = np.searchsorted(_POISSON, words, side="right")
    return np.ascontiguousarray(weights.T)


def null_uniforms(task: str, questions: Sequence[str], *, seed: int) -> np.ndarray:
    """What decides whether a calibrated model is right: [NULL_DRAWS, Q] from 0 to 1.

    Args:
        task: short name of the benchmark.
        questions: ids of Q questions.
        seed: of the study.
    """
    uniforms = np.empty((len(questions), NULL_DRAWS), np.float32)
    for row, question in zip(uniforms, questions, strict=True):
        words = _words(("uniforms", task, question), NULL_DRAWS, seed)
        row[:] = (words >> 8) / np.float32(2**24)  # what float32 holds exactly, below 1
    return np.ascontiguousarray(uniforms.T)


def _words(name: Sequence[str], n: int, seed: int) -> np.ndarray:
    """The first n random 32-bit words of a name.

    The raw words of Philox, a counter-based generator, are the same in all versions of
    NumPy; what its distributions make of them is not.
    """
    text = "\0".join((str(seed), *name))
    key = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")
    raw = np.random.Philox(key=key).random_raw((n + 1) // 2)
    return raw.astype("<u8").view("<u4")[:n]


def replicate(weights: np.ndarray, samples: Sequence[Sample]) -> dict[str, np.ndarray]:
    """The metrics of every replicate of some samples, as matrix products.

    A replicate without any question of a sample repeats what was observed, as if it
    were drawn again.

    Args:
        weights: [R, Q] as `question_weights` gives them.
        samples: G of them.

    Returns:
        For each of `REPLICATED` its values [R, G], float32.
    """
    found = {name: [np.empty((len(weights), 0), np.float32)] for name in REPLICATED}
    for begin in range(0, len(samples), _BLOCK):
        block = samples[begin : begin + _BLOCK]
        used = np.unique(np.concatenate([each.places for each in block]))
        own = weights if len(used) == weights.shape[1] else weights[:, used]
        design = np.stack([_design(each, used) for each in block], axis=1)
        flat = design.reshape(len(used), -1)
        shape = (len(weights), *design.shape[1:])
        sums = (own @ flat).reshape(shape)
        empty = sums[..., N_BINS] == 0
        sums[empty] = np.broadcast_to(flat.sum(0).reshape(shape[1:]), shape)[empty]
        for name, values in _metrics(sums).items():
            found[name].append(values)
    return {name: np.concatenate(parts, axis=1) for name, parts in found.items()}


def _design(sample: Sample, used: np.ndarray) -> np.ndarray:
    """What each question adds to a replicate's sums: [Q, N_BINS + 5].

    First the gap in the bin of its confidence, then `_SUMS`.
    """
    given = sample.answers
    confidence, correct = given.top
    rows = np.searchsorted(used, sample.places)
    design = np.zeros((len(used), N_BINS + len(_SUMS)), np.float32)
    design[rows, width_bins(confidence)] = confidence - correct
    right = of_gold(given.probs, given.gold)
    best = given.scores.max(axis=1)
    total = best + np.log(np.exp(given.scores - best[:, None]).sum(axis=1))
    each = {
        "n": np.ones(len(rows)),
        "confidence": confidence,
        "accuracy": correct,
        "brier": (given.probs**2).sum(axis=1) - 2 * right + 1,
        "nll": total - of_gold(given.scores, given.gold),
    }
    for column, name in enumerate(_SUMS, N_BINS):
        design[rows, column] = each[name]
    return design


def _metrics(sums: np.ndarray) -> dict[str, np.ndarray]:
    """`REPLICATED` from sums [..., N_BINS + 5]."""
    totals = dict(zip(_SUMS, np.moveaxis(sums[..., N_BINS:], -1, 0), strict=True))
    gaps = sums[..., :N_BINS]
    totals |= {"gap": gaps.sum(-1), "ece": abs(gaps).sum(-1)}
    return {name: totals[name] / totals["n"] for name in REPLICATED}


def spread(
    values: np.ndarray, *, confidence: float, debiased: float | None = None
) -> Spread:
    """The standard error of a metric and its interval.

    The interval is that of the replicates' percentiles. But the replicates of ECE are
    biased once more than ECE itself, and their percentiles miss the truth; with a
    debiased value d they are laid around it, [d - (q_high - mean), d + (mean - q_low)],
    not below 0.

    Args:
        values: [R] replicates.
        confidence: of the interval, such as 0.95.
        debiased: for ECE, what `ece_debiased` gives.
    """
    tail = (1 - confidence) / 2
    low, high = (float(q) for q in np.quantile(values, [tail, 1 - tail]))
    if debiased is not None:
        mean = float(values.mean())
        low, high = debiased - (high - mean), debiased + (mean - low)
        low, high = max(low, 0.0), max(high, 0.0)
    return Spread(float(values.std(ddof=1)), low, high)


def null_test(uniforms: np.ndarray, sample: Sample) -> dict[str, Null]:
    """What calibrated answers would give: the consistency test (Broecker & Smith 2007).

    The confidences stay; each question is right with its confidence as probability.

    Args:
        uniforms: [D, Q] as `null_uniforms` gives them.
        sample: of at least one question.

    Returns:
        For each of `NULLED`. The gap's p-value is two-sided, and its expected value is
        0 whatever is drawn.
    """
    confidence, correct = sample.answers.top
    bins = width_bins(confidence)
    sums = np.bincount(bins, confidence, minlength=N_BINS)
    right = (uniforms[:, sample.places] < confidence).astype(np.float32)
    gaps = sums - right @ np.eye(N_BINS, dtype=np.float32)[bins]
    drawn = {"ece": abs(gaps).sum(axis=1), "gap": abs(gaps.sum(axis=1))}
    own = sums - np.bincount(bins, correct, minlength=N_BINS)
    seen = {"ece": abs(own).sum(), "gap": abs(own.sum())}
    means = {"ece": float(drawn["ece"].mean()) / len(bins), "gap": 0.0}
    return {
        name: Null(
            means[name],
            float(1 + (drawn[name] >= seen[name] - 1e-6).sum()) / (NULL_DRAWS + 1),
        )
        for name in NULLED
    }


class Resampler:
    """A task's questions, and what makes replicates of the answers to them.

    Attributes:
        weights: [R, Q] of all questions, as `question_weights` gives them.
    """

    def __init__(
        self,
        task: str,
        questions: Iterable[str],
        *,
        replicates: int,
        seed: int,
        confidence: float,
    ) -> None:
        """Draw the weights of all questions.

        Args:
            task: short name of the benchmark.
            questions: ids of the questions of any language.
            replicates: how many.
            seed: of the study.
            confidence: of the intervals, such as 0.95.
        """
        names = sorted(set(questions))
        self._places = {name: place for place, name in enumerate(names)}
        self._confidence = confidence
        self.weights = question_weights(task, names, replicates=replicates, seed=seed)
        self._uniforms = null_uniforms(task, names, seed=seed)

    def sample(self, questions: Iterable[str], answers: Answers) -> Sample:
        """The answers to some of the task's questions.

        Args:
            questions: [N] ids.
            answers: to them.
        """
        places = [self._places[name] for name in questions]
        return Sample(np.array(places, np.int64), answers)

    def uncertainty(
        self, samples: Sequence[Sample]
    ) -> list[dict[str, dict[str, float | np.ndarray]]]:
        """Everything that a metric's row says besides its value.

        Args:
            samples: G of them, each with a question.

        Returns:
            For each sample, by metric: `replicates` [R], `se`, `ci_low`, `ci_high`,
            and `null_mean` and `null_p` where they exist.
        """
        replicates = replicate(self.weights, samples)
        found = []
        for index, sample in enumerate(samples):
            debiased = {"ece": ece_debiased(*sample.answers.top)}
            nulls = null_test(self._uniforms, sample)
            rows: dict[str, dict[str, float | np.ndarray]] = {}
            for name in REPLICATED:
                drawn = replicates[name][:, index]
                se, low, high = spread(
                    drawn, confidence=self._confidence, debiased=debiased.get(name)
                )
                rows[name] = {"replicates": drawn, "se": se}
                rows[name] |= {"ci_low": low, "ci_high": high}
                if name in nulls:
                    rows[name] |= {"null_mean": nulls[name].mean}
                    rows[name] |= {"null_p": nulls[name].p}
            found.append(rows)
        return found
