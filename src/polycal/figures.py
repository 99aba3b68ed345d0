"""The figures of a study: a table in, a matplotlib Figure out, and one way to save it.

Nothing here touches matplotlib's global state.
"""

import math
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from polycal.canvas import (
    GAPS,
    LINE,
    OVER,
    STYLE,
    TOP,
    UNDER,
    add_legend,
    axes_of,
    label_lines,
    looks,
    make_canvas,
    make_lines,
    margin_of,
    write_facet,
)
from polycal.conditions import (
    in_resource_order,
    label,
    language_of,
    per_bin,
    per_language,
    select,
)
from polycal.errors import InputError
from polycal.files import replacing
from polycal.sentences import points

LEAST_SHARE, LEAST_N = 0.01, 10  # a reliability line skips bins with fewer questions
_SIZES = [(0.10, 4.4), (0.03, 3.2), (LEAST_SHARE, 2.2), (0.0, 1.0)]  # share: points
_STRIP = 0.22  # height of the histogram below 0 %, as a part of the diagram's


@matplotlib.rc_context(STYLE)
def dumbbell(values: pd.DataFrame, *, title: str = "") -> Figure:
    """Accuracy and mean confidence per language, one panel per condition.

    Args:
        values: as `per_language` returns it.
        title: what the numbers belong to.
    """
    facets, ranks = axes_of(values)
    lines = make_lines(values["language"])
    margin, width, gap = margin_of(lines), 2.05, 0.15
    head, height = 0.68, len(lines) * LINE
    block = head + height + 0.5
    figure, place = make_canvas(
        margin + len(ranks) * (width + gap), len(facets) * block, title=title
    )
    shown = 100 * values[["accuracy", "confidence", "chance"]]
    limits = shown.min(axis=None) - 3, shown.max(axis=None) + 3
    for row, facet in enumerate(facets):
        top = TOP + row * block
        write_facet(figure, place, facet, left=0.08, top=top + 0.1)
        for column, rank in enumerate(ranks):
            left = margin + column * (width + gap)
            axes = figure.add_axes(place(left, top + head, width, height))
            here = (values["facet"] == facet) & (values["rank"] == rank)
            _draw_bars(axes, values[here].set_index("language"), lines)
            mean = values[here]["gap"].mean()
            words = f"mean gap {points(mean)}" if here.any() else "not in the study"
            axes.set_title(f"{label(rank)}\n{words}")
            axes.set_xlim(*limits)
            axes.set_xlabel("accuracy and confidence (%)")
            label_lines(axes, lines, names=column == 0)
    blank = {"color": "none", "mec": "0.15", "ms": 4}
    add_legend(
        figure,
        [
            Line2D([], [], marker="o", mfc="white", label="accuracy", **blank),
            Line2D([], [], marker="D", mfc="0.15", label="confidence", **blank),
            Line2D([], [], color=OVER, lw=3.2, label="over-confident"),
            Line2D([], [], color=UNDER, lw=3.2, label="under-confident"),
            Line2D([], [], color="0.3", lw=0.9, ls=":", label="chance"),
        ],
    )
    return figure


def _draw_bars(axes: Axes, values: pd.DataFrame, lines: list) -> None:
    places = {code: place for place, (_, code) in enumerate(lines) if code}
    y = [places[code] for code in values.index]
    accuracy, confidence = 100 * values["accuracy"], 100 * values["confidence"]
    colours = [OVER if gap > 0 else UNDER for gap in values["gap"]]
    axes.hlines(y, accuracy, confidence, colors=colours, lw=3.2)
    for chance in (100 * values["chance"]).groupby(level=0).first().round(1).unique():
        axes.axvline(chance, color="0.3", lw=0.9, ls=":", zorder=0)
    axes.plot(accuracy, y, "o", mfc="white", mec="0.15", mew=0.8, ms=4)
    axes.plot(confidence, y, "D", mfc="0.15", mec="0.15", ms=3)


