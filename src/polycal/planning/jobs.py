"""Trainings and scoring jobs of a study, and how long each takes.

The grid names the jobs, as it does for the workflow. A finished job is known by its
timing; the median of finished jobs of a kind replaces the estimate for the others.
"""

import csv
import itertools
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import NamedTuple

from polycal.errors import InputError
from polycal.planning import costs
from polycal.planning.sizes import SizedStudy
from polycal.storage import tables
from polycal.study import grid, layout

_FRESH = 60  # seconds in which a timing without a row is one that is being written


class Timing(NamedTuple):
    """What one finished job took, in seconds."""

    seconds: float  # wall clock, waiting included; mean if the job was run repeatedly
    training: float | None = None  # steps of a training; None if it has no log
    questions: int = 0  # scored, each once per scoring; 0 if all were in the store
    scoring: float = 0.0  # spent on scoring them
    loading: float = 0.0  # spent on loading the model


@dataclass(frozen=True)
class Job:
    """One training or one scoring job."""

    stage: str  # tune or score
    address: str  # of its timing
    model: str  # short name
    kind: tuple[str, ...]  # shared by jobs of the same time, scorings per question
    devices: int  # GPUs that it holds; 0: it runs on a CPU core
    overhead: float  # estimated seconds of start-up and of moving weights
    seconds: float | None  # of work, without waiting; None if unknown
    languages: int = 0  # of a scoring job
    questions: int = 0  # of a scoring job; 0 if unknown
    done: bool = False
    samples: int = 0  # finished jobs whose median `seconds` is; 0: estimated

    @property
    def unit(self) -> str:
        """What its hours are called."""
        return "GPU-hours" if self.devices else "core-hours"

    @property
    def device_seconds(self) -> float | None:
        """Seconds of all its GPUs together, or of its CPU core; None if unknown."""
        return None if self.seconds is None else self.seconds * max(1, self.devices)


def read_timings(results: Path) -> dict[str, Timing]:
    """Read what every finished job took.

    Args:
        results: the folder that the workflow writes into; it may be absent. Tables in
            its folder `timings` have a row per time that the job was run, and its
            seconds in the column `s`.

    Returns:
        Address below `timings`, without suffix -> timing.

    Raises:
        InputError: a file holds no time, or is no training log; the message names it.
    """
    folder = layout.below(results, layout.TIMINGS)
    timings = {}
    for path in sorted(folder.rglob("*.tsv")):
        address = path.relative_to(folder).as_posix().removesuffix(".tsv")
        try:
            with path.open(encoding="utf-8", newline="") as lines:
                rows = list(csv.DictReader(lines, delimiter="\t"))
            seconds_old = time.time() - path.stat().st_mtime
        except FileNotFoundError:  # the job is run again
            continue
        if not rows and seconds_old < _FRESH:
            continue
        training = _read_training(results, address)
        try:
            last = rows[-1]
            timings[address] = Timing(
                sum(float(row["s"]) for row in rows) / len(rows),
                training,
                questions=int(last.get("questions", 0)),
                scoring=float(last.get("scoring", 0)),
                loading=float(last.get("loading", 0)),
            )
        except (IndexError, KeyError, TypeError, ValueError):
            raise InputError(
                f"{path} holds no seconds (column `s`); delete it"
            ) from None
    return timings


def _read_training(results: Path, address: str) -> float | None:
    """Return the seconds of a training's steps, interrupted ones included."""
    stage, _, tail = address.partition("/")
    log = layout.below(results, layout.CANDIDATES) / tail / "training_log.parquet"
    if stage != "tune":
        return None
    try:
        rows = tables.read(log, "training_log")
    except FileNotFoundError:
        return None
    steps = tables.where(rows, split="train").to_pylist()
    try:
        return sum(step["tokens"] / step["tokens_per_second"] for step in steps)
    except (TypeError, ZeroDivisionError):
        raise InputError(f"{log} holds a line without a speed; delete it") from None


def list_jobs(study: SizedStudy, timings: Mapping[str, Timing]) -> list[Job]:
    """Return the trainings and scoring jobs of a study."""
    jobs = [*_list_trainings(study), *_list_scorings(study, timings)]
    finished = defaultdict(list)
    for job in jobs:
        timing = timings.get(job.address)
        if timing and (job.stage == "tune" or timing.questions):
            finished[job.kind].append(timing)
    scorings = len(study.config["scoring"])
    return [
        _apply_timings(job, timings.get(job.address), finished[job.kind], scorings)
        for job in jobs
    ]


