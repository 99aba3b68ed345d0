"""What other libraries give for the same answers, and how long polycal takes.

    pip install netcal relplot uncertainty-calibration model-diagnostics
    python benchmarks/libraries.py [--outlier-exposure FILE] [--hendrycks-test FILE]

One table per metric: a row for each made-up data set, a column for each library; a
library that is not installed is left out and named, and an error stands where it
stopped. The two files are `utils/calibration_tools.py` of hendrycks/outlier-exposure
and `calib_tools.py` of hendrycks/test, which are no packages. The data sets are what
libraries differ on: confidences on the edges of bins, exactly 1, tied, or, in
float32, one rounding step above 1. At the end, the time of every metric of 14 042
questions of 4 options, in one thread.
"""

import argparse
import builtins
import importlib.util
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from polycal import calibration

QUESTIONS = 4000
GROUP = 14_042
Peers = dict[str, Callable[[np.ndarray, np.ndarray], float]]


def make_data() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Confidences and correctness by name; over- and under-confident by turns."""
    random = np.random.default_rng(0)
    plain = random.uniform(0, 1, QUESTIONS)
    lots = random.uniform(size=QUESTIONS)

    def answers(confidence: np.ndarray) -> np.ndarray:
        error = np.where(np.floor(10 * confidence + 1e-9) % 2, 0.1, -0.1)
        return (lots < confidence + error).astype(float)

    rounded, ones, above = plain.round(1), plain.copy(), plain.copy()
    ones[: QUESTIONS // 5] = 1.0
    above[0] = np.float32(1.0000001)
    return {
        "continuous": (plain, answers(plain)),
        "rounded to 0.1": (rounded, answers(rounded)),
        "a fifth exactly 1": (ones, answers(ones)),
        "one above 1": (above, answers(plain)),
        "all 0.8": (np.full(QUESTIONS, 0.8), (lots < 0.6).astype(float)),
        "658 questions": (plain[:658], answers(plain)[:658]),
    }


def load_polycal() -> dict[str, Peers]:
    return {
        "ECE, 10 bins": {"polycal": lambda c, y: calibration.ece(c, y, n_bins=10)},
        "ECE, 15 bins": {"polycal": calibration.ece},
        "ECE, 15 bins of equal mass": {"polycal": calibration.ece_mass},
        "RMS error, 15 bins": {"polycal": calibration.rms_ce},
        "RMS error, bins of 100": {
            "polycal": calibration.rms_mass,
            "polycal, as published": calibration.rms_hendrycks,
        },
        "debiased l1, 15 bins": {"polycal": calibration.ece_debiased},
        "debiased l2, equal mass": {"polycal": calibration.l2_debiased},
        "smooth ECE": {"polycal": calibration.smooth_ece},
        "CORP miscalibration": {
            "polycal": lambda c, y: calibration.corp(c, y).miscalibration
        },
        "MCE, 15 bins": {"polycal": lambda c, y: calibration.mce(c, y, at_least=1)},
        "area under risk-coverage": {"polycal": calibration.aurc},
    }


def load_torchmetrics() -> dict[str, Peers]:
    import torch
    from torchmetrics.functional.classification import binary_calibration_error

    def error(norm: str, n_bins: int) -> Callable:
        return lambda c, y: float(
            binary_calibration_error(
                torch.tensor(c, dtype=torch.float32),
                torch.tensor(y).int(),
                n_bins=n_bins,
                norm=norm,
            )
        )

    return {
        "ECE, 10 bins": {"torchmetrics": error("l1", 10)},
        "ECE, 15 bins": {"torchmetrics": error("l1", 15)},
        "RMS error, 15 bins": {"torchmetrics": error("l2", 15)},
        "MCE, 15 bins": {"torchmetrics": error("max", 15)},
    }


def load_netcal() -> dict[str, Peers]:
    from netcal.metrics import ECE, MCE

    def error(metric: type, n_bins: int, **how: bool) -> Callable:
        return lambda c, y: float(metric(n_bins, **how).measure(c, y.astype(int)))

    return {
        "ECE, 10 bins": {"netcal": error(ECE, 10)},
        "ECE, 15 bins": {"netcal": error(ECE, 15)},
        "ECE, 15 bins of equal mass": {"netcal": error(ECE, 15, equal_intervals=False)},
        "MCE, 15 bins": {"netcal": error(MCE, 15)},
    }


def load_relplot() -> dict[str, Peers]:
    from relplot.metrics import binnedECE, smECE

    return {
        "ECE, 10 bins": {"relplot": lambda c, y: binnedECE(c, y, nbins=10)},
        "ECE, 15 bins": {"relplot": lambda c, y: binnedECE(c, y, nbins=15)},
        "smooth ECE": {"relplot": smECE},
    }


def load_uncertainty_calibration() -> dict[str, Peers]:
    from calibration.utils import (
        get_ece,
        get_ece_em,
        get_selective_stats,
        lower_bound_scaling_ce,
    )

    def error(function: Callable, n_bins: int, **how: object) -> Callable:
        return lambda c, y: float(function(c, y.astype(int), num_bins=n_bins, **how))

    name = "uncertainty-calibration"
    return {
        "ECE, 10 bins": {name: error(get_ece, 10)},
        "ECE, 15 bins": {name: error(get_ece, 15)},
        "ECE, 15 bins of equal mass": {name: error(get_ece_em, 15)},
        "debiased l1, 15 bins": {name: error(get_ece, 15, debias=True)},
        "debiased l2, equal mass": {name: error(lower_bound_scaling_ce, 15, p=2)},
        "area under risk-coverage": {
            name: lambda c, y: 1 - get_selective_stats(c, y)[0]
        },
    }


def load_model_diagnostics() -> dict[str, Peers]:
    from model_diagnostics.scoring import SquaredError, decompose

    def miscalibration(c: np.ndarray, y: np.ndarray) -> float:
        found = decompose(y_obs=y, y_pred=c, scoring_function=SquaredError())
        return float(found["miscalibration"][0])

    return {"CORP miscalibration": {"model-diagnostics": miscalibration}}


def load_scikit_learn() -> dict[str, Peers]:
    from sklearn.isotonic import IsotonicRegression

    def miscalibration(c: np.ndarray, y: np.ndarray) -> float:
        fitted = IsotonicRegression().fit(c, y).predict(c)
        return float(((c - y) ** 2).mean() - ((fitted - y) ** 2).mean())

    return {"CORP miscalibration": {"scikit-learn's isotonic": miscalibration}}


def load_file(path: Path, function: str, flat: bool) -> Callable:
    """A function of a published script that is no package."""
    for name in ("float", "int"):  # names that NumPy has dropped since
        vars(np).setdefault(name, getattr(builtins, name))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    code = getattr(module, function)
    if flat:
        return lambda c, y: float(code(c, y))
    return lambda c, y: float(code(y.astype(int), np.stack([1 - c, c], axis=1)))


def collect(options: argparse.Namespace) -> tuple[dict[str, Peers], list[str]]:
    """Every metric's functions by library, and the libraries that are absent."""
    tables, absent = load_polycal(), []
    for load in (
        load_torchmetrics,
        load_netcal,
        load_relplot,
        load_uncertainty_calibration,
        load_model_diagnostics,
        load_scikit_learn,
    ):
        try:
            found = load()
        except ImportError as error:
            name = load.__name__.removeprefix("load_").replace("_", "-")
            absent.append(f"{name} ({error})")
            continue
        for metric, peers in found.items():
            tables[metric] |= peers
    published = tables["RMS error, bins of 100"]
    if options.outlier_exposure:
        code = load_file(options.outlier_exposure, "calib_err", flat=True)
        published["outlier-exposure"] = code
    if options.hendrycks_test:
        code = load_file(options.hendrycks_test, "rmsce", flat=False)
        published["hendrycks/test"] = code
    return tables, absent


