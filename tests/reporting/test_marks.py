"""Every mark of every figure has a title with its own numbers."""

import json
from xml.etree import ElementTree

import numpy as np
import pytest
from drawn import PLACE, values_of
from matplotlib.figure import Figure

from polycal.reporting.figures import FIGURES, make_figure, render
from polycal.reporting.marks import put_marks
from polycal.reporting.spelling import percent, points, spell_points, three

SVG = "{http://www.w3.org/2000/svg}"
# What the title of a mark at x and y says, by figure.
NUMBERS = {
    "forest": lambda x, y: [f" {points(x / 100)} ["],
    "decomposition": lambda x, y: [f"change of ECE {points(x / 100)} ("],
    "coverage": lambda x, y: [f"{percent(y / 100)} errors", percent(x / 100)],
    "doses": lambda x, y: [f"smoothing {x:g}: "],
    "front": lambda x, y: [f"accuracy {percent(x / 100)}, ECE {percent(y / 100)}"],
    "premium": lambda x, y: [f"premium {three(x)}, gap {points(y / 100)}"],
    "temperature": lambda x, y: [f"temperature {three(x)}"],
    "levels": lambda x, y: [
        f"confidence {percent(x / 100)}, accuracy {percent(y / 100)}"
    ],
}
NUMBERS["reliability"] = NUMBERS["levels"]
OPTIONS = {"smoothing": (0.0, 0.1)}


def drawn(name: str) -> tuple[Figure, ElementTree.Element]:
    """Return a figure of the made-up study, and the root of its SVG file."""
    kind = FIGURES[name]
    figure = make_figure(kind, values_of(name, **OPTIONS), PLACE)
    return figure, ElementTree.fromstring(render(figure, ".svg", name, kind.title))


@pytest.mark.parametrize("name", FIGURES)
def test_no_mark_is_without_a_title(name):
    """In the file, as many as there are marks; the cells of the heatmap are texts."""
    figure, root = drawn(name)
    marks = [
        point
        for axes in figure.axes
        for line in axes.lines
        # A ring of the doses says only which of the marks is the lowest.
        if line.get_marker() != "None" and line.get_markersize() < 8
        for point in zip(*line.get_data(), strict=True)
        if np.isfinite(point).all()
    ]
    if name == "heatmap":
        marks = figure.axes[0].texts
    holders = [*root.iter(f"{SVG}use"), *root.iter(f"{SVG}text")]
    titles = [each.findtext(f"{SVG}title") for each in holders if len(each)]
    assert len(titles) == len(marks) > 0
    assert "nan" not in " ".join(titles)
    assert not [each for each in root.iter() if each.get("id", "").startswith("[")]


@pytest.mark.parametrize("name", NUMBERS)
def test_a_title_has_the_numbers_of_its_mark(name):
    """As the axes place it."""
    figure, _ = drawn(name)
    seen = 0
    for line in [line for axes in figure.axes for line in axes.lines]:
        if not line.get_gid():
            continue
        titles = json.loads(line.get_gid())
        for x, y, title in zip(*line.get_data(), titles, strict=True):
            for words in NUMBERS[name](x, y):
                assert words in title, (x, y)
            seen += 1
    assert seen > 5


@pytest.mark.parametrize("name", ["dumbbell", "overview"])
def test_circles_and_diamonds_have_both_numbers(name):
    """A circle is at the title's accuracy, a diamond at its confidence."""
    figure, _ = drawn(name)
    marked = [line for axes in figure.axes for line in axes.lines if line.get_gid()]
    assert {line.get_marker() for line in marked} == {"o", "D"}
    for line in marked:
        metric = {"o": "accuracy", "D": "confidence"}[line.get_marker()]
        for x, title in zip(line.get_xdata(), json.loads(line.get_gid()), strict=True):
            assert f"{metric} {percent(x / 100)}, " in title


def test_a_title_names_the_language_and_the_condition():
    """Of its row and its panel: the line of Swahili under SFT."""
    figure, _ = drawn("forest")
    axes = figure.axes[0]
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert axes.get_title().startswith("SFT\n")
    for line in [line for line in axes.lines if line.get_gid()]:
        metric = {"o": "accuracy", "D": "confidence"}[line.get_marker()]
        for y, title in zip(line.get_ydata(), json.loads(line.get_gid()), strict=True):
            assert title.startswith(f"{names[round(y)]}, SFT: change of {metric} ")
    assert "Swahili (sw)" in names


def test_a_cell_of_the_heatmap_has_its_number():
    """With the language and the condition, which are far from the cell."""
    figure, _ = drawn("heatmap")
    axes = figure.axes[0]
    names = [text.get_text() for text in axes.get_yticklabels()]
    heads = [text.get_text() for text in axes.get_xticklabels()]
    for text in axes.texts:
        x, y = text.get_position()
        condition = heads[int(x)].replace("\nsmooth. ", ", smoothing ")
        number = text.get_text().rstrip("*")
        expected = [f"{names[int(y)]}, {condition}: gap {number} pp"]
        assert json.loads(text.get_gid()) == expected


def test_a_dose_has_the_number_of_its_panel():
    """The size of a gap has no sign."""
    figure, _ = drawn("doses")
    spelt = {
        "ECE (%)": lambda y: f"ECE {percent(y / 100)}",
        "size of the gap (pp)": lambda y: (
            f"size of the gap {spell_points(y / 100).removeprefix('+')} pp"
        ),
        "NLL (nats)": lambda y: f"NLL {three(y)}",
    }
    for axes in figure.axes:
        for line in [line for line in axes.lines if line.get_gid()]:
            pairs = zip(line.get_ydata(), json.loads(line.get_gid()), strict=True)
            for y, title in pairs:
                assert title.endswith(spelt[axes.get_title()](y))


def test_a_mark_without_a_place_takes_no_title():
    """The others keep theirs, whatever characters are in them."""
    figure = Figure()
    axes = figure.add_axes((0, 0, 1, 1))
    first, last = 'a "<b>"', "c's & é, עברית\u2028हिन्दी"
    titles = [first, "lost", last]
    put_marks(axes, [1, np.nan, 3], [2, 2, 1], titles, marker="s")
    put_marks(axes, [], [], [], marker="s")
    axes.plot([1, 2], [1, 2], "s")
    root = ElementTree.fromstring(render(figure, ".svg", "salt", "title"))
    places = {
        each.findtext(f"{SVG}title"): (float(each.get("x")), float(each.get("y")))
        for each in root.iter(f"{SVG}use")
        if len(each)
    }
    assert list(places) == [first, last]
    (left, high), (right, low) = places.values()
    assert left < right
    assert high < low  # SVG counts from the top


def test_only_svg_files_carry_titles():
    """The same bytes as without them in a PDF."""
    files = []
    for titles in (["a", "b"], ["longer", "others"]):
        figure = Figure()
        put_marks(figure.add_axes((0, 0, 1, 1)), [1, 2], [2, 1], titles, marker="o")
        files.append(render(figure, ".pdf", "salt", "title"))
    assert files[0] == files[1]
