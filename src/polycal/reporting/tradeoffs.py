"""Figures of one quantity over another: smoothing, token premium, accuracy and ECE."""

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from polycal.comparing.conditions import by_condition, label, language_of
from polycal.reporting.canvas import (
    STYLE,
    add_legend,
    axes_of,
    levels_in,
    line_keys,
    looks,
    make_squares,
    name_level,
    name_line,
    scale_logs,
)
from polycal.reporting.figure_kind import NO_SFT, FigureKind
from polycal.reporting.marks import name_case, name_condition, put_marks, spell_values
from polycal.reporting.selection import Selection
from polycal.reporting.sentences import join, per_condition
from polycal.reporting.spelling import spell
from polycal.study.grid import BASE
from polycal.study.languages import ALL
from polycal.study.layout import number

_METRICS = {  # of the dose-response: heading, unit and scale
    "ece": ("ECE", "%", 100),
    "gap": ("size of the gap", "pp", 100),
    "nll": ("NLL", "nats", 1),
}
_CALIBRATORS = {  # marker, and name in the legend
    "none": ("o", "as it is"),
    "ts_en": ("v", "temperature of English"),
    "ts_pool": ("s", "of all"),
    "ts_loo": ("P", "of the others"),
    "ts_own": ("D", "of its own"),
}


@matplotlib.rc_context(STYLE)
def doses(curves: pd.DataFrame, *, title: str = "") -> Figure:
    """Draw ECE, size of the gap and NLL over the smoothing value, a line per level.

    A ring marks the smoothing value with the lowest number, the bar through it the
    bootstrap interval of that value.

    Args:
        curves: rows of a doses table with `facet`.
        title: what the numbers belong to.
    """
    levels = levels_in(curves)
    curves = curves[curves["level"].isin(levels)]
    figure, panels = make_squares(sorted(set(curves["facet"])), list(_METRICS), title)
    for axes, facet, metric in panels:
        heading, unit, scale = _METRICS[metric]
        own = curves[(curves["facet"] == facet) & (curves["metric"] == metric)]
        for line in own.to_dict("records"):
            colour, style, marker = looks(levels)[levels.index(line["level"])]
            x, y = np.array(line["smoothings"]), scale * np.array(line["values"])
            titles = [
                f"{name_line(line['level'])}, smoothing {number(float(dose))}: "
                f"{heading} {spell(value, unit).removeprefix('+')}"
                for dose, value in zip(line["smoothings"], line["values"], strict=True)
            ]
            look = {"color": colour, "ls": style, "ms": 3, "lw": 1}
            put_marks(axes, x, y, titles, marker=marker, **look)
            best = list(x).index(line["optimum"])
            axes.plot(x[best], y[best], "o", mfc="none", mec=colour, ms=8, mew=0.8)
            ends = [line["optimum_low"], line["optimum_high"]]
            axes.plot(ends, [y[best]] * 2, color=colour, lw=3, alpha=0.35)
        ticks = sorted({value for values in own["smoothings"] for value in values})
        axes.set_xticks(ticks, [number(float(tick)) for tick in ticks])
        axes.set_title(f"{heading} ({unit})", pad=3)
        axes.set_xlabel("smoothing")
    add_legend(figure, line_keys(levels))
    return figure


def _dose_values(selection: Selection) -> pd.DataFrame:
    curves = selection.rows("doses", calibrator="none").assign(smoothing=0.0)
    curves = by_condition(curves) if len(curves) else curves
    return curves[curves["smoothings"].map(len) > 1]


def caption_doses(curves: pd.DataFrame) -> str:
    """Name the smoothing value with the lowest ECE, and its interval."""
    rows = curves[(curves["level"] == ALL) & (curves["metric"] == "ece")]
    parts = []
    for row in rows.to_dict("records"):
        best, low, high = (
            number(float(row[name]))
            for name in ("optimum", "optimum_low", "optimum_high")
        )
        facet = f" ({row['facet']})" if len(rows) > 1 else ""
        parts.append(f"smoothing {best}{facet}, interval {low} to {high}")
    return f"The mean ECE of all languages is lowest with {'; with '.join(parts)}."


DOSES = FigureKind(
    name="doses",
    title="Calibration error over the smoothing value",
    source="doses",
    values=_dose_values,
    draw=doses,
    caption=caption_doses,
    reading="Lower is better. A ring marks the smoothing value with the lowest number; "
    "the pale bar through it is the bootstrap interval of that value. Accuracy plays "
    "no part in that choice.",
    missing="no SFT set was used with several smoothing values",
)


