"""The figure that leads the page, on hand-made means."""

import pandas as pd
import pytest
from matplotlib.colors import to_rgba

from polycal.reporting.canvas import OVER, UNDER
from polycal.reporting.overview import caption_overview, overview


def mean(level: str, rank: float, accuracy: float, confidence: float) -> dict:
    return {
        "facet": "m, SFT: a",
        "level": level,
        "rank": rank,
        "accuracy": accuracy,
        "confidence": confidence,
        "gap": confidence - accuracy,
        "chance": 0.25,
        "n_languages": {"high": 3, "low": 2, "all": 5}[level],
        "accuracy_low": accuracy - 0.02,
        "accuracy_high": accuracy + 0.04,
        "confidence_low": confidence - 0.01,
        "confidence_high": confidence + 0.03,
    }


@pytest.fixture
def means() -> pd.DataFrame:
    """Under-confident before, over-confident after; low differs from high."""
    rows = [mean("high", -1.0, 0.50, 0.40), mean("high", 0.0, 0.55, 0.80)]
    rows += [mean("low", -1.0, 0.30, 0.35), mean("low", 0.0, 0.25, 0.70)]
    rows += [mean("all", -1.0, 0.42, 0.38), mean("all", 0.0, 0.43, 0.76)]
    return pd.DataFrame(rows)


def marks(axes, marker: str) -> list[tuple[float, float]]:
    """Return x and y of the marks of one kind."""
    (line,) = [line for line in axes.lines if line.get_marker() == marker]
    return [(round(float(x), 6), float(y)) for x, y in line.get_xydata()]


def test_circles_are_accuracy_and_diamonds_confidence(means):
    """In the order of the conditions, in percent, in the panel of their level."""
    high, low, _ = overview(means).axes
    assert marks(high, "o") == [(50, 0), (55, 1)]
    assert marks(high, "D") == [(40, 0), (80, 1)]
    assert marks(low, "o") == [(30, 0), (25, 1)]
    assert marks(low, "D") == [(35, 0), (70, 1)]
    assert high.get_title() == "high resource (3), %"


def test_only_what_is_compared_is_joined(means):
    """Two tokenizers are not; both conditions have their marks all the same."""
    nothing = dict.fromkeys(("accuracy_low", "accuracy_high"), float("nan"))
    for drawn, n in ((means, [2, 2]), (means.assign(**nothing), [1, 2])):
        high = overview(drawn).axes[0]
        joins = [line for line in high.lines if line.get_color() == "0.6"]
        assert [len(line.get_xdata()) for line in joins] == n
        assert len(marks(high, "o")) == len(marks(high, "D")) == 2


def test_a_bar_has_the_colour_and_the_number_of_its_gap(means):
    """Confidence above accuracy is orange and positive; below, dark and negative."""
    high = overview(means).axes[0]
    bars = [line for line in high.lines if line.get_linewidth() == 5]
    assert [to_rgba(bar.get_color()) for bar in bars] == [to_rgba(UNDER), to_rgba(OVER)]
    numbers = [(text.get_text(), text.get_position()) for text in high.texts]
    # At the right of the interval that ends last: 54 of accuracy, 83 of confidence.
    assert numbers == [("\N{MINUS SIGN}10.0", (55.5, 0)), ("+25.0", (84.5, 1))]


def test_a_line_is_the_interval_of_its_own_metric(means):
    """Ends are those of the table, for accuracy and for confidence."""
    high = overview(means).axes[0]
    accuracy, confidence = [
        [[round(float(x), 6) for x, _ in path.vertices] for path in each.get_paths()]
        for each in high.collections
    ]
    assert accuracy == [[48, 54], [53, 59]]
    assert confidence == [[39, 43], [79, 83]]


def test_smoothing_is_named_by_its_value(means):
    """The ticks are base, SFT and the smoothing values."""
    more = pd.DataFrame([mean("high", 0.1, 0.5, 0.6)])
    high = overview(pd.concat([means, more])).axes[0]
    texts = [tick.get_text() for tick in high.get_yticklabels()]
    assert texts == ["base", "SFT", "smoothing 0.1"]
    assert high.get_ylim() == (2.5, -0.5)  # from top to bottom


def test_facets_stand_below_each_other_and_levels_beside(means):
    """Each in the row under its name; a single one has two rows of two panels."""
    both = pd.concat([means, means.assign(facet="n", accuracy=0.9)])
    figure = overview(both, title="t")
    panels = [(axes.get_title()[:3], marks(axes, "o")[0][0]) for axes in figure.axes]
    first = [("hig", 50), ("low", 30), ("all", 42)]
    assert panels == [*first, ("hig", 90), ("low", 90), ("all", 90)]
    heights = [round(axes.get_position().y0, 6) for axes in figure.axes]
    assert len(set(heights[:3])) == 1
    assert heights[0] > heights[3]
    texts = [text.get_text() for text in figure.texts]
    assert texts == ["t", "m, SFT: a", "n"]
    one = overview(means, title="t")
    assert [text.get_text() for text in one.texts] == ["m, SFT: a; t"]
    rows = [round(axes.get_position().y0, 6) for axes in one.axes]
    assert rows[0] == rows[1] > rows[2]


def test_the_caption_gives_the_level_with_the_fewest_resources(means):
    """Both numbers of both conditions, and the number of languages."""
    assert caption_overview(means) == (
        "Means over low resource languages (2) – base: accuracy 30.0%, confidence "
        "35.0%; SFT: accuracy 25.0%, confidence 70.0%."
    )
