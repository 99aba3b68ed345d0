"""Figures of temperatures and of answers held back show every number."""

import numpy as np
import pytest
from made_up import make_study

from polycal.comparing.conditions import per_language, select
from polycal.reporting.figure_kind import Selection
from polycal.reporting.figures import FIGURES
from polycal.reporting.remedies import coverage, temperature

PLACE = {"task": "global_mmlu", "scoring": "text", "normaliser": "token"}


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Base, SFT and smoothing 0.1 with two seeds in five languages."""
    return make_study(tmp_path_factory.mktemp("study"), seeds=(0, 1))


def test_a_temperature_is_the_geometric_mean_over_seeds(paths):
    """Made up as exp(3 gap): so the mean of the logs is three times the mean gap."""
    found = FIGURES["temperature"].values(Selection(paths, PLACE))
    gaps = per_language(select(paths["metrics"], "metrics", **PLACE))
    both = found.merge(gaps, on=["facet", "rank", "language"])
    assert len(both) == 15
    np.testing.assert_allclose(np.log(both["own"]), 3 * both["gap"])
    np.testing.assert_allclose(both["pooled"], 1.5)


def test_each_language_has_a_mark_and_each_condition_a_line(paths):
    """Marks of three conditions in five languages, and the shared temperature."""
    values = FIGURES["temperature"].values(Selection(paths, PLACE))
    (axes,) = temperature(values).axes
    marks = [line for line in axes.lines if line.get_markersize() == 3.5]
    assert sorted(x for line in marks for x in line.get_xdata()) == sorted(
        values["own"]
    )
    shared = [line for line in axes.lines if line.get_lw() == 0.9]
    assert [line.get_xdata()[0] for line in shared] == pytest.approx([1.5] * 3)


def test_risks_are_means_over_the_languages_of_a_level(paths):
    """All of the answers: 1 - accuracy; half of them: as made up, (1 - a) 3/4."""
    found = FIGURES["coverage"].values(Selection(paths, PLACE))
    values = per_language(select(paths["metrics"], "metrics", **PLACE))
    wrong = 1 - values.groupby(["facet", "rank"])["accuracy"].mean()
    whole = found[found["level"] == "all"].set_index(["facet", "rank", "coverage"])
    for share, part in ((1.0, 1.0), (0.5, 0.75)):
        np.testing.assert_allclose(
            whole["risk"].xs(share, level="coverage"), part * wrong
        )


def test_a_level_has_a_line_of_ten_points_per_condition(paths):
    """High, mid, low and all; errors fall with what is held back."""
    figure = coverage(FIGURES["coverage"].values(Selection(paths, PLACE)))
    assert len(figure.axes) == 4
    for axes in figure.axes:
        assert len(axes.lines) == 3
        for line in axes.lines:
            np.testing.assert_allclose(line.get_xdata(), np.arange(10, 101, 10))
            assert (np.diff(line.get_ydata()) > 0).all()