@matplotlib.rc_context(STYLE)
def heatmap(values: pd.DataFrame, *, title: str = "") -> Figure:
    """The signed gap of each language in each condition, on one scale for all panels.

    Args:
        values: as `per_language` returns it.
        title: what the numbers belong to.
    """
    facets, ranks = axes_of(values)
    lines = make_lines(values["language"])
    margin, gap, head = margin_of(lines), 0.25, 0.3
    named = 0.068 * max(len(facet) for facet in facets)  # neighbours' names stay apart
    width, height = max(len(ranks) * 0.7, named, 2.2), len(lines) * LINE
    key = max(min(height, 3), 1.5)  # inches that the colour bar and its label need
    right = margin + len(facets) * (width + gap)
    tall = head + max(height, key) + 0.2
    figure, place = make_canvas(right + 0.8, tall, title=title, least=4)
    most = max(100 * values["gap"].abs().max(), 1.0)
    scale = ScalarMappable(Normalize(-most, most), GAPS)
    for column, facet in enumerate(facets):
        left = margin + column * (width + gap)
        axes = figure.add_axes(place(left, TOP + head, width, height))
        grid = values[values["facet"] == facet].pivot_table(
            index="language", columns="rank", values="gap"
        )
        grid = 100 * grid.reindex(index=[code for _, code in lines], columns=ranks)
        axes.pcolormesh(
            grid, cmap=GAPS, norm=scale.norm, edgecolors="white", linewidth=0.4
        )
        _write_cells(axes, grid, scale)
        texts = [label(rank).replace(", smoothing ", "\nsmooth. ") for rank in ranks]
        axes.set_xticks([place + 0.5 for place in range(len(ranks))], texts)
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        write_facet(figure, place, facet, left=left, top=TOP - 0.12)
        label_lines(axes, lines, names=column == 0, centre=0.5)
    bar = figure.add_axes(place(right, TOP + head, 0.14, key))
    figure.colorbar(scale, cax=bar, label="confidence − accuracy (pp)")
    return figure


def _write_cells(axes: Axes, grid: pd.DataFrame, scale: ScalarMappable) -> None:
    for row, values in enumerate(grid.to_numpy()):
        for column, value in enumerate(values):
            if math.isfinite(value):
                red, green, blue, _ = scale.to_rgba(value)
                dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
                axes.text(
                    column + 0.5,
                    row + 0.5,
                    points(value / 100, unit=""),
                    color="white" if dark else "black",
                    fontsize=7,
                    ha="center",
                    va="center_baseline",
                )


@matplotlib.rc_context(STYLE)
def reliability(bins: pd.DataFrame, *, title: str = "") -> Figure:
    """Accuracy against confidence, one small panel per language.

    A marker grows with its bin's share of the questions. A line skips bins with less
    than `LEAST_SHARE` of them or fewer than `LEAST_N`, so that noise does not shout.

    Args:
        bins: as `per_bin` returns it.
        title: what the numbers belong to.
    """
    facets, ranks = axes_of(bins)
    codes = in_resource_order(bins["language"])
    columns = math.ceil(math.sqrt(len(codes) * 6 / 7))  # 42: 6 x 7, 29: 5 x 6
    rows = math.ceil(len(codes) / columns)
    side, wide, tall, margin, head = 1.18, 1.36, 1.68, 0.55, 0.45
    block = head + rows * tall + 0.35
    figure, place = make_canvas(
        margin + columns * wide, len(facets) * block, title=title
    )
    for number, facet in enumerate(facets):
        top = TOP + number * block
        write_facet(figure, place, facet, left=0.08, top=top + 0.08)
        shown = bins[bins["facet"] == facet]
        for index, code in enumerate(codes):
            row, column = divmod(index, columns)
            left = margin + column * wide
            box = place(left, top + head + row * tall, side, side * (1 + _STRIP))
            axes = figure.add_axes(box)
            axes.set_title(language_of(code).name, fontsize=7.5, pad=2)
            here = shown[shown["language"] == code]
            _draw_curves(axes, here, ranks, fullest=shown["share"].max())
            axes.text(2, 98, language_of(code).level, color="0.35", va="top")
            axes.tick_params(length=2, pad=1.5)
            if column > 0:
                axes.set_yticklabels([])
            if index + columns < len(codes):
                axes.set_xticklabels([])
        x, y, _, _ = place(0.1, top + head + rows * tall / 2, 0, 0)
        figure.text(x, y, "accuracy (%)", rotation=90, va="center")
        x, y, _, _ = place(margin, top + block - 0.2, 0, 0)
        figure.text(x, y, "confidence (%); below 0: share of the questions")
    keys = [
        Line2D([], [], color=colour, ls=style, marker=marker, ms=3.5, label=label(rank))
        for rank, (colour, style, marker) in zip(ranks, looks(ranks), strict=True)
    ]
    add_legend(figure, keys)
    return figure


