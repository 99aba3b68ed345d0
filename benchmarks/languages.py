"""Time of `polycal score` for all languages of the embedded study's base model.

    python benchmarks/languages.py [--before DIRECTORY] [--rounds 1]

Makes the embedded study's data and model (after one step of training: what the weights
are does not change the time), prepares the 42 languages of `global_mmlu` and the 29 of
`mmlu_prox`, and scores each task in one process, both scorings, an empty store, as the
study's jobs do. With `--before`, the sources of another checkout score the same
files in turn; its prediction tables must have the same rows, and the largest difference
of a log-probability is printed. Seconds are of the wall and of the processor, start-up
included; the rest is what the last line of every job's log says of its start-up.
"""

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml

from polycal.preparing.tasks import prepare_task
from polycal.storage import tables

HOME = Path(__file__).resolve().parents[1]
SCORINGS = ("letters", "text")


def polycal(*arguments: object, checkout: Path = HOME) -> str:
    """Run one verb with the sources of a checkout; what it logs."""
    done = subprocess.run(
        [sys.executable, "-m", "polycal", *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(checkout / "src")},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stderr


def make_study(folder: Path) -> dict[str, list[Path]]:
    """The model below `folder`, and every task's questions tables."""
    raw = {name: folder / name for name in ("raw", "sft", "global_mmlu", "mmlu_prox")}
    polycal(
        *("make_miniature", "--model", raw["raw"]),
        *("--sft", raw["sft"], "--global-mmlu", raw["global_mmlu"]),
        *("--mmlu-prox", raw["mmlu_prox"]),
    )
    polycal(
        *("prepare_model", "--repo", raw["raw"], "--model", "miniature"),
        *("--out", folder / "model"),
    )
    questions: dict[str, list[Path]] = {}
    for task in yaml.safe_load((HOME / "config.yaml").read_text())["tasks"]:
        own = questions.setdefault(task["name"], [])
        for language in task["languages"]:
            own.append(folder / "questions" / task["name"] / f"{language}.parquet")
            prepare_task(
                repo=str(raw[task["name"]]),
                revision=None,
                format=task["format"],
                task=task["name"],
                language=language,
                name=None,
                out=own[-1],
            )
    return questions


def time_score(
    folder: Path, questions: list[Path], checkout: Path
) -> tuple[float, float, str, Path]:
    """Wall seconds, processor seconds, the start-up's log line, the table."""
    out = Path(tempfile.mkdtemp(dir=folder)) / "out.parquet"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    log = polycal(
        *("score", "--checkpoint", folder / "model", "--questions", *questions),
        *("--scoring", *SCORINGS, "--model", "miniature", "--sft", "none"),
        *("--smoothing", 0, "--seed", 0),
        *("--store", out.parent / "store", "--out", out),
        checkout=checkout,
    )
    wall = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    (started,) = re.findall(r"start-up took .*? s\b[^:]*", log)
    return wall, used, started, out


def largest_difference(one: Path, other: Path) -> float:
    """Nats, over all options of all rows."""
    columns = [
        np.concatenate(tables.read(each, "predictions")["logprobs"].to_pylist())
        for each in (one, other)
    ]
    return float(abs(columns[0] - columns[1]).max())


def main() -> None:
    """Print one line per task, round and checkout."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, help="another checkout of polycal")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    checkouts = {"before": options.before, "now": HOME}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tasks = make_study(folder)
        for _ in range(options.rounds):
            for task, questions in tasks.items():
                made = []
                for which, checkout in checkouts.items():
                    if checkout is None:
                        continue
                    wall, used, started, out = time_score(folder, questions, checkout)
                    made.append(out)
                    print(
                        f"{task}, {len(questions)} languages, {which}: {wall:.1f} s, "
                        f"{used:.1f} s of the processor; {started}",
                        flush=True,
                    )
                if len(made) == 2:
                    print(f"largest difference {largest_difference(*made):.1e} nats")


if __name__ == "__main__":
    main()
