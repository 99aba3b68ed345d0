"""The page's table of trainings, and warnings about unequal learning rates."""

import json
from collections.abc import Iterator, Mapping

import pandas as pd

from polycal.comparing.conditions import BASE_RANK, by_condition, label, reference
from polycal.study.layout import number


def describe_trainings(runs: pd.DataFrame) -> dict[str, object]:
    """Return selected rates, recipes, and warnings about comparisons.

    Args:
        runs: a `runs` table.

    Returns:
        `rows`: one per tuned run, spelt out; `same`: settings that all runs share;
        `differ`: names of the other settings, whose values are in the rows;
        `warnings`: one sentence per comparison of different learning rates.
    """
    tuned = by_condition(runs)
    tuned = tuned[tuned["rank"] != BASE_RANK].sort_values(["facet", "rank", "seed"])
    recipes = [json.loads(text) for text in tuned["recipe"]]
    names = sorted(set().union(*recipes))
    values = {name: [_spell(own.get(name)) for own in recipes] for name in names}
    differ = [name for name in names if len(set(values[name])) > 1]
    rows = [
        {
            "facet": row["facet"],
            "condition": label(row["rank"]),
            "seed": row["seed"],
            "lr": number(row["lr"]),
            "nll": f"{row['validation_nll']:.4f}",
            "n_candidates": row["n_candidates"],
            "settings": [values[name][index] for name in differ],
        }
        for index, row in enumerate(tuned.to_dict("records"))
    ]
    return {
        "rows": rows,
        "same": [(name, values[name][0]) for name in names if name not in differ],
        "differ": differ,
        "warnings": list(_warn(tuned)),
    }


def _spell(value: object) -> str:
    if value is None:
        return "–"
    return number(value) if isinstance(value, float) else str(value)


def _warn(tuned: pd.DataFrame) -> Iterator[str]:
    """Yield a sentence for each comparison of runs with different rates."""
    for facet, own in tuned.groupby("facet"):
        rates: Mapping[float, list[str]] = {
            condition: [number(rate) for rate in sorted(set(rows["lr"].tolist()))]
            for condition, rows in own.groupby("rank")
        }
        for condition, selected in rates.items():
            start = reference(condition, rates)
            if start is not None and rates[start] != selected:
                yield (
                    f"{facet}: {label(condition)} was selected at learning rate "
                    f"{' and '.join(selected)}, but its reference {label(start)} at "
                    f"{' and '.join(rates[start])}; their difference mixes the effects "
                    "of smoothing and of the learning rate."
                )