@matplotlib.rc_context(STYLE)
def premium(values: pd.DataFrame, *, title: str = "") -> Figure:
    """Draw the gap of each language over its token premium, one panel per condition.

    Args:
        values: as `per_language` returns it, with `token_premium`.
        title: what the numbers belong to.
    """
    facets, conditions = axes_of(values)
    values = values.assign(level=[language_of(c).level for c in values["language"]])
    levels = levels_in(values)
    figure, panels = make_squares(facets, conditions, title)
    x, y = values["token_premium"], 100 * values["gap"]
    for axes, facet, condition in panels:
        own = values[(values["facet"] == facet) & (values["rank"] == condition)]
        axes.set_title(label(condition), pad=3)
        axes.axhline(0, color="0.6", lw=0.6, zorder=0)
        for level, (colour, _, marker) in zip(levels, looks(levels), strict=True):
            rows = own[own["level"] == level]
            face = {"marker": marker, "mfc": "none", "mec": colour, "mew": 0.9}
            titles = [
                f"{name_case(row)}: {spell_values(row, 'token_premium', 'gap')}"
                for row in rows.to_dict("records")
            ]
            at = rows["token_premium"], 100 * rows["gap"]
            put_marks(axes, *at, titles, ms=3.5, **face)
        axes.set_xlim(x.min() / 1.1, x.max() * 1.25)
        axes.set_ylim(y.min() - 2, y.max() + 4)
        scale_logs(axes)
        axes.set_xlabel("token premium over English")
        if condition == conditions[0]:
            axes.set_ylabel("confidence − accuracy (pp)")
        _name_points(axes, own["token_premium"], 100 * own["gap"], own["language"])
    hollow = {"ls": "", "mfc": "none", "ms": 4}
    keys = [
        Line2D([], [], marker=marker, mec=colour, label=name_level(level), **hollow)
        for level, (colour, _, marker) in zip(levels, looks(levels), strict=True)
    ]
    add_legend(figure, keys)
    return figure


def _name_points(axes: Axes, x: pd.Series, y: pd.Series, codes: pd.Series) -> None:
    """Write a language's code at its point wherever no point or code is in the way.

    The most expensive languages come first; in a dense cloud many stay unnamed.
    """
    spots = axes.transData.transform(np.column_stack([x, y]))
    scale = axes.figure.dpi / 72  # pixels per point
    panel = axes.get_window_extent()
    taken = [(a, b, 4.5 * scale, 4.5 * scale) for a, b in spots]
    for index in np.argsort(-x.to_numpy(), kind="stable"):
        code, (a, b) = codes.iloc[index], spots[index]
        wide, tall = (3.9 * len(code) + 1) * scale, 7 * scale
        for right, up in ((1, 0), (0, 1), (0, -1), (-1, 0)):
            centre = (
                a + right * (wide / 2 + 3 * scale),
                b + up * (tall / 2 + 3 * scale),
            )
            text = (*centre, wide, tall)
            inside = panel.x0 < centre[0] - wide / 2 and centre[0] + wide / 2 < panel.x1
            others = [box for box in taken if box[:2] != (a, b)]
            if inside and not any(_overlap(text, other) for other in others):
                taken.append(text)
                x_y = axes.transData.inverted().transform(centre)
                axes.text(*x_y, code, fontsize=7, ha="center", va="center_baseline")
                break


def _overlap(one: tuple, other: tuple) -> bool:
    """Return whether two boxes (centre x, y, width, height) overlap."""
    return (
        abs(one[0] - other[0]) < (one[2] + other[2]) / 2
        and abs(one[1] - other[1]) < (one[3] + other[3]) / 2
    )


def _premium_values(selection: Selection) -> pd.DataFrame:
    values = selection.per_language()
    known = "token_premium" in values
    return values.dropna(subset="token_premium") if known else values.iloc[:0]


def caption_premium(values: pd.DataFrame) -> str:
    """Give Spearman's correlation of the size of the gap with the token premium."""
    keys = ["facet", "rank"]
    texts = {}
    for key, own in values.groupby(keys):
        size, tokens = own["gap"].abs().rank(), own["token_premium"].rank()
        value = size.corr(tokens) if min(size.nunique(), tokens.nunique()) > 1 else None
        texts[key] = "none" if value is None else f"{value:+.2f}".replace("-", "−")
    start = "Spearman's correlation of the gap's size with the token premium –"
    return f"{start} {per_condition(pd.Series(texts).rename_axis(keys))}."


