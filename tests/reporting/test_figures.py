"""The list of figures, and the files that `draw` writes."""

import re
import shutil
import subprocess

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


@pytest.fixture(scope="module")
def drawn(paths, tmp_path_factory):
    """Every figure in every form."""
    folder = tmp_path_factory.mktemp("drawn")
    kinds = ("svg", "pdf", "tex")
    draw(**paths, **PLACE, out=[folder / f"{f}.{k}" for f in FIGURES for k in kinds])
    return folder


def test_no_figure_holds_a_date(drawn):
    """Nor is any of them left out."""
    for path in drawn.iterdir():
        assert not re.search(
            rb"<dc:date>|/CreationDate|not drawn", path.read_bytes()
        ), path.name
    assert len(list(drawn.iterdir())) == 3 * len(FIGURES)


def test_every_figure_says_what_it_shows(drawn):
    """A title of its own, in the picture's file and in the caption for LaTeX."""
    titles = [kind.title for kind in FIGURES.values()]
    assert len(set(titles)) == len(titles)
    for name, kind in FIGURES.items():
        assert f"<title>{kind.title}</title>" in (drawn / f"{name}.svg").read_text()
        text = (drawn / f"{name}.tex").read_text()
        assert rf"\caption{{{kind.title}: global\_mmlu, text (token). " in text
        assert f"]{{{name}.pdf}}" in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no pdflatex")
def test_latex_sets_every_figure(drawn, tmp_path):
    """Each with its picture, in two columns."""
    inputs = "".join(rf"\input{{{name}}}\clearpage" for name in FIGURES)
    (tmp_path / "all.tex").write_text(
        rf"\documentclass[twocolumn]{{article}}\usepackage{{graphicx}}"
        rf"\begin{{document}}{inputs}\end{{document}}"
    )
    shutil.copytree(drawn, tmp_path, dirs_exist_ok=True)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
    assert f"({len(FIGURES)} pages" in done.stdout
    assert "Overfull" not in done.stdout


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


def test_a_single_level_is_not_drawn_again_as_all_languages(tmp_path):
    """Two low-resource languages: no line, panel or row repeats their means."""
    make_study(tmp_path, tasks={"global_mmlu": ("sw", "yo")}, smoothing=(0.0, 0.1))
    out = [tmp_path / f"{name}.svg" for name in FIGURES]
    draw(tables=tmp_path, **PLACE, out=out)
    texts = {path.stem: path.read_text() for path in out}
    assert [name for name in texts if ">all languages" in texts[name]] == []
    assert [name for name in texts if re.search(r">all( \(2\).*)?<", texts[name])] == []
    for name in ("forest", "decomposition", "doses", "coverage", "front", "levels"):
        assert "<title>low resource, " in texts[name], name


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
