"""Figures of differences show the tables' numbers, each in its line."""

import numpy as np
import pandas as pd
import pytest
from made_up import BAND, MARGIN, make_study

from polycal.reporting.comparisons import PARTS, decomposition, forest
from polycal.reporting.figure_kind import Selection
from polycal.reporting.figures import FIGURES

PLACE = {"task": "global_mmlu", "scoring": "text", "normaliser": "token"}


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """A study of base, SFT and smoothing 0.1 in five languages."""
    return make_study(tmp_path_factory.mktemp("study"))


def test_a_forest_draws_each_change_with_its_band(paths):
    """A mark per language, level and metric; languages' lines are as wide as bands."""
    values = FIGURES["forest"].values(Selection(paths, PLACE))
    panels = forest(values).axes
    assert [axes.get_title() for axes in panels] == [
        "SFT\nminus base",
        "SFT, smoothing 0.1\nminus SFT",
    ]
    own = values[(values["rank"] == 0) & (values["metric"] == "confidence")]
    drawn = [line for line in panels[0].lines if line.get_marker() == "D"]
    assert sorted(drawn[0].get_xdata()) == pytest.approx(sorted(100 * own["estimate"]))
    bands = next(line for line in panels[0].lines if len(line.get_xdata()) == 27)
    low, high, _ = bands.get_xdata().reshape(9, 3).T
    assert sum(width == pytest.approx(200 * BAND) for width in high - low) == 5
    zone = [each for each in panels[0].patches if each.get_width() > 0]
    assert zone[0].get_width() == pytest.approx(200 * MARGIN)


def test_the_lines_of_a_forest_belong_to_their_languages(paths):
    """The mark of a language stands at the height of its name."""
    values = FIGURES["forest"].values(Selection(paths, PLACE))
    axes = forest(values).axes[0]
    names = [text.get_text() for text in axes.get_yticklabels()]
    own = values[(values["rank"] == 0) & (values["metric"] == "accuracy")]
    marks = next(line for line in axes.lines if line.get_marker() == "o")
    drawn = {round(y - 0.2): x for x, y in zip(*marks.get_data(), strict=True)}
    for level, name in (("sw", "Swahili (sw)"), ("all", "all languages")):
        change = own.set_index("level").loc[level, "estimate"]
        assert drawn[names.index(name)] == pytest.approx(100 * change)


def test_bars_of_a_decomposition_add_up(paths):
    """The diamond stands at the sum of the three bars' signed lengths."""
    values = FIGURES["decomposition"].values(Selection(paths, PLACE))
    axes = decomposition(values).axes[0]
    paths = [part.get_path().vertices.reshape(-1, 5, 2) for part in axes.patches]
    assert [len(each) for each in paths] == [9] * len(PARTS)  # 5 + 3 levels + all
    corners = np.concatenate(paths)
    widths = corners[:, 1, 0] - corners[:, 0, 0]
    bars = pd.Series(widths, corners[:, 1:3, 1].mean(axis=1).round(3))
    sums = bars.groupby(level=0).sum()
    marks = next(line for line in axes.lines if line.get_marker() == "D")
    for x, y in zip(*marks.get_data(), strict=True):
        assert x == pytest.approx(sums[y])
