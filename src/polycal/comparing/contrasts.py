"""What SFT changes, and what smoothing changes of it: paired differences.

Differences between conditions on the same questions, per language and averaged over
languages, from metrics and replicates that exist; nothing is measured again.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from polycal.comparing.claims import judge
from polycal.comparing.effects import Effect, describe
from polycal.comparing.paired import Run, index_runs
from polycal.comparing.vocabularies import TO_OTHERS, TO_SFT, compare_models, tells
from polycal.errors import InputError
from polycal.storage import tables
from polycal.study.grid import BASE
from polycal.study.languages import ALL
from polycal.verb import verb

TO_BASE = "base"  # what a condition is compared with, or TO_SFT
_BIASED = ("ece",)  # upwards, by up to what a calibrated model would show
_WAY = ["scoring", "normaliser", "calibrator", "metric"]


class Measured(NamedTuple):
    """One metric of one run, read in one way.

    Attributes:
        languages: L codes, sorted.
        values: [L] as observed.
        bias: [L] by which they may be too large; 0 for most metrics.
        replicates: [R, L].
    """

    languages: list[str]
    values: np.ndarray
    bias: np.ndarray
    replicates: np.ndarray


class Comparison(NamedTuple):
    """A condition and what it is compared with.

    Attributes:
        reference: `TO_BASE` or `TO_SFT`.
        pairs: (before, after) for each seed.
    """

    reference: str
    pairs: list[tuple[Run, Run]]


@verb(makes="{out}/contrasts.parquet")
def contrast(
    *,
    metrics: Path,
    replicates: list[Path],
    runs: Path | None = None,
    margin: float,
    confidence: float,
    out: Path,
) -> None:
    """Write the study's contrasts and claims, as Parquet and CSV.

    Args:
        metrics: the study's metrics table.
        replicates: replicates tables, one for each run and task.
        runs: the study's runs table, which tells the models' vocabularies; without
            it, nothing is said about those.
        margin: fractions that differ by less are equivalent.
        confidence: of intervals, bands and verdicts, such as 0.95.
        out: the directory to write into.

    Raises:
        InputError: a table is broken, a run's replicates are there twice, or the
            tables are not about the same runs and languages.
    """
    values = _by_run(tables.read(metrics, "metrics"))
    sure = {"margin": margin, "confidence": confidence}
    frames, of_models = [], []
    for comparisons, files in _families(index_runs(replicates)):
        held = {run: _load(path, values.get(run)) for run, path in files.items()}
        for each in comparisons:
            for effect in _effects(each, held):
                frames.append(describe(effect, **sure))
                of_models += [effect] if tells(effect) else []
    sizes = _vocabularies(runs) if runs else {}
    frames += [describe(each, **sure) for each in compare_models(of_models, sizes)]
    names = tables.SCHEMAS["contrasts"].names
    found = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    found, claims = judge(found.reindex(columns=names), alpha=1 - confidence)
    found = found[found["reference"] != TO_OTHERS]
    for kind, frame in (("contrasts", found), ("claims", claims)):
        schema = tables.SCHEMAS[kind]
        frame = frame.reindex(columns=schema.names)
        table = pa.Table.from_pandas(frame, schema, preserve_index=False)
        tables.write_study(table, out, kind, confidence=confidence)


def _vocabularies(runs: Path) -> dict[str, int]:
    """The vocabulary of each model that tells it."""
    rows = tables.read(runs, "runs").select(["model", "vocabulary"]).to_pylist()
    return {row["model"]: row["vocabulary"] for row in rows if row["vocabulary"]}


def _by_run(metrics: pa.Table) -> dict[Run, pd.DataFrame]:
    """The values of each run over all questions."""
    frame = tables.where(metrics, subset=ALL).to_pandas()
    kept = [*_WAY, "language", "value", "null_mean"]
    groups = frame.groupby(list(Run._fields))
    return {Run(*key): own[kept] for key, own in groups}


def _families(
    files: Mapping[Run, Path],
) -> Iterator[tuple[list[Comparison], dict[Run, Path]]]:
    """What is compared within each task, model and SFT set, and the files for it."""
    sets = {(run.task, run.model, run.sft) for run in files if run.sft != BASE}
    for task, model, sft in sorted(sets):
        base = [r for r in files if (r.task, r.model, r.sft) == (task, model, BASE)]
        tuned: dict[float, dict[int, Run]] = {}
        for run in sorted(files):
            if (run.task, run.model, run.sft) == (task, model, sft):
                tuned.setdefault(run.smoothing, {})[run.seed] = run
        comparisons = []
        for smoothing, seeds in tuned.items():
            plain = tuned.get(0, {}) if smoothing else {}
            pairs = [(one, run) for run in seeds.values() for one in base]
            comparisons.append(Comparison(TO_BASE, pairs))
            pairs = [(plain[s], run) for s, run in seeds.items() if s in plain]
            comparisons.append(Comparison(TO_SFT, pairs))
        comparisons = [each for each in comparisons if each.pairs]
        used = {run for each in comparisons for pair in each.pairs for run in pair}
        yield comparisons, {run: files[run] for run in sorted(used)}


def _load(path: Path, values: pd.DataFrame | None) -> dict[tuple[str, ...], Measured]:
    """One run by scoring, normaliser, calibrator and metric.

    Raises:
        InputError: the metrics table does not have these languages of the run.
    """
    table = tables.where(tables.read(path, "replicates"), subset=ALL)
    table = table.sort_by([(name, "ascending") for name in [*_WAY, "language"]])
    drawn = table["values"].combine_chunks().flatten().to_numpy()
    drawn = drawn.reshape(len(table), -1)
    keys = table.select([*_WAY, "language"]).to_pandas()
    if values is not None:
        keys = keys.merge(values, how="left")
    if values is None or keys["value"].isna().any():
        raise InputError(
            f"the metrics table lacks what {path} is about; run `polycal aggregate` "
            "on the files that were measured with it"
        )
    return {
        way: Measured(
            own["language"].tolist(),
            own["value"].to_numpy(),
            own["null_mean"].to_numpy() if way[-1] in _BIASED else np.zeros(len(own)),
            drawn[own.index].T.astype(np.float64),
        )
        for way, own in keys.groupby(_WAY)
    }


def _effects(
    comparison: Comparison, held: Mapping[Run, Mapping[tuple[str, ...], Measured]]
) -> Iterator[Effect]:
    """One condition against its reference, for each way of reading.

    Raises:
        InputError: the two were measured on other languages.
    """
    pairs = [(held[before], held[after]) for before, after in comparison.pairs]
    one = comparison.pairs[0][1]
    place = {"model": one.model, "sft": one.sft, "smoothing": one.smoothing}
    place |= {"reference": comparison.reference, "task": one.task}
    for way, first in pairs[0][1].items():
        if any(
            side.get(way, first).languages != first.languages
            for pair in pairs
            for side in pair
        ):
            raise InputError(
                f"the runs of {one.model}/{one.sft} on {one.task} are of different "
                "languages; measure them again"
            )
        if not all(way in side for pair in pairs for side in pair):
            continue
        drawn = sum(b[way].replicates - a[way].replicates for a, b in pairs)
        bias = [np.mean([pair[k][way].bias for pair in pairs], axis=0) for k in (0, 1)]
        yield Effect(
            place | dict(zip(_WAY, way, strict=True)),
            first.languages,
            np.stack([b[way].values - a[way].values for a, b in pairs]),
            drawn / len(pairs),
            np.array(bias),
        )
