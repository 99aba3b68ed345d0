"""The conditions of a study side by side: base, SFT, and SFT with each smoothing.

Input: rows of a study's tables about one task, scoring and normaliser; output: the
frames that figures and the page show.
"""

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd
import pyarrow as pa

from polycal.comparing.averages import average
from polycal.errors import InputError
from polycal.storage import tables
from polycal.study.grid import BASE
from polycal.study.languages import (
    ALL,
    LEVELS,
    Language,
    explain_unknown,
    load_languages,
)
from polycal.study.layout import number

FACET = ", SFT: "  # stands between a facet's model and its SFT set
TO_TASK = "task:"  # a reference: the same condition on the task that is named after it
TO_MODEL = "model:"  # a reference: the base model that is named after it
TO_STAGE = "stage:"  # a reference: the released checkpoint that was tuned further
BASE_RANK = -1.0  # orders the base model before SFT with any smoothing
ALONE_RANK = -2.0  # of models as they are, where none is tuned: no base of anything


def rows_of(path: Path, kind: str, **values: str) -> pd.DataFrame:
    """Return the rows of a study's table that hold these values; perhaps none."""
    return tables.where(_read(path, kind), **values).to_pandas()


def select(path: Path, kind: str, **values: str) -> pd.DataFrame:
    """Return the rows of these values, over all questions and without a calibrator.

    Raises:
        InputError: the table has none.
    """
    rows = tables.where(_read(path, kind), **values, calibrator="none")
    if "subset" in rows.column_names:
        rows = tables.where(rows, subset="all")
    if not rows.num_rows:
        asked = ", ".join(f"{name} {value!r}" for name, value in values.items())
        raise InputError(f"{path} holds nothing about {asked}; choose what it holds")
    return rows.to_pandas()


def _read(path: Path, kind: str) -> pa.Table:
    """Return a table; one that was just read comes from memory."""
    facts = path.stat()
    return _read_once(path, kind, (facts.st_ino, facts.st_mtime_ns, facts.st_size))


@functools.lru_cache(maxsize=16)  # a page asks for the same tables a hundred times
def _read_once(path: Path, kind: str, stamp: tuple[int, ...]) -> pa.Table:
    return tables.read(path, kind)


def by_condition(table: pd.DataFrame) -> pd.DataFrame:
    """Replace model, sft and smoothing by the columns `facet` and `rank`.

    A facet is a model with one SFT set; the rows of the base model are repeated in each
    of its facets, because every SFT set starts from it. The rank orders the conditions:
    it is the smoothing, and `BASE_RANK` for the base model, or `ALONE_RANK` where the
    table holds nothing else.
    """
    untuned = ALONE_RANK if (table["sft"] == BASE).all() else BASE_RANK
    frames = []
    for model, own in table.groupby("model", sort=True):
        sets = sorted(set(own["sft"]) - {BASE}) or [BASE]
        for sft in sets:
            rows = own[own["sft"].isin([BASE, sft])]
            rank = rows["smoothing"].where(rows["sft"] != BASE, untuned)
            frames.append(rows.assign(facet=name_facet(model, sft), rank=rank))
    joined = pd.concat(frames, ignore_index=True)
    return joined.drop(columns=["model", "sft", "smoothing"])


def name_facet(model: str, sft: str) -> str:
    """Return the facet of a model with one SFT set or released checkpoint."""
    return model if sft == BASE else f"{model}{FACET}{sft}"


def label(rank: float) -> str:
    """Return the condition in words: as it is; base; SFT; SFT, smoothing 0.1."""
    if rank < 0:
        return "base" if rank == BASE_RANK else "as it is"
    return "SFT" if rank == 0 else f"SFT, smoothing {number(float(rank))}"


def reference(rank: float, ranks: Iterable[float]) -> float | None:
    """Return the rank of the condition that one is compared with.

    SFT without smoothing is compared with the base model. Smoothing is compared with
    SFT without it, or with the base model where the study has no such SFT. None where
    the study has neither.
    """
    if rank < 0:
        return None
    wanted = [BASE_RANK] if rank == 0 else [0.0, BASE_RANK]
    known = set(ranks)
    return next((other for other in wanted if other in known), None)


def per_language(metrics: pd.DataFrame) -> pd.DataFrame:
    """Average over seeds: a row per facet, rank and language, a column per metric.

    Returns:
        The metrics under their names, and `n_questions`.
    """
    keys = ["facet", "rank", "language"]
    rows = by_condition(metrics)
    means = average(rows, [*keys, "metric"]).unstack("metric").dropna(axis=1, how="all")
    joined = means.join(rows.groupby(keys)["n_questions"].min())
    return joined.rename_axis(columns=None).reset_index()


def per_level(summary: pd.DataFrame, means: pd.DataFrame) -> pd.DataFrame:
    """Return a row per facet, rank and level, with a column per metric.

    Returns:
        The metrics under their names, the ends of their intervals as `low_{metric}` and
        `high_{metric}` where they have one, and `n_seeds` and `n_languages`.
    """
    keys = ["facet", "rank", "level"]
    rows = by_condition(summary)
    values = rows.pivot_table(index=keys, columns="metric", values="value")
    counts = rows.groupby(keys)[["n_seeds", "n_languages"]].max()
    joined = values.join(counts)
    if not means.empty:
        ends = by_condition(means)
        for column, prefix in (("ci_low", "low_"), ("ci_high", "high_")):
            wide = ends.pivot_table(index=keys, columns="metric", values=column)
            joined = joined.join(wide.add_prefix(prefix))
    return joined.rename_axis(columns=None).reset_index()


