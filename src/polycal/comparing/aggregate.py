"""The tables of a whole study, and its summary by resource level."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from polycal.comparing.averages import average
from polycal.comparing.conditions import at_levels
from polycal.comparing.runs import check_checkpoint, find_checkpoints, list_origins
from polycal.errors import InputError
from polycal.measuring.predictions import ASKED, COUNTED
from polycal.storage import tables
from polycal.study.grid import BASE
from polycal.study.languages import ALL, LEVELS
from polycal.study.layout import RUN_TAIL, number
from polycal.verb import verb

_CONDITION = ["model", "sft", "smoothing", "task", "scoring", "normaliser"]
_CONDITION += ["calibrator", "subset", "metric"]
_BY_CHECKPOINT = ("opens_answer", *COUNTED)
_RUN = ["model", "sft", "smoothing", "seed", "task"]


@verb(makes="{out}/metrics.parquet")
def aggregate(
    *,
    metrics: Sequence[Path],
    reliability: Sequence[Path],
    keep: Sequence[str],
    runs: Sequence[str] = (),
    lacking: Sequence[str] = (),
    checkpoints: Path | None = None,
    out: Path,
) -> None:
    """Write the study's metrics, reliability and summary tables, as Parquet and CSV.

    Rows are sorted, so the tables do not depend on the order of the files.

    Args:
        metrics: metrics tables of runs and tasks.
        reliability: reliability tables of the same runs and tasks.
        keep: TASK=de+fr for each task: its languages; others are left out.
        runs: MODEL/SFT/ls-SMOOTHING/seed-SEED of each run that has to be there, and
            no other; by default whatever the tables hold.
        lacking: MODEL/SFT/ls-SMOOTHING/seed-SEED/TASK of each run that is not measured
            on a task, in a study that is not finished; any other gap is refused.
        checkpoints: the study's runs table; what was measured from another checkpoint
            than it names is refused.
        out: directory to write into.

    Raises:
        InputError: a table is broken, a row is there twice, a run lacks a language,
            the runs are not those of `runs`, they were not asked in the same way, or
            a table is of another checkpoint.
    """
    heads = _read_heads(metrics, "metrics")
    if checkpoints:
        known = find_checkpoints(tables.read(checkpoints, "runs"))
        for path, row in [*heads, *_read_heads(reliability, "reliability")]:
            if row:
                check_checkpoint(path, row, known)
    kept = dict(map(_split_kept, keep))
    gathered = {
        "metrics": _gather(metrics, "metrics", kept),
        "reliability": _gather(reliability, "reliability", kept),
    }
    for kind, table in gathered.items():
        _check_complete(table, kind, kept, set(lacking))
        if runs:
            _check_runs(table, kind, set(runs))
    gathered["summary"] = summarise(gathered["metrics"].to_pandas())
    facts = {"asked": _read_asked(heads), "checkpoints": list_origins(heads)}
    for kind, table in gathered.items():
        tables.write_study(table, out, kind, **facts)


def _read_heads(paths: Iterable[Path], kind: str) -> list[tuple[Path, dict[str, Any]]]:
    """Return the first row of each table, {} of an empty one; it checks the file."""
    return [(path, tables.read_first(path, kind) or {}) for path in paths]


def _read_asked(heads: Iterable[tuple[Path, Mapping]]) -> dict[str, dict[str, Any]]:
    """Return how each task was asked, and the dtypes in which it was scored.

    By checkpoint (MODEL, or MODEL/SFT): whether the lead-in begins the assistant's turn
    of chat prompts, and how many options and questions are `COUNTED`, if any.
    """
    asked: dict[str, dict[str, Any]] = {}
    for path, row in heads:
        facts = tables.read_metadata(path)
        own = {name: facts.get(name) for name in ASKED}
        first = asked.setdefault(
            facts.get("task") or "",
            {**own, "dtype": set(), **{name: {} for name in _BY_CHECKPOINT}},
        )
        for name in ASKED:
            if own[name] != first[name]:
                raise InputError(
                    f"{path} has {name} {own[name]}, other runs have {first[name]}; "
                    "score and measure it again"
                )
        first["dtype"] |= set(facts.get("dtype", ()))
        checkpoint = row.get("model", "")
        if row.get("sft", BASE) != BASE:
            checkpoint += f"/{row['sft']}"
        if opens := facts.get("opens_answer"):
            known = first["opens_answer"]
            known[checkpoint] = all(opens) and known.get(checkpoint, True)
        for name in COUNTED:
            if n := facts.get(name):
                first[name][checkpoint] = max(n, first[name].get(checkpoint, 0))
    return {
        task: {**own, "dtype": sorted(own["dtype"])}
        for task, own in asked.items()
        if task
    }


def _split_kept(text: str) -> tuple[str, list[str]]:
    task, equals, languages = text.partition("=")
    if not equals:
        raise InputError(f"--keep takes TASK=de+fr, not {text}")
    return task, languages.split("+")


def _gather(
    paths: Iterable[Path], kind: str, keep: Mapping[str, Iterable[str]]
) -> pa.Table:
    """Return all rows of the languages to keep, in a fixed order."""
    table = tables.read_many(paths, kind)
    kept = [f"{task} {code}" for task, codes in keep.items() for code in codes]
    asked = pc.binary_join_element_wise(table["task"], table["language"], " ")
    table = table.filter(pc.is_in(asked, pa.array(kept)))
    last = ["subset", "metric"] if kind == "metrics" else ["bin"]
    identity = [*_RUN, "language", "scoring", "normaliser", "calibrator", *last]
    table = table.sort_by([(name, "ascending") for name in identity])
    if table.select(identity).group_by(identity).aggregate([]).num_rows < len(table):
        raise InputError(f"some {kind} are there twice; give each file once")
    return table


def _check_complete(
    table: pa.Table, kind: str, keep: Mapping[str, Iterable[str]], lacking: set[str]
) -> None:
    """Check that every run has every language of every task, under every scoring.

    Not under every normaliser: some need a parallel question in English.

    Args:
        table: of the study.
        kind: of the table.
        keep: task -> its languages.
        lacking: run/task that has to be absent.
    """
    columns = [*_RUN[:-1], "scoring", "task", "language"]
    rows = table.select(columns).group_by(columns).aggregate([]).to_pylist()
    present = {
        (_spell_run(row), row["scoring"], row["task"], row["language"]) for row in rows
    }
    runs = sorted({row[0] for row in present})
    scorings = sorted({row[1] for row in present})
    asked = [(task, code) for task, codes in keep.items() for code in codes]
    for run, scoring, (task, code) in itertools.product(runs, scorings, asked):
        is_there = (run, scoring, task, code) in present
        cell = f"{code} of {task} ({scoring}) for the run {run}"
        if is_there and f"{run}/{task}" in lacking:
            raise InputError(f"the {kind} hold {cell}, which is said to be lacking")
        if not is_there and f"{run}/{task}" not in lacking:
            raise InputError(f"the {kind} lack {cell}; measure its predictions too")


def _spell_run(row: Mapping) -> str:
    return RUN_TAIL.format_map({**row, "smoothing": number(row["smoothing"])})


def _check_runs(table: pa.Table, kind: str, asked: set[str]) -> None:
    """Check that a table is about the runs of a study, all of them and no other."""
    columns = _RUN[:-1]
    rows = table.select(columns).group_by(columns).aggregate([]).to_pylist()
    present = set(map(_spell_run, rows))
    for run in sorted(present - asked):
        raise InputError(
            f"the {kind} hold the run {run}, which is not of this study; find its file "
            f"in the folder {kind}, delete it and run again"
        )
    for run in sorted(asked - present):
        raise InputError(f"the {kind} lack the run {run}; measure its predictions too")


def summarise(metrics: pd.DataFrame) -> pa.Table:
    """Average every metric of every condition over the languages of a resource level.

    Each language's mean over seeds has the same weight; `average` says what a mean is.
    The standard deviation is that of the seeds' means over languages.

    Returns:
        A summary table with the levels high, mid, low and all, where they have a
        language. `n_censored` counts the languages whose temperature ended at a limit
        of its fit in some seed, so that the mean is a bound only.
    """
    both = at_levels(metrics)
    keys = [*_CONDITION, "level"]
    by_language = average(both, [*keys, "language"]).reset_index()
    by_seed = average(both, [*keys, "seed"]).reset_index()
    summary = (
        average(by_language, keys)
        .to_frame()
        .join(by_language.groupby(keys)["value"].agg(n_languages="count"))
        .join(by_seed.groupby(keys)["value"].agg(sd_seeds="std", n_seeds="count"))
        .reset_index()
    )
    order = {level: position for position, level in enumerate((*LEVELS, ALL))}
    summary = summary.sort_values(
        keys, key=lambda column: column.map(order) if column.name == "level" else column
    )
    summary["sd_seeds"] = summary["sd_seeds"].replace({np.nan: None})
    summary["n_censored"] = _count_censored(both, summary)
    return pa.Table.from_pandas(summary, preserve_index=False)


def _count_censored(metrics: pd.DataFrame, summary: pd.DataFrame) -> pd.Series:
    """Return the censored languages of each row about temperatures; else null."""
    keys = [name for name in (*_CONDITION, "level") if name != "metric"]
    rows = metrics[(metrics["metric"] == "censored") & (metrics["value"] > 0)]
    counts = rows.groupby(keys)["language"].nunique().rename("n_censored")
    found = summary[keys].join(counts, on=keys)["n_censored"].fillna(0)
    return found.where(summary["metric"] == "temperature").astype("Int32")
