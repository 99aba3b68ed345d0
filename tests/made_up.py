"""A small study of made-up answers, which polycal itself measures and compares.

Only the answers are made up. They differ between languages, levels, conditions and
scorings, so that a test sees when two of these are swapped. `by_hand` gives the numbers
that polycal has to find, in plain NumPy.
"""

import functools
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import numpy as np
import pyarrow as pa

from polycal.comparing.aggregate import aggregate
from polycal.comparing.analyses import analyse
from polycal.comparing.contrasts import contrast
from polycal.comparing.runs import list_runs
from polycal.measuring.measure import measure
from polycal.preparing.checks import check_task
from polycal.storage import tables
from polycal.study.grid import BASE
from polycal.study.languages import load_languages

N = 60  # questions of a task
CODES = ("en", "de", "he", "sw", "yo")  # high, high, mid, low, low
LEVELS = {"high": CODES[:2], "mid": CODES[2:3], "low": CODES[3:], "all": CODES}
CONDITIONS = {  # SFT set and smoothing of each condition
    "base": (BASE, 0.0),
    "SFT": ("alpaca-en", 0.0),
    "SFT, smoothing 0.1": ("alpaca-en", 0.1),
}
TWO_TASKS = {"global_mmlu": CODES, "mmlu_prox": ("en", "zu")}
MARGIN = 0.03  # differences below it do not matter
KINDS = ("summary", "metrics", "reliability", "contrasts", "claims", "runs")
KINDS += ("decompositions", "doses", "fronts")
_OPTIONS = {"mmlu_prox": 10}  # 4 elsewhere
_KNOWN = {"high": 1.7, "mid": 1.1, "low": 0.5}  # added to the right option's score
_FOLDER = tempfile.TemporaryDirectory()


class Run(NamedTuple):
    """A run as tables name it."""

    model: str = "miniature"
    sft: str = "alpaca-en"
    smoothing: float = 0.0
    seed: int = 0


class Shift(NamedTuple):
    """The effect of SFT on confidence, and of smoothing, which takes it away again."""

    rise: float = 0.2
    relief: float = 0.1


class How(NamedTuple):
    """How the runs of a study answer and are measured, as in `make_study`."""

    scorings: tuple[str, ...]
    normalisers: tuple[str, ...]
    left_out: int
    shift: Shift


def make_study(
    folder: Path,
    *,
    tasks: Mapping[str, Sequence[str]] | None = None,
    models: Sequence[str] = ("miniature",),
    sft: Sequence[str] = ("alpaca-en",),
    smoothing: Sequence[float] = (0.0, 0.1),
    seeds: Sequence[int] = (0,),
    scorings: Sequence[str] = ("text",),
    normalisers: Sequence[str] = ("sum", "token"),
    left_out: int = 0,
    **shift: float,
) -> dict[str, Path]:
    """Write the tables of a study and return their paths by kind.

    The same study is measured once per process and copied from then on.

    Args:
        folder: to write into; the checks are `{task}.json` in it.
        tasks: the languages of each benchmark; default: one benchmark, `CODES`.
        models: short names.
        sft: short names; none gives a study of base models only.
        smoothing: label-smoothing values; from 0.2 on the learning rate is another.
        seeds: of the training.
        scorings: letters, text or both.
        normalisers: of the scores of texts.
        left_out: questions that the last language of each benchmark lacks.
        shift: fields of `Shift`.
    """
    asked = tuple((name, tuple(codes)) for name, codes in (tasks or {}).items())
    asked = asked or (("global_mmlu", CODES),)
    runs = []
    for model in models:
        runs.append(Run(model, BASE))
        tuned = [
            (name, value, seed) for name in sft for value in smoothing for seed in seeds
        ]
        runs += [Run(model, *each) for each in tuned]
    how = How(tuple(sorted(scorings)), tuple(normalisers), left_out, Shift(**shift))
    made = _compare(tuple(runs), asked, how)
    shutil.copytree(made, folder, dirs_exist_ok=True)
    return {kind: folder / f"{kind}.parquet" for kind in KINDS}


