"""What makes the answers of a task and scoring hard to believe, as sentences."""

import math
from collections.abc import Mapping

import pandas as pd

from polycal.comparing.conditions import label
from polycal.comparing.reasons import DEGENERATE
from polycal.reporting.sentences import join
from polycal.reporting.spelling import percent
from polycal.study.languages import ALL

_CLUSTERED = ("accuracy", "confidence", "gap")
_RARE = 0.1  # share of the probability below which letters are hardly an answer


def list_doubts(levels: pd.DataFrame, n: int) -> list[str]:
    """Say what makes the answers of a task and scoring hard to believe.

    Args:
        levels: rows of `per_level` of one task, scoring and normaliser.
        n: questions per language.
    """
    doubts = warn_of_chance(levels, n), warn_of_letters(levels), warn_of_place(levels)
    return [doubt for doubt in doubts if doubt]


def warn_of_dtypes(asked: Mapping) -> list[str]:
    """Say that scores of a task differ in their dtype; [] where they do not.

    Args:
        asked: how the task was asked, as `polycal aggregate` notes it.
    """
    dtypes: list[str] = asked.get("dtype") or []
    if len(dtypes) < 2:
        return []
    return [
        f"Some scores are in {join(dtypes)}, as each device has it: differences hold "
        "those of rounding, too, until `scoring_dtype` names one."
    ]


def warn_of_place(levels: pd.DataFrame) -> str:
    """Name the conditions that answer with one letter nearly always; "" for none.

    Args:
        levels: rows of `per_level` of one task, scoring and normaliser.
    """
    if "letter_share" not in levels:
        return ""
    one = levels[(levels["level"] == ALL) & (levels["letter_share"] > DEGENERATE)]
    if one.empty:
        return ""
    return (
        f"In more than {DEGENERATE:.0%} of the questions the answer is the option in "
        f"one and the same place for {_name_conditions(one, levels)}: such answers "
        "say nothing of what the model knows."
    )


def warn_of_chance(levels: pd.DataFrame, n: int) -> str:
    """Name the conditions whose mean accuracy may be that of guessing; "" for none.

    Languages share their questions, so more languages do not make `n` larger.

    Args:
        levels: rows of `per_level` of one task, scoring and normaliser.
        n: questions per language.
    """
    whole = levels[levels["level"] == ALL]
    chance = whole["chance"].max()
    noise = 1.96 * math.sqrt(chance * (1 - chance) / n)
    low = whole[whole["accuracy"] <= chance + noise]
    if low.empty:
        return ""
    is_everywhere = len(low) == len(whole) > 1
    where = (
        "in every condition"
        if is_everywhere
        else f"for {_name_conditions(low, levels)}"
    )
    return (
        f"With {n} questions per language, a mean accuracy of up to "
        f"{percent(chance + noise)} may be chance, as it may {where}."
    )


def warn_of_letters(levels: pd.DataFrame) -> str:
    """Name the conditions that hardly answer with letters; "" for none, and for texts.

    Args:
        levels: rows of `per_level` of one task, scoring and normaliser.
    """
    if "log_mass" not in levels:
        return ""
    whole = levels[levels["level"] == ALL]
    rare = whole[whole["log_mass"] < math.log(_RARE)]  # not where it is unknown
    if rare.empty:
        return ""
    return (
        f"All letters together hold less than {_RARE:.0%} of the probability of the "
        f"next token (geometric mean) for {_name_conditions(rare, levels)}: an answer "
        "by letters says little of what the model would write."
    )


def describe_subjects(metrics: pd.DataFrame) -> str:
    """Say how much larger standard errors are over subjects than over questions.

    Args:
        metrics: rows of a metrics table.

    Returns:
        A sentence with medians over runs and languages; "" where no task has subjects.
    """
    ratios = (metrics["se_subjects"] / metrics["se"]).where(metrics["se"] > 0)
    medians = ratios.groupby(metrics["metric"]).median().dropna()
    told = [f"{medians[name]:.2f} for {name}" for name in _CLUSTERED if name in medians]
    if not told:
        return ""
    return (
        "With whole subjects drawn again in place of single questions, standard errors "
        f"are {join(told)} times as large (medians over runs and languages)."
    )


def _name_conditions(rows: pd.DataFrame, levels: pd.DataFrame) -> str:
    """Name the conditions of rows by facet and condition, where there are several."""
    if levels["facet"].nunique() == 1:
        return join([label(rank) for rank in rows["rank"]])
    alone = levels["rank"].nunique() == 1  # models as they are
    return join(
        [
            row["facet"] if alone else f"{row['facet']}, {label(row['rank'])}"
            for row in rows.to_dict("records")
        ]
    )