PREMIUM = FigureKind(
    name="premium",
    title="Over-confidence over the number of tokens that a language needs",
    source="metrics",
    values=_premium_values,
    draw=premium,
    caption=caption_premium,
    reading="The gap of a language over its token premium: how many tokens the same "
    "options take, as a multiple of English (log scale). Codes are written where "
    "there is room.",
    missing="the token premium is measured only where option texts are scored",
)


@matplotlib.rc_context(STYLE)
def front(points: pd.DataFrame, *, title: str = "") -> Figure:
    """Draw ECE over accuracy of every condition and temperature, a panel per level.

    A line joins the Pareto front.

    Args:
        points: rows of a fronts table with `facet` and `rank`.
        title: what the numbers belong to.
    """
    facets, conditions = axes_of(points)
    levels = levels_in(points)
    calibrators = [name for name in _CALIBRATORS if name in set(points["calibrator"])]
    figure, panels = make_squares(facets, levels, title, extra=0.22)
    for axes, facet, level in panels:
        own = points[(points["facet"] == facet) & (points["level"] == level)]
        best = own[own["front"]].sort_values(["accuracy", "ece"])
        axes.plot(100 * best["accuracy"], 100 * best["ece"], color="0.6", lw=0.8)
        for condition, (colour, _, _) in zip(
            conditions, looks(conditions), strict=True
        ):
            for calibrator in calibrators:
                rows = own["calibrator"] == calibrator
                rows = own[rows & (own["rank"] == condition)]
                face = colour if calibrator == "none" else "none"
                look = {"mfc": face, "mec": colour, "ms": 4.5, "mew": 0.9}
                x, y = 100 * rows["accuracy"], 100 * rows["ece"]
                titles = [
                    f"{name_case(row)}: {spell_values(row, 'accuracy', 'ece')}"
                    for row in rows.to_dict("records")
                ]
                put_marks(
                    axes, x, y, titles, marker=_CALIBRATORS[calibrator][0], **look
                )
        axes.set_title(name_level(level), pad=3)
        axes.margins(0.12)
        axes.set_xlabel("accuracy (%)")
        if level == levels[0]:
            axes.set_ylabel("ECE (%)")
    dot = {"ls": "", "ms": 4.5}
    keys = [
        Line2D([], [], marker="o", color=colour, label=label(condition), **dot)
        for condition, (colour, _, _) in zip(conditions, looks(conditions), strict=True)
    ]
    add_legend(figure, keys)
    keys = []
    for calibrator in calibrators:
        marker, name = _CALIBRATORS[calibrator]
        face = "0.3" if calibrator == "none" else "none"
        keys.append(
            Line2D([], [], marker=marker, mfc=face, mec="0.3", label=name, **dot)
        )
    line = Line2D([], [], color="0.6", lw=0.8, label="Pareto front")
    add_legend(figure, [*keys, line], top=0.63)
    return figure


def _front_values(selection: Selection) -> pd.DataFrame:
    points = selection.rows("fronts")
    has_sft = (points["sft"] != BASE).any()
    return by_condition(points) if has_sft else points.iloc[:0]


def caption_front(points: pd.DataFrame) -> str:
    """Name the conditions and temperatures on the Pareto front of all languages."""
    whole = points[(points["level"] == ALL) & points["front"]]
    parts = []
    for facet, own in whole.groupby("facet"):
        own = own.sort_values(["rank", "calibrator"])
        names = [name_condition(row) for row in own.to_dict("records")]
        start = f"{facet}: " if whole["facet"].nunique() > 1 else ""
        parts.append(start + join(names))
    start = "Pareto front of accuracy and ECE over all languages –"
    return f"{start} {'; '.join(parts)}."


FRONT = FigureKind(
    name="front",
    title="Calibration error over accuracy, with and without a temperature",
    source="fronts",
    values=_front_values,
    draw=front,
    caption=caption_front,
    reading="Right and low is better. A filled circle is a condition without a "
    "temperature; a hollow mark is the same condition with a temperature fitted on "
    "questions of English, of all languages, of the other languages, or of the "
    "language itself. A temperature does not change accuracy. The line joins the "
    "Pareto front: no other mark is better in one number without being worse in the "
    "other.",
    missing=NO_SFT,
)
