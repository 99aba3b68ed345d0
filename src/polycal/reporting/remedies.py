"""Figures of what helps without training: a temperature, and fewer answers."""

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from polycal.comparing.averages import average
from polycal.comparing.conditions import by_condition, language_of
from polycal.reporting.canvas import (
    LINE,
    STYLE,
    TOP,
    add_legend,
    axes_of,
    condition_keys,
    label_lines,
    levels_in,
    looks,
    make_canvas,
    make_lines,
    make_squares,
    margin_of,
    name_level,
    scale_logs,
)
from polycal.reporting.figure_kind import FigureKind
from polycal.reporting.marks import name_case, put_marks
from polycal.reporting.selection import Selection
from polycal.reporting.sentences import per_condition
from polycal.reporting.spelling import percent, three
from polycal.study.languages import ALL

# Metrics by the share of the questions that are answered.
_COVERAGES = {
    f"accuracy_at_{percentage}": percentage / 100 for percentage in range(10, 100, 10)
}
_COVERAGES["accuracy"] = 1.0


@matplotlib.rc_context(STYLE)
def temperature(values: pd.DataFrame, *, title: str = "") -> Figure:
    """Draw the temperature of each language in each condition, one panel per facet.

    A mark is fitted on the language's own questions, a vertical line on those of all
    languages. A temperature above 1 corrects over-confidence.

    Args:
        values: the columns facet, rank, language, own and pooled.
        title: what the numbers belong to.
    """
    facets, conditions = axes_of(values)
    lines = make_lines(values["language"])
    heights = {code: index for index, (_, code) in enumerate(lines) if code}
    margin, width, gap, head = margin_of(lines), 2.7, 0.2, 0.3
    height = len(lines) * LINE
    figure, box = make_canvas(
        margin + len(facets) * (width + gap), head + height + 0.5, title=title
    )
    ends = values[["own", "pooled"]].agg(["min", "max"])
    limits = ends.min(axis=None) / 1.15, ends.max(axis=None) * 1.15
    for column, facet in enumerate(facets):
        left = margin + column * (width + gap)
        axes = figure.add_axes(box(left, TOP + head, width, height))
        axes.axvline(1, color="0.6", lw=0.6, zorder=0)
        for condition, (colour, style, marker) in zip(
            conditions, looks(conditions), strict=True
        ):
            own = values[(values["facet"] == facet) & (values["rank"] == condition)]
            if own.empty:
                continue
            shared = np.exp(np.log(own["pooled"]).mean())
            axes.axvline(shared, color=colour, ls=style, lw=0.9, zorder=1)
            y = [heights[code] for code in own["language"]]
            titles = [
                f"{name_case(row)}: temperature {three(row['own'])}"
                for row in own.to_dict("records")
            ]
            look = {"marker": marker, "mfc": "none", "mec": colour}
            put_marks(axes, own["own"], y, titles, ms=3.5, mew=0.9, **look)
        axes.set_title(facet, fontweight="bold")
        axes.set_xlim(*limits)
        scale_logs(axes)
        axes.set_xlabel("temperature")
        label_lines(axes, lines, names=column == 0)
    add_legend(figure, condition_keys(conditions))
    return figure


def _temperatures(selection: Selection) -> pd.DataFrame:
    """Return geometric means over seeds of each language's own and pooled fit.

    `censored` is the share of the own fits that ended at a limit.
    """
    rows = selection.rows("metrics", subset=ALL)
    rows = rows[rows["calibrator"].isin(["ts_own", "ts_pool"])]
    rows = rows[rows["metric"].isin(["temperature", "censored"])]
    if rows.empty:
        return rows
    keys = ["facet", "rank", "language", "calibrator", "metric"]
    means = average(by_condition(rows), keys).unstack(["metric", "calibrator"])
    columns = {
        "own": means["temperature", "ts_own"],
        "pooled": means["temperature", "ts_pool"],
        "censored": means["censored", "ts_own"],
    }
    return pd.DataFrame(columns).reset_index()


