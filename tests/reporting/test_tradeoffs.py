"""Figures of trade-offs show every point, and names that can be read."""

import pytest
from made_up import make_study

from polycal.comparing.conditions import per_language, select
from polycal.reporting.figure_kind import Selection
from polycal.reporting.figures import FIGURES
from polycal.reporting.tradeoffs import doses, front, premium
from polycal.study.languages import load_languages

PLACE = {"task": "global_mmlu", "scoring": "text", "normaliser": "token"}
CODES = [each.code for each in load_languages().values() if each.in_global_mmlu]


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """A study of base, SFT and smoothing 0.1 in 42 languages."""
    return make_study(
        tmp_path_factory.mktemp("study"), tasks={"global_mmlu": sorted(CODES)}
    )


def test_a_dose_response_has_a_line_per_level(paths):
    """High, mid, low and all, in each of the three panels; the best has a ring."""
    values = FIGURES["doses"].values(Selection(paths, PLACE))
    for axes in doses(values).axes:
        lines = [line for line in axes.lines if line.get_markersize() == 3]
        assert [list(line.get_xdata()) for line in lines] == [[0, 0.1]] * 4
        rings = [line for line in axes.lines if line.get_markersize() == 8]
        for line, ring in zip(lines, rings, strict=True):
            assert ring.get_ydata()[0] == min(line.get_ydata())


def test_every_language_is_a_point_and_no_two_names_overlap(paths):
    """All 42 in each panel; names are measured by matplotlib, not by us."""
    values = per_language(select(paths["metrics"], "metrics", **PLACE))
    figure = premium(values)
    assert len(figure.axes) == 3
    for axes in figure.axes:
        markers = [line for line in axes.lines if line.get_marker() in "osD"]
        assert sum(len(line.get_xdata()) for line in markers) == 42
        boxes = [text.get_window_extent() for text in axes.texts]
        assert len(boxes) > 5
        assert not any(
            one.overlaps(other)
            for index, one in enumerate(boxes)
            for other in boxes[:index]
        )


def test_a_front_draws_each_condition_and_temperature(paths):
    """Three conditions, as they are and with a temperature, in each panel."""
    values = FIGURES["front"].values(Selection(paths, PLACE))
    for axes in front(values).axes:
        dots = [line for line in axes.lines if line.get_markersize() == 4.5]
        assert [len(line.get_xdata()) for line in dots] == [1] * 6
        filled = [line.get_markerfacecolor() != "none" for line in dots]
        assert filled == [True, False] * 3
