"""Means of a condition's metrics over the languages of a level, with intervals."""

from polycal.calibration import METRICS
from polycal.comparing.paired import (
    Numbers,
    Row,
    Study,
    interval,
    levels_of,
    sweeps,
)
from polycal.comparing.seed_noise import SeedVariance, pool_means


def level_means(study: Study, confidence: float) -> list[Row]:
    """Return the mean of every metric with replicates, by condition and level.

    The interval holds the noise of questions, which is that of the mean and not of its
    languages, because translations of one question are not independent; that of
    trainings, where several seeds show it; and what the bias of an ECE may be.
    """
    rows = []
    for conditions in sweeps(study):
        metrics = dict.fromkeys(name for each in conditions for name in study[each])
        for metric in metrics:
            held = {each: study[each].get(metric) for each in conditions}
            held = {each: numbers for each, numbers in held.items() if numbers}
            levels = {each: levels_of(own.value) for each, own in held.items()}
            for level in levels_of(code for own in held.values() for code in own.value):
                own = {
                    each: numbers
                    for each, numbers in held.items()
                    if level in levels[each]
                }
                training = pool_means(
                    numbers.mean_seeds(levels[each][level])
                    for each, numbers in own.items()
                )
                for each, numbers in own.items():
                    codes = levels[each][level]
                    key = {"level": level, "metric": metric}
                    found = _describe(metric, numbers, codes, training, confidence)
                    rows.append(each._asdict() | key | found)
    return rows


def _describe(
    metric: str,
    numbers: Numbers,
    codes: list[str],
    training: SeedVariance,
    confidence: float,
) -> Row:
    value, draws = numbers.mean(codes)
    least, most = METRICS[metric].span
    n_seeds = len(numbers.by_seed(codes))
    found = interval(
        value,
        draws,
        confidence,
        below=numbers.mean_bias(codes),
        training=training,
        n_seeds=n_seeds,
    )
    se_seeds = float(training.widen(0.0, n_seeds).se_seeds)
    return found | {
        "se_seeds": se_seeds if training.known else None,
        "ci_low": max(found["ci_low"], least),
        "ci_high": min(found["ci_high"], most),
        "n_seeds": n_seeds,
        "n_languages": len(codes),
    }
