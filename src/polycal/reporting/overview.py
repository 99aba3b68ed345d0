"""The figure that leads the page: accuracy and confidence by level and condition."""

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from polycal.comparing.conditions import BASE_RANK, label, language_of, per_change
from polycal.reporting.canvas import (
    OVER,
    STYLE,
    UNDER,
    add_legend,
    axes_of,
    gap_keys,
    levels_in,
    make_squares,
    name_level,
)
from polycal.reporting.figure_kind import NO_SFT, FigureKind
from polycal.reporting.selection import Selection
from polycal.reporting.sentences import per_condition
from polycal.reporting.spelling import percent, points
from polycal.study.languages import ALL

_METRICS = ("accuracy", "confidence")


@matplotlib.rc_context(STYLE)
def overview(means: pd.DataFrame, *, title: str = "") -> Figure:
    """Draw accuracy and mean confidence over the conditions, one panel per level.

    A bar joins them: the gap, orange where confidence is higher. A thin line is the
    interval of the change from the condition before. Conditions are joined where they
    are compared. The panels of a single facet stand in a square, so that the page has
    room beside them.

    Args:
        means: as `_overview_values` returns them.
        title: what the numbers belong to.
    """
    facets, conditions = axes_of(means)
    ends = [f"{metric}_{end}" for metric in _METRICS for end in ("low", "high")]
    shown = 100 * means[[*_METRICS, "chance", *ends]]
    limits = shown.min(axis=None) - 3, shown.max(axis=None) + 3
    levels = levels_in(means)
    per_row = 2 if len(facets) == 1 else len(levels)
    figure, panels = make_squares(
        facets, levels, title, extra=0.22, per_row=per_row, least=4
    )
    for axes, facet, name in panels:
        own = means[(means["facet"] == facet) & (means["level"] == name)]
        _draw_conditions(axes, own, conditions)
        n = int(own["n_languages"].max()) if len(own) else 0
        axes.set_title(f"{name_level(name)} ({n})", pad=3)
        axes.set_ylim(*limits)
        axes.set_ylabel("%")
    keys = gap_keys()
    add_legend(figure, keys[:2])
    add_legend(figure, keys[2:], top=0.63)
    return figure


def _draw_conditions(axes: Axes, own: pd.DataFrame, conditions: list[float]) -> None:
    spots = {condition: spot for spot, condition in enumerate(conditions)}
    for row in own.to_dict("records"):
        x = spots[row["rank"]]
        accuracy, confidence = 100 * row["accuracy"], 100 * row["confidence"]
        colour = OVER if confidence > accuracy else UNDER
        axes.plot([x, x], [accuracy, confidence], color=colour, lw=6, zorder=1)
        gap = points(row["gap"], unit="")
        axes.text(x + 0.16, (accuracy + confidence) / 2, gap, va="center", fontsize=7)
    x = own["rank"].map(spots)
    for metric, look in (
        ("accuracy", {"marker": "o", "mfc": "white", "ms": 4.5}),
        ("confidence", {"marker": "D", "mfc": "0.15", "ms": 3.5}),
    ):
        y = 100 * own[metric]
        compared = (own["rank"] == BASE_RANK) | own[f"{metric}_low"].notna()
        axes.plot(x[compared], y[compared], color="0.6", lw=0.8, zorder=2)
        low, high = 100 * own[f"{metric}_low"], 100 * own[f"{metric}_high"]
        axes.vlines(x, low, high, color="0.15", lw=0.8, zorder=3)
        axes.plot(x, y, ls="none", mec="0.15", mew=0.8, zorder=4, **look)
    for chance in (100 * own["chance"]).round(1).unique():
        axes.axhline(chance, color="0.3", lw=0.9, ls=":", zorder=0)
    texts = [label(condition).split()[-1] for condition in conditions]
    axes.set_xticks(range(len(conditions)), texts)
    smoothing = [text for text in texts if text[0].isdigit()]
    if smoothing:
        axes.set_xlabel(f"{', '.join(smoothing)}: label smoothing")
    axes.set_xlim(-0.4, len(conditions) - 0.4)


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
    level = next(name for name in reversed(levels_in(means)[:-1] or [ALL]))
    own = means[means["level"] == level].set_index(["facet", "rank"])
    texts = "accuracy " + own["accuracy"].map(percent)
    texts += ", confidence " + own["confidence"].map(percent)
    n = int(own["n_languages"].max())
    return f"Means over {name_level(level)} languages ({n}) – {per_condition(texts)}."


OVERVIEW = FigureKind(
    name="overview",
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
