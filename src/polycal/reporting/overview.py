"""The figure that leads the page: accuracy and confidence by level and condition."""

import math

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from polycal.comparing.conditions import BASE_RANK, label, language_of, per_change
from polycal.reporting.canvas import (
    OVER,
    STYLE,
    TOP,
    UNDER,
    add_legend,
    axes_of,
    gap_keys,
    levels_in,
    make_canvas,
    name_level,
    write_facet,
)
from polycal.reporting.figure_kind import NO_SFT, FigureKind
from polycal.reporting.marks import name_case, put_marks, spell_values
from polycal.reporting.selection import Selection
from polycal.reporting.sentences import per_condition
from polycal.reporting.spelling import percent, spell_points
from polycal.study.languages import ALL

_METRICS = ("accuracy", "confidence")
_PAPER = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}  # behind a number
# Inches: left of the panels, their width, between them, of a condition, between rows
# of panels, and of the second line of keys.
_LEFT, _WIDE, _GAP, _LINE, _BETWEEN, _KEYS = 0.85, 1.7, 0.15, 0.17, 0.42, 0.3


@matplotlib.rc_context(STYLE)
def overview(means: pd.DataFrame, *, title: str = "") -> Figure:
    """Draw accuracy and mean confidence of the conditions, one panel per level.

    A bar joins them: the gap, orange where confidence is higher. A thin line is the
    interval of the change from the condition before. Conditions are joined where they
    are compared. The panels of a single facet stand in a square, so that a screen has
    room for all of them and what the page says beside them.

    Args:
        means: as `_overview_values` returns them.
        title: what the numbers belong to.
    """
    facets, conditions = axes_of(means)
    ends = [f"{metric}_{end}" for metric in _METRICS for end in ("low", "high")]
    shown = 100 * means[[*_METRICS, "chance", *ends]]
    # The gap's number stands at the right of its bar.
    limits = shown.min(axis=None) - 3, shown.max(axis=None) + 13
    levels = levels_in(means)
    is_single = len(facets) == 1
    per_row = 2 if is_single else len(levels)
    tall = len(conditions) * _LINE
    block = math.ceil(len(levels) / per_row) * (tall + _BETWEEN)
    block += 0 if is_single else 0.25
    figure, box = make_canvas(
        _LEFT + per_row * (_WIDE + _GAP),
        _KEYS + len(facets) * block,
        title=f"{facets[0]}; {title}" if is_single else title,
        least=4,
    )
    for row, facet in enumerate(facets):
        top = TOP + _KEYS + row * block
        if not is_single:
            write_facet(figure, box, facet, left=0.08, top=top)
            top += 0.25
        for index, name in enumerate(levels):
            down, across = divmod(index, per_row)
            left = _LEFT + across * (_WIDE + _GAP)
            below = top + down * (tall + _BETWEEN)
            axes = figure.add_axes(box(left, below, _WIDE, tall))
            own = means[(means["facet"] == facet) & (means["level"] == name)]
            _draw_conditions(axes, own, conditions, names=across == 0)
            n = int(own["n_languages"].max()) if len(own) else 0
            axes.set_title(f"{name_level(name)} ({n}), %", pad=3)
            axes.set_xlim(*limits)
    keys = gap_keys()
    add_legend(figure, keys[:2])
    add_legend(figure, keys[2:], top=0.6)
    return figure


def _draw_conditions(
    axes: Axes, own: pd.DataFrame, conditions: list[float], *, names: bool
) -> None:
    spots = {condition: spot for spot, condition in enumerate(conditions)}
    for row in own.to_dict("records"):
        y = spots[row["rank"]]
        accuracy, confidence = 100 * row["accuracy"], 100 * row["confidence"]
        colour = OVER if confidence > accuracy else UNDER
        axes.plot([accuracy, confidence], [y, y], color=colour, lw=5, zorder=1)
        ends = 100 * row["accuracy_high"], 100 * row["confidence_high"]
        right = np.nanmax([accuracy, confidence, *ends]) + 1.5
        text = spell_points(row["gap"])
        axes.text(right, y, text, va="center", fontsize=7, bbox=_PAPER)
    y = own["rank"].map(spots)
    titles = [
        f"{name_case(row)}: {spell_values(row, *_METRICS, 'gap')}"
        for row in own.to_dict("records")
    ]
    for metric, look in (
        ("accuracy", {"marker": "o", "mfc": "white", "ms": 4.5}),
        ("confidence", {"marker": "D", "mfc": "0.15", "ms": 3.5}),
    ):
        x = 100 * own[metric]
        compared = (own["rank"] == BASE_RANK) | own[f"{metric}_low"].notna()
        axes.plot(x[compared], y[compared], color="0.6", lw=0.8, zorder=2)
        low, high = 100 * own[f"{metric}_low"], 100 * own[f"{metric}_high"]
        axes.hlines(y, low, high, color="0.15", lw=0.8, zorder=3)
        put_marks(axes, x, y, titles, mec="0.15", mew=0.8, zorder=4, **look)
    for chance in (100 * own["chance"]).round(1).unique():
        axes.axvline(chance, color="0.3", lw=0.9, ls=":", zorder=0)
    texts = [label(condition).removeprefix("SFT, ") for condition in conditions]
    axes.set_yticks(range(len(conditions)), texts if names else [])
    axes.tick_params(axis="both", length=2, pad=1.5)
    axes.set_ylim(len(conditions) - 0.5, -0.5)


def _overview_values(selection: Selection) -> pd.DataFrame:
    """Return means over the languages of each level, by facet, rank and level.

    `{metric}_low` and `{metric}_high` are the mean shifted by the ends of the interval
    of the change from the condition's reference; missing for a base model.
    """
    values = selection.per_language()
    levels = values["language"].map(lambda code: language_of(code).level)
    both = pd.concat([values.assign(level=levels), values.assign(level=ALL)])
    keys = ["facet", "rank", "level"]
    grouped = both.groupby(keys)
    means = grouped[[*_METRICS, "gap", "chance"]].mean()
    means["n_languages"] = grouped["language"].nunique()
    changes = per_change(selection.rows("contrasts", calibrator="none"))
    for metric in _METRICS:
        own = changes[changes["metric"] == metric].set_index(keys)
        for end in ("low", "high"):
            offset = own[f"ci_{end}"] - own["estimate"]
            means[f"{metric}_{end}"] = means[metric] + offset.reindex(means.index)
    means = means.reset_index()
    return means if (means["rank"] >= 0).any() else means.iloc[:0]


def caption_overview(means: pd.DataFrame) -> str:
    """Give accuracy and confidence of the languages with the fewest resources."""
    level = [name for name in levels_in(means) if name != ALL][-1]
    own = means[means["level"] == level].set_index(["facet", "rank"])
    texts = "accuracy " + own["accuracy"].map(percent)
    texts += ", confidence " + own["confidence"].map(percent)
    n = int(own["n_languages"].max())
    means_over = f"Means over {name_level(level)} languages ({n})"
    start = means_over if n > 1 else f"The one {name_level(level)} language"
    return f"{start} – {per_condition(texts)}."


OVERVIEW = FigureKind(
    name="overview",
    title="Accuracy and confidence before and after SFT, by resource level",
    source="metrics",
    values=_overview_values,
    draw=overview,
    caption=caption_overview,
    reading="A circle is mean accuracy, a diamond mean confidence; the bar between "
    "them is the gap in percentage points. A thin line through a mark is the interval "
    "of its change: from the base model, or for smoothing from SFT without it. The "
    "number of languages stands after the level.",
    missing=NO_SFT,
    shown="always",
)
