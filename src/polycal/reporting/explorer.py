"""The numbers of the page's interactive table, as JSON within the page.

Numbers are whole millionths; the script rounds them as `polycal.reporting.spelling`
does.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.colors import to_hex

from polycal.comparing.averages import average
from polycal.comparing.conditions import (
    BASE_RANK,
    FACET,
    by_condition,
    in_resource_order,
    label,
    language_of,
    name_facet,
    per_change,
    reference,
)
from polycal.comparing.released import NONE_RELEASED, Released
from polycal.measuring.readings import UNCALIBRATED
from polycal.measuring.side_metrics import MEASURED
from polycal.measuring.temperature import CALIBRATORS
from polycal.reporting.canvas import OVER, UNDER, looks
from polycal.reporting.spelling import to_millionths
from polycal.storage import tables
from polycal.study.grid import BASE
from polycal.study.scorings import HEADLINE, NORMALISERS

# The metrics that can be chosen.
_CHOICES = ("gap", "confidence", "accuracy", "ece", "rms_ce", "brier", "nll")
_CHOICES += ("temperature", "token_premium", "agreement", "confident_disagreement")
_CHOICES += ("letter_share",)
# Metric -> (heading, unit).
METRICS = {name: (MEASURED[name].heading, MEASURED[name].unit) for name in _CHOICES}
_NOTHING = [None] * 3  # value, and distances to the ends of its interval
# Millionths of the distances to an interval's ends: they are most of the page.
DISTANCE = 10
_READING = ["task", "scoring", "normaliser", "calibrator"]


def explore(
    folder: Path,
    shifts: Sequence[Path],
    scorings: Sequence[str],
    released: Released = NONE_RELEASED,
) -> dict[str, Any]:
    """Return all numbers that a reader of the page can choose.

    Args:
        folder: of the study's tables: metrics, reliability and contrasts.
        shifts: tables that `polycal find_shifts` wrote.
        scorings: of the page; the first one leads.
        released: the study's released checkpoints.

    Returns:
        A value for JSON. `values` and `bins` are lists over languages (in the order of
        the task in `tasks`) of lists over the facet's conditions; null where there is
        no number. `below` and `above` are the distances from the value to the ends of
        its interval, which exist for single seeds only. A model's base condition is in
        its first facet; the others lack it and name that facet as `base`.
    """
    shown = tables.where(
        tables.read(folder / "metrics.parquet", "metrics"), subset="all"
    ).to_pandas()
    shown = by_condition(
        shown[shown["metric"].isin(METRICS) & shown["scoring"].isin(scorings)]
    )
    shown = shown[(shown["metric"] != "accuracy") | (shown["calibrator"] == "none")]
    bins = tables.read(folder / "reliability.parquet", "reliability").to_pandas()
    bins = bins[bins["scoring"].isin(scorings)]
    bins = by_condition(bins[bins["calibrator"] == "none"])
    codes = {
        task: in_resource_order(own["language"]) for task, own in shown.groupby("task")
    }
    facets = {
        facet: sorted(own["rank"].unique().tolist())
        for facet, own in shown.groupby("facet")
    }
    stored = {
        facet: ranks[1:] if _find_base(facet, facets) else ranks
        for facet, ranks in facets.items()
    }
    return {
        "languages": {
            code: {"name": own.name, "level": own.level, "joshi": own.joshi_class}
            for code in in_resource_order(shown["language"])
            for own in [language_of(code)]
        },
        "tasks": codes,
        "facets": [
            _facet(name, conditions, released) | {"base": _find_base(name, facets)}
            for name, conditions in facets.items()
        ],
        "colours": {
            "over": to_hex(OVER),
            "under": to_hex(UNDER),
            # One colour means one condition in the page's pictures, too.
            "conditions": [
                to_hex(colour) for colour, _, _ in looks(max(facets.values(), key=len))
            ],
        },
        "scorings": _in_order(shown, scorings),
        "calibrators": {UNCALIBRATED: "none"} | CALIBRATORS,
        "n_bins": int(bins["bin"].max()) + 1,
        "metrics": {
            name: METRICS[name] for name in METRICS if name in set(shown["metric"])
        },
        "values": _values(shown, codes, stored),
        "sure": _sure(folder / "contrasts.parquet", codes, facets),
        "bins": dict(_bins(bins, codes, stored)),
        "questions": _questions(shifts, facets),
    }


def _find_base(facet: str, facets: Mapping[str, list]) -> str | None:
    """Return the facet before this one that holds the same base model's numbers."""
    model = facet.partition(FACET)[0]
    first = next(name for name in facets if name.partition(FACET)[0] == model)
    both = BASE_RANK in facets[first] and BASE_RANK in facets[facet]
    return first if both and first != facet else None


def _facet(name: str, conditions: list[float], released: Released) -> dict[str, Any]:
    """Return a facet's conditions, and the indices (after, before) of comparisons.

    `apart` are the normalisers under which nothing is compared.
    """
    model, _, sft = name.partition(FACET)
    starts = [reference(condition, conditions) for condition in conditions]
    return {
        "name": name,
        "model": model,
        "sft": sft or BASE,
        "conditions": [label(condition) for condition in conditions],
        "compared": [
            (index, conditions.index(start))
            for index, start in enumerate(starts)
            if start is not None
        ],
        "apart": [
            normaliser
            for normaliser in NORMALISERS
            if not released.is_comparable(model, sft, normaliser)
        ],
    }


