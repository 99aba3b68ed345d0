"""Bootstrap over questions, and the consistency test of calibrated answers.

A question has the same weights in every language, run and reading of a task, so that
differences are paired. They depend on the study's seed, the task and the question's id
alone: files that were measured apart fit together.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from polycal.calibration import METRICS, N_BINS
from polycal.calibration.answers import Answers
from polycal.calibration.bins import width_bins
from polycal.calibration.metric import ZERO
from polycal.errors import InputError
from polycal.measuring.biases import bound_bias
from polycal.measuring.intervals import Spread, spread

REPLICATED = tuple(name for name, metric in METRICS.items() if metric.replicated)
PRIMARY = tuple(name for name in REPLICATED if METRICS[name].role == "primary")
NULL_DRAWS = 200

_MEANS = {name: metric.terms for name, metric in METRICS.items() if metric.terms}
_OF_BINS = {name: metric.of_bins for name, metric in METRICS.items() if metric.of_bins}
_BLOCK = 16  # samples of one matrix product, which bounds the memory
# P(X <= k) of a Poisson variable of mean 1, in units of 2^-32.
_POISSON = np.floor(
    2**32 * np.cumsum([math.exp(-1) / math.factorial(k) for k in range(12)])
).astype(np.uint32)


def check_confidence(confidence: float) -> None:
    """Refuse a confidence level that gives no interval.

    Raises:
        InputError: it is not between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise InputError(f"confidence is {confidence}; it must be above 0 and below 1")


class Sample(NamedTuple):
    """The answers to some questions of one language, under one reading.

    Attributes:
        positions: [N] of the questions in the task's list.
        answers: to these N questions.
    """

    positions: np.ndarray
    answers: Answers


class Null(NamedTuple):
    """A metric of a perfectly calibrated model of the same confidences.

    Attributes:
        mean: its expected value.
        p: how often it is at least as far from 0 as the observed value.
    """

    mean: float
    p: float


def question_weights(
    task: str, questions: Sequence[str], *, replicates: int, seed: int
) -> np.ndarray:
    """Return how often each replicate holds each question: [R, Q], Poisson of mean 1.

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
    """Return the random numbers [NULL_DRAWS, Q] that draw a calibrated model's answers.

    They are from 0 to 1; an answer is right where its confidence is above.

    The arguments are those of `question_weights`.
    """
    uniforms = np.empty((len(questions), NULL_DRAWS), np.float32)
    for row, question in zip(uniforms, questions, strict=True):
        words = _words(("uniforms", task, question), NULL_DRAWS, seed)
        row[:] = (words >> 8) / np.float32(2**24)  # what float32 holds exactly, below 1
    return np.ascontiguousarray(uniforms.T)


def _words(name: Sequence[str], n: int, seed: int) -> np.ndarray:
    """Return the first n random 32-bit words of a name.

    NumPy keeps the raw words of Philox the same in all versions, but not what its
    distributions make of them.
    """
    text = "\0".join((str(seed), *name))
    key = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")
    raw = np.random.Philox(key=key).random_raw((n + 1) // 2)
    return raw.astype("<u8").view("<u4")[:n]


def replicate(
    weights: np.ndarray, samples: Sequence[Sample], names: Sequence[str] = REPLICATED
) -> dict[str, np.ndarray]:
    """Compute the metrics of every replicate of some samples, as matrix products.

    A replicate without any question of a sample repeats the observed value, as if it
    were drawn again.

    Args:
        weights: [R, Q] as `question_weights` gives them.
        samples: G of them.
        names: of the metrics, some of `REPLICATED`.

    Returns:
        For each of the names its values [R, G], float32.
    """
    means = [name for name in names if name in _MEANS]
    blocks = {name: [np.empty((len(weights), 0), np.float32)] for name in names}
    for begin in range(0, len(samples), _BLOCK):
        block = samples[begin : begin + _BLOCK]
        used = np.unique(np.concatenate([sample.positions for sample in block]))
        own = weights if len(used) == weights.shape[1] else weights[:, used]
        design = np.stack([_design(sample, used, means) for sample in block], axis=1)
        flat = design.reshape(len(used), -1)
        shape = (len(weights), *design.shape[1:])
        sums = (own @ flat).reshape(shape)
        empty = sums[..., N_BINS] == 0
        sums[empty] = np.broadcast_to(flat.sum(0).reshape(shape[1:]), shape)[empty]
        for name, values in _metrics(sums, means).items():
            if name in blocks:
                blocks[name].append(values)
    return {name: np.concatenate(parts, axis=1) for name, parts in blocks.items()}


def _design(sample: Sample, used: np.ndarray, means: Sequence[str]) -> np.ndarray:
    """Return what each question adds to a replicate's sums: [Q, N_BINS + 1 + M].

    The gap in the bin of its confidence, 1 for the question, and its terms of M means.
    """
    confidence, correct = sample.answers.top
    rows = np.searchsorted(used, sample.positions)
    design = np.zeros((len(used), N_BINS + 1 + len(means)), np.float32)
    design[rows, width_bins(confidence)] = confidence - correct
    design[rows, N_BINS] = 1
    for column, name in enumerate(means, N_BINS + 1):
        design[rows, column] = _MEANS[name](sample.answers)
    return design


def _metrics(sums: np.ndarray, means: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the means, and all metrics of bins, from sums as `_design` has them."""
    gaps, n = sums[..., :N_BINS], sums[..., N_BINS]
    totals = dict(zip(means, np.moveaxis(sums[..., N_BINS + 1 :], -1, 0), strict=True))
    totals |= {name: of_bins(gaps) for name, of_bins in _OF_BINS.items()}
    return {name: total / n for name, total in totals.items()}


