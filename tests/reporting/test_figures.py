"""Every language is drawn, and the same table gives the same file."""

import re

import pytest
from made_up import make_study

from polycal.comparing.conditions import per_bin, per_language, select
from polycal.errors import InputError
from polycal.reporting.diagrams import reliability
from polycal.reporting.figure_kind import TABLES
from polycal.reporting.figures import FIGURES, draw
from polycal.reporting.gaps import dumbbell, heatmap
from polycal.study.figures import FIGURES as NAMES

PLACE = {"task": "global_mmlu", "scoring": "text", "normaliser": "token"}
N = 5  # languages of made_up's study; its conditions are base, SFT, smoothing 0.1


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """The study's tables that figures start from."""
    made = make_study(tmp_path_factory.mktemp("study"))
    return {kind: made[kind] for kind in TABLES}


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


def test_a_circle_is_an_accuracy_and_a_diamond_a_confidence(paths):
    """As the legend says; the two are 20 points apart after SFT."""
    values = per_language(select(paths["metrics"], "metrics", **PLACE))
    for axes, (_, own) in zip(
        dumbbell(values).axes, values.groupby("rank"), strict=True
    ):
        markers = {line.get_marker(): line for line in axes.lines}
        for marker, metric in (("o", "accuracy"), ("D", "confidence")):
            assert sorted(markers[marker].get_xdata()) == pytest.approx(
                sorted(100 * own[metric])
            )


def test_reliability_is_accuracy_over_confidence(paths):
    """By the first language's bins, which are off the diagonal."""
    bins = per_bin(select(paths["reliability"], "reliability", **PLACE))
    axes = reliability(bins).axes[0]
    own = bins[(bins["language"] == "en") & (bins["rank"] == 0)]
    assert (abs(own["confidence"] - own["accuracy"]) > 0.05).any()
    drawn = {
        (round(x, 6), round(y, 6))
        for line in axes.lines
        if line.get_marker() != "None"
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    }
    pairs = zip(100 * own["confidence"], 100 * own["accuracy"], strict=True)
    assert {(round(x, 6), round(y, 6)) for x, y in pairs} <= drawn


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


def test_no_figure_holds_a_date(paths, tmp_path):
    """Nor is any of them left out."""
    kinds = ("svg", "pdf")
    draw(**paths, **PLACE, out=[tmp_path / f"{f}.{k}" for f in FIGURES for k in kinds])
    for path in tmp_path.iterdir():
        drawn = path.read_bytes()
        assert not re.search(rb"<dc:date>|/CreationDate|not drawn", drawn), path.name
    assert len(list(tmp_path.iterdir())) == 2 * len(FIGURES)


def test_the_same_table_gives_the_same_bytes(paths, tmp_path):
    """No random id. (Two runs of a whole study compare all figures: test_workflow.)"""
    for name in "ab":
        (tmp_path / name).mkdir()
        files = [tmp_path / name / f"forest.{kind}" for kind in ("svg", "pdf")]
        draw(**paths, **PLACE, out=files)
    for kind in ("svg", "pdf"):
        first, second = (tmp_path / name / f"forest.{kind}" for name in "ab")
        assert first.read_bytes() == second.read_bytes()


def test_the_workflow_draws_every_figure():
    """Its list of names, which needs no matplotlib, has every record's."""
    assert tuple(FIGURES) == NAMES


def test_a_figure_without_values_says_why(tmp_path):
    """Base models alone have no comparison, letters no tokens to count."""
    paths = make_study(tmp_path, sft=())
    place = {**PLACE, "scoring": "letters", "normaliser": "sum"}
    names = ("forest", "decomposition", "doses", "front", "premium")
    draw(
        **{kind: paths[kind] for kind in TABLES},
        **place,
        out=[tmp_path / f"{name}.svg" for name in names],
    )
    for name in names:
        assert (
            f"not drawn; {FIGURES[name].missing}"
            in (tmp_path / f"{name}.svg").read_text()
        )


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
        (
            {"out": [tmp_path / "pie.svg"]},
            "no figure is called 'pie'; known: dumbbell, forest",
        ),
        (
            {"out": [tmp_path / "heatmap.gif"]},
            "heatmap.gif: a figure is a file that ends in .svg",
        ),
        ({"task": "other"}, "holds nothing about task 'other'"),
    ):
        asked = {**paths, **PLACE, "out": [tmp_path / "heatmap.svg"]}
        with pytest.raises(InputError, match=words):
            draw(**asked | changed)
    assert list(tmp_path.iterdir()) == []