def _list_trainings(study: SizedStudy) -> Iterator[Job]:
    config, recipe = study.config, study.config["recipe"]
    conditions = dict.fromkeys(  # seeds share their candidates
        (run.model, run.sft, run.smoothing) for run in grid.expand_trained(config)
    )
    for model, sft, smoothing in conditions:
        size, gpu = study.models[model], study.gpu_of(model)
        gpus = grid.count_gpus(grid.entry(config["models"], model))
        moved, flop = 0, None
        if size:
            moved = costs.weight_bytes("auto", gpu is not None) * size.parameters
            moved += costs.checkpoint_bytes(size, recipe, on_gpu=gpu is not None)
            examples, tokens = study.examples(sft)
            if examples is not None or recipe["max_steps"]:
                flop = costs.training_flop(size, recipe, examples or 0, tokens)
        overhead, seconds = costs.job_seconds(
            moved, flop, gpu, costs.TRAINING_MFU, gpus
        )
        for path in grid.candidate_paths(config, model, sft, smoothing):
            yield Job(
                stage="tune",
                address=f"tune/{path}",
                model=model,
                kind=("tune", model, sft),
                devices=gpus,
                overhead=overhead,
                seconds=seconds,
            )


def _list_scorings(study: SizedStudy, timings: Mapping[str, Timing]) -> Iterator[Job]:
    config = study.config
    dtype = config["scoring_dtype"]
    for run, task in itertools.product(grid.expand_runs(config), config["tasks"]):
        size, gpu = study.size_of(run), study.gpu_of(run.model)
        moved = 0
        if size:
            moved = costs.weight_bytes(dtype, gpu is not None) * size.parameters
        folder = f"score/{run.path}/{task['name']}/"
        finished = (name for name in timings if name.startswith(folder))
        existing = [name.removeprefix(folder) for name in finished]
        per_job = config["languages_per_job"]
        room = grid.count_room(vars(run), task["name"])
        for name in grid.batch_languages(task["languages"], existing, per_job, room):
            languages = name.split("+")
            found = [study.questions(task, code, run.model) for code in languages]
            sizes = [one for one in found if one is not None]
            known, flop = len(sizes) == len(found), None
            if size and known:
                flop = sum(
                    costs.scoring_flop(size, one, config["scoring"], task)
                    for one in sizes
                )
            # A job holds the GPUs of one node. They share the layers and work one after
            # the other, so that its time is not divided by their number.
            overhead, seconds = costs.job_seconds(moved, flop, gpu, costs.SCORING_MFU)
            yield Job(
                stage="score",
                address=folder + name,
                model=run.model,
                kind=("score", run.model, task["name"]),
                devices=grid.entry(config["models"], run.model)["gpus"],
                overhead=overhead,
                seconds=seconds,
                languages=len(languages),
                questions=sum(one.number for one in sizes) if known else 0,
            )


def _apply_timings(
    job: Job, own: Timing | None, finished: Sequence[Timing], scorings: int
) -> Job:
    """Return a job with measured seconds, where it or its kind has finished."""
    if job.stage == "score" and not job.questions:
        finished = []
    seconds = job.seconds
    if own:
        seconds = _measure_work(job, own)
    elif finished and job.stage == "tune":
        seconds = median(_measure_work(job, timing) for timing in finished)
    elif finished:
        per_question = median(one.scoring / one.questions for one in finished)
        seconds = median(one.loading for one in finished)
        seconds += per_question * job.questions * scorings
    return replace(job, done=bool(own), samples=len(finished), seconds=seconds)


def _measure_work(job: Job, timing: Timing) -> float:
    """Return the seconds that a finished job worked.

    A training's wall clock beside its steps is overhead. Where it exceeds the estimate,
    the job has waited; where it is negative, the job continued an interrupted one,
    whose start was not timed. Both count as the estimate.
    """
    if timing.training is None:
        return timing.seconds
    rest = timing.seconds - timing.training
    return timing.training + (rest if 0 < rest < job.overhead else job.overhead)