def null_test(uniforms: np.ndarray, sample: Sample) -> dict[str, Null]:
    """Test whether answers are calibrated (consistency test, Broecker & Smith 2007).

    The confidences stay; each answer is right with its confidence as probability.

    Args:
        uniforms: [D, Q] as `null_uniforms` gives them.
        sample: of at least one question.

    Returns:
        By name, for each metric that is computed from the gaps in bins (ECE and gap).
        The p-value is that of the metric's size: two-sided for the gap, whose expected
        value is exactly 0.
    """
    confidence, correct = sample.answers.top
    bins = width_bins(confidence)
    sums = np.bincount(bins, confidence, minlength=N_BINS)
    right = (uniforms[:, sample.positions] < confidence).astype(np.float32)
    drawn_gaps = sums - right @ np.eye(N_BINS, dtype=np.float32)[bins]
    observed_gaps = sums - np.bincount(bins, correct, minlength=N_BINS)
    tests = {}
    for name, of_bins in _OF_BINS.items():
        drawn, observed = abs(of_bins(drawn_gaps)), abs(of_bins(observed_gaps))
        mean = 0.0
        if METRICS[name].best != ZERO:
            mean = float(drawn.mean()) / len(bins)
        as_large = (drawn >= observed - 1e-6).sum()
        tests[name] = Null(mean, float(1 + as_large) / (NULL_DRAWS + 1))
    return tests


class Resampler:
    """Makes replicates of the answers to a task's questions.

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

        The arguments are those of `question_weights`; `confidence` is of intervals.
        """
        names = sorted(set(questions))
        self._positions = {name: position for position, name in enumerate(names)}
        self._confidence = confidence
        self.weights = question_weights(task, names, replicates=replicates, seed=seed)
        self._uniforms = null_uniforms(task, names, seed=seed)

    def sample(self, questions: Iterable[str], answers: Answers) -> Sample:
        """Return the answers to some of the task's questions as a sample.

        Args:
            questions: [N] ids.
            answers: to them.
        """
        positions = [self._positions[name] for name in questions]
        return Sample(np.array(positions, np.int64), answers)

    def uncertainty(
        self, samples: Sequence[Sample], names: Sequence[str] = REPLICATED
    ) -> list[dict[str, dict[str, Any]]]:
        """Return the columns of a metric's row beside its value.

        Args:
            samples: G of them, each with a question.
            names: of the metrics, some of `REPLICATED`.

        Returns:
            For each sample, by metric: `replicates` [R], `se`, `ci_low`, `ci_high`,
            and `null_mean` and `null_p` where they exist.
        """
        replicates = replicate(self.weights, samples, names)
        columns: list[dict[str, dict[str, Any]]] = []
        for index, sample in enumerate(samples):
            nulls = null_test(self._uniforms, sample)
            rows: dict[str, dict[str, Any]] = {
                name: {"replicates": values[:, index]}
                for name, values in replicates.items()
            }
            for name, row in rows.items():
                if name in nulls:
                    row |= {"null_mean": nulls[name].mean, "null_p": nulls[name].p}
                elif calibrated := METRICS[name].calibrated:
                    row |= {"null_mean": calibrated(sample.answers)}
            columns.append(rows)
        for name, values in replicates.items():
            found = self._spread(name, values, samples, columns)
            for rows, ends in zip(columns, np.array(found).T.tolist(), strict=True):
                rows[name] |= zip(("se", "ci_low", "ci_high"), ends, strict=True)
        return columns

    def _spread(
        self,
        name: str,
        values: np.ndarray,
        samples: Sequence[Sample],
        columns: Sequence[Mapping],
    ) -> Spread:
        """Return a metric's error; a biased one's names include the gap."""
        if not METRICS[name].biased:
            return spread(values, confidence=self._confidence)
        observed, gaps = (
            np.array([METRICS[each].compute(sample.answers) for sample in samples])
            for each in (name, "gap")
        )
        bias = bound_bias(
            observed,
            np.array([rows[name]["null_mean"] for rows in columns]),
            gaps,
            np.array([rows["gap"]["replicates"].std(ddof=1) for rows in columns]),
        )
        return spread(values, confidence=self._confidence, observed=observed, bias=bias)
