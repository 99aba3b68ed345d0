"""Standard errors where subjects, and not questions, are the sample."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from polycal.calibration import METRICS
from polycal.calibration.answers import Answers

FEWEST = 10  # subjects; with fewer, an error between them is mostly noise itself

_TERMS = {
    name: metric.terms
    for name, metric in METRICS.items()
    if metric.role == "primary" and metric.terms
}
_TERMS["gap"] = lambda given: given.top.confidence - given.top.correct


def errors_by_subject(given: Answers, subjects: pa.ChunkedArray) -> Mapping[str, float]:
    """Return the standard errors of the primary means for other subjects.

    Cluster-robust (Liang and Zeger 1986): with r the sum of term - mean over a subject,
    the root of S / (S - 1) sum r^2, divided by the number of questions. It is above the
    standard error over questions where subjects differ.

    Args:
        given: answers to N questions.
        subjects: [N] of the questions.

    Returns:
        By metric; empty with fewer than `FEWEST` subjects.
    """
    codes = pc.dictionary_encode(subjects.combine_chunks())
    n_subjects = len(codes.dictionary)
    if n_subjects < FEWEST or codes.null_count:
        return {}
    index = codes.indices.to_numpy()
    found = {}
    for name, compute in _TERMS.items():
        terms = compute(given)
        sums = np.bincount(index, terms - terms.mean())
        spread = n_subjects / (n_subjects - 1) * (sums**2).sum()
        found[name] = float(np.sqrt(spread)) / len(terms)
    return found
