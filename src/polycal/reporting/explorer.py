"""The numbers behind the page's interactive part, small enough to stand in it.

Numbers are whole: fractions and nats in 1/10,000, so that most take four characters.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from polycal.comparing.conditions import (
    FACET,
    by_condition,
    in_resource_order,
    label,
    language_of,
    reference,
)
from polycal.storage import tables
from polycal.study.grid import BASE
from polycal.study.scorings import HEADLINE

SCALE = 10_000
# What can be chosen: metric -> (heading, unit).
METRICS = {
    "gap": ("gap (confidence − accuracy)", "pp"),
    "confidence": ("confidence", "%"),
    "accuracy": ("accuracy", "%"),
    "ece": ("ECE", "%"),
    "rms_ce": ("RMS calibration error", "%"),
    "brier": ("Brier score", ""),
    "nll": ("NLL", "nats"),
    "temperature": ("temperature", ""),
    "token_premium": ("token premium", ""),
}
_WAY = ["task", "scoring", "normaliser", "calibrator"]


def explore(
    metrics: Path, reliability: Path, shifts: list[Path], scorings: list[str]
) -> dict[str, object]:
    """Everything that the page lets its reader choose from.

    Args:
        metrics: the study's metrics table.
        reliability: the study's bins.
        shifts: questions that changed, of some or all SFT sets and tasks.
        scorings: those of the page, the first one leads.

    Returns:
        A value for JSON. `values` and `bins` are lists over languages (in the order of
        `languages` of the task) of lists over the facet's conditions; null where there
        is nothing. `below` and `above` tell how far 95 % intervals reach from the
        value, where they were made and there is a single seed.
    """
    held = tables.where(tables.read(metrics, "metrics"), subset="all").to_pandas()
    held = by_condition(
        held[held["metric"].isin(METRICS) & held["scoring"].isin(scorings)]
    )
    bins = tables.read(reliability, "reliability").to_pandas()
    bins = bins[bins["scoring"].isin(scorings)]
    bins = by_condition(bins[bins["calibrator"] == "none"])
    codes = {
        task: in_resource_order(own["language"]) for task, own in held.groupby("task")
    }
    facets = {
        facet: sorted(own["rank"].unique().tolist())
        for facet, own in held.groupby("facet")
    }
    return {
        "languages": {
            code: {"name": found.name, "level": found.level, "joshi": found.joshi_class}
            for code in in_resource_order(held["language"])
            for found in [language_of(code)]
        },
        "tasks": codes,
        "facets": [_facet(name, ranks) for name, ranks in facets.items()],
        "scorings": _in_order(held, scorings),
        "n_bins": int(bins["bin"].max()) + 1,
        "metrics": {
            name: METRICS[name] for name in METRICS if name in set(held.metric)
        },
        "values": dict(_values(held, codes, facets)),
        "bins": dict(_bins(bins, codes, facets)),
        "questions": _questions(shifts, facets),
    }


def _facet(name: str, ranks: list[float]) -> dict[str, object]:
    """A facet's conditions, and which of them are compared: (after, before)."""
    model, _, sft = name.partition(FACET)
    starts = [reference(rank, ranks) for rank in ranks]
    return {
        "name": name,
        "model": model,
        "sft": sft or BASE,
        "conditions": [label(rank) for rank in ranks],
        "compared": [
            (place, ranks.index(start))
            for place, start in enumerate(starts)
            if start is not None
        ],
    }


def _in_order(held: pd.DataFrame, scorings: list[str]) -> list[str]:
    """`scoring normaliser`, in the order of the scorings, the headline in front."""
    pairs = held[["scoring", "normaliser"]].drop_duplicates()
    pairs = sorted(
        pairs.itertuples(index=False, name=None),
        key=lambda each: (scorings.index(each[0]), HEADLINE[each[0]] != each[1], each),
    )
    return [" ".join(pair) for pair in pairs]


def to_json(value: object) -> str:
    """JSON that can stand in a script element of a page."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _values(
    held: pd.DataFrame, codes: Mapping[str, list], facets: Mapping[str, list]
) -> Iterator[tuple[str, dict]]:
    """Way and metric -> facet -> values, and their intervals."""
    # The base model's own seed is repeated in every facet.
    several = (
        held.groupby(["facet", "rank"])["seed"].nunique().groupby("facet").max() > 1
    )
    for key, own in held.groupby([*_WAY, "metric"], sort=True):
        found = {}
        for facet, rows in own.groupby("facet"):
            shape = codes[key[0]], facets[facet]
            found[facet] = {"value": _grid(rows, "value", *shape)}
            if rows["ci_low"].notna().any() and not several[facet]:
                rows = rows.assign(
                    below=rows["value"] - rows["ci_low"],
                    above=rows["ci_high"] - rows["value"],
                )
                found[facet]["below"] = _grid(rows, "below", *shape)
                found[facet]["above"] = _grid(rows, "above", *shape)
        yield "|".join(key), found


def _grid(rows: pd.DataFrame, column: str, codes: list, ranks: list) -> list[list]:
    """Means over seeds as whole numbers, languages x conditions."""
    means = rows.groupby(["language", "rank"])[column].mean().unstack("rank")
    means = means.reindex(index=codes, columns=ranks)
    return [
        [None if pd.isna(each) else round(SCALE * each) for each in line]
        for line in means.to_numpy().tolist()
    ]


def _bins(
    bins: pd.DataFrame, codes: Mapping[str, list], facets: Mapping[str, list]
) -> Iterator[tuple[str, dict]]:
    """Way -> facet -> [bin, n, confidence, accuracy] after each other, pooled."""
    keys = ["facet", "language", "rank", "bin"]
    for key, own in bins.groupby(_WAY[:3], sort=True):
        sums = own.groupby(keys)[["n", "sum_confidence", "sum_correct"]].sum()
        lines: dict[tuple, list[int]] = {}
        for (*line, index), n, confidence, right in sums[sums["n"] > 0].itertuples():
            lines.setdefault(tuple(line), []).extend(
                (index, int(n), round(1000 * confidence / n), round(1000 * right / n))
            )
        yield (
            "|".join(key),
            {
                facet: [
                    [lines.get((facet, code, rank)) for rank in ranks]
                    for code in codes[key[0]]
                ]
                for facet, ranks in facets.items()
            },
        )


def _questions(paths: list[Path], facets: Mapping[str, list]) -> dict[str, dict]:
    """Task and facet -> language -> its questions; probabilities in 1/1000.

    As many lists of probabilities as the facet has conditions; null where the
    question was not asked.
    """
    found: dict[str, dict] = {}
    for path in paths:
        for row in tables.read(path, "shifts").to_pylist():
            facet = f"{row['model']}{FACET}{row['sft']}"
            known = dict(zip(row["smoothings"], row["probabilities"], strict=True))
            answers = [known.get(rank) for rank in facets.get(facet, [])]
            question = {
                "scoring": f"{row['scoring']} {row['normaliser']}",
                "question": row["question"],
                "options": row["options"],
                "gold": row["gold"],
                "probabilities": [
                    [round(1000 * each) for each in one] if one else None
                    for one in answers
                ],
            }
            held = found.setdefault(f"{row['task']}|{facet}", {})
            held.setdefault(row["language"], []).append(question)
    return found
