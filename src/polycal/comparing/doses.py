"""Dose-response of metrics to label smoothing: trend, slope, optimum."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from polycal.calibration import METRICS
from polycal.calibration.metric import LOWEST, ZERO
from polycal.calibration.proper import isotonic
from polycal.comparing.paired import Row, Study, levels_of, shared, sweeps
from polycal.comparing.seed_noise import add_training
from polycal.study.grid import BASE

# Metrics that can be minimised; those that are best at 0 by their size.
_DOSED = {
    name: metric
    for name, metric in METRICS.items()
    if metric.role == "primary" and metric.best in (LOWEST, ZERO)
}


class Dose(NamedTuple):
    """The response of a metric to smoothing, as columns of the table `doses`."""

    fitted: np.ndarray
    monotone: float
    slope: float
    slope_low: float
    slope_high: float
    optimum: float
    optimum_low: float
    optimum_high: float
    chosen: np.ndarray


def dose_response(
    smoothing: ArrayLike,
    values: ArrayLike,
    replicates: ArrayLike,
    *,
    bias: ArrayLike = 0.0,
    confidence: float = 0.95,
) -> Dose:
    """Compute trend, slope and optimum of a metric of which less is better.

    An optimum strictly between the ends shows a U-shape: more smoothing makes the
    model under-confident. Replicates are moved to have their mean at the observed
    value, because those of a biased metric carry its bias twice. Of a biased metric,
    the interval of the slope holds those of all values that the truth may have, and a
    smoothing is the optimum only if no bias could make another one better.

    Args:
        smoothing: [D] rising, at least two values.
        values: [D] the metric at each.
        replicates: [R, D] bootstrap replicates, paired over the smoothing values.
        bias: [D] how far the metric may lie above the truth on average.
        confidence: of both intervals.

    Raises:
        ValueError: the smoothing values do not rise, or shapes do not fit.
    """
    x, y = np.asarray(smoothing, np.float64), np.asarray(values, np.float64)
    drawn = np.asarray(replicates, np.float64)
    if len(x) < 2 or (np.diff(x) <= 0).any():
        raise ValueError("a dose-response needs two or more rising smoothing values")
    if y.shape != x.shape or drawn.shape[1:] != x.shape:
        raise ValueError(f"values {y.shape}, {drawn.shape} for {len(x)} smoothings")
    weights = np.ones(len(x))
    falling, rising = -isotonic(-y, weights), isotonic(y, weights)
    falls = ((falling - y) ** 2).sum() <= ((rising - y) ** 2).sum()
    steps = np.diff(drawn, axis=1)
    contrast = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    centred = drawn - drawn.mean(axis=0) + y
    bias = np.broadcast_to(np.asarray(bias, np.float64), y.shape)
    tails = 50 - 50 * confidence, 50 + 50 * confidence  # percent
    low, high = np.percentile(centred @ contrast, tails)
    low -= (bias * np.maximum(contrast, 0)).sum()
    high += (bias * np.maximum(-contrast, 0)).sum()
    best = centred.argmin(axis=1)
    # What may be the lowest, if its bias is largest and that of the others is 0.
    possible = centred - bias < centred.min(axis=1, keepdims=True)
    possible[np.arange(len(best)), best] = True
    last = len(x) - 1 - possible[:, ::-1].argmax(axis=1)
    optimum_low = np.percentile(
        x[possible.argmax(axis=1)], tails[0], method="inverted_cdf"
    )
    optimum_high = np.percentile(x[last], tails[1], method="inverted_cdf")
    sure = possible.sum(axis=1) == 1
    return Dose(
        falling if falls else rising,
        float((steps <= 0 if falls else steps >= 0).all(axis=1).mean()),
        float(y @ contrast),
        float(low),
        float(high),
        float(x[y.argmin()]),
        float(optimum_low),
        float(optimum_high),
        np.bincount(best[sure], minlength=len(x)) / len(drawn),
    )


def doses(study: Study, confidence: float) -> list[Row]:
    """Return the dose-response of every metric that can be minimised, by level."""
    rows = []
    for conditions in sweeps(study):
        if conditions[0].sft == BASE:
            continue
        smoothing = [condition.smoothing for condition in conditions]
        sweep = conditions[0]._asdict()
        del sweep["smoothing"]
        for name, metric in _DOSED.items():
            if len(conditions) < 2 or any(name not in study[c] for c in conditions):
                continue
            numbers = [study[condition][name] for condition in conditions]
            if metric.best == ZERO:  # in every language, before the mean
                numbers = [of_one.sizes() for of_one in numbers]
            for level, codes in levels_of(shared(numbers)).items():
                means = [of_one.mean(codes) for of_one in numbers]
                values, draws = (np.array(side) for side in zip(*means, strict=True))
                seeds = [of_one.mean_seeds(codes) for of_one in numbers]
                dose = dose_response(
                    smoothing,
                    values,
                    add_training(draws.T, seeds),
                    bias=[of_one.mean_bias(codes) for of_one in numbers],
                    confidence=confidence,
                )
                shown = {"smoothings": smoothing, "values": values.tolist()}
                shown["n_seeds"] = min(map(len, seeds))
                key = {"level": level, "metric": name}
                rows.append(sweep | key | dose._asdict() | shown)
    return rows
