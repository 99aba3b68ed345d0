"""What was run and how it was trained, and warnings about unequal comparisons."""

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from polycal.comparing.conditions import (
    by_condition,
    label,
    name_facet,
    reference,
)
from polycal.comparing.released import Released, find_released
from polycal.reporting.report_tables import NOTHING
from polycal.reporting.sentences import join
from polycal.study.grid import BASE
from polycal.study.layout import number


def describe_run(metrics: pd.DataFrame, released: Released) -> dict[str, Any]:
    """Describe what was run; seeds and smoothing values are those of trainings.

    Args:
        metrics: a metrics table.
        released: the study's released checkpoints.
    """
    tuned = metrics[metrics["sft"] != BASE]
    names = zip(tuned["model"], tuned["sft"], strict=True)
    is_released = np.array([name in released.checkpoints for name in names], bool)
    trained = tuned[~is_released]
    smoothings = sorted(trained["smoothing"].unique().tolist())
    return {
        "models": join(list(metrics["model"].unique())),
        "tuned": bool(len(tuned)),
        "sft": join(list(trained["sft"].unique())),
        "released": join(sorted({sft for _, sft in released.checkpoints})),
        "smoothing": join([number(value) for value in smoothings]),
        "n_seeds": int(trained["seed"].nunique()),
        "scorings": list(metrics["scoring"].unique()),
    }


def describe_trainings(runs: pa.Table) -> dict[str, Any]:
    """Return selected rates, recipes, and warnings about comparisons.

    Args:
        runs: a `runs` table.

    Returns:
        `rows`: the runs that the study trained, spelt out, a row for all seeds of a
        condition that were selected alike; `same`: settings that all
        of them share; `differ`: names of the other settings, whose values are in the
        rows; `origins`: `facet`, `repo` and `revision` of each base model and released
        checkpoint, where they are known; `warnings`: one sentence per comparison of
        different learning rates, per condition that predicts its own data worse than
        the untuned model, and per checkpoint whose tokenizer is not that of its base
        model, whose weights are quantised, that is another one under a second name, or
        that is an adapter of another base model.
    """
    frame = runs.to_pandas()
    tuned = by_condition(frame[(frame["sft"] == BASE) | frame["recipe"].notna()])
    tuned = _join_seeds(tuned[tuned["rank"] >= 0])
    recipes = [json.loads(text) for text in tuned["recipe"]]
    names = sorted(set().union(*recipes))
    if not any(own.get("method") == "lora" for own in recipes):
        names = [name for name in names if not name.startswith("lora_")]
    values = {name: [_spell(own.get(name)) for own in recipes] for name in names}
    differ = [name for name in names if len(set(values[name])) > 1]
    rows = [
        {
            "facet": row["facet"],
            "condition": label(row["rank"]),
            "seeds": ", ".join(map(str, row["seeds"])),
            "lr": number(row["lr"]),
            "nll": _spell_loss(row["validation_nll"]),
            "untuned": _spell_loss(row["untuned_nll"]),
            "n_candidates": row["n_candidates"],
            "settings": [values[name][index] for name in differ],
        }
        for index, row in enumerate(tuned.to_dict("records"))
    ]
    return {
        "rows": rows,
        "same": [(name, values[name][0]) for name in names if name not in differ],
        "differ": differ,
        "origins": list(_list_origins(runs)),
        "warnings": _join_alike(
            set(tuned["facet"]),
            _warn(tuned),
            _warn_of_losses(tuned),
            _warn_of_tokenizers(runs),
            _warn_of_quantised(runs),
            _warn_of_same(runs),
            warn_of_adapters(runs),
        ),
    }


def _join_seeds(tuned: pd.DataFrame) -> pd.DataFrame:
    """Return a row per condition and selection, with the list of its `seeds`.

    A rate is selected by its mean loss over seeds, so seeds differ in nothing else.
    """
    alike = ["facet", "rank", "lr", "validation_nll", "untuned_nll", "n_candidates"]
    groups = tuned.groupby([*alike, "recipe"], dropna=False)
    return groups["seed"].agg(sorted).rename("seeds").reset_index()


