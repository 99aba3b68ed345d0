"""The answer of a study in at most three sentences, written from its contrasts."""

from collections.abc import Iterator, Mapping

import pandas as pd

from polycal.comparing.claims import TO_BASE
from polycal.comparing.conditions import TO_MODEL, label
from polycal.reporting.sentences import join, per_condition
from polycal.reporting.spelling import percent, points, spell_interval
from polycal.study.languages import ALL, LEVELS

_CHANGES = {  # by the contrast's verdict
    "increase": "raises {name} by {size}",
    "decrease": "lowers {name} by {size}",
    "equivalent": "leaves {name} within the margin ({size})",
    "inconclusive": "is not shown to change {name} ({size})",
}
_OF_GAP = {
    "increase": "raises",
    "decrease": "lowers",
    "equivalent": "leaves within the margin",
    "inconclusive": "is not shown to change",
}
_MOVES = {
    "increase": "rises",
    "decrease": "falls",
    "equivalent": "stays within the margin",
}
_FIRST = ("confidence", "accuracy")
# The only reason for which two conditions of a facet are not contrasted.
_APART = (
    "They are not compared: their tokenizers differ, and confidence per token depends "
    "on the tokenizer."
)


def describe_answer(
    levels: pd.DataFrame, changes: pd.DataFrame, beside: pd.DataFrame
) -> list[str]:
    """Say what SFT and smoothing change over all languages of a task and scoring.

    Args:
        levels: rows of `per_level` of the task and scoring.
        changes: rows of `per_change` of the same.
        beside: rows of `per_side` of the same.

    Returns:
        One model and SFT set: what SFT changes, also in the languages with the fewest
        resources, and what the largest smoothing value changes then. Several: in how
        many of them a number rises or falls. Models as they are: their gap,
        and of two how they differ.
    """
    if changes.empty:
        states = _describe_states(levels[levels["level"] == ALL])
        return [*states, *_describe_other(beside)]
    whole = changes[changes["level"] == ALL]
    if whole["facet"].nunique() > 1:
        return list(_count_facets(whole))
    return _describe_facet(levels, changes, whole)


def _describe_facet(
    levels: pd.DataFrame, changes: pd.DataFrame, whole: pd.DataFrame
) -> list[str]:
    first, last = whole["rank"].min(), whole["rank"].max()
    (facet,) = whole["facet"].unique()
    # Another model of the study is not compared with anything.
    of_facet = f" of {facet}" if levels["facet"].nunique() > 1 else ""
    n = int(whole["n_languages"].max())
    languages = f"Over {n} languages" if n > 1 else "In the one language"
    rows = whole[whole["rank"] == first].set_index("metric")
    told = join([_change(rows.loc[name], name) for name in _FIRST])
    sentences = [f"{languages}, {label(first)}{of_facet} {told}."]
    shown = [level for level in LEVELS if level in set(changes["level"])]
    if len(shown) > 1:
        own = changes[(changes["level"] == shown[-1]) & (changes["rank"] == first)]
        own = own.set_index("metric")
        told = join([_change(own.loc[name], name) for name in _FIRST])
        sentences.append(f"In {shown[-1]}-resource languages, it {told}.")
    if last > first:
        rows = whole[whole["rank"] == last].set_index("metric")
        own = levels[(levels["level"] == ALL) & (levels["facet"] == facet)]
        after = own.set_index("rank").loc[last, "gap"]
        row = rows.loc["gap"]
        sentences.append(
            f"{label(last)} {_OF_GAP[row['verdict']]} confidence minus accuracy: from "
            f"{points(after - row['estimate'])} to {points(after)}, "
            f"{points(row['estimate'])} "
            f"{spell_interval(row['ci_low'], row['ci_high'])} against "
            f"{_name_reference(rows)}."
        )
    return sentences


def _name_reference(rows: pd.DataFrame) -> str:
    return "the base model" if (rows["reference"] == TO_BASE).all() else "SFT"


def _change(row: Mapping, name: str) -> str:
    size = points(row["estimate"])
    if row["verdict"] in ("increase", "decrease"):
        size = size.lstrip("+−")
    size += f" {spell_interval(row['ci_low'], row['ci_high'])}"
    return _CHANGES[row["verdict"]].format(name=name, size=size)


def _count_facets(whole: pd.DataFrame) -> list[str]:
    sentences = []
    ranks = whole.groupby("facet")["rank"]
    first, last = ranks.transform("min"), ranks.transform("max")
    for own in (
        whole[whole["rank"] == first],
        whole[(whole["rank"] == last) & (last > first)],
    ):
        if own.empty:
            continue
        n = own["facet"].nunique()
        where = f"{n} models and SFT sets" if n > 1 else own["facet"].iloc[0]
        counts = []
        for metric in ("confidence", "accuracy", "gap"):
            verdicts = own.loc[own["metric"] == metric, "verdict"]
            name = "the gap" if metric == "gap" else metric
            counts.append(f"{name} {_count(verdicts)}")
        labels = join([label(value) for value in sorted(own["rank"].unique())])
        sentences.append(
            f"{labels} against {_name_reference(own)}, in {where}: {join(counts)}."
        )
    return sentences


def _count(verdicts: pd.Series) -> str:
    counts = verdicts.value_counts()
    n = len(verdicts)
    shown = [
        f"{verb} in {'all' if counts[verdict] == n else counts[verdict]}"
        for verdict, verb in _MOVES.items()
        if verdict in counts
    ]
    told = join(shown) or "is not shown to change in any"
    return told if n > 1 else told.removesuffix(" in all").removesuffix(" in any")


def _describe_other(beside: pd.DataFrame) -> Iterator[str]:
    """Yield how the second of two models differs from the first."""
    own = beside[beside["level"] == ALL]
    own = own[own["reference"].str.startswith(TO_MODEL)]
    if own["facet"].nunique() == 1:
        rows = own.set_index("metric")
        told = join([_change(rows.loc[name], name) for name in _FIRST])
        first = rows["reference"].iloc[0].removeprefix(TO_MODEL)
        yield f"In place of {first}, {rows['facet'].iloc[0]} {told}."


def _describe_states(levels: pd.DataFrame) -> list[str]:
    """Describe what is not compared: models as they are, or two tokenizers."""
    base = levels[levels["rank"] < 0].sort_values("gap")
    if len(levels) > len(base):
        indexed = levels.set_index(["facet", "rank"]).sort_index()
        told = indexed["accuracy"].map(percent) + " and "
        told += indexed["confidence"].map(percent)
        return [f"Accuracy and confidence – {per_condition(told)}.", _APART]
    if len(base) == 1:
        (row,) = base.to_dict("records")
        side = "over" if row["gap"] > 0 else "under"
        return [
            f"Accuracy is {percent(row['accuracy'])} and confidence "
            f"{percent(row['confidence'])}: the model is {side}-confident by "
            f"{points(abs(row['gap'])).lstrip('+')}."
        ]
    least, most = base.iloc[0], base.iloc[-1]
    return [
        f"Confidence minus accuracy lies between {points(least['gap'])} "
        f"({least['facet']}) and {points(most['gap'])} ({most['facet']})."
    ]
