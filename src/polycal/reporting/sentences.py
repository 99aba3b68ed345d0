"""Findings as sentences, whose words are chosen by the numbers.

The verdict of a contrast names a change: it rises or falls if its interval excludes 0,
stays if it is within the margin, and may be noise otherwise. The change of a single
language counts if its simultaneous band excludes 0.
"""

import math
from collections.abc import Mapping

import pandas as pd

from polycal.comparing.conditions import label, reference
from polycal.study.languages import ALL

SMALL = 0.005  # half a percentage point: neither over- nor under-confident


def points(value: float, *, unit: str = " pp") -> str:
    """Spell a difference of fractions in percentage points: 0.123 -> +12.3 pp."""
    text = f"{100 * value:+.1f}".replace("-", "−")
    return f"{'0.0' if text[1:] == '0.0' else text}{unit}"


def percent(value: float) -> str:
    """Spell a fraction as a percentage: 0.4567 -> 45.7%."""
    return f"{100 * value:.1f}%"


def three(value: float) -> str:
    """Spell a number with three decimals: -0.1234 -> −0.123."""
    return f"{value:.3f}".replace("-", "−")


def spell(value: float, unit: str) -> str:
    """Spell a value of a metric of this unit."""
    if unit == "%":
        return percent(value)
    return points(value) if unit == "pp" else three(value)


def spell_difference(value: float, unit: str) -> str:
    """Spell a difference between two values of a metric of this unit, with its sign."""
    if unit in ("%", "pp"):
        return points(value)
    text = f"{value:+.3f}".replace("-", "−")
    return "0.000" if text[1:] == "0.000" else text


def join(parts: list[str]) -> str:
    """Return "a", "a and b", or "a, b and c"."""
    return " and ".join([*([", ".join(parts[:-1])] if parts[1:] else []), *parts[-1:]])


def per_condition(values: pd.Series) -> str:
    """Return "base: 3; SFT: 5", with the facet in front where there are several.

    Args:
        values: texts with the index levels `facet` and `rank`.
    """
    facets = {}
    for facet, own in values.groupby(level="facet"):
        parts = [
            f"{label(condition)}: {value}" for (_, condition), value in own.items()
        ]
        facets[facet] = "; ".join(parts)
    if len(facets) == 1:
        return next(iter(facets.values()))
    return "; ".join(f"{facet} ({text})" for facet, text in facets.items())


def describe_change(name: str, before: float, after: float, verdict: str) -> str:
    """Say that a number rises, falls, stays, or may change by chance.

    Args:
        name: of the number.
        before: the number of the reference, a fraction.
        after: the number of the condition.
        verdict: of the contrast.
    """
    values = f"from {percent(before)} to {percent(after)}"
    return {
        "increase": f"{name} rises {values}",
        "decrease": f"{name} falls {values}",
        "equivalent": f"{name} stays ({percent(before)} and {percent(after)})",
        "inconclusive": f"{name} goes {values}, which may be noise",
    }[verdict]


def describe_gap(before: float, after: float, verdict: str) -> str:
    """Say how the signed gap, confidence minus accuracy, changes.

    Args:
        before: the gap of the reference, a fraction.
        after: the gap of the condition.
        verdict: of the contrast.
    """
    values = f"from {points(before)} to {points(after)}"
    if verdict == "equivalent":
        return f"the gap stays ({points(before)} and {points(after)})"
    if verdict == "inconclusive":
        return f"the gap goes {values}, which may be noise"
    if before < -SMALL and after > SMALL:
        return f"under-confidence turns into over-confidence ({values})"
    if before > SMALL and after < -SMALL:
        return f"over-confidence turns into under-confidence ({values})"
    side = "over" if before + after > 0 else "under"
    if abs(before) <= SMALL or abs(after) <= SMALL:
        verb = "arises" if abs(after) > abs(before) else "almost vanishes"
        return f"{side}-confidence {verb} ({values})"
    verb = "grows" if abs(after) > abs(before) else "shrinks"
    return f"{side}-confidence {verb} {values}"


