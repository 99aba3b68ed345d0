"""Figures of differences between conditions: how large, how sure, and made of what."""

from collections.abc import Iterator

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path as MarkPath

from polycal.comparing.conditions import BASE_RANK, label
from polycal.reporting.canvas import (
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
from polycal.study.languages import ALL, LEVELS

Lines = list[tuple[str, str | None]]

_LINE = 0.19  # inches of one language's line: it holds two marks
_MARKS = {  # marker, size, its face, and where it stands in its line
    "confidence": ("D", 3, "0.15", -0.2),
    "accuracy": ("o", 4, "white", 0.2),
}
PARTS = {  # of a change of ECE: colour and hatch, so that they differ in grey
    "confidence": (OVER, ""),
    "accuracy": (UNDER, ""),
    "cancellation": ("0.8", "////"),
}


@matplotlib.rc_context(STYLE)
def forest(changes: pd.DataFrame, *, title: str = "") -> Figure:
    """Changes of confidence and accuracy per language, one panel per comparison.

    A language's line is its simultaneous band, a level's the interval of its mean;
    grey is the zone in which a difference does not matter.

    Args:
        changes: rows of `per_change` about confidence and accuracy.
        title: what the numbers belong to.
    """
    changes = changes.assign(
        low=changes["sim_low"].fillna(changes["ci_low"]),
        high=changes["sim_high"].fillna(changes["ci_high"]),
    )
    margin = 100 * changes["margin"].max()
    limits = 100 * changes["low"].min() - 1, 100 * changes["high"].max() + 1
    figure, panels = _lay_out(changes, title, width=2.5)
    for axes, own, places in panels:
        axes.axvline(0, color="0.4", lw=0.6, zorder=0)
        if margin == margin:  # not where no margin was set
            axes.axvspan(-margin, margin, color="0.9", lw=0, zorder=-1)
        for metric, (marker, size, face, shift) in _MARKS.items():
            rows = own[own["metric"] == metric]
            y = [places[level] + shift for level in rows["level"]]
            spans = y, 100 * rows["low"], 100 * rows["high"]
            draw_spans(axes, *spans, color="0.45", lw=0.8)
            axes.plot(
                100 * rows["estimate"],
                y,
                marker,
                mfc=face,
                mec="0.15",
                mew=0.7,
                ms=size,
            )
        axes.set_xlim(*limits)
        axes.set_xlabel("change (pp)")
    blank = {"color": "none", "mec": "0.15"}
    keys = [
        Line2D([], [], marker=marker, mfc=face, ms=size, label=metric, **blank)
        for metric, (marker, size, face, _) in _MARKS.items()
    ]
    keys.append(Line2D([], [], color="0.45", lw=0.8, label="band, interval"))
    keys.append(Patch(color="0.9", label="margin: too small to matter"))
    add_legend(figure, keys)
    return figure


@matplotlib.rc_context(STYLE)
def decomposition(parts: pd.DataFrame, *, title: str = "") -> Figure:
    """The parts of the change of ECE per language and level, and their sum.

    Args:
        parts: rows of a decompositions table with `facet` and `rank`.
        title: what the numbers belong to.
    """
    keys = ["facet", "rank", "reference", "level"]
    values = 100 * parts.pivot_table(index=keys, columns="part", values="estimate")
    ends = values.clip(lower=0).sum(axis=1), values.clip(upper=0).sum(axis=1)
    limits = ends[1].min() - 1, ends[0].max() + 1
    values = values.rename_axis(columns=None).reset_index()
    figure, panels = _lay_out(values, title, width=2.3)
    for axes, own, places in panels:
        y = [places[level] for level in own["level"]]
        right = left = pd.Series(0.0, own.index)
        for part, (colour, hatch) in PARTS.items():
            value = own[part]
            start = right.where(value > 0, left)
            corners = np.empty((len(own), 4, 2))  # of all bars
            corners[:, :, 0] = start.to_numpy()[:, None]
            corners[:, 1:3, 0] += value.to_numpy()[:, None]
            corners[:, :, 1] = np.array(y)[:, None] + [-0.31, -0.31, 0.31, 0.31]
            bars = MarkPath.make_compound_path_from_polys(corners)
            look = {"facecolor": colour, "hatch": hatch, "edgecolor": "0.4", "lw": 0.3}
            axes.add_patch(PathPatch(bars, **look))
            right = right + value.clip(lower=0)
            left = left + value.clip(upper=0)
        axes.axvline(0, color="0.4", lw=0.6)
        axes.plot(own[list(PARTS)].sum(axis=1), y, "D", color="0.1", mec="white", ms=4)
        axes.set_xlim(*limits)
        axes.set_xlabel("change of ECE (pp)")
    keys = [
        Patch(facecolor=colour, hatch=hatch, edgecolor="0.4", label=part)
        for part, (colour, hatch) in PARTS.items()
    ]
    whole = {"marker": "D", "color": "none", "mfc": "0.1", "mec": "0.1", "ms": 4}
    add_legend(figure, [*keys, Line2D([], [], label="change of ECE", **whole)])
    return figure


def _lay_out(
    values: pd.DataFrame, title: str, *, width: float
) -> tuple[Figure, Iterator[tuple[Axes, pd.DataFrame, dict[str, int]]]]:
    """A row of panels per facet, one per comparison, with a line per language.

    Returns:
        The figure, and of each panel its axes, its rows, and the place of each level.
    """
    facets, ranks = axes_of(values)
    lines: Lines = make_lines(set(values["level"]) - {*LEVELS, ALL})
    lines.append(("all languages", None))
    margin, gap, head = margin_of(lines), 0.15, 0.6
    height = len(lines) * _LINE
    block = head + height + 0.5
    figure, place = make_canvas(
        margin + len(ranks) * (width + gap), len(facets) * block, title=title
    )
    places = {code or text.split()[0]: at for at, (text, code) in enumerate(lines)}

    def panels() -> Iterator[tuple[Axes, pd.DataFrame, dict[str, int]]]:
        for row, facet in enumerate(facets):
            top = TOP + row * block
            write_facet(figure, place, facet, left=0.08, top=top + 0.1)
            for column, rank in enumerate(ranks):
                left = margin + column * (width + gap)
                axes = figure.add_axes(place(left, top + head, width, height))
                own = values[(values["facet"] == facet) & (values["rank"] == rank)]
                axes.set_title(_compare(own, rank))
                label_lines(axes, lines, names=column == 0)
                yield axes, own, places

    return figure, panels()


def _compare(own: pd.DataFrame, rank: float) -> str:
    """Which two conditions a panel compares."""
    if own.empty:
        return f"{label(rank)}\nnot in the study"
    start = 0.0 if (own["reference"] == "sft").all() else BASE_RANK
    return f"{label(rank)}\nminus {label(start)}"
