"""Every language is drawn, and the same table gives the same file."""

import re

import pytest
from made_up import FIGURES, make_study

from polycal.errors import InputError
from polycal.reporting.figures import draw, dumbbell, heatmap, reliability
from polycal.statistics.conditions import per_bin, per_language, select

PLACE = {"task": "global_mmlu", "scoring": "text", "normaliser": "token"}
N = 5  # languages of made_up's study; its conditions are base, SFT, smoothing 0.1


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """The study's metrics and reliability tables."""
    made = make_study(tmp_path_factory.mktemp("study"))
    return {kind: made[kind] for kind in ("metrics", "reliability", "contrasts")}


def test_a_dumbbell_has_two_markers_per_language(paths):
    """A circle and a diamond for each language in each condition's panel."""
    values = per_language(select(paths["metrics"], "metrics", **PLACE))
    panels = dumbbell(values).axes
    assert len(panels) == 3
    for axes in panels:
        markers = [line for line in axes.lines if line.get_marker() in "oD"]
        assert [len(line.get_xdata()) for line in markers] == [N, N]
    names = [text.get_text() for text in panels[0].get_yticklabels()]
    assert names.index("English (en)") < names.index("Swahili (sw)")


def test_a_heatmap_writes_each_gap(paths):
    """One number per language and condition, the table's own."""
    values = per_language(select(paths["metrics"], "metrics", **PLACE))
    cells = [
        text.get_text() for text in heatmap(values.assign(sure=False)).axes[0].texts
    ]
    assert len(cells) == 3 * N
    written = sorted(float(cell.replace("−", "-")) for cell in cells)
    assert written == pytest.approx(sorted(100 * values["gap"]), abs=0.051)


def test_a_reliability_figure_has_a_panel_per_language(paths):
    """Each panel has a line per condition."""
    bins = per_bin(select(paths["reliability"], "reliability", **PLACE))
    panels = reliability(bins).axes
    assert panels[0].get_title() == "English"
    assert len(panels) == N
    for axes in panels:
        assert sum(line.get_linewidth() == 1 for line in axes.lines) >= 3


@pytest.mark.parametrize("figure", FIGURES)
def test_the_same_table_gives_the_same_bytes(paths, figure, tmp_path):
    """An SVG holds no date and no random id."""
    for name in ("a.svg", "b.svg"):
        draw(figure=figure, **paths, **PLACE, out=tmp_path / name)
    first = (tmp_path / "a.svg").read_bytes()
    assert first == (tmp_path / "b.svg").read_bytes()
    assert not re.search(rb"<dc:date>", first)


def test_a_condition_that_the_study_lacks_leaves_its_panel_empty(tmp_path):
    """Two models of which one has no SFT: the panel says so."""
    paths = make_study(tmp_path, models=("m", "n"))
    values = per_language(select(paths["metrics"], "metrics", **PLACE))
    values = values[(values["facet"] < "n") | (values["rank"] < 0)]
    titles = [axes.get_title() for axes in dumbbell(values).axes]
    assert sum("not in the study" in title for title in titles) == 2


def test_bad_requests_are_refused_by_name(paths, tmp_path):
    """An unknown figure or format, and a task that the table lacks."""
    for changed, words in (
        ({"figure": "pie"}, "no figure is called 'pie'; known: dumbbell"),
        ({"out": tmp_path / "x.gif"}, "x.gif: a figure is a file that ends in .svg"),
        ({"task": "other"}, "holds nothing about task 'other'"),
    ):
        asked = {"figure": "heatmap", **paths, **PLACE, "out": tmp_path / "x.svg"}
        with pytest.raises(InputError, match=words):
            draw(**asked | changed)
    assert list(tmp_path.iterdir()) == []
