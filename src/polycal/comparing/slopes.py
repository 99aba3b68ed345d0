"""Meta-regression of effects on what is known of a language."""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike

from polycal.calibration import METRICS
from polycal.comparing.conditions import language_of
from polycal.comparing.inference import Noise, half_width, p_two_sided
from polycal.comparing.paired import Condition, Row, Study, contrasted, shared
from polycal.storage import tables
from polycal.study.languages import ALL

FEWEST = 6  # languages; with fewer, no interval of a slope is worth its name
# Fractions, whose slopes can be compared with each other.
_SLOPED = [name for name, metric in METRICS.items() if metric.margin and metric.unit]
# From a condition and a language to a number, or None where it is not known.
Predictor = Callable[[Condition, str], float | None]


class Slope(NamedTuple):
    """A line through the effects of languages.

    Attributes:
        intercept: the effect where the predictor is 0.
        slope: change of the effect per unit of the predictor.
        se: standard error of the slope, languages as a sample of languages.
        ci_low: lower end of the interval of the slope.
        ci_high: upper end.
        p_value: two-sided, of no slope.
        tau: standard deviation of the languages' own effects around the line.
        n_languages: how many.
    """

    intercept: float
    slope: float
    se: float
    ci_low: float
    ci_high: float
    p_value: float
    tau: float
    n_languages: int


def meta_regression(
    effects: ArrayLike,
    covariance: ArrayLike,
    predictor: ArrayLike,
    *,
    confidence: float = 0.95,
) -> Slope:
    """Regress languages' effects on a predictor (random-effects meta-regression).

    effect = a + b x + u + e. e has the given covariance, which is not diagonal because
    all languages answer the same questions; u has variance tau^2, by which a language
    differs from the line. tau^2 is the moment estimate of DerSimonian and Laird 1986,
    generalised to a covariance: (Q - (L - 2)) / trace(P), at least 0, with W the
    inverse covariance, P = W - W X (X'WX)^-1 X'W and Q = y'Py. The line is fitted by
    generalised least squares with covariance + tau^2 I. Interval and p-value are those
    of Knapp and Hartung 2003: the standard error is multiplied by the root of y'Py /
    (L - 2), with P of these weights, if that is above 1, and t has L - 2 degrees of
    freedom, because tau^2 is an estimate from few languages.

    Args:
        effects: [L] e.g. the change of the gap by language.
        covariance: [L, L] of their sampling errors, of bootstrap replicates; it must
            have an inverse: more replicates than languages.
        predictor: [L] e.g. the Joshi class or the log of the token premium.
        confidence: of the slope's interval.

    Raises:
        ValueError: fewer than six languages, one predictor value only, or a
            covariance that has no inverse.

    Example:
        >>> effects = [0.1, 0.2, 0.3, 0.1, 0.2, 0.3]
        >>> line = meta_regression(effects, np.eye(6) * 0.01, [0, 1, 2, 0, 1, 2])
        >>> round(line.slope, 6), round(line.tau, 6)
        (0.1, 0.0)
    """
    y, x = np.asarray(effects, np.float64), np.asarray(predictor, np.float64)
    sigma = np.asarray(covariance, np.float64)
    if len(y) < FEWEST or len(np.unique(x)) < 2:
        raise ValueError(
            f"a slope needs {FEWEST} languages and two values of the predictor"
        )
    if sigma.shape != (len(y), len(y)) or np.linalg.matrix_rank(sigma) < len(y):
        raise ValueError(
            f"the covariance {sigma.shape} of {len(y)} languages has no inverse; "
            "it takes more replicates than languages"
        )
    design = np.stack([np.ones(len(y)), x], axis=1)
    weights = np.linalg.inv(sigma)
    _, hat = _least_squares(design, weights, y)
    projection = weights - weights @ design @ hat
    excess = y @ projection @ y - (len(y) - design.shape[1])
    variance = max(excess / np.trace(projection), 0.0)
    whole = np.linalg.inv(sigma + variance * np.eye(len(y)))
    (intercept, slope), hat = _least_squares(design, whole, y)
    projection = whole - whole @ design @ hat
    df = len(y) - design.shape[1]
    scale = max(y @ projection @ y / df, 1.0)
    se = math.sqrt(scale * np.linalg.inv(design.T @ whole @ design)[1, 1])
    noise = Noise(0.0, se, df)
    p_value = p_two_sided(slope, noise)
    reach = half_width(noise, confidence=confidence)
    low, high = slope - reach, slope + reach
    numbers = (intercept, slope, se, low, high, p_value, math.sqrt(variance))
    return Slope(*map(float, numbers), len(y))


def _least_squares(
    design: np.ndarray, weights: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the coefficients [P] and the matrix [P, L] that maps effects to them."""
    hat = np.linalg.solve(design.T @ weights @ design, design.T @ weights)
    return hat @ y, hat


def slopes(
    study: Study, predictors: Mapping[str, Predictor], confidence: float
) -> list[Row]:
    """Return how each change depends on what is known of a language.

    Args:
        study: the conditions.
        predictors: by name; languages of unknown predictor are left out.
        confidence: of the intervals.
    """
    rows = []
    for reference, before, after in contrasted(study):
        for metric in _SLOPED:
            pair = [study[before].get(metric), study[after].get(metric)]
            if None in pair:
                continue
            base, tuned = pair
            for name, predict in predictors.items():
                known = {code: predict(after, code) for code in shared(pair)}
                known = {code: x for code, x in known.items() if x is not None}
                if len(known) < FEWEST:
                    continue
                effects = [tuned.value[code] - base.value[code] for code in known]
                draws = [tuned.draws[code] - base.draws[code] for code in known]
                try:
                    line = meta_regression(
                        effects,
                        np.cov(np.array(draws)),
                        list(known.values()),
                        confidence=confidence,
                    )
                except ValueError:
                    continue  # one predictor value only, or too few replicates
                key = {"reference": reference, "metric": metric, "predictor": name}
                rows.append(after._asdict() | key | line._asdict())
    return rows


def predictors_of(metrics: pa.Table) -> dict[str, Predictor]:
    """Return what an effect may depend on: resources, and the tokenizer.

    Args:
        metrics: the study's metrics table, for the token premium: text scoring.
    """
    premiums = tables.where(metrics, metric="token_premium", subset=ALL).to_pandas()
    by_language = premiums.groupby(["model", "task", "language"])["value"].mean()
    premium_of = by_language.to_dict()

    def log_premium(condition: Condition, code: str) -> float | None:
        premium = premium_of.get((condition.model, condition.task, code))
        return None if premium is None else float(np.log(premium))

    return {
        "joshi_class": lambda _, code: float(language_of(code).joshi_class),
        "log_token_premium": log_premium,
    }
