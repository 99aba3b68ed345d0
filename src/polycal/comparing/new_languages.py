"""Languages as a sample: the mean effect, and that on a language not measured.

Input: the conditions of a study; output: rows of the table `new_languages`.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from polycal.comparing.inference import Noise, half_width
from polycal.comparing.paired import (
    Numbers,
    Row,
    Study,
    by_sweep,
    levels_of,
    shared,
    subtract_seeds,
)
from polycal.comparing.random_effects import FEWEST, SAMPLED, fit
from polycal.comparing.seed_noise import SeedVariance, pool_seeds


class Sample(NamedTuple):
    """What other languages would show, as columns of the table `new_languages`."""

    estimate: float
    se: float
    ci_low: float
    ci_high: float
    tau: float
    new_low: float
    new_high: float


def generalise(
    effects: ArrayLike,
    covariance: ArrayLike,
    *,
    common: float = 0.0,
    common_df: float = 1.0,
    below: float = 0.0,
    above: float = 0.0,
    confidence: float = 0.95,
) -> Sample:
    """Estimate the mean effect and predict that of another language.

    The prediction interval is that of Higgins, Thompson and Spiegelhalter 2009: the
    mean plus or minus t sqrt(tau^2 + se^2), with L - 2 degrees of freedom. The noise of
    other trainings that all languages share is added to both intervals.

    Args:
        effects: [L] e.g. the change of the gap by language.
        covariance: [L, L] of their sampling errors.
        common: standard error for other trainings that all languages share.
        common_df: its degrees of freedom.
        below: how far the effects may lie below their estimates by bias.
        above: how far above.
        confidence: of both intervals.

    Raises:
        ValueError: as `fit`.

    Example:
        >>> sample = generalise([0.1, 0.3] * 3, np.eye(6) * 1e-6)
        >>> round(sample.estimate, 6), round(sample.tau, 3)
        (0.2, 0.11)
    """
    n = len(np.asarray(effects))
    found = fit(effects, covariance, np.ones((n, 1)))
    mean, se = float(found.coefficients[0]), float(found.se[0])
    own = Noise(0.0, common, common_df, se, found.df)
    another = own._replace(specific=math.hypot(found.tau, se), specific_df=n - 2)
    half, wide = (
        float(half_width(noise, confidence=confidence)) for noise in (own, another)
    )
    low, high = mean - below, mean + above
    return Sample(
        *(mean, float(own.se), low - half, high + half),
        *(found.tau, low - wide, high + wide),
    )


def new_languages(study: Study, confidence: float) -> list[Row]:
    """Return the mean and the predicted effect of each change, by level."""
    rows = []
    for (reference, *_), pairs in by_sweep(study).items():
        for metric in SAMPLED:
            sides = {
                after: (study[after][metric], study[before][metric])
                for before, after in pairs
                if metric in study[after] and metric in study[before]
            }
            common = _pool(list(sides.values()))
            for condition, (tuned, base) in sides.items():
                for level, codes in levels_of(shared((tuned, base))).items():
                    found = _generalise(tuned, base, codes, common, confidence)
                    if found is not None:
                        key = {"reference": reference, "level": level, "metric": metric}
                        key |= {"n_languages": len(codes)}
                        rows.append(condition._asdict() | key | found._asdict())
    return rows


def _pool(sides: list[tuple[Numbers, Numbers]]) -> SeedVariance:
    """Pool the noise of training over the smoothing values of an SFT set."""
    codes = shared(numbers for pair in sides for numbers in pair)
    differences = [subtract_seeds(*pair, codes) for pair in sides if codes]
    return pool_seeds(differences, np.ones((len(codes), 0)))


def _generalise(
    after: Numbers,
    before: Numbers,
    codes: list[str],
    training: SeedVariance,
    confidence: float,
) -> Sample | None:
    """Return the sample of these languages; None where it has no interval."""
    if len(codes) < FEWEST:
        return None
    draws = np.array([after.draws[code] - before.draws[code] for code in codes])
    n_seeds = len(subtract_seeds(after, before, codes))
    try:
        return generalise(
            [after.value[code] - before.value[code] for code in codes],
            np.cov(draws),
            common=math.sqrt(training.common[0] / n_seeds),
            common_df=max(training.common_df, 1.0),
            below=after.mean_bias(codes),
            above=before.mean_bias(codes),
            confidence=confidence,
        )
    except ValueError:
        return None  # fewer replicates than languages