def describe_comparison(
    before: Mapping, after: Mapping, verdicts: Mapping[str, str]
) -> str:
    """Say how accuracy, confidence, gap and ECE of a group of languages change.

    Args:
        before: metric -> number of the reference.
        after: metric -> number of the condition.
        verdicts: metric -> the contrast's verdict.
    """

    def change(name: str, metric: str) -> str:
        return describe_change(name, before[metric], after[metric], verdicts[metric])

    return "; ".join(
        [
            change("accuracy", "accuracy"),
            change("confidence", "confidence"),
            describe_gap(before["gap"], after["gap"], verdicts["gap"]),
            change("the ECE", "ece"),
        ]
    )


def describe_state(values: Mapping) -> str:
    """Give accuracy, confidence, gap and ECE of a group of languages."""
    return join(
        [
            f"accuracy is {percent(values['accuracy'])}",
            f"confidence {percent(values['confidence'])}",
            f"the gap {points(values['gap'])}",
            f"the ECE {percent(values['ece'])}",
        ]
    )


def count_changes(changes: pd.DataFrame, n: int) -> str:
    """Count the languages in which confidence, accuracy and ECE rise or fall.

    A change counts if its simultaneous band excludes 0.

    Args:
        changes: rows of `per_change` of one facet and condition.
        n: the number of languages.
    """
    parts = []
    for name, metric in _COUNTED.items():
        own = changes[changes["metric"] == metric]
        up, down = (own["sim_low"] > 0).sum(), (own["sim_high"] < 0).sum()
        parts.append(f"{name} rises in {up} and falls in {down}")
    languages = f"Of {n} languages" if n != 1 else "Of 1 language"
    rest = "in the others, the simultaneous band includes 0"
    return f"{languages}, {'; '.join(parts)}; {rest}."


# The only reason for which two conditions of a facet are not contrasted.
_APART = (
    "The two are not compared: their tokenizers differ, and confidence per token "
    "depends on the tokenizer."
)
_COUNTED = {"confidence": "confidence", "accuracy": "accuracy", "the ECE": "ece"}


def describe_findings(
    levels: pd.DataFrame, languages: pd.DataFrame, changes: pd.DataFrame
) -> list[tuple[str, list[str]]]:
    """Return a heading and sentences for each comparison of one facet.

    They are about all languages; `difference_table` has the levels.

    Args:
        levels: rows of `per_level` of one facet.
        languages: rows of `per_language` of the same facet.
        changes: rows of `per_change` of the same facet.
    """
    conditions = sorted(levels["rank"].unique())
    whole = levels[levels["level"] == ALL].set_index("rank")
    findings = []
    for condition in conditions:
        start, after = reference(condition, conditions), whole.loc[condition]
        if start is None and len(conditions) > 1:
            continue
        own_languages = languages[languages["rank"] == condition]
        if start is None:
            sentences, numbers = [], describe_state(after)
        else:
            own = changes[changes["rank"] == condition]
            if own.empty:
                sentences = [
                    f"Of the base model, {describe_state(whole.loc[start])}. {_APART}"
                ]
                start, numbers = None, describe_state(after)
            else:
                sentences = [count_changes(own, own_languages["language"].nunique())]
                verdicts = own[own["level"] == ALL].set_index("metric")["verdict"]
                numbers = describe_comparison(whole.loc[start], after, verdicts)
        n = int(own_languages["n_questions"].min())
        sentences.insert(0, f"{_where(after)}, {numbers}.{_near_chance(after, n)}")
        against = "" if start is None else f", against {label(start)}"
        title = label(condition) if len(conditions) > 1 else "as it is"
        findings.append((title + against, sentences))
    return findings


def _where(values: Mapping) -> str:
    n = int(values["n_languages"])
    return f"Over all {n} languages" if n > 1 else "In the one language"


def _near_chance(values: Mapping, n: int) -> str:
    """Warn if an accuracy over `n` questions may be that of guessing.

    Languages share their questions, so more languages do not make `n` larger.
    """
    chance = values["chance"]
    noise = 1.96 * math.sqrt(chance * (1 - chance) / n)
    if values["accuracy"] > chance + noise:
        return ""
    if values["accuracy"] < chance - noise:
        return f" That accuracy is below chance ({percent(chance)})."
    return (
        f" With {n} questions per language, that accuracy may be chance "
        f"({percent(chance)} ± {100 * noise:.1f} pp)."
    )