def make_answers(
    run: Run, task: str, language: str, scoring: str, shift: Shift
) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores [N, K] of all options, nats per token, and the right ones [N].

    Runs share what makes a question hard.
    """
    k = _OPTIONS.get(task, 4)
    noise = _generator(task, language, scoring)
    known = _KNOWN[load_languages()[language].level] + noise.uniform(-0.3, 0.3)
    sharpness = noise.uniform(0.8, 1.2)
    scores, gold = noise.normal(size=(N, k)), noise.integers(k, size=N)
    own = _generator(*run, task, language, scoring)
    scores = scores + 0.1 * own.normal(size=(N, k))
    if run.sft != BASE:
        known += 0.5 if language == "en" else own.uniform(-0.2, 0.2)
        relief = shift.relief * np.sqrt(run.smoothing / 0.1)
        sharpness *= np.exp(4 * (shift.rise - relief))
    scores[np.arange(N), gold] += known
    return sharpness * scores, gold


def answer_by_hand(
    sft: str,
    smoothing: float,
    language: str,
    *,
    model: str = "miniature",
    seed: int = 0,
    task: str = "global_mmlu",
    scoring: str = "text",
    **shift: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return confidence, correctness and probability of the right option, each [N]."""
    run = Run(model, sft, smoothing, seed)
    scores, gold = make_answers(run, task, language, scoring, Shift(**shift))
    exponentials = np.exp(scores)
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    right = probabilities.argmax(axis=1) == gold
    return probabilities.max(axis=1), right, probabilities[np.arange(N), gold]


def by_hand(
    sft: str, smoothing: float, language: str, **others: object
) -> dict[str, float]:
    """Return accuracy, confidence, gap, ECE and NLL of a run in a language."""
    confidence, right, of_gold = answer_by_hand(sft, smoothing, language, **others)
    bins = np.minimum((confidence * 15).astype(int), 14)
    sums = [(confidence - right)[bins == index].sum() for index in range(15)]
    return {
        "accuracy": right.mean(),
        "confidence": confidence.mean(),
        "gap": confidence.mean() - right.mean(),
        "ece": np.abs(sums).sum() / N,
        "nll": -np.log(of_gold).mean(),
    }


def mean_by_hand(
    sft: str, smoothing: float, languages: Sequence[str], metric: str, **others: object
) -> float:
    """Return the mean of a metric over languages."""
    codes = [languages] if isinstance(languages, str) else languages
    return np.mean([by_hand(sft, smoothing, c, **others)[metric] for c in codes])


def _generator(*key: object) -> np.random.Generator:
    return np.random.default_rng(crc32(repr(key).encode()))


def new_folder() -> Path:
    """Return an empty folder that goes with the process."""
    return Path(tempfile.mkdtemp(dir=_FOLDER.name))


@functools.cache
def _check(task: str, languages: tuple, left_out: int) -> tuple[Path, dict[str, str]]:
    """Write and check questions; return the check and the digests of the tables."""
    folder, origin = new_folder(), {}
    for language in languages:
        missing = left_out if language == languages[-1] else 0
        k = _OPTIONS.get(task, 4)
        rows = [
            {
                **{"task": task, "language": language, "split": "test"},
                **{"question_id": str(i), "gold": i % k, "lead_in": "Answer:"},
                **{"question": f"Question {i}?", "options": [*map(str, range(k))]},
            }
            for i in range(missing, N)
        ]
        table = pa.Table.from_pylist(rows, tables.SCHEMAS["questions"])
        tables.write(table, folder / f"{language}.parquet", "questions")
        origin[language] = tables.digest(table)
    paths = [folder / f"{language}.parquet" for language in languages]
    check_task(questions=paths, policy="intersection", out=folder / "check.json")
    return folder / "check.json", origin