def _in_order(shown: pd.DataFrame, scorings: Sequence[str]) -> list[str]:
    """Return `scoring normaliser` by scoring, each with its headline first."""
    pairs = shown[["scoring", "normaliser"]].drop_duplicates()
    pairs = sorted(
        pairs.itertuples(index=False, name=None),
        key=lambda pair: (scorings.index(pair[0]), HEADLINE[pair[0]] != pair[1], pair),
    )
    return [" ".join(pair) for pair in pairs]


def to_json(value: object) -> str:
    """Return JSON that is safe in a script element of a page."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _values(
    shown: pd.DataFrame, codes: Mapping[str, list], facets: Mapping[str, list]
) -> dict[str, dict]:
    """Return for each reading and metric: facet -> values and their intervals.

    Numbers are means over seeds, languages x conditions.
    """
    # The base model's own seed is repeated in every facet.
    several = (
        shown.groupby(["facet", "rank"])["seed"].nunique().groupby("facet").max() > 1
    )
    shown = shown.assign(
        below=shown["value"] - shown["ci_low"], above=shown["ci_high"] - shown["value"]
    )
    keys = [*_READING, "metric", "facet", "language", "rank"]
    means = shown.groupby(keys, sort=True)[["below", "above"]].mean()
    means.insert(0, "value", average(shown, keys))
    cells: dict[tuple, dict[tuple, list]] = {}
    for key, numbers in zip(means.index, means.to_numpy().tolist(), strict=True):
        whole = [None if pd.isna(n) else to_millionths(n) for n in numbers]
        whole[1:] = [None if n is None else round(n / DISTANCE) for n in whole[1:]]
        cells.setdefault(key[:-2], {})[key[-2:]] = whole
    values: dict[str, dict] = {}
    for (*reading, facet), own in cells.items():
        grids = {
            name: [
                [
                    own.get((code, condition), _NOTHING)[index]
                    for condition in facets[facet]
                ]
                for code in codes[reading[0]]
            ]
            for index, name in enumerate(("value", "below", "above"))
        }
        if several[facet] or not any(cell[1] is not None for cell in own.values()):
            del grids["below"], grids["above"]
        values.setdefault("|".join(reading), {})[facet] = grids
    return values


def _sure(
    path: Path, codes: Mapping[str, list], facets: Mapping[str, list]
) -> dict[str, dict]:
    """Return for each reading and metric: facet -> what is shown, 1, and what is not.

    A text over languages and the facet's conditions, the base model's included.
    """
    rows = per_change(tables.read(path, "contrasts").to_pandas())
    rows = rows[rows["metric"].isin(METRICS)]
    rows = rows[(rows["sim_low"] > 0) | (rows["sim_high"] < 0)]
    shown: dict[tuple, set] = {}
    keys = [*_READING, "metric", "facet", "level", "rank"]
    for *key, language, rank in rows[keys].itertuples(index=False, name=None):
        shown.setdefault(tuple(key), set()).add((language, rank))
    sure: dict[str, dict] = {}
    for (*reading, facet), changed in shown.items():
        if reading[0] in codes and facet in facets:
            sure.setdefault("|".join(reading), {})[facet] = "".join(
                "01"[(code, rank) in changed]
                for code in codes[reading[0]]
                for rank in facets[facet]
            )
    return sure


def _bins(
    bins: pd.DataFrame, codes: Mapping[str, list], facets: Mapping[str, list]
) -> Iterator[tuple[str, dict]]:
    """Yield for each reading: facet -> flat lists of bin, n, confidence, accuracy.

    n is the mean over seeds: the answers of several seeds to one question are not
    several questions.
    """
    keys = ["facet", "language", "rank", "bin"]
    for key, own in bins.groupby(_READING[:3], sort=True):
        sums = own.groupby(keys)[["n", "sum_confidence", "sum_correct"]].sum()
        n_seeds = own.groupby(keys[:3])["seed"].nunique().to_dict()
        lines: dict[tuple, list[int]] = {}
        for (*line, index), n, confidence, right in sums[sums["n"] > 0].itertuples():
            lines.setdefault(tuple(line), []).extend(
                (
                    index,
                    max(round(n / n_seeds[tuple(line)]), 1),
                    round(1000 * confidence / n),
                    round(1000 * right / n),
                )
            )
        yield (
            "|".join(key),
            {
                facet: [
                    [lines.get((facet, code, condition)) for condition in conditions]
                    for code in codes[key[0]]
                ]
                for facet, conditions in facets.items()
            },
        )


def _questions(paths: Sequence[Path], facets: Mapping[str, list]) -> dict[str, dict]:
    """Return task and facet -> language -> its questions.

    Probabilities are in 1/1000, a list per condition of the facet; null where the
    question was not asked.
    """
    questions: dict[str, dict] = {}
    for path in paths:
        for row in tables.read(path, "shifts").to_pylist():
            facet = name_facet(row["model"], row["sft"])
            known = dict(zip(row["smoothings"], row["probabilities"], strict=True))
            answers = [known.get(condition) for condition in facets.get(facet, [])]
            question = {
                "scoring": f"{row['scoring']} {row['normaliser']}",
                "question": row["question"],
                "options": row["options"],
                "gold": row["gold"],
                "probabilities": [
                    [round(1000 * share) for share in answer] if answer else None
                    for answer in answers
                ],
            }
            languages = questions.setdefault(f"{row['task']}|{facet}", {})
            languages.setdefault(row["language"], []).append(question)
    return questions
