"""How often nominal 95 % intervals hold the truth, metric by metric.

    python benchmarks/coverage.py [--experiments 200] [--questions 658 14042]

Populations with a known truth: a model's scores are sharpened by a factor, and the
right option is drawn with the probabilities before. Factor 1 is perfectly calibrated.
Each experiment draws questions, and its interval is made as `polycal measure` makes it.
"""

import argparse

import numpy as np

from polycal import calibration
from polycal.calibration import Answers, answer
from polycal.measuring.resampling import REPLICATED, Resampler

FACTORS = (1.0, 1.1, 1.5)
POPULATION = 1_000_000


def make_population(factor: float, noise: np.random.Generator) -> Answers:
    """Answers whose right options are drawn from the scores before sharpening."""
    scores = noise.normal(size=(POPULATION, 4)) * 1.5
    probs = calibration.probabilities(scores)
    gold = (noise.random((POPULATION, 1)) > probs.cumsum(axis=1)).sum(axis=1)
    return answer(scores * factor, np.minimum(gold, 3))


def cover(
    population: Answers, n: int, experiments: int, noise: np.random.Generator
) -> tuple[dict[str, float], dict[str, float]]:
    """The truth, and the share of the experiments whose interval holds it."""
    truth = {name: calibration.METRICS[name].compute(population) for name in REPLICATED}
    names = [str(number) for number in range(n)]
    resampler = Resampler("t", names, replicates=500, seed=0, confidence=0.95)
    hits = dict.fromkeys(REPLICATED, 0)
    for _ in range(experiments):
        rows = noise.integers(0, POPULATION, n)
        drawn = answer(population.scores[rows], population.gold[rows])
        about = resampler.uncertainty([resampler.sample(names, drawn)])[0]
        for name, value in truth.items():
            hits[name] += about[name]["ci_low"] <= value <= about[name]["ci_high"]
    return truth, {name: count / experiments for name, count in hits.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiments", type=int, default=200)
    parser.add_argument("--questions", type=int, nargs="+", default=[658, 14_042])
    options = parser.parse_args()
    noise = np.random.default_rng(0)
    error = (0.95 * 0.05 / options.experiments) ** 0.5
    print(f"{options.experiments} experiments; standard error of a share {error:.3f}")
    print(f"{'factor':>6} {'questions':>9} {'ECE':>6}  " + "  ".join(REPLICATED))
    for factor in FACTORS:
        population = make_population(factor, noise)
        for n in options.questions:
            truth, shares = cover(population, n, options.experiments, noise)
            cells = "  ".join(f"{shares[name]:{len(name)}.2f}" for name in REPLICATED)
            print(f"{factor:6.1f} {n:9} {truth['ece']:6.3f}  {cells}", flush=True)


if __name__ == "__main__":
    main()
