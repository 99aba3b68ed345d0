"""Figures of the signed gap of each language: as a bar, and as a coloured cell."""

import math

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from polycal.comparing.conditions import label, language_of, mark_sure
from polycal.reporting.canvas import (
    GAPS,
    LINE,
    OVER,
    STYLE,
    TOP,
    UNDER,
    Lines,
    add_legend,
    axes_of,
    draw_spans,
    gap_keys,
    label_lines,
    make_canvas,
    make_lines,
    margin_of,
    write_facet,
)
from polycal.reporting.figure_kind import FigureKind
from polycal.reporting.marks import carry, name_case, put_marks, spell_values
from polycal.reporting.selection import Selection
from polycal.reporting.sentences import per_condition
from polycal.reporting.spelling import points, spell_points


@matplotlib.rc_context(STYLE)
def dumbbell(values: pd.DataFrame, *, title: str = "") -> Figure:
    """Draw accuracy and mean confidence per language, one panel per condition.

    Args:
        values: as `per_language` returns it.
        title: what the numbers belong to.
    """
    facets, conditions = axes_of(values)
    lines = make_lines(values["language"])
    margin, width, gap = margin_of(lines), 2.05, 0.15
    head, height = 0.68, len(lines) * LINE
    block = head + height + 0.5
    figure, box = make_canvas(
        margin + len(conditions) * (width + gap), len(facets) * block, title=title
    )
    shown = 100 * values[["accuracy", "confidence", "chance"]]
    limits = shown.min(axis=None) - 3, shown.max(axis=None) + 3
    for row, facet in enumerate(facets):
        top = TOP + row * block
        write_facet(figure, box, facet, left=0.08, top=top + 0.1)
        for column, condition in enumerate(conditions):
            left = margin + column * (width + gap)
            axes = figure.add_axes(box(left, top + head, width, height))
            in_panel = (values["facet"] == facet) & (values["rank"] == condition)
            _draw_bars(axes, values[in_panel].set_index("language"), lines)
            mean = values[in_panel]["gap"].mean()
            words = f"mean gap {points(mean)}" if in_panel.any() else "not in the study"
            axes.set_title(f"{label(condition)}\n{words}")
            axes.set_xlim(*limits)
            axes.set_xlabel("accuracy and confidence (%)")
            label_lines(axes, lines, names=column == 0)
    add_legend(figure, gap_keys())
    return figure


def _draw_bars(axes: Axes, values: pd.DataFrame, lines: Lines) -> None:
    heights = {code: index for index, (_, code) in enumerate(lines) if code}
    y = [heights[code] for code in values.index]
    accuracy, confidence = 100 * values["accuracy"], 100 * values["confidence"]
    over = (values["gap"] > 0).to_numpy()
    for colour, own in ((OVER, over), (UNDER, ~over)):
        spans = np.array(y)[own], accuracy[own], confidence[own]
        draw_spans(axes, *spans, color=colour, lw=3.2)
    for chance in (100 * values["chance"]).groupby(level=0).first().round(1).unique():
        axes.axvline(chance, color="0.3", lw=0.9, ls=":", zorder=0)
    rows = values.reset_index().to_dict("records")
    titles = [
        f"{name_case(row)}: {spell_values(row, 'accuracy', 'confidence', 'gap')}"
        for row in rows
    ]
    circle = {"marker": "o", "mfc": "white", "mec": "0.15", "mew": 0.8, "ms": 4}
    put_marks(axes, accuracy, y, titles, **circle)
    diamond = {"marker": "D", "mfc": "0.15", "mec": "0.15", "ms": 3}
    put_marks(axes, confidence, y, titles, **diamond)


def caption_dumbbell(values: pd.DataFrame) -> str:
    """Count the languages whose confidence exceeds their accuracy, per condition."""
    over = values.assign(over=values["gap"] > 0)
    counts = over.groupby(["facet", "rank"])["over"].sum()
    n = values["language"].nunique()
    start = f"Number of languages (of {n}) in which confidence exceeds accuracy –"
    return f"{start} {per_condition(counts.map(str))}."


DUMBBELL = FigureKind(
    name="dumbbell",
    title="Accuracy and confidence of every language",
    source="metrics",
    values=Selection.per_language,
    draw=dumbbell,
    caption=caption_dumbbell,
    reading="A circle is accuracy, a diamond is mean confidence, and the bar between "
    "them is the gap. Languages are ordered from high to low resources.",
    shown="never",  # the page draws it, too, with values
)


