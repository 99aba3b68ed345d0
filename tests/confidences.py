"""Made-up confidences and answers for the tests of the metrics."""

import functools
from collections.abc import Mapping, Sequence

import numpy as np
from hypothesis import strategies as st

from polycal import calibration
from polycal.calibration import METRICS, Answers
from polycal.comparing.replicates import RunMetric
from polycal.measuring.resampling import Resampler


def draw(n: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return confidences that lie on no edge, and over-confident answers, each [n]."""
    random = np.random.default_rng(seed)
    confidence = random.uniform(0.25, 1, n).astype(np.float32).astype(float)
    correct = (random.uniform(size=n) < confidence - 0.1).astype(float)
    return confidence, correct


def spread(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return confidences and answers that do not depend on NumPy's generator."""
    index = np.arange(1, n + 1)
    confidence = 0.25 + 0.75 * (index * 0.6180339887498949 % 1)
    correct = (index * 1.4142135623730951 % 1 < 0.2 + 0.5 * confidence).astype(float)
    return confidence, correct


def drawn_answers(min_size: int = 1) -> st.SearchStrategy:
    """Return a strategy of any confidences, with edges and ties, and any answers."""
    unit = st.floats(0, 1) | st.sampled_from([0.0, 1.0, 1 / 3, 0.6, 0.8])
    pairs = st.lists(st.tuples(unit, st.booleans()), min_size=min_size, max_size=60)
    return pairs.map(lambda drawn: tuple(np.array(drawn, float).reshape(-1, 2).T))


def draw_calibrated(chance: np.random.Generator, n: int) -> tuple:
    """Return scores [n, 4] and right options [n] of a model that knows itself."""
    scores = 1.5 * chance.normal(size=(n, 4))
    probs = calibration.probabilities(scores)
    gold = (chance.random((n, 1)) > probs.cumsum(axis=1)).sum(axis=1)
    return scores, np.minimum(gold, 3)


@functools.lru_cache
def _resampler(names: tuple[str, ...]) -> Resampler:
    return Resampler("t", names, replicates=100, seed=0, confidence=0.95)


def measure_answers(
    answers: Mapping[str, Answers], metrics: Sequence[str]
) -> dict[str, RunMetric]:
    """Return metrics of one run's answers to the same questions, by language."""
    (n,) = {len(own.gold) for own in answers.values()}
    names = tuple(map(str, range(n)))
    resampler = _resampler(names)
    samples = [resampler.sample(names, own) for own in answers.values()]
    rows = resampler.uncertainty(samples, metrics)
    return {
        name: RunMetric(
            list(answers),
            np.array([METRICS[name].compute(own) for own in answers.values()]),
            np.array([row[name].get("null_mean", np.nan) for row in rows]),
            np.full(len(rows), n),
            np.stack([row[name]["replicates"] for row in rows]),
        )
        for name in metrics
    }