def caption_temperature(values: pd.DataFrame) -> str:
    """Give the geometric mean and the range of the languages' own temperatures.

    A mean over temperatures that ended at a limit of the fit is called a bound.
    """
    values = values.set_index(["facet", "rank"])
    by_condition = np.log(values["own"]).groupby(level=["facet", "rank"])
    ends = np.exp(by_condition.agg(["mean", "min", "max"]))
    is_censored = values["censored"] > 0
    ends["censored"] = is_censored.groupby(level=["facet", "rank"]).sum()
    texts = pd.Series(
        [
            f"{mean:.2f} ({low:.2f} to {high:.2f}"
            + (f"; a bound, {n:.0f} at a limit of the fit" if n else "")
            + ")"
            for mean, low, high, n in ends.values
        ],
        index=ends.index,
    )
    start = "Geometric mean and range of the languages' own temperatures –"
    return f"{start} {per_condition(texts)}."


TEMPERATURE = FigureKind(
    name="temperature",
    title="The temperature that corrects every language",
    source="metrics",
    values=_temperatures,
    draw=temperature,
    caption=caption_temperature,
    reading="A mark is the temperature fitted on a language's own questions (log "
    "scale), a vertical line the one fitted on the questions of all languages. A "
    "temperature above 1 corrects over-confidence. 100 is the upper limit of the fit: "
    "there, the scores do not predict the answers. A shared temperature does not suit "
    "languages whose marks are far from the line.",
    missing="no temperatures were fitted to these scores",
)


@matplotlib.rc_context(STYLE)
def coverage(risks: pd.DataFrame, *, title: str = "") -> Figure:
    """Draw the error rate over the share of answered questions, a panel per level.

    Each language's most confident answers are given first.

    Args:
        risks: the columns facet, rank, level, coverage and risk (fractions).
        title: what the numbers belong to.
    """
    facets, conditions = axes_of(risks)
    levels = levels_in(risks)
    figure, panels = make_squares(facets, levels, title)
    top = 105 * risks["risk"].max()
    for axes, facet, level in panels:
        own = risks[(risks["facet"] == facet) & (risks["level"] == level)]
        for condition, (colour, style, marker) in zip(
            conditions, looks(conditions), strict=True
        ):
            line = own[own["rank"] == condition].sort_values("coverage")
            x, y = 100 * line["coverage"], 100 * line["risk"]
            titles = [
                f"{name_case(row)}: {percent(row['risk'])} errors among the "
                f"{percent(row['coverage'])} that are answered"
                for row in line.to_dict("records")
            ]
            look = {"color": colour, "ls": style, "marker": marker}
            put_marks(axes, x, y, titles, ms=3, lw=1, **look)
        axes.set_title(name_level(level), pad=3)
        axes.set_xlim(0, 104)
        axes.set_xticks(range(0, 101, 20))
        axes.set_ylim(0, max(top, 1))
        axes.set_xlabel("answered (%)")
        if level == levels[0]:
            axes.set_ylabel("errors among the answers (%)")
    add_legend(figure, condition_keys(conditions))
    return figure


def _risks(selection: Selection) -> pd.DataFrame:
    """Return error rates by coverage, means over the languages of a level."""
    values = selection.per_language()
    metrics = [name for name in _COVERAGES if name in values]
    if metrics == ["accuracy"]:
        return values.iloc[:0]
    keys = ["facet", "rank", "language"]
    rows = values.melt(keys, metrics, var_name="metric", value_name="right")
    rows["level"] = [language_of(code).level for code in rows["language"]]
    rows = pd.concat([rows, rows.assign(level=ALL)])
    rows = rows.assign(coverage=rows["metric"].map(_COVERAGES), risk=1 - rows["right"])
    keys = ["facet", "rank", "level", "coverage"]
    return rows.groupby(keys)["risk"].mean().reset_index()


def caption_coverage(risks: pd.DataFrame) -> str:
    """Give the error rates of all answers and of the more confident half."""
    rows = risks[(risks["level"] == ALL) & risks["coverage"].isin([0.5, 1.0])]
    rows = rows.pivot_table(index=["facet", "rank"], columns="coverage", values="risk")
    texts = rows[1.0].map(percent) + " and " + rows[0.5].map(percent)
    start = "Errors among all answers, and among the more confident half of them –"
    return f"{start} {per_condition(texts)}."


COVERAGE = FigureKind(
    name="coverage",
    title="Errors when only the most confident answers are given",
    source="metrics",
    values=_risks,
    draw=coverage,
    caption=caption_coverage,
    reading="Lower is better. A language answers its most confident questions first: "
    "the line is the share of wrong answers among those given, and at the right all "
    "are given. A temperature hardly changes these lines, because it hardly changes "
    "the order of a language's answers.",
    missing="the metrics table has no accuracy of the most confident answers",
)
