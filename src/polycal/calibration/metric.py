"""The record of a metric, from which every list of metrics is derived."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from polycal.calibration.answers import Answers

# Which values of a metric are the best.
LOWEST, HIGHEST, ZERO = "lowest", "highest", "0"
SIGNED = (-1.0, 1.0)  # the span of a difference of two fractions


class Metric(NamedTuple):
    """One number about the answers to N questions.

    Attributes:
        name: in tables and on the command line.
        heading: the name as people read it.
        compute: from the answers to the number; NaN where it is not defined. A metric
            of `polycal.measuring.side_metrics` takes a reading of one language and
            gives None where the reading has no such number.
        role: `primary` carries the claims, `secondary` supports them, `comparison`
            is published by others, `diagnostic` explains the others.
        formula: g is confidence - correctness, d_b its mean in bin b, w_b the bin's
            share of the questions, p the probabilities of the options.
        use: what it is good for, and where it misleads.
        unit: `%` for a fraction and `pp` for a signed one, which are shown times 100;
            `nats`, `bits`, or nothing.
        span: lowest and highest possible value.
        best: `LOWEST`, `HIGHEST` or `ZERO`; None if no value is better than another.
        terms: from the answers to the values [N] whose mean is the metric; the
            bootstrap averages them. None for other metrics.
        first_order: whether that holds of weighted questions to first order only, for
            a metric that is no mean (`polycal.calibration.influence`).
        of_bins: from the sums of g in bins of equal width, [..., N_BINS], to the
            metric times N; the bootstrap and the consistency test sum g. None for
            other metrics.
        biased: whether it lies above the truth on few questions, as sizes of noise do.
        calibrated: from the answers to what a perfectly calibrated model of the same
            confidences would show on average, of a biased metric that `of_bins` does
            not give; a bound on the bias.
        margin: the key of the study's `statistics` that says which differences do not
            matter; None where no key says so.
        geometric: whether seeds and languages are averaged by the geometric mean.
    """

    name: str
    heading: str
    compute: Callable[..., Any]
    role: str
    formula: str
    use: str
    unit: str = "%"
    span: tuple[float, float] = (0.0, 1.0)
    best: str | None = None
    terms: Callable[[Answers], np.ndarray] | None = None
    first_order: bool = False
    of_bins: Callable[[np.ndarray], np.ndarray] | None = None
    biased: bool = False
    calibrated: Callable[[Answers], float] | None = None
    margin: str | None = None
    geometric: bool = False

    @property
    def short_heading(self) -> str:
        """Return the heading without what stands in brackets."""
        return self.heading.split(" (")[0]

    @property
    def replicated(self) -> bool:
        """Return whether the metric has bootstrap replicates, so intervals."""
        return self.terms is not None or self.of_bins is not None

    @property
    def is_fraction(self) -> bool:
        """Return whether it is a fraction, or the difference of two."""
        return self.unit in ("%", "pp")

    @property
    def may_carry_claim(self) -> bool:
        """Return whether a claim may be about it: it has an interval and a margin."""
        return self.replicated and self.margin is not None
