"""The list of figures, and the files that `draw` writes."""

import re

import pytest
from made_up import make_study

from polycal.errors import InputError
from polycal.reporting.figures import FIGURES, draw
from polycal.study.figures import FIGURES as NAMES

PLACE = {"task": "global_mmlu", "scoring": "text", "normaliser": "token"}


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """The study's tables."""
    folder = tmp_path_factory.mktemp("study")
    make_study(folder)
    return {"tables": folder}


def test_the_workflow_draws_every_figure():
    """Its list of names, which needs no matplotlib, is that of the records."""
    assert tuple(FIGURES) == NAMES


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


def test_a_figure_without_values_says_why(tmp_path):
    """Base models alone have no comparison, letters no tokens to count."""
    make_study(tmp_path, sft=(), scorings=("letters", "text"))
    place = {**PLACE, "scoring": "letters", "normaliser": "sum"}
    names = ("forest", "decomposition", "doses", "front", "premium")
    draw(
        tables=tmp_path,
        **place,
        out=[tmp_path / f"{name}.svg" for name in names],
    )
    for name in names:
        text = (tmp_path / f"{name}.svg").read_text()
        assert f"not drawn; {FIGURES[name].missing}" in text


def test_bad_requests_are_refused_by_name(paths, tmp_path):
    """An unknown figure or format, and a task that the table lacks."""
    for changed, words in (
        (
            {"out": [tmp_path / "pie.svg"]},
            "no figure is called 'pie'; known: overview, dumbbell",
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
