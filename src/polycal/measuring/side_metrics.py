"""The records of the metrics that need more than answers: letters, tokens, English."""

import math
from collections.abc import Callable

import numpy as np

from polycal.calibration import METRICS, Metric
from polycal.calibration.metric import HIGHEST, LOWEST
from polycal.measuring.confidence import token_premium
from polycal.measuring.readings import LanguageReading
from polycal.measuring.temperature import is_at_limit


def side_metrics(reading: LanguageReading) -> dict[str, float]:
    """Compute the metrics of a reading that its probabilities alone do not give.

    Returns:
        Those of `SIDE_METRICS` that the reading has: the temperature alone of a
        calibrated one; of others the mass of the letters or the token premium, and
        the comparison with English of all languages but English.
    """
    values = {name: metric.compute(reading) for name, metric in SIDE_METRICS.items()}
    return {name: value for name, value in values.items() if value is not None}


def _letter_mass(reduce: Callable[[np.ndarray], float]) -> Callable:
    """Return a function from a reading by letters to a number about their mass."""

    def compute(reading: LanguageReading) -> float | None:
        column = reading.rows["log_mass"]
        if reading.temperatures is not None or not len(column) or column.null_count:
            return None
        return reduce(column.to_numpy().astype(np.float64))

    return compute


def _token_premium(reading: LanguageReading) -> float | None:
    english = reading.rows if reading.is_english else reading.english
    if reading.scoring != "text" or english is None or reading.temperatures is not None:
        return None
    return token_premium(reading.rows, english)


def _temperature(reading: LanguageReading) -> float | None:
    if reading.temperatures is None:
        return None
    logs = np.log(reading.temperatures)
    return float(np.exp(logs.mean())) if len(logs) else math.nan


def _censored(reading: LanguageReading) -> float | None:
    if reading.temperatures is None:
        return None
    at_limit = is_at_limit(reading.temperatures)
    return float(at_limit.mean()) if len(at_limit) else math.nan


_RECORDS = (
    Metric(
        "log_mass",
        "log mass",
        _letter_mass(lambda mass: float(mass.mean())),
        "diagnostic",
        "mean log of the probability that all letters have together",
        "near 0: the model answers with a letter",
        unit="nats",
        span=(-math.inf, 0.0),
        best=HIGHEST,
    ),
    Metric(
        "letter_mass",
        "letter mass",
        _letter_mass(lambda mass: float(np.exp(mass).mean())),
        "diagnostic",
        "mean probability that all letters have together",
        "as log_mass, as a share",
        best=HIGHEST,
    ),
    Metric(
        "token_premium",
        "token premium",
        _token_premium,
        "diagnostic",
        "tokens of the options / tokens of the same options in English",
        "a gap that rises with it may come from the tokenizer",
        unit="",
        span=(0.0, math.inf),
    ),
    Metric(
        "temperature",
        "temperature (its fit ends at 0.01 and 100)",
        _temperature,
        "diagnostic",
        "geometric mean of the T that divide the scores; of calibrated rows only",
        "above 1: over-confident",
        unit="",
        span=(0.01, 100.0),
        geometric=True,
    ),
    Metric(
        "censored",
        "censored temperature",
        _censored,
        "diagnostic",
        "share of the questions whose T is 0.01 or 100, where the fit ends",
        "above 0: the best T lies beyond, and a mean of temperatures is a bound only",
    ),
    Metric(
        "agreement",
        "agreement with English",
        lambda reading: reading.consistency.get("agreement"),
        "secondary",
        "share of the questions that are answered as in English",
        "whether languages share knowledge",
        best=HIGHEST,
    ),
    Metric(
        "confident_disagreement",
        "confident disagreement with English",
        lambda reading: reading.consistency.get("confident_disagreement"),
        "secondary",
        "share answered otherwise than in English with a confidence above 0.8",
        "contradictions that users of both languages would notice",
        best=LOWEST,
    ),
)
SIDE_METRICS: dict[str, Metric] = {metric.name: metric for metric in _RECORDS}
MEASURED = METRICS | SIDE_METRICS  # all that a metrics table may hold