@matplotlib.rc_context(STYLE)
def heatmap(values: pd.DataFrame, *, title: str = "") -> Figure:
    """Draw the signed gap of each language and condition, with one colour scale.

    A star marks a gap that differs from that of the condition's reference.

    Args:
        values: as `mark_sure` returns it.
        title: what the numbers belong to.
    """
    facets, conditions = axes_of(values)
    lines = make_lines(values["language"])
    margin, gap, head = margin_of(lines), 0.25, 0.3
    named = 0.068 * max(len(facet) for facet in facets)  # neighbours' names stay apart
    width, height = max(len(conditions) * 0.7, named, 2.2), len(lines) * LINE
    key = max(min(height, 3), 1.5)  # inches that the colour bar and its label need
    right = margin + len(facets) * (width + gap)
    tall = head + max(height, key) + 0.2
    figure, box = make_canvas(right + 0.8, tall, title=title, least=4)
    most = max(100 * values["gap"].abs().max(), 1.0)
    scale = ScalarMappable(Normalize(-most, most), GAPS)
    for column, facet in enumerate(facets):
        left = margin + column * (width + gap)
        axes = figure.add_axes(box(left, TOP + head, width, height))
        own = values[values["facet"] == facet].set_index(["language", "rank"])
        shape = {"index": [code for _, code in lines], "columns": conditions}
        grid = 100 * own["gap"].unstack().reindex(**shape)
        starred = own["sure"].unstack().reindex(**shape)
        axes.pcolormesh(
            grid, cmap=GAPS, norm=scale.norm, edgecolors="white", linewidth=0.4
        )
        _write_cells(axes, grid, starred, scale)
        texts = [
            label(condition).replace(", smoothing ", "\nsmooth. ")
            for condition in conditions
        ]
        axes.set_xticks([index + 0.5 for index in range(len(conditions))], texts)
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        write_facet(figure, box, facet, left=left, top=TOP - 0.12)
        label_lines(axes, lines, names=column == 0, centre=0.5)
    bar = figure.add_axes(box(right, TOP + head, 0.14, key))
    figure.colorbar(scale, cax=bar, label="confidence − accuracy (pp)")
    # Colours keep their meaning (white is no gap), but those of no cell are cut off.
    bar.set_ylim(100 * min(values["gap"].min(), 0), 100 * max(values["gap"].max(), 0))
    return figure


def _write_cells(
    axes: Axes, grid: pd.DataFrame, starred: pd.DataFrame, scale: ScalarMappable
) -> None:
    marks = starred.eq(True).to_numpy()
    for row, (code, values) in enumerate(grid.iterrows()):
        for column, (condition, value) in enumerate(values.items()):
            if math.isfinite(value):
                red, green, blue, _ = scale.to_rgba(value)
                name = name_case({"language": code, "rank": condition})
                dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
                axes.text(
                    column + 0.5,
                    row + 0.5,
                    spell_points(value / 100) + ("*" if marks[row, column] else ""),
                    color="white" if dark else "black",
                    fontsize=7,
                    ha="center",
                    va="center_baseline",
                    gid=carry(f"{name}: gap {points(value / 100)}"),
                )


def caption_heatmap(values: pd.DataFrame) -> str:
    """Name the smallest and the largest gap, each with language and condition."""
    several = values["facet"].nunique() > 1

    def name(row: pd.Series) -> str:
        facet = f"{row['facet']}, " if several else ""
        language = language_of(row["language"]).name
        return f"{points(row['gap'])} ({language}, {facet}{label(row['rank'])})"

    values = values.reset_index(drop=True)
    least, most = values.loc[values["gap"].idxmin()], values.loc[values["gap"].idxmax()]
    if least.name == most.name:
        return f"The signed gap is {name(least)}."
    return f"The signed gap lies between {name(least)} and {name(most)}."


def _mark_changes(selection: Selection) -> pd.DataFrame:
    contrasts = selection.rows("contrasts", calibrator="none")
    return mark_sure(selection.per_language(), contrasts)


HEATMAP = FigureKind(
    name="heatmap",
    title="Over- and under-confidence of every language",
    source="metrics",
    values=_mark_changes,
    draw=heatmap,
    caption=caption_heatmap,
    reading="Confidence minus accuracy in percentage points; all panels share one "
    "colour scale. A star marks a gap that differs from that of the reference "
    "condition (base for SFT, SFT for smoothing): the simultaneous band of the "
    "difference over all languages excludes 0.",
    shown="never",  # the page has it as a table
)
