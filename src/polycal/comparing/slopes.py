"""Meta-regression of effects on what is known of a language."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike

from polycal.comparing.conditions import language_of
from polycal.comparing.inference import Noise, half_width, p_two_sided
from polycal.comparing.paired import Condition, Row, Study, contrasted, shared
from polycal.comparing.random_effects import FEWEST, SAMPLED, fit
from polycal.storage import tables
from polycal.study.languages import ALL

# From a condition and a language to a number, or None where it is not known.
Predictor = Callable[[Condition, str], float | None]


class Slope(NamedTuple):
    """A line through the effects of languages, as columns of the table `slopes`."""

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

    effect = a + b x, with the noise of `polycal.comparing.random_effects`.

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
    x = np.asarray(predictor, np.float64)
    if len(np.unique(x)) < 2:
        raise ValueError("a slope needs two values of the predictor")
    line = fit(effects, covariance, np.stack([np.ones(len(x)), x], axis=1))
    (intercept, slope), se = line.coefficients, float(line.se[1])
    noise = Noise(0.0, se, line.df)
    reach = half_width(noise, confidence=confidence)
    low, high, p_value = slope - reach, slope + reach, p_two_sided(slope, noise)
    numbers = (intercept, slope, se, low, high, p_value, line.tau)
    return Slope._make([*map(float, numbers), len(x)])


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
        for metric in SAMPLED:
            if metric not in study[before] or metric not in study[after]:
                continue
            base, tuned = study[before][metric], study[after][metric]
            for name, predict in predictors.items():
                known = {
                    code: x
                    for code in shared((base, tuned))
                    if (x := predict(after, code)) is not None
                }
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
    """Return what an effect may depend on: resources, and the tokenizer."""
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
