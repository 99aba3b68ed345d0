"""A study's tables with made-up numbers: real Parquet, no model behind it."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from zlib import crc32

import numpy as np
import pandas as pd
import pyarrow as pa

from polycal.comparing.aggregate import summarise
from polycal.comparing.fronts import pareto_front
from polycal.storage import tables
from polycal.study.grid import BASE
from polycal.study.languages import ALL, load_languages
from polycal.study.scorings import HEADLINE, NORMALISERS

BINS = 15
_CHANCE = {"mmlu_prox": 0.1}  # 0.25 elsewhere
_ACCURACY = {"high": 0.45, "mid": 0.36, "low": 0.27}


def make_study(
    folder: Path,
    *,
    tasks: dict[str, Sequence[str]] | None = None,
    models: Sequence[str] = ("miniature",),
    sft: Sequence[str] = ("alpaca-en",),
    smoothing: Sequence[float] = (0.0, 0.1),
    seeds: Sequence[int] = (0,),
    scorings: Sequence[str] = ("text", "letters"),
    rise: float = 0.2,
    relief: float = 0.1,
) -> dict[str, Path]:
    """Write the tables of a study and return their paths by kind.

    Args:
        folder: where to write.
        tasks: the languages of each benchmark.
        models: short names.
        sft: short names; none gives a study of base models only.
        smoothing: the label-smoothing values.
        seeds: of the training.
        scorings: in the order in which they appear in the tables.
        rise: what SFT adds to the confidence.
        relief: what each smoothing takes away again.
    """
    tasks = tasks or {"global_mmlu": ("en", "de", "he", "sw", "yo")}
    metrics, bins = [], []
    for run in _runs(models, sft, smoothing, seeds):
        moved = 0.0 if run[1] == BASE else rise - relief * (run[2] > 0)
        for task, languages in tasks.items():
            for language in languages:
                for scoring in scorings:
                    for normaliser in ("sum",) if scoring == "letters" else NORMALISERS:
                        key = [*run, task, language, scoring, normaliser, "none"]
                        held = _make_bins(key, moved)
                        bins += [[*key, *row] for row in held.to_numpy()]
                        values = _measure(held, key)
                        metrics += [[*key, *each] for each in values.items()]
                        if normaliser == HEADLINE[scoring]:
                            metrics += _make_temperatures(key, values["gap"])
    frame = _complete_metrics(metrics)
    changes = make_contrasts(frame)
    held = {
        "metrics": pa.Table.from_pandas(frame),
        "reliability": pa.Table.from_pandas(_frame(bins, "reliability")),
        "summary": summarise(frame),
        "contrasts": changes,
        **make_analyses(frame, changes),
        "claims": make_claims(changes),
        "runs": pa.Table.from_pylist(
            [_make_run(*run) for run in _runs(models, sft, smoothing, seeds)],
            tables.SCHEMAS["runs"],
        ),
    }
    paths = {kind: folder / f"{kind}.parquet" for kind in held}
    for kind, table in held.items():
        tables.write(table, paths[kind], kind, confidence=0.95)
    return paths


def make_checks(folder: Path, tasks: Iterable[str], *, left_out: int = 0) -> list[Path]:
    """What `check_task` writes, with some of 300 questions missing in one language."""
    paths = []
    for task in tasks:
        gone = [str(number) for number in range(left_out)]
        facts = {
            "kind": "check",
            "task": task,
            "policy": "intersection",
            "n_all": 300,
            "n_common": 300 - left_out,
            "test": {
                "missing": [{"languages": ["sw"], "questions": gone}],
                "differing": [],
            },
        }
        paths.append(folder / f"{task}.json")
        paths[-1].write_text(json.dumps(facts))
    return paths


def _runs(models, sft, smoothing, seeds) -> Iterator[tuple]:
    for model in models:
        yield model, BASE, 0.0, 0
        for name in sft:
            for value in smoothing:
                yield from ((model, name, value, seed) for seed in seeds)


def _make_run(model: str, name: str, smoothing: float, seed: int) -> dict:
    """Smoothing from 0.2 on is selected at another rate than the rest."""
    run = {"model": model, "sft": name, "smoothing": smoothing, "seed": seed}
    if name == BASE:
        return run | {"n_candidates": 0}
    rate, recipe = 1e-3 if smoothing < 0.2 else 2e-3, {"epochs": 6.0, "method": "full"}
    selected = {"lr": rate, "validation_nll": 1.7 - smoothing / 10, "n_candidates": 2}
    return run | selected | {"recipe": json.dumps(recipe)}


BAND, ENDS = 0.05, 0.02  # half widths of made-up bands and intervals
MARGIN = 0.03  # differences below it do not matter


def _judge(estimate: float) -> str:
    """The verdict of an interval of made-up width."""
    if abs(estimate) > ENDS:
        return "increase" if estimate > 0 else "decrease"
    return "equivalent" if abs(estimate) + ENDS < MARGIN else "inconclusive"


def make_contrasts(metrics: pd.DataFrame) -> pa.Table:
    """Differences of made-up metrics, all with the same made-up uncertainty."""
    metrics = metrics[metrics["metric"].isin(["accuracy", "confidence", "gap", "ece"])]
    way = ["task", "language", "scoring", "normaliser", "calibrator", "metric"]
    means = metrics.groupby(["model", "sft", "smoothing", *way])["value"].mean()
    rows = []
    for (model, sft, smoothing), after in means.groupby(level=[0, 1, 2]):
        starts = {"base": (model, BASE, 0.0), "sft": (model, sft, 0.0)}
        if sft == BASE:
            continue
        for reference, start in starts.items():
            if start == (model, sft, smoothing) or start not in means.index.droplevel(
                way
            ):
                continue
            change = (after.droplevel([0, 1, 2]) - means.loc[start]).rename("estimate")
            change = change.reset_index().rename(columns={"language": "level"})
            languages = load_languages()
            levels = change.assign(level=[languages[c].level for c in change["level"]])
            whole = pd.concat([levels, change.assign(level="all")])
            keys = ["task", "level", "scoring", "normaliser", "calibrator", "metric"]
            whole = whole.groupby(keys)["estimate"].agg(["mean", "count"]).reset_index()
            whole = whole.rename(columns={"mean": "estimate", "count": "n_languages"})
            change = change.assign(
                sim_low=change["estimate"] - BAND,
                sim_high=change["estimate"] + BAND,
                n_languages=1,
            )
            place = {"model": model, "sft": sft, "smoothing": smoothing}
            place |= {"reference": reference, "n_seeds": 1}
            both = pd.concat([whole, change]).assign(**place)
            both["ci_low"] = both["estimate"] - ENDS
            both["ci_high"] = both["estimate"] + ENDS
            both["margin"] = MARGIN
            both["verdict"] = [_judge(each) for each in both["estimate"]]
            rows.append(both)
    names = tables.SCHEMAS["contrasts"].names
    found = pd.concat(rows) if rows else pd.DataFrame()
    found = found.reindex(columns=names)
    schema = tables.SCHEMAS["contrasts"]
    return pa.Table.from_pandas(found, schema, preserve_index=False)


def make_analyses(metrics: pd.DataFrame, contrasts: pa.Table) -> dict[str, pa.Table]:
    """What figures need of `polycal analyse`: numbers from the means of languages."""
    changes = contrasts.to_pandas()
    changes = changes[changes["metric"].isin(["accuracy", "confidence", "ece"])]
    way = [*changes.columns[:4], "task", "level", *_HOW]
    wide = changes.pivot_table(index=way, columns="metric", values="estimate")
    if len(wide):
        wide["accuracy"] *= -1
        wide["cancellation"] = wide["ece"] - wide["accuracy"] - wide["confidence"]
        wide = wide.drop(columns="ece")
    parts = wide.rename_axis(columns="part").stack().rename("estimate").reset_index()
    levels = metrics["language"].map(lambda code: load_languages()[code].level)
    held = pd.concat([metrics.assign(level=levels), metrics.assign(level=ALL)])
    held = held[held["metric"].isin(["accuracy", "ece", "gap", "nll"])]
    keys = ["model", "sft", "smoothing", "task", "level", *_HOW]
    means = held.groupby([*keys, "metric"])["value"].mean().reset_index()
    curves = []
    for key, own in means[means["sft"] != BASE].groupby(
        ["model", "sft", "task", "level", *_HOW, "metric"]
    ):
        best = own["smoothing"].iloc[own["value"].argmin()]
        lists = [list(own["smoothing"]), list(own["value"]), list(own["value"])]
        curves.append([*key, *lists, 1.0, *[None] * 3, *[best] * 3, lists[0]])
    points = means.pivot_table(index=keys, columns="metric", values="value")
    warm = points.reset_index().assign(calibrator="ts_own")
    points = pd.concat([points.reset_index(), warm.assign(ece=warm["ece"] / 2)])
    place = [key for key in keys if key not in ("sft", "smoothing", "calibrator")]
    points["front"] = False
    points = points.reset_index(drop=True)
    for _, own in points.groupby(place):
        points.loc[own.index, "front"] = pareto_front(own["accuracy"], own["ece"])
    schema = tables.SCHEMAS["doses"]
    frames = {
        "decompositions": parts,
        "doses": pd.DataFrame(curves, columns=schema.names),
        "fronts": points,
    }
    return {
        kind: pa.Table.from_pandas(
            frame.reindex(columns=tables.SCHEMAS[kind].names),
            tables.SCHEMAS[kind],
            preserve_index=False,
        )
        for kind, frame in frames.items()
    }


_HOW = ["scoring", "normaliser", "calibrator"]


def make_claims(contrasts: pa.Table) -> pa.Table:
    """One claim, which holds where the made-up confidence rises."""
    held = tables.where(
        contrasts, reference="base", smoothing=0.0, level="all", metric="confidence"
    ).to_pandas()
    held = held.assign(claim="confidence", statement="SFT raises confidence.")
    held["verdict"] = ["holds" if each > 0 else "fails" for each in held["ci_low"]]
    schema = tables.SCHEMAS["claims"]
    held = held.reindex(columns=schema.names)
    return pa.Table.from_pandas(held, schema, preserve_index=False)


def _make_bins(key: list, moved: float) -> pd.DataFrame:
    """Questions around a mean confidence, equally over-confident everywhere."""
    noise = np.random.default_rng(crc32(repr(key).encode()))
    accuracy = _ACCURACY[load_languages()[key[5]].level]
    accuracy += noise.normal(0, 0.02) + (0.1 if moved and key[5] == "en" else 0)
    confidence = accuracy + noise.normal(0.03, 0.04) + moved
    edges = np.linspace(0, 1, BINS + 1)
    centres = (edges[:-1] + edges[1:]) / 2
    n = np.round(300 * np.exp(-(((centres - confidence) / 0.18) ** 2)) * BINS / 40)
    right = np.clip(centres - (confidence - accuracy) + noise.normal(0, 0.05), 0, 1)
    columns = {"bin": range(BINS), "lo": edges[:-1], "hi": edges[1:], "n": n}
    sums = {"sum_confidence": n * centres, "sum_correct": n * right}
    return pd.DataFrame(columns | sums)


def _measure(bins: pd.DataFrame, key: list) -> dict[str, float]:
    n = bins["n"].sum()
    accuracy, confidence = (
        bins["sum_correct"].sum() / n,
        bins["sum_confidence"].sum() / n,
    )
    gaps = (bins["sum_confidence"] - bins["sum_correct"]) / bins["n"].where(
        bins["n"] > 0
    )
    ece = float((gaps.abs() * bins["n"]).sum() / n)
    values = {
        "accuracy": accuracy,
        "confidence": confidence,
        "gap": confidence - accuracy,
        "ece": ece,
        "rms_ce": float(np.sqrt((gaps**2 * bins["n"]).sum() / n)),
        "brier": 1 - accuracy + ece**2,
        "nll": 1.2 + ece,
        "chance": _CHANCE.get(key[4], 0.25),
    }
    for percent in range(10, 100, 10):  # the accuracy falls towards that of all
        values[f"accuracy_at_{percent}"] = (
            accuracy + (1 - accuracy) * (1 - percent / 100) / 2
        )
    if key[6] == "letters":
        return values | {"log_mass": -0.7 + ece}
    return values | {"token_premium": 1.0 + 0.7 * (key[5] != "en") + accuracy}


def _make_temperatures(key: list, gap: float) -> list[list]:
    """Higher with the gap; that of all languages is the same everywhere."""
    fitted = {"ts_own": float(np.exp(3 * gap)), "ts_pool": 1.5, "ts_en": 1.4}
    rows = fitted.items()
    return [[*key[:-1], name, "temperature", value] for name, value in rows]


def _complete_metrics(rows: list) -> pd.DataFrame:
    """All questions, without intervals."""
    names = [*tables.SCHEMAS["reliability"].names[:9], "metric", "value"]
    frame = pd.DataFrame(rows, columns=names).assign(subset="all", n_questions=300)
    return frame.reindex(columns=tables.SCHEMAS["metrics"].names)


def _frame(rows: list, kind: str) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=tables.SCHEMAS[kind].names)
