"""Reliability diagrams: accuracy over confidence per bin, with a histogram."""

import math

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import binom

from polycal.comparing.conditions import (
    in_resource_order,
    language_of,
    per_bin,
    per_level_bin,
)
from polycal.reporting.canvas import (
    STYLE,
    TOP,
    add_legend,
    axes_of,
    condition_keys,
    levels_in,
    looks,
    make_canvas,
    name_level,
    write_facet,
)
from polycal.reporting.figure_kind import FigureKind
from polycal.reporting.marks import name_case, put_marks, spell_values
from polycal.reporting.sentences import per_condition
from polycal.reporting.spelling import percent, points
from polycal.study.languages import ALL

LEAST_SHARE, LEAST_N = 0.01, 10  # a line skips bins with fewer questions
_SIZES = [(0.10, 4.4), (0.03, 3.2), (LEAST_SHARE, 2.2), (0.0, 1.0)]  # share: points
_STRIP = 0.22  # height of the histogram below 0 %, as a part of the diagram's


def consistent(confidence: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the range of 95 % of a calibrated model's accuracies.

    These are the consistency bars of Bröcker and Smith 2007 (Weather and Forecasting
    22), bin by bin: quantiles of a binomial with the bin's mean confidence.

    Args:
        confidence: [B] mean confidences.
        n: [B] questions.

    Returns:
        The lower and the upper ends [B], fractions.
    """
    return tuple(binom.ppf(tail, n, confidence) / n for tail in (0.025, 0.975))


@matplotlib.rc_context(STYLE)
def reliability(bins: pd.DataFrame, *, title: str = "") -> Figure:
    """Draw accuracy over confidence, one small panel per language.

    A marker grows with its bin's share of the questions. A line skips bins with less
    than `LEAST_SHARE` of them or fewer than `LEAST_N`, whose accuracy is mostly noise.
    The grey band holds 95 % of a calibrated model's accuracies, for as many questions
    as the conditions have in a bin on average.

    Args:
        bins: as `per_bin` returns it.
        title: what the numbers belong to.
    """
    facets, conditions = axes_of(bins)
    codes = in_resource_order(bins["language"])
    columns = math.ceil(math.sqrt(len(codes) * 6 / 7))  # 42: 6 x 7, 29: 5 x 6
    rows = math.ceil(len(codes) / columns)
    side, wide, tall, margin, head = 1.18, 1.36, 1.68, 0.55, 0.45
    block = head + rows * tall + 0.35
    figure, box = make_canvas(margin + columns * wide, len(facets) * block, title=title)
    for number, facet in enumerate(facets):
        top = TOP + number * block
        write_facet(figure, box, facet, left=0.08, top=top + 0.08)
        shown = bins[bins["facet"] == facet]
        for index, code in enumerate(codes):
            row, column = divmod(index, columns)
            left, upper = margin + column * wide, top + head + row * tall
            axes = figure.add_axes(box(left, upper, side, side * (1 + _STRIP)))
            axes.set_title(language_of(code).name, fontsize=7.5, pad=2)
            own = shown[shown["language"] == code]
            _draw_band(axes, own)
            _draw_curves(axes, own, conditions, fullest=shown["share"].max())
            axes.text(2, 98, language_of(code).level, color="0.35", va="top")
            axes.tick_params(length=2, pad=1.5)
            if column > 0:
                axes.set_yticklabels([])
            if index + columns < len(codes):
                axes.set_xticklabels([])
        x, y, _, _ = box(0.1, top + head + rows * tall / 2, 0, 0)
        figure.text(x, y, "accuracy (%)", rotation=90, va="center")
        x, y, _, _ = box(margin, top + block - 0.2, 0, 0)
        figure.text(x, y, "confidence (%); below 0: share of the questions")
    add_legend(figure, condition_keys(conditions))
    return figure


def caption_reliability(bins: pd.DataFrame) -> str:
    """Give the share of the questions in over-confident bins, per condition."""
    over = bins.assign(over=bins["n"].where(bins["confidence"] > bins["accuracy"], 0))
    sums = over.groupby(["facet", "rank"])[["over", "n"]].sum()
    shares = (sums["over"] / sums["n"]).map(percent)
    start = "Share of the questions in bins whose confidence exceeds their accuracy –"
    return f"{start} {per_condition(shares)}."


RELIABILITY = FigureKind(
    name="reliability",
    title="Accuracy at each confidence, language by language",
    source="reliability",
    values=lambda selection: per_bin(selection.uncalibrated("reliability")),
    draw=reliability,
    caption=caption_reliability,
    reading="Accuracy over confidence per bin; on the diagonal they are equal. Larger "
    "markers hold more questions; the strip below is a histogram of the questions. "
    "Lines skip bins with few questions.",
    shown="never",  # the page draws the diagram of the language that its reader chooses
)


@matplotlib.rc_context(STYLE)
def levels(bins: pd.DataFrame, *, title: str = "") -> Figure:
    """Draw accuracy over confidence, with the languages of a resource level pooled.

    There are no error bars: translations of one question are not independent answers.

    Args:
        bins: as `per_level_bin` returns it.
        title: what the numbers belong to.
    """
    facets, conditions = axes_of(bins)
    names = levels_in(bins)
    side, wide, margin, head = 1.75, 2.0, 0.55, 0.45
    block = head + side * (1 + _STRIP) + 0.55
    figure, box = make_canvas(
        margin + len(names) * wide, len(facets) * block, title=title
    )
    for row, facet in enumerate(facets):
        top = TOP + row * block
        write_facet(figure, box, facet, left=0.08, top=top + 0.08)
        shown = bins[bins["facet"] == facet]
        for column, name in enumerate(names):
            left = margin + column * wide
            axes = figure.add_axes(box(left, top + head, side, side * (1 + _STRIP)))
            own = shown[shown["level"] == name]
            n = int(own["n_languages"].max())
            axes.set_title(f"{name_level(name)} ({n})", pad=3)
            _draw_curves(axes, own, conditions, fullest=shown["share"].max())
            axes.set_xlabel("confidence (%)")
            if column == 0:
                axes.set_ylabel("accuracy (%); below 0: share")
            else:
                axes.set_yticklabels([])
    add_legend(figure, condition_keys(conditions))
    return figure


def caption_levels(bins: pd.DataFrame) -> str:
    """Give the mean gap of the answers of all languages, per condition."""
    sums = bins[bins["level"] == ALL].groupby(["facet", "rank"])
    sums = sums[["sum_confidence", "sum_correct", "n"]].sum()
    gaps = (sums["sum_confidence"] - sums["sum_correct"]) / sums["n"]
    start = "Confidence minus accuracy over the answers of all languages –"
    return f"{start} {per_condition(gaps.map(points))}."


LEVELS = FigureKind(
    name="levels",
    title="Accuracy at each confidence, by resource level",
    source="reliability",
    values=lambda selection: per_level_bin(selection.uncalibrated("reliability")),
    draw=levels,
    caption=caption_levels,
    reading="Accuracy over confidence per bin, with the languages of a level pooled; "
    "on the diagonal they are equal. The number of languages stands after the level.",
    shown="always",
)


def _draw_band(axes: Axes, bins: pd.DataFrame) -> None:
    """Draw the range of a calibrated model's accuracies, of all conditions pooled."""
    sums = bins.groupby("bin")[["n", "sum_confidence"]].sum()
    sums["n_mean"] = np.ceil(sums["n"] / bins["rank"].nunique())
    sums = sums[sums["n_mean"] >= LEAST_N]  # fewer exclude nothing
    n = sums["n_mean"].to_numpy()
    confidence = (sums["sum_confidence"] / sums["n"]).to_numpy()
    low, high = consistent(confidence, n)
    axes.fill_between(
        100 * confidence, 100 * low, 100 * high, color="0.88", lw=0, zorder=-1
    )


def _draw_curves(
    axes: Axes, bins: pd.DataFrame, conditions: list[float], *, fullest: float
) -> None:
    axes.plot([0, 100], [0, 100], color="0.7", lw=0.7, zorder=0)
    axes.axhline(0, color="0.4", lw=0.6)
    for condition, (colour, style, marker) in zip(
        conditions, looks(conditions), strict=True
    ):
        line = bins[bins["rank"] == condition]
        x, y = 100 * line["confidence"], 100 * line["accuracy"]
        firm = (line["share"] >= LEAST_SHARE) & (line["n"] >= LEAST_N)
        axes.plot(x[firm], y[firm], color=colour, ls=style, lw=1)
        titles = pd.Series(
            [
                f"{name_case(row)}, {row['n']:.0f} questions: "
                + spell_values(row, "confidence", "accuracy")
                for row in line.to_dict("records")
            ],
            line.index,
        )
        below = math.inf
        for least, size in _SIZES:
            sized = (line["share"] >= least) & (line["share"] < below)
            look = {"marker": marker, "color": colour, "ms": size, "mew": 0}
            # A marker at 0 or 100 % is whole.
            look |= {"clip_on": False, "zorder": 3}
            put_marks(axes, x[sized], y[sized], titles[sized], **look)
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
