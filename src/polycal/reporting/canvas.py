"""Style, layout in inches, and lines of languages that the figures share."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from polycal.comparing.conditions import (
    distinct_levels,
    in_resource_order,
    label,
    language_of,
)
from polycal.study.languages import ALL, LEVELS

STYLE = {
    "axes.edgecolor": "0.4",
    "axes.labelsize": 7.5,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 8,
    "figure.facecolor": "white",
    "font.family": "sans-serif",
    "font.size": 7.5,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text: it can be searched, and is small
    "text.parse_math": False,  # a name may hold a dollar sign
    "xtick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.labelsize": 7,
    "ytick.major.width": 0.6,
}
GAPS = matplotlib.colormaps["PuOr_r"]  # orange = over-confident, purple = under
OVER, UNDER = GAPS(0.8), GAPS(0.08)  # one light, one dark: apart in grey, too

TOP = 0.62  # inches that the title and the legend take
LINE = 0.155  # inches of one language's line
_SIDE, _WIDE, _MARGIN, _HEAD = 1.75, 2.25, 0.6, 0.45  # inches of square panels

_COLOURS = sns.color_palette("colorblind")
_LOOKS = [  # colour, line style, marker
    ("0.35", ":", "o"),
    (_COLOURS[3], "-", "s"),
    (_COLOURS[0], "--", "D"),
    (_COLOURS[2], "-.", "^"),
    (_COLOURS[4], (0, (5, 1)), "v"),
    (_COLOURS[9], (0, (1, 1)), "P"),
    (_COLOURS[5], (0, (3, 1, 1, 1, 1, 1)), "X"),
]

# From left, top, width and height in inches to fractions of the figure.
Box = Callable[[float, float, float, float], list[float]]
Lines = list[tuple[str, str | None]]  # of a y axis: text and language code


def looks(items: Sequence) -> list[tuple]:
    """Return colour, line style and marker of each condition or level, in order."""
    return [_LOOKS[index % len(_LOOKS)] for index in range(len(items))]


def make_canvas(
    width: float, height: float, *, title: str, least: float = 6.0
) -> tuple[Figure, Box]:
    """Return a figure, and a function from inches to fractions of the figure.

    Args:
        width: inches that the panels take.
        height: inches that the panels take below the title and the legend.
        title: what the numbers belong to.
        least: inches that the legend and the title need.
    """
    width, height = max(width, least), TOP + height
    figure = Figure(figsize=(width, height))
    figure.text(0.08 / width, 1 - 0.18 / height, title, fontsize=8, va="center")

    def box(left: float, top: float, wide: float, tall: float) -> list[float]:
        bottom = height - top - tall
        return [left / width, bottom / height, wide / width, tall / height]

    return figure, box


def add_legend(figure: Figure, handles: list, *, top: float = 0.42) -> None:
    """Add one line of keys under the title, `top` inches from the top."""
    width, height = figure.get_size_inches()
    figure.legend(
        handles=handles,
        loc="center left",
        bbox_to_anchor=(0.02 / width, 1 - top / height),
        ncols=len(handles),
        columnspacing=1.4,
    )


def write_facet(
    figure: Figure, box: Box, facet: str, *, left: float, top: float
) -> None:
    """Write the name of a facet in bold, at inches from the left and the top."""
    x, y, _, _ = box(left, top, 0, 0)
    figure.text(x, y, facet, fontweight="bold", fontsize=8, va="center")


def make_squares(
    facets: Sequence[str],
    columns: Sequence,
    title: str,
    *,
    extra: float = 0.0,
) -> tuple[Figure, Iterator[tuple[Axes, str, Any]]]:
    """Lay out square panels: a row per facet, with a panel for each column.

    Args:
        facets: their names, which stand above the rows.
        columns: conditions, levels or metrics.
        title: what the numbers belong to.
        extra: inches that the legend needs beyond one line.

    Returns:
        The figure, and for each panel its axes, its facet and its column.
    """
    block = _HEAD + _SIDE + 0.55
    width, height = _MARGIN + len(columns) * _WIDE, extra + len(facets) * block
    figure, box = make_canvas(width, height, title=title)

    def panels() -> Iterator[tuple[Axes, str, Any]]:
        for row, facet in enumerate(facets):
            top = TOP + extra + row * block
            write_facet(figure, box, facet, left=0.08, top=top + 0.08)
            for index, column in enumerate(columns):
                left = _MARGIN + index * _WIDE
                axes = figure.add_axes(box(left, top + _HEAD, _SIDE, _SIDE))
                axes.tick_params(length=2, pad=1.5)
                yield axes, facet, column

    return figure, panels()


def scale_logs(axes: Axes) -> None:
    """Make the x axis logarithmic, with ticks at 1, 2 and 5 of each decade."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())


