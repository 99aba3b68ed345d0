"""Time and memory of the question bootstrap, beside resampling rows one by one.

    python benchmarks/bootstrap.py [--languages 42] [--questions 14042]

Synthetic answers of one run. The naive side draws row indices with NumPy and computes
the metrics of each replicate with polycal's own functions, for one language and a few
replicates, and is scaled up.
"""

import argparse
import resource
import time

import numpy as np

from polycal import calibration
from polycal.calibration import Answers, answer
from polycal.measuring.resampling import REPLICATED, Resampler, replicate

NAIVE = 5  # replicates that are timed one by one


def make_answers(n: int, noise: np.random.Generator) -> Answers:
    """Over-confident answers to n questions of four options."""
    return answer(noise.normal(size=(n, 4)) * 1.5, noise.integers(0, 4, n))


def resample_naively(given: Answers, noise: np.random.Generator) -> dict[str, float]:
    """One replicate of all metrics that the bootstrap makes."""
    rows = noise.integers(0, len(given.gold), len(given.gold))
    drawn = Answers(
        given.scores[rows],
        given.probs[rows],
        given.gold[rows],
        calibration.TopLabel(*(each[rows] for each in given.top)),
    )
    return {name: calibration.METRICS[name].compute(drawn) for name in REPLICATED}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--languages", type=int, default=42)
    parser.add_argument("--questions", type=int, default=14_042)
    parser.add_argument("--replicates", type=int, default=1000)
    options = parser.parse_args()
    noise = np.random.default_rng(0)
    names = [f"subject/test/{number}" for number in range(options.questions)]
    answers = [make_answers(options.questions, noise) for _ in range(options.languages)]

    marks = [time.perf_counter()]
    resampler = Resampler(
        "t", names, replicates=options.replicates, seed=0, confidence=0.95
    )
    marks.append(time.perf_counter())
    samples = [resampler.sample(names, given) for given in answers]
    replicate(resampler.weights, samples)
    marks.append(time.perf_counter())
    resampler.uncertainty(samples)
    marks.append(time.perf_counter())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20

    begin = time.perf_counter()
    for _ in range(NAIVE):
        resample_naively(answers[0], noise)
    naive = (time.perf_counter() - begin) / NAIVE
    naive *= options.replicates * options.languages

    weights, products, everything = np.diff(marks)
    print(
        f"{options.languages} languages x {options.questions} questions, "
        f"{options.replicates} replicates of {', '.join(REPLICATED)}"
    )
    print(f"  weights, once for a task          {weights:8.2f} s")
    print(f"  replicates of one run             {products:8.2f} s")
    print(f"  weights and replicates            {weights + products:8.2f} s")
    print(f"  replicates, intervals, null tests {everything:8.2f} s")
    print(f"  peak memory of the process        {peak:8.2f} GiB")
    print(f"  naive, scaled from {NAIVE} replicates    {naive:8.0f} s")
    print(f"  naive / replicates                {naive / products:8.0f} x")


if __name__ == "__main__":
    main()