def per_bin(reliability: pd.DataFrame) -> pd.DataFrame:
    """Pool bins over seeds: n, confidence and accuracy per line and bin.

    Returns:
        The bins with questions, by facet, rank and language; `share` is a bin's share
        of the questions of its line.
    """
    keys = ["facet", "rank", "language"]
    bins = by_condition(reliability).groupby([*keys, "bin", "lo", "hi"])
    bins = bins[["n", "sum_confidence", "sum_correct"]].sum().reset_index()
    return _shares(bins[bins["n"] > 0], keys)


def per_level_bin(reliability: pd.DataFrame) -> pd.DataFrame:
    """Pool bins over the seeds and the languages of a level, and over all languages.

    Returns:
        As `per_bin`, with `level` and `n_languages` in place of the language.
    """
    both = at_levels(per_bin(reliability))
    keys = ["facet", "rank", "level"]
    counts = both.groupby(keys)["language"].nunique().rename("n_languages")
    pooled = both.groupby([*keys, "bin", "lo", "hi"])
    pooled = pooled[["n", "sum_confidence", "sum_correct"]].sum().reset_index()
    return _shares(pooled, keys).join(counts, on=keys)


def _shares(bins: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Add confidence and accuracy of each bin, and its share of its line."""
    return bins.assign(
        confidence=bins["sum_confidence"] / bins["n"],
        accuracy=bins["sum_correct"] / bins["n"],
        share=bins["n"] / bins.groupby(keys)["n"].transform("sum"),
    )


def mark_sure(values: pd.DataFrame, contrasts: pd.DataFrame) -> pd.DataFrame:
    """Add the column `sure`: whether the band of the gap's difference leaves out 0.

    Args:
        values: as `per_language` returns it.
        contrasts: rows of a contrasts table of the same task, scoring and normaliser.
    """
    changes = per_change(contrasts)
    changes = changes[changes["metric"] == "gap"]
    changes = changes[(changes["sim_low"] > 0) | (changes["sim_high"] < 0)]
    keys = ["facet", "rank", "level"]
    sure = set(changes[keys].itertuples(index=False, name=None))
    lines = values[["facet", "rank", "language"]].itertuples(index=False, name=None)
    return values.assign(sure=[line in sure for line in lines])


def per_change(contrasts: pd.DataFrame) -> pd.DataFrame:
    """Return the differences of each condition to its `reference`, by facet and rank.

    Returns:
        The rows with `facet` and `rank`; none of an SFT with smoothing against the
        base model where the study has an SFT without.
    """
    if contrasts.empty:
        return contrasts.assign(facet="", rank=0.0)
    rows = by_condition(contrasts)
    rows = rows[~_is_beside(rows)]
    plain = rows.loc[rows["reference"] == "sft", "facet"].unique()
    to_sft = (rows["rank"] > 0) & rows["facet"].isin(plain)
    return rows[(rows["reference"] == "sft") == to_sft].reset_index(drop=True)


def _is_beside(rows: pd.DataFrame) -> pd.Series:
    return rows["reference"].str.startswith((TO_TASK, TO_MODEL, TO_STAGE), na=False)


def per_side(contrasts: pd.DataFrame) -> pd.DataFrame:
    """Return the differences to another way of asking, base model or earlier stage.

    Returns:
        The rows against another task, model or stage, with `facet` and `rank`.
    """
    if contrasts.empty:
        return contrasts.assign(facet="", rank=0.0)
    rows = by_condition(contrasts)
    return rows[_is_beside(rows)].reset_index(drop=True)


def at_levels(rows: pd.DataFrame) -> pd.DataFrame:
    """Repeat the rows of languages with their `level`, and all of them with `ALL`."""
    levels = {code: language_of(code).level for code in rows["language"].unique()}
    own = rows.assign(level=rows["language"].map(levels))
    both = [own, rows.assign(level=ALL)]
    return pd.concat(both, ignore_index=True)


def language_of(code: str) -> Language:
    """Return the language of a code.

    Raises:
        InputError: polycal's table of languages does not have it.
    """
    known: Mapping[str, Language] = load_languages()
    if code not in known:
        raise InputError(explain_unknown(code))
    return known[code]


def distinct_levels(rows: pd.DataFrame) -> pd.DataFrame:
    """Drop the rows of all languages where all are of one level, which repeat its."""
    is_single = len({*LEVELS} & {*rows["level"]}) == 1
    return rows[rows["level"] != ALL] if is_single else rows


def in_resource_order(codes: Iterable[str]) -> list[str]:
    """Sort languages from high to low level, then by falling Joshi class, then name."""

    def order(code: str) -> tuple[int, int, str]:
        language = language_of(code)
        return LEVELS.index(language.level), -language.joshi_class, language.name

    return sorted(set(codes), key=order)