def _draw_curves(
    axes: Axes, bins: pd.DataFrame, ranks: list[float], *, fullest: float
) -> None:
    axes.plot([0, 100], [0, 100], color="0.7", lw=0.7, zorder=0)
    axes.axhline(0, color="0.4", lw=0.6)
    for rank, (colour, style, marker) in zip(ranks, looks(ranks), strict=True):
        line = bins[bins["rank"] == rank]
        x, y = 100 * line["confidence"], 100 * line["accuracy"]
        firm = (line["share"] >= LEAST_SHARE) & (line["n"] >= LEAST_N)
        axes.plot(x[firm], y[firm], color=colour, ls=style, lw=1)
        below = math.inf
        for least, size in _SIZES:
            here = (line["share"] >= least) & (line["share"] < below)
            axes.plot(x[here], y[here], marker, color=colour, ms=size, mew=0)
            below = least
        _draw_histogram(axes, line, color=colour, most=fullest)
    axes.set_xlim(0, 100)
    axes.set_ylim(-100 * _STRIP, 100)
    axes.set_xticks([0, 50, 100])
    axes.set_yticks([0, 50, 100])


def _draw_histogram(axes: Axes, line: pd.DataFrame, *, color, most: float) -> None:
    """Outline the share of the questions per bin in the strip below 0 %."""
    if line.empty:
        return
    count = round(1 / (line["hi"] - line["lo"]).iloc[0])  # bins have equal widths
    shares = line.set_index("bin")["share"].reindex(range(count), fill_value=0)
    axes.stairs(
        100 * _STRIP * (0.9 * shares / most - 1),
        [100 * edge / count for edge in range(count + 1)],
        baseline=-100 * _STRIP,
        color=color,
        lw=0.7,
    )


FIGURES = {  # drawing, computing, and the table that it starts from
    "dumbbell": (dumbbell, per_language, "metrics"),
    "heatmap": (heatmap, per_language, "metrics"),
    "reliability": (reliability, per_bin, "reliability"),
}
_DATES = {".svg": "Date", ".pdf": "CreationDate", ".png": "Software"}


def draw(
    *,
    figure: str,
    metrics: Path,
    reliability: Path,
    task: str,
    scoring: str,
    normaliser: str,
    out: Path,
) -> None:
    """Draw one figure from a study's tables into an SVG, PDF or PNG file.

    The same tables give the same bytes: no date, and ids from a fixed salt, which
    differs from figure to figure so that two of them can stand in one page.

    Args:
        figure: a key of `FIGURES`.
        metrics: the study's metrics table.
        reliability: the study's reliability table.
        task: short name of the benchmark.
        scoring: letters or text.
        normaliser: sum or token.
        out: the file to write; its suffix names the format.

    Raises:
        InputError: an unknown figure or format, or no rows for this selection.
    """
    if figure not in FIGURES:
        raise InputError(f"no figure is called {figure!r}; known: {', '.join(FIGURES)}")
    if out.suffix not in _DATES:
        raise InputError(f"{out}: a figure is a file that ends in {', '.join(_DATES)}")
    function, compute, kind = FIGURES[figure]
    path = {"metrics": metrics, "reliability": reliability}[kind]
    rows = select(path, kind, task=task, scoring=scoring, normaliser=normaliser)
    drawn = function(compute(rows), title=f"{task}, {scoring} ({normaliser})")
    salt = {"svg.hashsalt": f"{figure} {task} {scoring} {normaliser}"}
    with matplotlib.rc_context({**STYLE, **salt}), replacing(out) as temporary:
        drawn.savefig(
            temporary,
            format=out.suffix[1:],
            dpi=200,
            metadata={_DATES[out.suffix]: None},
        )
