"""Figures of differences between conditions: intervals, and the parts of ECE."""

from collections.abc import Iterator, Mapping

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path as MarkPath

from polycal.comparing.conditions import (
    BASE_RANK,
    distinct_levels,
    label,
    per_change,
)
from polycal.reporting.canvas import (
    OVER,
    STYLE,
    TOP,
    UNDER,
    Lines,
    add_legend,
    axes_of,
    draw_spans,
    label_lines,
    make_canvas,
    make_lines,
    margin_of,
    name_line,
    write_facet,
)
from polycal.reporting.figure_kind import NO_SFT, FigureKind
from polycal.reporting.marks import name_case, put_marks
from polycal.reporting.selection import Selection
from polycal.reporting.sentences import per_condition
from polycal.reporting.spelling import points, spell_interval, spell_points
from polycal.study.languages import ALL, LEVELS

_LINE = 0.19  # inches of one language's line: it holds two marks
_MARKS = {  # marker, size, face, and offset within its line
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
    """Draw changes of confidence and accuracy per language, a panel per comparison.

    The line of a language is its simultaneous band, that of a level the interval of
    its mean; the grey zone holds differences within the margin.

    Args:
        changes: rows of `per_change` about confidence and accuracy.
        title: what the numbers belong to.
    """
    changes = distinct_levels(changes).assign(
        low=changes["sim_low"].fillna(changes["ci_low"]),
        high=changes["sim_high"].fillna(changes["ci_high"]),
    )
    margin = 100 * changes["margin"].max()
    limits = 100 * changes["low"].min() - 1, 100 * changes["high"].max() + 1
    figure, panels = _lay_out(changes, title, width=2.5)
    for axes, own, heights in panels:
        axes.axvline(0, color="0.4", lw=0.6, zorder=0)
        if margin == margin:  # not where no margin was set
            axes.axvspan(-margin, margin, color="0.9", lw=0, zorder=-1)
        for metric, (marker, size, face, shift) in _MARKS.items():
            rows = own[own["metric"] == metric]
            y = [heights[level] + shift for level in rows["level"]]
            spans = y, 100 * rows["low"], 100 * rows["high"]
            draw_spans(axes, *spans, color="0.45", lw=0.8)
            look = {"marker": marker, "mfc": face, "mec": "0.15", "ms": size}
            titles = map(_tell_change, rows.to_dict("records"))
            put_marks(axes, 100 * rows["estimate"], y, titles, mew=0.7, **look)
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


def _tell_change(row: Mapping) -> str:
    change = f"{points(row['estimate'])} {spell_interval(row['low'], row['high'])}"
    return f"{name_case(row)}: change of {row['metric']} {change}"


def _forest_values(selection: Selection) -> pd.DataFrame:
    changes = per_change(selection.rows("contrasts", calibrator="none"))
    return changes[changes["metric"].isin(list(_MARKS))]


def caption_forest(changes: pd.DataFrame) -> str:
    """Count the languages whose band of confidence or accuracy excludes 0."""
    own = changes[~changes["level"].isin([*LEVELS, ALL])]
    parts = []
    for metric in _MARKS:
        rows = own[own["metric"] == metric]
        up, down = rows["sim_low"] > 0, rows["sim_high"] < 0
        counts = rows[["facet", "rank"]].assign(up=up, down=down)
        counts = counts.groupby(["facet", "rank"]).sum().astype(str)
        texts = counts["up"] + " up, " + counts["down"] + " down"
        parts.append(f"{metric} – {per_condition(texts)}")
    n = own["level"].nunique()
    return f"Number of languages (of {n}) whose band excludes 0: {'. '.join(parts)}."


FOREST = FigureKind(
    name="forest",
    title="How much confidence and accuracy change in every language",
    source="contrasts",
    values=_forest_values,
    draw=forest,
    caption=caption_forest,
    reading="The change from one condition to the next. The line of a language is its "
    "simultaneous band over all languages; the line of a level or of all languages is "
    "the interval of the mean. A change within the grey zone is too small to matter.",
    missing=NO_SFT,
    shown="always",
)


@matplotlib.rc_context(STYLE)
def decomposition(parts: pd.DataFrame, *, title: str = "") -> Figure:
    """Draw the parts of the change of ECE per language and level, and their sum.

    Args:
        parts: rows of a decompositions table with `facet` and `rank`.
        title: what the numbers belong to.
    """
    keys = ["facet", "rank", "reference", "level"]
    values = 100 * parts.pivot_table(index=keys, columns="part", values="estimate")
    ends = values.clip(lower=0).sum(axis=1), values.clip(upper=0).sum(axis=1)
    limits = ends[1].min() - 1, ends[0].max() + 1
    values = distinct_levels(values.rename_axis(columns=None).reset_index())
    figure, panels = _lay_out(values, title, width=2.3)
    for axes, own, heights in panels:
        y = [heights[level] for level in own["level"]]
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
        look = {"marker": "D", "color": "0.1", "mec": "white", "ms": 4}
        titles = map(_tell_parts, own.to_dict("records"))
        put_marks(axes, own[list(PARTS)].sum(axis=1), y, titles, **look)
        axes.set_xlim(*limits)
        axes.set_xlabel("change of ECE (pp)")
    keys = [
        Patch(facecolor=colour, hatch=hatch, edgecolor="0.4", label=part)
        for part, (colour, hatch) in PARTS.items()
    ]
    whole = {"marker": "D", "color": "none", "mfc": "0.1", "mec": "0.1", "ms": 4}
    add_legend(figure, [*keys, Line2D([], [], label="change of ECE", **whole)])
    return figure


def _tell_parts(row: Mapping) -> str:
    parts = [f"{part} {spell_points(row[part] / 100)}" for part in PARTS]
    whole = points(sum(row[part] for part in PARTS) / 100)
    return f"{name_case(row)}: change of ECE {whole} ({', '.join(parts)})"


def caption_decomposition(parts: pd.DataFrame) -> str:
    """Give the part of each cause in the change of ECE, over all languages."""
    whole = parts[parts["level"] == ALL]
    texts = whole.assign(text=whole["part"] + " " + whole["estimate"].map(points))
    texts = texts.groupby(["facet", "rank"], sort=True)["text"].agg(", ".join)
    return f"Parts of the change of ECE, over all languages – {per_condition(texts)}."


DECOMPOSITION = FigureKind(
    name="decomposition",
    title="What changes the calibration error of every language",
    source="decompositions",
    values=lambda chosen: per_change(chosen.rows("decompositions", calibrator="none")),
    draw=decomposition,
    caption=caption_decomposition,
    reading="The contributions of confidence, accuracy and cancellation to the change "
    "of ECE. Cancellation is the part of the ECE that the gap does not show, because "
    "over- and under-confident bins offset each other. Where confidence exceeds "
    "accuracy, a fall of accuracy raises the ECE.",
    missing=NO_SFT,
)


def _lay_out(
    values: pd.DataFrame, title: str, *, width: float
) -> tuple[Figure, Iterator[tuple[Axes, pd.DataFrame, dict[str, int]]]]:
    """Lay out a row of panels per facet, one per comparison, with lines of languages.

    Returns:
        The figure, and of each panel its axes, its rows, and the height of each level.
    """
    facets, conditions = axes_of(values)
    lines: Lines = make_lines(set(values["level"]) - {*LEVELS, ALL})
    lines += [(name_line(ALL), None)] if ALL in set(values["level"]) else []
    margin, gap, head = margin_of(lines), 0.15, 0.6
    height = len(lines) * _LINE
    block = head + height + 0.5
    figure, box = make_canvas(
        margin + len(conditions) * (width + gap), len(facets) * block, title=title
    )
    heights = {code or text.split()[0]: y for y, (text, code) in enumerate(lines)}

    def panels() -> Iterator[tuple[Axes, pd.DataFrame, dict[str, int]]]:
        for row, facet in enumerate(facets):
            top = TOP + row * block
            write_facet(figure, box, facet, left=0.08, top=top + 0.1)
            for column, condition in enumerate(conditions):
                left = margin + column * (width + gap)
                axes = figure.add_axes(box(left, top + head, width, height))
                own = values[(values["facet"] == facet) & (values["rank"] == condition)]
                axes.set_title(_name_comparison(own, condition))
                label_lines(axes, lines, names=column == 0)
                yield axes, own, heights

    return figure, panels()


def _name_comparison(own: pd.DataFrame, condition: float) -> str:
    if own.empty:
        return f"{label(condition)}\nnot in the study"
    start = 0.0 if (own["reference"] == "sft").all() else BASE_RANK
    return f"{label(condition)}\nminus {label(start)}"
