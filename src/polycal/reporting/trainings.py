"""What the page says about how the compared models were trained."""

import json
from collections.abc import Iterator, Mapping

import pandas as pd

from polycal.comparing.conditions import BASE_RANK, by_condition, label, reference
from polycal.study.layout import number


def describe_trainings(runs: pd.DataFrame) -> dict[str, object]:
    """The selected rates, the recipe, and what stands against a comparison.

    Args:
        runs: a `runs` table.

    Returns:
        `rows`: one per tuned run, in words; `same`: settings that all runs share;
        `differ`: names of the settings that they do not share, whose values are in
        the rows; `warnings`: one sentence per comparison of different rates.
    """
    tuned = by_condition(runs)
    tuned = tuned[tuned["rank"] != BASE_RANK].sort_values(["facet", "rank", "seed"])
    recipes = [json.loads(text) for text in tuned["recipe"]]
    names = sorted(set().union(*recipes))
    values = {name: [_spell(each.get(name)) for each in recipes] for name in names}
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
    """One sentence for each comparison of runs whose rates differ."""
    for facet, own in tuned.groupby("facet"):
        rates: Mapping[float, list[str]] = {
            rank: [number(each) for each in sorted(set(rows["lr"].tolist()))]
            for rank, rows in own.groupby("rank")
        }
        for rank, found in rates.items():
            start = reference(rank, rates)
            if start is not None and rates[start] != found:
                yield (
                    f"{facet}: {label(rank)} was selected at learning rate "
                    f"{' and '.join(found)}, but {label(start)}, with which it is "
                    f"compared, at {' and '.join(rates[start])}; the difference "
                    "between them is that of the smoothing and of the rate together."
                )
