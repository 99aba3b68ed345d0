"""Time and peak memory from predictions to the study's tables, contrasts and analyses.

    python benchmarks/aggregate.py            # 4 runs x 4 + 2 languages x 500 questions
    python benchmarks/aggregate.py --full     # 40 x (42 + 29) x 14 042: 40 M rows
    python benchmarks/aggregate.py --like results/  # 168 runs with a study's readings

Synthetic predictions of two tasks and one scoring are written first, which is not
counted. Each stage runs in a process of its own, as in the workflow, whose peak memory
is told. With --like nothing is measured: what a finished study has measured of a base
model on a task becomes that of 6 models x (1 + 3 SFT sets x 3 smoothing values x 3
seeds), so the tables have all languages, scorings and readings of a real study.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from polycal.storage import tables
from polycal.storage.provenance import digest_facts
from polycal.study.languages import load_languages

SIZES = {"runs": 4, "questions": 500, "languages": {"a": 4, "b": 2}}
FULL = {"runs": 40, "questions": 14_042, "languages": {"a": 42, "b": 29}}
SMOOTHING = (0.0, 0.1, 0.2)


def make_runs(n: int) -> list[dict[str, object]]:
    """A base model and SFT sets with each smoothing: n runs of one model."""
    runs = [{"model": "m", "sft": "none", "smoothing": 0.0, "seed": 0}]
    for number in range(n - 1):
        sft, place = divmod(number, len(SMOOTHING))
        smoothing = SMOOTHING[place]
        runs.append({"model": "m", "sft": f"s{sft}", "smoothing": smoothing, "seed": 0})
    return runs


def save_predictions(
    path: Path, run: dict, task: str, codes: list[str], n: int
) -> None:
    """One file of all languages of a run, one row group a language."""
    hard = np.random.default_rng(0).normal(size=(n, 4)) * 2  # shared by all runs
    names = [f"subject/test/{number}" for number in range(n)]
    lists = pa.array(np.arange(0, 4 * n + 1, 4), pa.int32())
    ones = pa.ListArray.from_arrays(lists, pa.array(np.ones(4 * n, np.int32)))
    with tables.writing(path, "predictions") as writer:
        for number, language in enumerate(codes):
            noise = np.random.default_rng([number, run["sft"] != "none"])
            scores = hard * (1 + run["smoothing"]) + noise.normal(size=(n, 4)) - 20
            columns = {
                "question_id": names,
                "subject": ["subject"] * n,
                "category": ["category"] * n,
                "culture": pa.nulls(n, pa.string()),
                "gold": pa.array(hard.argmax(axis=1), pa.int8()),
                "logprobs": pa.ListArray.from_arrays(
                    lists, pa.array(scores.ravel().astype(np.float32))
                ),
                "n_tokens": ones,
                "n_bytes": ones,
                "log_mass": pa.array(np.full(n, -0.5, np.float32)),
                "truncated": np.zeros(n, bool),
            }
            place = {"task": task, "language": language, "scoring": "letters"}
            writer.add(tables.same(pa.table(columns), **run, **place))
        writer.facts["questions"] = dict.fromkeys(codes, "a file")


def call(*words: object) -> tuple[float, float]:
    """Seconds and peak GiB of one verb in a process of its own."""
    command = [sys.executable, "-m", "polycal", *map(str, words)]
    begin = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"failed: {' '.join(command)}")
    return time.perf_counter() - begin, usage.ru_maxrss / 2**20


def measure_all(folder: Path, runs: list[dict], codes: dict, n: int) -> dict:
    """All jobs, one after the other; {stage: (seconds, GiB)}."""
    kinds = ("metrics", "reliability", "replicates")
    files: dict[str, list[Path]] = {kind: [] for kind in kinds}
    found = []
    for task, held in codes.items():
        check = {"kind": "check", "task": task, "policy": "own", "digest": None}
        check |= {"languages": {code: {"questions": "a file"} for code in held}}
        check |= {"test": {"missing": [], "differing": []}}
        (folder / "check.json").write_text(
            json.dumps(check | {"content": digest_facts(check)})
        )
        for number, run in enumerate(runs):
            predictions = folder / "p.parquet"
            save_predictions(predictions, run, task, held, n)
            flags = ["--predictions", predictions, "--check", folder / "check.json"]
            flags += ["--n-replicates", 1000, "--seed", 0, "--confidence", 0.95]
            for kind in kinds:
                files[kind].append(folder / f"{kind}-{task}-{number}.parquet")
                flags += [f"--{kind}", files[kind][-1]]
            found.append(call("measure", *flags))
            predictions.unlink()
    spent, peaks = zip(*found, strict=True)
    stages = {f"measure, {len(found)} jobs": (sum(spent), max(peaks))}
    return stages | gather_all(folder, files, codes)


def gather_all(folder: Path, files: dict[str, list[Path]], codes: dict) -> dict:
    """The stages of a whole study, from the files of its runs."""
    stages = {}
    keep = [f"{task}={'+'.join(held)}" for task, held in codes.items()]
    stages["aggregate"] = call(
        *("aggregate", "--metrics", *files["metrics"]),
        *("--reliability", *files["reliability"], "--keep", *keep, "--out", folder),
    )
    paired = ("--metrics", folder / "metrics.parquet")
    paired += ("--replicates", *files["replicates"], "--confidence", 0.95)
    paired += ("--out", folder)
    stages["contrast"] = call("contrast", *paired, "--margin", 0.01)
    stages["analyse"] = call("analyse", *paired)
    stored = sum(path.stat().st_size for path in files["replicates"])
    print(f"replicates on disk: {stored / 2**20:.0f} MiB")
    return stages


def copy_runs(results: Path, folder: Path) -> tuple[dict, dict]:
    """What a study has measured, under the names of many runs; and its languages."""
    (model, *_) = (results / "metrics").iterdir()
    (source, *_) = (model / "none/ls-0/seed-0").glob("[!.]*.parquet")
    runs = [
        {"model": f"m{model}", "sft": sft, "smoothing": smoothing, "seed": seed}
        for model in range(6)
        for sft in ("none", "s0", "s1", "s2")
        for smoothing in (SMOOTHING if sft != "none" else (0.0,))
        for seed in (range(3) if sft != "none" else (0,))
    ]
    files: dict[str, list[Path]] = {}
    for kind in ("metrics", "reliability", "replicates"):
        path = results / kind / source.relative_to(results / "metrics")
        table = tables.read(path, kind)
        codes = {source.stem: sorted(table["language"].unique().to_pylist())}
        for number, run in enumerate(runs):
            files.setdefault(kind, []).append(folder / f"{kind}-{number}.parquet")
            renamed = tables.same(table.drop_columns(list(run)), **run)
            tables.write(renamed, files[kind][-1], kind)
    print(f"{len(runs)} runs x {len(codes[source.stem])} languages")
    return files, codes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="40 million rows")
    parser.add_argument("--runs", type=int, help="instead of 4, or 40 with --full")
    parser.add_argument("--like", type=Path, help="results of a finished study")
    options = parser.parse_args()
    if options.like:
        with tempfile.TemporaryDirectory() as folder:
            files, codes = copy_runs(options.like, Path(folder))
            show(gather_all(Path(folder), files, codes))
        return
    sizes = FULL if options.full else SIZES
    runs = make_runs(options.runs or sizes["runs"])
    known = sorted(load_languages())
    codes = {task: known[:n] for task, n in sizes["languages"].items()}
    languages = sum(len(held) for held in codes.values())
    rows = len(runs) * languages * sizes["questions"]
    print(
        f"{len(runs)} runs x {languages} languages x {sizes['questions']} questions = "
        f"{rows / 1e6:.2f} M rows"
    )
    with tempfile.TemporaryDirectory() as folder:
        show(measure_all(Path(folder), runs, codes, sizes["questions"]))


def show(stages: dict[str, tuple[float, float]]) -> None:
    """Seconds and peak memory of each stage."""
    for name, (seconds, peak) in stages.items():
        print(f"{name:20} {seconds:8.1f} s   peak {peak:6.2f} GiB")


if __name__ == "__main__":
    main()
