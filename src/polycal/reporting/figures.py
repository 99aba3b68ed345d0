"""The figures of a study: a table in, a matplotlib Figure out, and one way to save it.

Nothing here touches matplotlib's global state.
"""

import math
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from polycal.comparing.conditions import label
from polycal.reporting.canvas import (
    GAPS,
    LINE,
    OVER,
    STYLE,
    TOP,
    UNDER,
    add_legend,
    axes_of,
    draw_spans,
    label_lines,
    make_canvas,
    make_lines,
    margin_of,
    write_facet,
)
from polycal.reporting.comparisons import decomposition, forest
from polycal.reporting.diagrams import levels, reliability
from polycal.reporting.figure_values import MISSING, values_of
from polycal.reporting.remedies import coverage, temperature
from polycal.reporting.sentences import points
from polycal.reporting.tradeoffs import doses, front, premium
from polycal.storage.files import check_outputs, replacing
from polycal.study.scorings import Normaliser, Scoring
from polycal.verb import verb


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
    over = (values["gap"] > 0).to_numpy()
    for colour, own in ((OVER, over), (UNDER, ~over)):
        spans = np.array(y)[own], accuracy[own], confidence[own]
        draw_spans(axes, *spans, color=colour, lw=3.2)
    for chance in (100 * values["chance"]).groupby(level=0).first().round(1).unique():
        axes.axvline(chance, color="0.3", lw=0.9, ls=":", zorder=0)
    axes.plot(accuracy, y, "o", mfc="white", mec="0.15", mew=0.8, ms=4)
    axes.plot(confidence, y, "D", mfc="0.15", mec="0.15", ms=3)


@matplotlib.rc_context(STYLE)
def heatmap(values: pd.DataFrame, *, title: str = "") -> Figure:
    """The signed gap of each language in each condition, on one scale for all panels.

    A star marks a gap that surely differs from that of the condition's reference.

    Args:
        values: as `mark_sure` returns it.
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
        own = values[values["facet"] == facet].set_index(["language", "rank"])
        shape = {"index": [code for _, code in lines], "columns": ranks}
        grid = 100 * own["gap"].unstack().reindex(**shape)
        sure = own["sure"].unstack().reindex(**shape)
        axes.pcolormesh(
            grid, cmap=GAPS, norm=scale.norm, edgecolors="white", linewidth=0.4
        )
        _write_cells(axes, grid, sure, scale)
        texts = [label(rank).replace(", smoothing ", "\nsmooth. ") for rank in ranks]
        axes.set_xticks([place + 0.5 for place in range(len(ranks))], texts)
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        write_facet(figure, place, facet, left=left, top=TOP - 0.12)
        label_lines(axes, lines, names=column == 0, centre=0.5)
    bar = figure.add_axes(place(right, TOP + head, 0.14, key))
    figure.colorbar(scale, cax=bar, label="confidence − accuracy (pp)")
    # Colours keep their meaning (white is no gap), but those of no cell are cut off.
    bar.set_ylim(100 * min(values["gap"].min(), 0), 100 * max(values["gap"].max(), 0))
    return figure


def _write_cells(
    axes: Axes, grid: pd.DataFrame, sure: pd.DataFrame, scale: ScalarMappable
) -> None:
    marks = sure.eq(True).to_numpy()
    for row, values in enumerate(grid.to_numpy()):
        for column, value in enumerate(values):
            if math.isfinite(value):
                red, green, blue, _ = scale.to_rgba(value)
                dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
                axes.text(
                    column + 0.5,
                    row + 0.5,
                    points(value / 100, unit="") + ("*" if marks[row, column] else ""),
                    color="white" if dark else "black",
                    fontsize=7,
                    ha="center",
                    va="center_baseline",
                )


FIGURES = {
    "coverage": coverage,
    "decomposition": decomposition,
    "doses": doses,
    "dumbbell": dumbbell,
    "forest": forest,
    "front": front,
    "heatmap": heatmap,
    "levels": levels,
    "premium": premium,
    "reliability": reliability,
    "temperature": temperature,
}
_DATES = {".svg": "Date", ".pdf": "CreationDate", ".png": "Software"}


@verb(makes="{out[0]}")
def draw(
    *,
    metrics: Path,
    reliability: Path,
    contrasts: Path,
    decompositions: Path,
    doses: Path,
    fronts: Path,
    task: str,
    scoring: Scoring,
    normaliser: Normaliser,
    out: list[Path],
) -> None:
    """Draw figures of one task and scoring from a study's tables.

    The same tables give the same bytes: no date, and ids from a fixed salt, which
    differs from figure to figure so that two of them can stand in one page. Where the
    tables hold nothing for a figure, its file says why.

    Args:
        metrics: the study's metrics table.
        reliability: the study's reliability table.
        contrasts: the study's differences between conditions.
        decompositions: what changes of ECE are made of.
        doses: metrics over smoothing values.
        fronts: accuracy and ECE of all conditions.
        task: short name of the benchmark.
        scoring: letters or text.
        normaliser: sum or token.
        out: the files to write: named by a key of `FIGURES`, with .svg, .pdf or .png.

    Raises:
        InputError: an unknown figure or format, or no rows for this selection.
    """
    check_outputs(out, "figure", FIGURES, _DATES)
    paths = {"metrics": metrics, "reliability": reliability, "contrasts": contrasts}
    paths |= {"decompositions": decompositions, "doses": doses, "fronts": fronts}
    place = {"task": task, "scoring": scoring, "normaliser": normaliser}
    title = f"{task}, {scoring} ({normaliser})"
    drawn: dict[str, Figure] = {}
    for path in out:
        figure = path.stem
        if figure not in drawn:
            values = values_of(figure, paths, place)
            if values.empty:
                drawn[figure] = _say(f"{title}: not drawn; {MISSING[figure]}.")
            else:
                drawn[figure] = FIGURES[figure](values, title=title)
        salt = {"svg.hashsalt": f"{figure} {task} {scoring} {normaliser}"}
        with matplotlib.rc_context({**STYLE, **salt}), replacing(path) as temporary:
            drawn[figure].savefig(
                temporary,
                format=path.suffix[1:],
                dpi=200,
                metadata={_DATES[path.suffix]: None},
            )


@matplotlib.rc_context(STYLE)
def _say(words: str) -> Figure:
    """A sentence in place of a figure."""
    figure, _ = make_canvas(6.0, 0.0, title=words)
    return figure
