"""Figures of what helps without training: a temperature, and answers held back."""

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from polycal.comparing.conditions import label
from polycal.reporting.canvas import (
    LINE,
    STYLE,
    TOP,
    add_legend,
    add_square,
    axes_of,
    label_lines,
    line_keys,
    looks,
    make_canvas,
    make_lines,
    make_squares,
    margin_of,
    scale_logs,
)
from polycal.study.languages import ALL, LEVELS


@matplotlib.rc_context(STYLE)
def temperature(values: pd.DataFrame, *, title: str = "") -> Figure:
    """The temperature of each language in each condition, one panel per facet.

    A mark is what the language's own questions ask for, a vertical line what those of
    all languages together ask for. Above 1 there is over-confidence to take away.

    Args:
        values: the columns facet, rank, language, own and pooled.
        title: what the numbers belong to.
    """
    facets, ranks = axes_of(values)
    lines = make_lines(values["language"])
    places = {code: place for place, (_, code) in enumerate(lines) if code}
    margin, width, gap, head = margin_of(lines), 2.7, 0.2, 0.3
    height = len(lines) * LINE
    figure, place = make_canvas(
        margin + len(facets) * (width + gap), head + height + 0.5, title=title
    )
    ends = values[["own", "pooled"]].agg(["min", "max"])
    limits = ends.min(axis=None) / 1.15, ends.max(axis=None) * 1.15
    for column, facet in enumerate(facets):
        left = margin + column * (width + gap)
        axes = figure.add_axes(place(left, TOP + head, width, height))
        axes.axvline(1, color="0.6", lw=0.6, zorder=0)
        for rank, (colour, style, marker) in zip(ranks, looks(ranks), strict=True):
            own = values[(values["facet"] == facet) & (values["rank"] == rank)]
            if own.empty:
                continue
            shared = np.exp(np.log(own["pooled"]).mean())
            axes.axvline(shared, color=colour, ls=style, lw=0.9, zorder=1)
            y = [places[code] for code in own["language"]]
            axes.plot(own["own"], y, marker, mfc="none", mec=colour, ms=3.5, mew=0.9)
        axes.set_title(facet, fontweight="bold")
        axes.set_xlim(*limits)
        scale_logs(axes)
        axes.set_xlabel("temperature")
        label_lines(axes, lines, names=column == 0)
    add_legend(figure, line_keys([label(rank) for rank in ranks]))
    return figure


@matplotlib.rc_context(STYLE)
def coverage(risks: pd.DataFrame, *, title: str = "") -> Figure:
    """Errors among the answers given, over the share that is given, a panel per level.

    The most confident answers are given first, in each language by itself.

    Args:
        risks: the columns facet, rank, level, coverage and risk (fractions).
        title: what the numbers belong to.
    """
    facets, ranks = axes_of(risks)
    names = [each for each in (*LEVELS, ALL) if each in set(risks["level"])]
    figure, place = make_squares(len(facets), len(names), title)
    top = 105 * risks["risk"].max()
    for row, facet in enumerate(facets):
        for column, name in enumerate(names):
            axes = add_square(figure, place, facet, row, column)
            own = risks[(risks["facet"] == facet) & (risks["level"] == name)]
            for rank, (colour, style, marker) in zip(ranks, looks(ranks), strict=True):
                line = own[own["rank"] == rank].sort_values("coverage")
                axes.plot(
                    100 * line["coverage"],
                    100 * line["risk"],
                    color=colour,
                    ls=style,
                    marker=marker,
                    ms=3,
                    lw=1,
                )
            axes.set_title(name if name == ALL else f"{name} resource", pad=3)
            axes.set_xlim(0, 104)
            axes.set_xticks(range(0, 101, 20))
            axes.set_ylim(0, max(top, 1))
            axes.set_xlabel("answered (%)")
            if column == 0:
                axes.set_ylabel("errors among the answers (%)")
    add_legend(figure, line_keys([label(rank) for rank in ranks]))
    return figure
