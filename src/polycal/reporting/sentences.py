"""Findings in words: numbers in, sentences out, the words chosen by the numbers.

A change is named by the verdict of its contrast: it rises or falls where its interval
leaves 0 out, stays where it is surely within the margin, and otherwise may be noise.
Changes of single languages count only where a band says so.
"""

import math
from collections.abc import Mapping

import pandas as pd

from polycal.comparing.conditions import label, reference
from polycal.study.languages import ALL

SMALL = 0.005  # half a percentage point: a gap of neither side


def points(value: float, *, unit: str = " pp") -> str:
    """A signed difference of fractions in percentage points: 0.123 -> +12.3 pp."""
    text = f"{100 * value:+.1f}".replace("-", "−")
    return f"{'0.0' if text[1:] == '0.0' else text}{unit}"


def percent(value: float) -> str:
    """A fraction as a percentage: 0.4567 -> 45.7%."""
    return f"{100 * value:.1f}%"


def join(parts: list[str]) -> str:
    """a; a and b; a, b and c."""
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
    """What happened to one number: it rises, falls, stays, or moves by chance.

    Args:
        name: of the number.
        before: of the reference, a fraction.
        after: of the condition.
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
    """What happened to the signed gap, confidence minus accuracy.

    Args:
        before: of the reference, a fraction.
        after: of the condition.
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
        verb = "arises" if abs(after) > abs(before) else "all but vanishes"
        return f"{side}-confidence {verb} ({values})"
    verb = "grows" if abs(after) > abs(before) else "shrinks"
    return f"{side}-confidence {verb} {values}"


def describe_comparison(
    before: Mapping, after: Mapping, verdicts: Mapping[str, str]
) -> str:
    """What happened to accuracy, confidence, gap and ECE of one group of languages.

    Args:
        before: the numbers of the reference.
        after: those of the condition.
        verdicts: metric -> the contrast's verdict.
    """

    def tell(name: str, metric: str) -> str:
        return describe_change(name, before[metric], after[metric], verdicts[metric])

    return "; ".join(
        [
            tell("accuracy", "accuracy"),
            tell("confidence", "confidence"),
            describe_gap(before["gap"], after["gap"], verdicts["gap"]),
            tell("the ECE", "ece"),
        ]
    )


def describe_state(values: Mapping) -> str:
    """Accuracy, confidence, gap and ECE of one group of languages."""
    return join(
        [
            f"accuracy is {percent(values['accuracy'])}",
            f"confidence {percent(values['confidence'])}",
            f"the gap {points(values['gap'])}",
            f"the ECE {percent(values['ece'])}",
        ]
    )


def count_changes(changes: pd.DataFrame, n: int) -> str:
    """In how many languages confidence, accuracy and ECE surely rise, and fall.

    Sure is a change whose simultaneous band does not hold 0.

    Args:
        changes: rows of `per_change` of one facet and rank.
        n: the number of languages.
    """
    parts = []
    for name, metric in _COUNTED.items():
        own = changes[changes["metric"] == metric]
        up, down = (own["sim_low"] > 0).sum(), (own["sim_high"] < 0).sum()
        parts.append(f"{name} rises in {up} and falls in {down}")
    languages = f"Of {n} languages" if n != 1 else "Of 1 language"
    rest = "in the others, the band over languages holds no change as well"
    return f"{languages}, {'; '.join(parts)}; {rest}."


_COUNTED = {"confidence": "confidence", "accuracy": "accuracy", "the ECE": "ece"}


def describe_findings(
    levels: pd.DataFrame, languages: pd.DataFrame, changes: pd.DataFrame
) -> list[tuple[str, list[str]]]:
    """The findings of one facet: a heading and sentences per comparison.

    They are about all languages; `difference_table` tells the levels apart.

    Args:
        levels: rows of `per_level` of one facet.
        languages: rows of `per_language` of the same facet.
        changes: rows of `per_change` of the same facet.
    """
    ranks = sorted(levels["rank"].unique())
    whole = levels[levels["level"] == ALL].set_index("rank")
    tongues = {
        rank: rows.set_index("language") for rank, rows in languages.groupby("rank")
    }
    found = []
    for rank in ranks:
        start, after = reference(rank, ranks), whole.loc[rank]
        if start is None and len(ranks) > 1:
            continue
        if start is None:
            sentences, what = [], describe_state(after)
        else:
            own = changes[changes["rank"] == rank]
            sentences = [count_changes(own, len(tongues[rank]))]
            verdicts = own[own["level"] == ALL].set_index("metric")["verdict"]
            what = describe_comparison(whole.loc[start], after, verdicts)
        n = int(tongues[rank]["n_questions"].min())
        sentences.insert(0, f"{_where(after)}, {what}.{_near_chance(after, n)}")
        against = "" if start is None else f", against {label(start)}"
        found.append((label(rank) + against, sentences))
    return found


def _where(values: Mapping) -> str:
    n = int(values["n_languages"])
    return f"Over all {n} languages" if n > 1 else "In the one language"


def _near_chance(values: Mapping, n: int) -> str:
    """A warning if an accuracy of `n` questions cannot be told from guessing.

    Languages share their questions, so that more of them do not make `n` larger.
    """
    chance = values["chance"]
    noise = 1.96 * math.sqrt(chance * (1 - chance) / n)
    if values["accuracy"] > chance + noise:
        return ""
    if values["accuracy"] < chance - noise:
        return f" That accuracy is below chance ({percent(chance)})."
    return (
        f" With {n} questions a language, that accuracy cannot be told from chance "
        f"({percent(chance)} ± {100 * noise:.1f} pp)."
    )


def describe_compared(check: Mapping) -> str:
    """Which questions of a task are compared, and how many are left out and why.

    Args:
        check: what `polycal check_task` wrote of the task.
    """
    if check["policy"] == "own":
        return "every language has its own questions; nothing is left out."
    if check["n_common"] == check["n_all"]:
        return "all languages have the same questions; nothing is left out."
    test = check["test"]
    lacking = sum(len(group["questions"]) for group in test["missing"])
    reasons = [
        f"{number} {why}"
        for number, why in (
            (lacking, "that some language lacks"),
            (len(test["differing"]), "whose answer or number of options differs"),
        )
        if number
    ]
    n = check["n_all"] - check["n_common"]
    return (
        f"{check['n_common']} questions are compared in all languages; {n} "
        f"{'is' if n == 1 else 'are'} left out ({' and '.join(reasons)})."
    )