def attempt(function: Callable, confidence: np.ndarray, correct: np.ndarray) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return f"{function(confidence, correct):.6f}"
    except Exception as error:  # whatever a library stops with is the finding
        return type(error).__name__


def print_tables(tables: dict[str, Peers]) -> None:
    data = make_data()
    for metric, peers in tables.items():
        print(f"\n{metric}")
        print(f"{'':18}" + "".join(f"{name:>24}" for name in peers))
        for name, (confidence, correct) in data.items():
            cells = [attempt(each, confidence, correct) for each in peers.values()]
            print(f"{name:18}" + "".join(f"{cell:>24}" for cell in cells))


def print_times() -> None:
    random = np.random.default_rng(0)
    scores = random.normal(size=(GROUP, 4)) * 2
    gold = (scores / 2 + random.gumbel(size=scores.shape)).argmax(axis=1)
    given = calibration.answer(scores, gold)
    times = {}
    for name, metric in calibration.METRICS.items():
        start = time.perf_counter()
        metric.compute(given)
        times[name] = 1000 * (time.perf_counter() - start)
    start = time.perf_counter()
    for _ in range(5):
        calibration.all_metrics(scores, gold)
    total = 200 * (time.perf_counter() - start)
    slowest = sorted(times, key=times.get, reverse=True)[:5]
    listed = ", ".join(f"{name} {times[name]:.1f}" for name in slowest)
    print(f"\nall {len(times)} metrics of {GROUP} questions: {total:.0f} ms, mean of 5")
    print(f"the slowest, in ms: {listed}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--outlier-exposure", type=Path, metavar="FILE")
    parser.add_argument("--hendrycks-test", type=Path, metavar="FILE")
    tables, absent = collect(parser.parse_args())
    print_tables(tables)
    if absent:
        print("\nnot installed:", "; ".join(absent), file=sys.stderr)
    print_times()


if __name__ == "__main__":
    main()
