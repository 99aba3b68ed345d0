"""Reliability diagrams: accuracy against confidence, and where the questions lie."""

import math

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import binom

from polycal.comparing.conditions import in_resource_order, label, language_of
from polycal.reporting.canvas import (
    STYLE,
    TOP,
    add_legend,
    axes_of,
    line_keys,
    looks,
    make_canvas,
    write_facet,
)
from polycal.study.languages import ALL, LEVELS

LEAST_SHARE, LEAST_N = 0.01, 10  # a line skips bins with fewer questions
_SIZES = [(0.10, 4.4), (0.03, 3.2), (LEAST_SHARE, 2.2), (0.0, 1.0)]  # share: points
_STRIP = 0.22  # height of the histogram below 0 %, as a part of the diagram's
_Z = 1.959964  # of a 95 % interval


def wilson(right: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ends of Wilson's 95 % interval of a share (Wilson 1927, JASA 22).

    Args:
        right: [B] how many are right; any number from 0 to `n`.
        n: [B] out of how many, above 0.

    Returns:
        The lower and the upper ends [B], fractions.
    """
    share, square = right / n, _Z**2 / n
    centre = (share + square / 2) / (1 + square)
    half = np.sqrt(share * (1 - share) * square + square**2 / 4) / (1 + square)
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)


def consistent(confidence: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where 95 % of the accuracies of a calibrated model lie.

    The consistency bars of Bröcker and Smith 2007 (Weather and Forecasting 22), bin by
    bin: quantiles of a binomial with the bin's mean confidence.

    Args:
        confidence: [B] mean confidences.
        n: [B] questions.

    Returns:
        The lower and the upper ends [B], fractions.
    """
    return tuple(binom.ppf(tail, n, confidence) / n for tail in (0.025, 0.975))


@matplotlib.rc_context(STYLE)
def reliability(bins: pd.DataFrame, *, title: str = "") -> Figure:
    """Accuracy against confidence, one small panel per language.

    A marker grows with its bin's share of the questions. A line skips bins with less
    than `LEAST_SHARE` of them or fewer than `LEAST_N`, so that noise does not shout.
    Grey is where the accuracies of a calibrated model would lie, for as many questions
    as the conditions have in a bin on average.

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
            _draw_band(axes, here)
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
    add_legend(figure, line_keys([label(rank) for rank in ranks]))
    return figure


@matplotlib.rc_context(STYLE)
def levels(bins: pd.DataFrame, *, title: str = "") -> Figure:
    """Accuracy against confidence, the languages of a resource level pooled.

    The bars are Wilson's 95 % intervals, as if every answer were independent.

    Args:
        bins: as `per_level_bin` returns it.
        title: what the numbers belong to.
    """
    facets, ranks = axes_of(bins)
    names = [each for each in (*LEVELS, ALL) if each in set(bins["level"])]
    side, wide, margin, head = 1.75, 2.0, 0.55, 0.45
    block = head + side * (1 + _STRIP) + 0.55
    figure, place = make_canvas(
        margin + len(names) * wide, len(facets) * block, title=title
    )
    for row, facet in enumerate(facets):
        top = TOP + row * block
        write_facet(figure, place, facet, left=0.08, top=top + 0.08)
        shown = bins[bins["facet"] == facet]
        for column, name in enumerate(names):
            left = margin + column * wide
            axes = figure.add_axes(place(left, top + head, side, side * (1 + _STRIP)))
            here = shown[shown["level"] == name]
            n = int(here["n_languages"].max())
            words = name if name == ALL else f"{name} resource"
            axes.set_title(f"{words} ({n})", pad=3)
            _draw_intervals(axes, here, ranks)
            _draw_curves(axes, here, ranks, fullest=shown["share"].max())
            axes.set_xlabel("confidence (%)")
            if column == 0:
                axes.set_ylabel("accuracy (%); below 0: share")
            else:
                axes.set_yticklabels([])
    add_legend(figure, line_keys([label(rank) for rank in ranks]))
    return figure


def _draw_band(axes: Axes, bins: pd.DataFrame) -> None:
    """The accuracies of a calibrated model, of all conditions' bins together."""
    sums = bins.groupby("bin")[["n", "sum_confidence"]].sum()
    sums["n_each"] = np.ceil(sums["n"] / bins["rank"].nunique())
    sums = sums[sums["n_each"] >= LEAST_N]  # fewer leave out nothing
    n = sums["n_each"].to_numpy()
    confidence = (sums["sum_confidence"] / sums["n"]).to_numpy()
    low, high = consistent(confidence, n)
    axes.fill_between(
        100 * confidence, 100 * low, 100 * high, color="0.88", lw=0, zorder=-1
    )


def _draw_intervals(axes: Axes, bins: pd.DataFrame, ranks: list[float]) -> None:
    for rank, (colour, _, _) in zip(ranks, looks(ranks), strict=True):
        line = bins[(bins["rank"] == rank) & (bins["share"] >= LEAST_SHARE)]
        low, high = wilson(line["sum_correct"].to_numpy(), line["n"].to_numpy())
        axes.vlines(100 * line["confidence"], 100 * low, 100 * high, colour, lw=0.8)


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
            looked = {"color": colour, "ms": size, "mew": 0}
            # A marker at 0 or 100 % is whole.
            axes.plot(x[here], y[here], marker, **looked, clip_on=False, zorder=3)
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
