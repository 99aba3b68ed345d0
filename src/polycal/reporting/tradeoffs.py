"""Figures of what moves with what: smoothing, tokens, accuracy and ECE."""

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from polycal.comparing.conditions import label, language_of
from polycal.reporting.canvas import (
    STYLE,
    add_legend,
    add_square,
    axes_of,
    line_keys,
    looks,
    make_squares,
    scale_logs,
)
from polycal.study.languages import ALL, LEVELS
from polycal.study.layout import number

_METRICS = {  # of the dose-response: heading and scale
    "ece": ("ECE (%)", 100),
    "gap": ("size of the gap (pp)", 100),
    "nll": ("NLL (nats)", 1),
}
CALIBRATORS = {  # marker and name
    "none": ("o", "as it is"),
    "ts_en": ("v", "temperature of English"),
    "ts_pool": ("s", "of all"),
    "ts_loo": ("P", "of the others"),
    "ts_own": ("D", "of its own"),
}


@matplotlib.rc_context(STYLE)
def doses(curves: pd.DataFrame, *, title: str = "") -> Figure:
    """ECE, size of the gap and NLL over the smoothing value, a line per level.

    The ring marks the smoothing value with the lowest number, the bar below it the
    interval of that value over the replicates.

    Args:
        curves: rows of a doses table with `facet`.
        title: what the numbers belong to.
    """
    names = [each for each in (*LEVELS, ALL) if each in set(curves["level"])]
    figure, place = make_squares(curves["facet"].nunique(), len(_METRICS), title)
    for row, facet in enumerate(sorted(curves["facet"].unique())):
        for column, (metric, (heading, scale)) in enumerate(_METRICS.items()):
            axes = add_square(figure, place, facet, row, column)
            own = curves[(curves["facet"] == facet) & (curves["metric"] == metric)]
            for line in own.to_dict("records"):
                colour, style, marker = looks(names)[names.index(line["level"])]
                x, y = np.array(line["smoothings"]), scale * np.array(line["values"])
                axes.plot(x, y, color=colour, ls=style, marker=marker, ms=3, lw=1)
                best = list(x).index(line["optimum"])
                axes.plot(x[best], y[best], "o", mfc="none", mec=colour, ms=8, mew=0.8)
                ends = [line["optimum_low"], line["optimum_high"]]
                axes.plot(ends, [y[best]] * 2, color=colour, lw=3, alpha=0.35)
            ticks = sorted({each for held in own["smoothings"] for each in held})
            axes.set_xticks(ticks, [number(float(each)) for each in ticks])
            axes.set_title(heading, pad=3)
            axes.set_xlabel("smoothing")
    add_legend(figure, line_keys(names))
    return figure


@matplotlib.rc_context(STYLE)
def premium(values: pd.DataFrame, *, title: str = "") -> Figure:
    """The gap of each language against its token premium, one panel per condition.

    Args:
        values: as `per_language` returns it, with `token_premium`.
        title: what the numbers belong to.
    """
    facets, ranks = axes_of(values)
    values = values.assign(level=[language_of(c).level for c in values["language"]])
    names = [each for each in LEVELS if each in set(values["level"])]
    figure, place = make_squares(len(facets), len(ranks), title)
    x, y = values["token_premium"], 100 * values["gap"]
    for row, facet in enumerate(facets):
        for column, rank in enumerate(ranks):
            axes = add_square(figure, place, facet, row, column)
            own = values[(values["facet"] == facet) & (values["rank"] == rank)]
            axes.set_title(label(rank), pad=3)
            axes.axhline(0, color="0.6", lw=0.6, zorder=0)
            for name, (colour, _, marker) in zip(names, looks(names), strict=True):
                here = own[own["level"] == name]
                face = {"mfc": "none", "mec": colour, "ms": 3.5, "mew": 0.9}
                axes.plot(here["token_premium"], 100 * here["gap"], marker, **face)
            axes.set_xlim(x.min() / 1.1, x.max() * 1.25)
            axes.set_ylim(y.min() - 2, y.max() + 4)
            scale_logs(axes)
            axes.set_xlabel("token premium over English")
            if column == 0:
                axes.set_ylabel("confidence − accuracy (pp)")
            _name_points(axes, own["token_premium"], 100 * own["gap"], own["language"])
    add_legend(
        figure,
        [
            Line2D(
                [],
                [],
                ls="",
                marker=marker,
                mfc="none",
                mec=colour,
                ms=4,
                label=f"{name} resource",
            )
            for name, (colour, _, marker) in zip(names, looks(names), strict=True)
        ],
    )
    return figure


