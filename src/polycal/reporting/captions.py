"""One sentence per figure: what it shows, in the numbers of its table."""

import numpy as np
import pandas as pd

from polycal.comparing.conditions import label, language_of
from polycal.reporting.sentences import join, percent, points
from polycal.study.languages import ALL, LEVELS
from polycal.study.layout import number


def caption_dumbbell(values: pd.DataFrame) -> str:
    """In how many languages confidence exceeds accuracy, per condition."""
    over = values.assign(over=values["gap"] > 0)
    counts = over.groupby(["facet", "rank"])["over"].sum()
    n = values["language"].nunique()
    start = f"Languages, of {n}, in which confidence exceeds accuracy –"
    return f"{start} {_per_condition(counts.map(str))}."


def caption_heatmap(values: pd.DataFrame) -> str:
    """The largest and the smallest gap, and where they are."""
    several = values["facet"].nunique() > 1

    def name(row: pd.Series) -> str:
        facet = f"{row['facet']}, " if several else ""
        language = language_of(row["language"]).name
        return f"{points(row['gap'])} ({language}, {facet}{label(row['rank'])})"

    values = values.reset_index(drop=True)
    least, most = values.loc[values["gap"].idxmin()], values.loc[values["gap"].idxmax()]
    if least.name == most.name:
        return f"The signed gap is {name(least)}."
    return f"The signed gap lies between {name(least)} and {name(most)}."


def caption_reliability(bins: pd.DataFrame) -> str:
    """Which part of the questions lies in over-confident bins, per condition."""
    over = bins.assign(over=bins["n"].where(bins["confidence"] > bins["accuracy"], 0))
    sums = over.groupby(["facet", "rank"])[["over", "n"]].sum()
    shares = (sums["over"] / sums["n"]).map(percent)
    start = "Share of the questions in bins whose confidence exceeds their accuracy –"
    return f"{start} {_per_condition(shares)}."


def caption_levels(bins: pd.DataFrame) -> str:
    """The mean gap of the answers of all languages, per condition."""
    sums = bins[bins["level"] == ALL].groupby(["facet", "rank"])
    sums = sums[["sum_confidence", "sum_correct", "n"]].sum()
    gaps = (sums["sum_confidence"] - sums["sum_correct"]) / sums["n"]
    start = "Confidence minus accuracy over the answers of all languages –"
    return f"{start} {_per_condition(gaps.map(points))}."


def caption_forest(changes: pd.DataFrame) -> str:
    """In how many languages confidence and accuracy change, or surely do not."""
    own = changes[~changes["level"].isin([*LEVELS, ALL])]
    parts = []
    for metric in ("confidence", "accuracy"):
        rows = own[own["metric"] == metric]
        up, down = rows["sim_low"] > 0, rows["sim_high"] < 0
        words = rows[["facet", "rank"]].assign(up=up, down=down)
        words = words.groupby(["facet", "rank"]).sum()
        told = words["up"].astype(str) + " up, " + words["down"].astype(str) + " down"
        parts.append(f"{metric} – {_per_condition(told)}")
    n = own["level"].nunique()
    return f"Languages, of {n}, whose band leaves no change out: {'. '.join(parts)}."


def caption_decomposition(parts: pd.DataFrame) -> str:
    """How much each part adds to the change of ECE, over all languages."""
    whole = parts[parts["level"] == ALL]
    told = whole.assign(text=whole["part"] + " " + whole["estimate"].map(points))
    told = told.groupby(["facet", "rank"], sort=True)["text"].agg(", ".join)
    return f"Parts of the change of ECE, over all languages – {_per_condition(told)}."


def caption_doses(curves: pd.DataFrame) -> str:
    """Which smoothing value has the lowest ECE, and how sure that is."""
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


def caption_premium(values: pd.DataFrame) -> str:
    """Spearman's correlation of the gap's size and the token premium."""
    keys = ["facet", "rank"]
    found = {}
    for key, own in values.groupby(keys):
        size, tokens = own["gap"].abs().rank(), own["token_premium"].rank()
        value = size.corr(tokens) if min(size.nunique(), tokens.nunique()) > 1 else None
        found[key] = "none" if value is None else f"{value:+.2f}".replace("-", "−")
    told = pd.Series(found).rename_axis(keys)
    start = "Rank correlation of the gap's size with the token premium over languages –"
    return f"{start} {_per_condition(told)}."


def caption_front(points: pd.DataFrame) -> str:
    """Which conditions and temperatures nothing beats, over all languages."""
    whole = points[(points["level"] == ALL) & points["front"]]
    parts = []
    for facet, own in whole.groupby("facet"):
        own = own.sort_values(["rank", "calibrator"])
        names = [
            label(row["rank"]) + _TEMPERATURES[row["calibrator"]]
            for row in own.to_dict("records")
        ]
        start = f"{facet}: " if whole["facet"].nunique() > 1 else ""
        parts.append(start + join(names))
    return f"Not beaten in accuracy and ECE over all languages – {'; '.join(parts)}."


def caption_temperature(values: pd.DataFrame) -> str:
    """The geometric mean of the languages' own temperatures, and their range."""
    logs = np.log(values.set_index(["facet", "rank"])["own"])
    found = np.exp(logs.groupby(level=["facet", "rank"]).agg(["mean", "min", "max"]))
    told = pd.Series(
        [f"{mean:.2f} ({low:.2f} to {high:.2f})" for mean, low, high in found.values],
        index=found.index,
    )
    start = "Mean and range of the languages' own temperatures –"
    return f"{start} {_per_condition(told)}."


def caption_coverage(risks: pd.DataFrame) -> str:
    """Errors among all answers and among the more confident half, all languages."""
    rows = risks[(risks["level"] == ALL) & risks["coverage"].isin([0.5, 1.0])]
    rows = rows.pivot_table(index=["facet", "rank"], columns="coverage", values="risk")
    told = rows[1.0].map(percent) + " and " + rows[0.5].map(percent)
    start = "Errors among all answers, and among the more confident half of them –"
    return f"{start} {_per_condition(told)}."


_TEMPERATURES = {
    "none": "",
    "ts_en": " with English's temperature",
    "ts_pool": " with the temperature of all",
    "ts_loo": " with that of the others",
    "ts_own": " with each language's own temperature",
}


def _per_condition(values: pd.Series) -> str:
    """Base 3; SFT 5 - with the facet in front where there are several."""
    facets = []
    for facet, own in values.groupby(level="facet"):
        parts = [f"{label(rank)}: {value}" for (_, rank), value in own.items()]
        facets.append((facet, "; ".join(parts)))
    if len(facets) == 1:
        return facets[0][1]
    return "; ".join(f"{facet} ({text})" for facet, text in facets)


CAPTIONS = {
    "coverage": caption_coverage,
    "decomposition": caption_decomposition,
    "doses": caption_doses,
    "dumbbell": caption_dumbbell,
    "forest": caption_forest,
    "front": caption_front,
    "heatmap": caption_heatmap,
    "levels": caption_levels,
    "premium": caption_premium,
    "reliability": caption_reliability,
    "temperature": caption_temperature,
}