def axes_of(values: pd.DataFrame) -> tuple[list[str], list[float]]:
    """Return the facets and the conditions that a table holds, in order."""
    return sorted(values["facet"].unique()), sorted(values["rank"].unique())


def levels_in(values: pd.DataFrame) -> list[str]:
    """Return a table's resource levels from high to low, then `all` if it adds any."""
    held = set(distinct_levels(values)["level"])
    return [level for level in (*LEVELS, ALL) if level in held]


def name_level(level: str) -> str:
    """Return the heading of a level's panel."""
    return level if level == ALL else f"{level} resource"


def name_line(level: str) -> str:
    """Return a language with its code, or the heading of a level."""
    if level in (*LEVELS, ALL):
        return "all languages" if level == ALL else name_level(level)
    return f"{language_of(level).name} ({level})"


def make_lines(codes: Iterable[str]) -> Lines:
    """Return the lines of a y axis from top to bottom.

    Each level begins with a line of its own, which has no code.
    """
    lines: list[tuple[str, str | None]] = []
    level = None
    for code in in_resource_order(codes):
        language = language_of(code)
        if language.level != level:
            level = language.level
            lines.append((name_line(level), None))
        lines.append((name_line(code), code))
    return lines


def margin_of(lines: Lines) -> float:
    """Return the inches that the longest text needs."""
    return 0.25 + 0.062 * max(len(text) for text, _ in lines)


def line_keys(names: Sequence[str]) -> list[Line2D]:
    """Return the legend's entries of lines that are drawn with `looks`, in order."""
    return [
        Line2D([], [], color=colour, ls=style, marker=marker, ms=3.5, label=name)
        for name, (colour, style, marker) in zip(names, looks(names), strict=True)
    ]


def condition_keys(conditions: Sequence[float]) -> list[Line2D]:
    """Return the legend's entries of the lines of conditions."""
    return line_keys([label(condition) for condition in conditions])


def gap_keys() -> list[Line2D]:
    """Return the legend's entries of accuracy, confidence and the gap between them."""
    blank = {"color": "none", "mec": "0.15", "ms": 4}
    return [
        Line2D([], [], marker="o", mfc="white", label="accuracy", **blank),
        Line2D([], [], marker="D", mfc="0.15", label="confidence", **blank),
        Line2D([], [], color=OVER, lw=3.2, label="over-confident"),
        Line2D([], [], color=UNDER, lw=3.2, label="under-confident"),
        Line2D([], [], color="0.3", lw=0.9, ls=":", label="chance"),
    ]


def draw_spans(
    axes: Axes, y: Sequence, low: Sequence, high: Sequence, **look: object
) -> None:
    """Draw horizontal lines as one broken line, which keeps the file small.

    Args:
        axes: the panel.
        y: [N] heights.
        low: [N] left ends.
        high: [N] right ends.
        look: colour and width, as in `Axes.plot`.
    """
    ends = np.column_stack([low, high, np.full(len(y), np.nan)])
    axes.plot(ends.ravel(), np.repeat(y, 3), solid_capstyle="butt", **look)


def label_lines(axes: Axes, lines: Lines, *, names: bool, centre: float = 0.0) -> None:
    """Label the y axis with lines: levels in bold, a rule above each level.

    Args:
        axes: the panel.
        lines: as `make_lines` returns them.
        names: whether the panel shows the texts.
        centre: the height of the first line's middle; lines are 1 apart.
    """
    ticks = [centre + index for index in range(len(lines))]
    axes.set_ylim(centre + len(lines) - 0.5, centre - 0.5)
    axes.set_yticks(ticks, [text for text, _ in lines] if names else [])
    axes.tick_params(axis="y", length=0)
    for tick, (_, code) in zip(ticks, lines, strict=True):
        if code is None:
            axes.axhline(tick - 0.5, color="0.4", lw=0.6)
    for text, (_, code) in zip(axes.get_yticklabels(), lines, strict=False):
        if code is None:
            text.set_fontweight("bold")
