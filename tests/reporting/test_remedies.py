"""Figures of temperatures and of partial coverage show every number."""

import numpy as np
import pandas as pd
import pytest
from drawn import NAMES, PLACE, marks_of, study, values_of
from made_up import CODES, CONDITIONS, LEVELS, N, answer_by_hand

from polycal.comparing.conditions import BASE_RANK
from polycal.reporting.remedies import coverage, temperature
from polycal.storage import tables

SEEDS = (0, 1)


@pytest.fixture(scope="module")
def fitted():
    """Temperatures of every run and language, in two seeds."""
    path = study(seeds=SEEDS).tables / "metrics.parquet"
    rows = tables.where(tables.read(path, "metrics"), **PLACE, metric="temperature")
    return rows.to_pandas()


def geometric_mean(fitted: pd.DataFrame, **values: object) -> float:
    own = fitted[(fitted[list(values)] == pd.Series(values)).all(axis=1)]
    return float(np.prod(own["value"]) ** (1 / len(own)))


def test_a_mark_is_the_geometric_mean_of_the_seeds(fitted):
    """Of the language's own fit, in its line; the line is the fit of all languages."""
    values = values_of("temperature", seeds=SEEDS)
    (axes,) = temperature(values).axes
    markers = ("o", "s", "D")
    lines = [line for line in axes.lines if line.get_lw() == 0.9]
    for marker, line, (sft, smoothing) in zip(
        markers, lines, CONDITIONS.values(), strict=True
    ):
        how = {"sft": sft, "smoothing": smoothing}
        expected = {
            NAMES[code]: geometric_mean(
                fitted, **how, calibrator="ts_own", language=code
            )
            for code in CODES
        }
        assert marks_of(axes, marker, axes) == pytest.approx(expected), how
        shared = geometric_mean(fitted, **how, calibrator="ts_pool")
        assert line.get_xdata()[0] == pytest.approx(shared), how


def test_risks_are_means_over_the_languages_of_a_level():
    """Wrong answers among all of them, and among the more confident half."""
    risks = values_of("coverage").set_index(["rank", "level", "coverage"])["risk"]
    for how in CONDITIONS.values():
        rank = BASE_RANK if how[0] == "none" else how[1]
        for level, codes in LEVELS.items():
            for share in (0.5, 1.0):
                wrong = []
                for code in codes:
                    confidence, right, _ = answer_by_hand(*how, code)
                    first = np.argsort(-confidence)[: round(share * N)]
                    wrong.append(1 - right[first].mean())
                found = risks[rank, level, share]
                assert found == pytest.approx(np.mean(wrong)), (how, level, share)


def test_a_level_has_a_line_of_ten_points_per_condition():
    """High, mid, low and all: the risk in % over the coverage in %."""
    values = values_of("coverage")
    for axes, level in zip(coverage(values).axes, LEVELS, strict=True):
        own = values[values["level"] == level]
        for line, (_, rows) in zip(axes.lines, own.groupby("rank"), strict=True):
            np.testing.assert_allclose(line.get_xdata(), np.arange(10, 101, 10))
            rows = rows.sort_values("coverage")
            np.testing.assert_allclose(line.get_ydata(), 100 * rows["risk"])