def _name_points(axes: Axes, x: pd.Series, y: pd.Series, codes: pd.Series) -> None:
    """Write a language's code at its point wherever no point or code is in the way.

    The most expensive languages come first; in a dense cloud many stay unnamed.
    """
    spots = axes.transData.transform(np.column_stack([x, y]))
    scale = axes.figure.dpi / 72  # pixels per point
    box = axes.get_window_extent()
    taken = [(a, b, 4.5 * scale, 4.5 * scale) for a, b in spots]
    for index in np.argsort(-x.to_numpy(), kind="stable"):
        code, (a, b) = codes.iloc[index], spots[index]
        wide, tall = (3.9 * len(code) + 1) * scale, 7 * scale
        for right, up in ((1, 0), (0, 1), (0, -1), (-1, 0)):
            at = (
                a + right * (wide / 2 + 3 * scale),
                b + up * (tall / 2 + 3 * scale),
            )
            here = (*at, wide, tall)
            inside = box.x0 < at[0] - wide / 2 and at[0] + wide / 2 < box.x1
            others = [each for each in taken if each[:2] != (a, b)]
            if inside and not any(_meet(here, other) for other in others):
                taken.append(here)
                place = axes.transData.inverted().transform(at)
                axes.text(*place, code, fontsize=7, ha="center", va="center_baseline")
                break


def _meet(one: tuple, other: tuple) -> bool:
    """Whether two boxes (centre x, y, width, height) overlap."""
    return (
        abs(one[0] - other[0]) < (one[2] + other[2]) / 2
        and abs(one[1] - other[1]) < (one[3] + other[3]) / 2
    )


@matplotlib.rc_context(STYLE)
def front(points: pd.DataFrame, *, title: str = "") -> Figure:
    """ECE against accuracy of every condition and temperature, a panel per level.

    Nothing is better in one and as good in the other than what the line joins.

    Args:
        points: rows of a fronts table with `facet` and `rank`.
        title: what the numbers belong to.
    """
    facets, ranks = axes_of(points)
    names = [each for each in (*LEVELS, ALL) if each in set(points["level"])]
    held = [each for each in CALIBRATORS if each in set(points["calibrator"])]
    figure, place = make_squares(len(facets), len(names), title, extra=0.22)
    for row, facet in enumerate(facets):
        for column, name in enumerate(names):
            axes = add_square(figure, place, facet, row, column, extra=0.22)
            own = points[(points["facet"] == facet) & (points["level"] == name)]
            best = own[own["front"]].sort_values(["accuracy", "ece"])
            axes.plot(100 * best["accuracy"], 100 * best["ece"], color="0.6", lw=0.8)
            for rank, (colour, _, _) in zip(ranks, looks(ranks), strict=True):
                for calibrator in held:
                    marker, _ = CALIBRATORS[calibrator]
                    here = own["calibrator"] == calibrator
                    here = own[here & (own["rank"] == rank)]
                    face = colour if calibrator == "none" else "none"
                    axes.plot(
                        100 * here["accuracy"],
                        100 * here["ece"],
                        marker,
                        mfc=face,
                        mec=colour,
                        ms=4.5,
                        mew=0.9,
                    )
            words = name if name == ALL else f"{name} resource"
            axes.set_title(words, pad=3)
            axes.margins(0.12)
            axes.set_xlabel("accuracy (%)")
            if column == 0:
                axes.set_ylabel("ECE (%)")
    dot = {"ls": "", "ms": 4.5}
    conditions = [
        Line2D([], [], marker="o", color=colour, label=label(rank), **dot)
        for rank, (colour, _, _) in zip(ranks, looks(ranks), strict=True)
    ]
    add_legend(figure, conditions)
    temperatures = [
        Line2D(
            [],
            [],
            marker=CALIBRATORS[each][0],
            mfc="0.3" if each == "none" else "none",
            mec="0.3",
            label=CALIBRATORS[each][1],
            **dot,
        )
        for each in held
    ]
    best = Line2D([], [], color="0.6", lw=0.8, label="not beaten")
    add_legend(figure, [*temperatures, best], top=0.63)
    return figure
