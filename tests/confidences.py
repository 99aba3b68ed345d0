"""Made-up confidences and answers for the tests of the metrics."""

import numpy as np
from hypothesis import strategies as st


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