def _join_alike(tuned: set[str], *warnings: Iterable[tuple[str, str]]) -> list[str]:
    """Return sentences; those that are said of several facets are said once."""
    facets: dict[str, list[str]] = {}
    for facet, sentence in itertools.chain(*warnings):
        facets.setdefault(sentence, []).append(facet)
    all_of_them = f"All {len(tuned)} models and SFT sets"
    return [
        f"{all_of_them if len(names) > 2 and set(names) == tuned else '; '.join(names)}"
        f": {sentence}"
        for sentence, names in facets.items()
    ]


def _list_origins(runs: pa.Table) -> Iterator[dict[str, str]]:
    for row in runs.to_pylist():
        if row["repo"] is not None:
            facet = name_facet(row["model"], row["sft"])
            revision = row["revision"] or NOTHING
            yield {"facet": facet, "repo": row["repo"], "revision": revision}


def _warn_of_tokenizers(runs: pa.Table) -> Iterator[tuple[str, str]]:
    for model, sft in sorted(find_released(runs).other_tokenizer):
        yield (
            name_facet(model, sft),
            "the released checkpoint has another tokenizer "
            "than its base model. Their confidences by option texts are compared under "
            "the normalisers sum and byte only, and those by letters as ever.",
        )


def _warn_of_quantised(runs: pa.Table) -> Iterator[tuple[str, str]]:
    for row in runs.to_pylist():
        if row["quantised"]:
            is_gptq = row["quantised"].startswith("gptq")
            yield (
                name_facet(row["model"], row["sft"]),
                f"its weights are quantised ({row['quantised']}), so its numbers hold "
                "what that changes, too."
                + (" GPTQ's layers may compute in float16." if is_gptq else ""),
            )


def _warn_of_same(runs: pa.Table) -> Iterator[tuple[str, str]]:
    """Yield checkpoints that are another one under a second name."""
    first: dict[str, str] = {}
    for row in runs.to_pylist():
        if row["checkpoint"] and row["recipe"] is None:
            facet = name_facet(row["model"], row["sft"])
            same = first.setdefault(row["checkpoint"], facet)
            if same != facet:
                yield (
                    facet,
                    f"its files are those of {same}, so the two do not differ, and a "
                    "difference between them is rounding.",
                )


def warn_of_adapters(runs: pa.Table) -> Iterator[tuple[str, str]]:
    """Yield adapters that name another base model, as (facet, sentence).

    Their names are compared without owner and folder: copies have other ones.

    Args:
        runs: a `runs` table.
    """
    rows = runs.to_pylist()
    bases = {row["model"]: row["repo"] for row in rows if row["sft"] == BASE}
    for row in rows:
        made_for, base = row["made_for"], bases.get(row["model"])
        if made_for and base and _last_name(made_for) != _last_name(base):
            yield (
                name_facet(row["model"], row["sft"]),
                f"it is an adapter that names {made_for} as its base model, and was "
                f"put on {base}. If these are two models, its numbers say nothing.",
            )


def _last_name(repo: str) -> str:
    return repo.rstrip("/").rpartition("/")[2].lower()


def _warn_of_losses(tuned: pd.DataFrame) -> Iterator[tuple[str, str]]:
    for row in tuned.to_dict("records"):
        if row["validation_nll"] > row["untuned_nll"]:  # False where it is not known
            plural = "s" if len(row["seeds"]) > 1 else ""
            seeds = join([str(seed) for seed in row["seeds"]])
            yield (
                row["facet"],
                f"{label(row['rank'])}, seed{plural} {seeds}: training made the "
                "model worse at held-out conversations of its own SFT set: "
                f"validation NLL {_spell_loss(row['untuned_nll'])} → "
                f"{_spell_loss(row['validation_nll'])}.",
            )


def _spell_loss(loss: float | None) -> str:
    return NOTHING if pd.isna(loss) else f"{loss:.4f}"


def _spell(value: object) -> str:
    if value is None:
        return NOTHING
    return number(value) if isinstance(value, float) else str(value)


def _warn(tuned: pd.DataFrame) -> Iterator[tuple[str, str]]:
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
                    facet,
                    f"{label(condition)} was selected at learning rate "
                    f"{' and '.join(selected)}, but its reference {label(start)} at "
                    f"{' and '.join(rates[start])}; their difference mixes the effects "
                    "of smoothing and of the learning rate.",
                )