@functools.cache
def _measure(run: Run, task: str, languages: tuple, how: How) -> dict[str, Path]:
    """Write a run's predictions and measure them."""
    check, origin = _check(task, languages, how.left_out)
    rows = [
        row
        for language in languages
        for scoring in how.scorings
        for row in _predict(run, task, language, scoring, how.shift)
    ]
    folder = new_folder()
    table = pa.Table.from_pylist(rows, tables.SCHEMAS["predictions"])
    tables.write(table, folder / "p.parquet", "predictions", questions=origin)
    kinds = ("metrics", "reliability", "replicates")
    paths = {kind: folder / f"{kind}.parquet" for kind in kinds}
    measure(
        predictions=[folder / "p.parquet"],
        check=check,
        n_replicates=20,
        seed=0,
        confidence=0.95,
        normalisers=how.normalisers,
        **paths,
    )
    return paths


def _predict(
    run: Run, task: str, language: str, scoring: str, shift: Shift
) -> Iterator[dict[str, object]]:
    """Yield the predictions of a language under one scoring."""
    scores, gold = make_answers(run, task, language, scoring, shift)
    more = _generator(language).uniform(0.6, 3) if language != "en" else 0
    scores = scores - scores.max(axis=1, keepdims=True)  # log-likelihoods are below 0
    for i, own in enumerate(scores):
        if scoring == "letters":
            n_tokens, mass = np.ones(len(own), int), -0.4 - more / 10
            logprobs = own - np.log(np.exp(own).sum()) + mass
        else:
            n_tokens, mass = (
                1 + np.arange(len(own)) % 3 + int(more + i * 0.618 % 1),
                None,
            )
            logprobs = own * n_tokens
        yield {
            **run._asdict(),
            **{"task": task, "language": language, "scoring": scoring},
            **{"question_id": str(i), "subject": "a", "category": "b"},
            **{"gold": gold[i], "log_mass": mass, "truncated": False},
            **{"logprobs": logprobs, "n_tokens": n_tokens, "n_bytes": 3 * n_tokens},
        }


@functools.cache
def _compare(runs: tuple, tasks: tuple, how: How) -> Path:
    """Write all tables of a study into a new folder."""
    measured = [
        _measure(run, task, codes, how) for run in runs for task, codes in tasks
    ]
    folder = new_folder()
    aggregate(
        metrics=[paths["metrics"] for paths in measured],
        reliability=[paths["reliability"] for paths in measured],
        keep=[f"{task}={'+'.join(codes)}" for task, codes in tasks],
        out=folder,
    )
    shared = {
        "metrics": folder / "metrics.parquet",
        "replicates": [paths["replicates"] for paths in measured],
        "confidence": 0.95,
        "out": folder,
    }
    contrast(**shared, margin=MARGIN)
    analyse(**shared)
    list_runs(
        models=[Path(run.model) for run in runs if run.sft == BASE],
        runs=[_select(run) for run in runs if run.sft != BASE],
        out=folder / "runs.parquet",
    )
    for task, codes in tasks:
        shutil.copy(_check(task, codes, how.left_out)[0], folder / f"{task}.json")
    return folder


def _select(run: Run) -> Path:
    """Write how a run was selected among two learning rates."""
    folder = new_folder()
    rates = (1e-3, 2e-3) if run.smoothing < 0.2 else (2e-3, 1e-3)
    losses = zip(rates, (1.7 - run.smoothing / 10, 1.9), strict=True)
    candidates = [{"lr": lr, "seed": run.seed, "nll": nll} for lr, nll in losses]
    selection = {"lr": rates[0], "candidates": candidates}
    recipe = {**run._asdict(), "lr": rates[0], "epochs": 6.0, "method": "full"}
    (folder / "selection.json").write_text(json.dumps(selection))
    (folder / "recipe.json").write_text(json.dumps(recipe))
    return folder
