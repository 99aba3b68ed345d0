"""The trainings and scoring jobs of a study, and how long each takes.

They are those that the workflow makes: the grid names them. A finished job is known by
its timing; the work of finished jobs of a kind replaces the estimate for the others.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from statistics import median

from polycal.planning import costs
from polycal.planning.scope import Scope
from polycal.planning.sizes import Questions
from polycal.planning.timings import Timing, scored_files
from polycal.study import grid


@dataclass(frozen=True)
class Job:
    """One training or one scoring job.

    Attributes:
        stage: tune or score.
        address: of its timing.
        model: short name.
        kind: jobs of a kind take the same time: trainings each, scorings per question.
        units: 1 for a training, the number of languages of a scoring job.
        questions: that it scores; 0 if the number is unknown.
        devices: GPUs that it holds, or 0 if it runs on a CPU core.
        moving: estimated seconds of starting it and moving weights.
        seconds: that it works, took or will take; None if nobody knows. Waiting, and
            what lay in the store, is no work.
        done: whether it has finished.
        samples: finished jobs whose median its time is; 0 if it is estimated.
    """

    stage: str
    address: str
    model: str
    kind: tuple[str, ...]
    units: int
    questions: int
    devices: int
    moving: float
    seconds: float | None
    done: bool = False
    samples: int = 0

    @property
    def on_gpu(self) -> bool:
        """Whether it holds GPUs and not a CPU core."""
        return self.devices > 0

    @property
    def held(self) -> float | None:
        """Seconds of all its GPUs together, or of its CPU core; None if unknown."""
        return None if self.seconds is None else self.seconds * max(1, self.devices)


def list_jobs(scope: Scope, timings: Mapping[str, Timing]) -> list[Job]:
    """The trainings and scoring jobs of a study.

    Args:
        scope: the study.
        timings: what finished jobs took, as `read_timings` gives it.
    """
    scorings = len(scope.config["scoring"])
    jobs = [*_trainings(scope), *_scorings(scope, timings)]
    return _use_timings(jobs, timings, scorings)


def _trainings(scope: Scope) -> Iterator[Job]:
    config = scope.config
    conditions = dict.fromkeys(  # seeds share their candidates
        (run.model, run.sft, run.smoothing)
        for run in grid.expand_runs(config)
        if run.sft != grid.BASE
    )
    for model, sft, smoothing in conditions:
        moving, computing = _estimate_training(scope, model, sft)
        for path in grid.candidate_paths(config, model, sft, smoothing):
            yield Job(
                stage="tune",
                address=f"tune/{path}",
                model=model,
                kind=("tune", model, sft),
                units=1,
                questions=0,
                devices=_count_devices(scope, model),
                moving=moving,
                seconds=None if computing is None else moving + computing,
            )


def _estimate_training(
    scope: Scope, model: str, sft: str
) -> tuple[float, float | None]:
    """Seconds of moving weights and of computing; None where nobody knows."""
    size, gpu, recipe = scope.models[model], scope.gpu_of(model), scope.config["recipe"]
    if size is None:
        return costs.loading_seconds(0), None
    moved = costs.checkpoint_bytes(size, recipe, on_gpu=gpu is not None)
    moved += costs.weight_bytes("auto", gpu is not None) * size.parameters
    moving = costs.loading_seconds(moved)
    examples, tokens = scope.examples(sft, model)
    if examples is None and not recipe["max_steps"]:
        return moving, None
    flop = costs.training_flop(size, recipe, examples or 0, tokens)
    computing = costs.seconds(flop, gpu, costs.TRAINING_MFU)
    # Its GPUs share what is computed, and wait together for what is read and written.
    return moving, computing / max(1, _count_devices(scope, model))


def _count_devices(scope: Scope, model: str) -> int:
    """GPUs that a training of a model holds on all its nodes."""
    return grid.count_gpus(grid.entry(scope.config["models"], model))


def _scorings(scope: Scope, timings: Mapping[str, Timing]) -> Iterator[Job]:
    config = scope.config
    for run in grid.expand_runs(config):
        for task in config["tasks"]:
            existing = scored_files(timings, run.path, task["name"])
            per_job = config["languages_per_job"]
            for name in grid.batch_languages(task["languages"], existing, per_job):
                languages = name.split("+")
                sizes = [scope.questions(task, each, run.model) for each in languages]
                known = None not in sizes
                moving, computing = _estimate_scoring(scope, run.model, task, sizes)
                yield Job(
                    stage="score",
                    address=f"score/{run.path}/{task['name']}/{name}",
                    model=run.model,
                    kind=("score", run.model, task["name"]),
                    units=len(languages),
                    questions=sum(each.number for each in sizes) if known else 0,
                    # On one node, and one after the other: layers are divided.
                    devices=grid.entry(config["models"], run.model)["gpus"],
                    moving=moving,
                    seconds=None if computing is None else moving + computing,
                )


def _estimate_scoring(
    scope: Scope, model: str, task: Mapping, sizes: list[Questions | None]
) -> tuple[float, float | None]:
    """Seconds of moving weights and of computing; None where nobody knows."""
    size, gpu = scope.models[model], scope.gpu_of(model)
    if size is None:
        return costs.loading_seconds(0), None
    loaded = costs.weight_bytes("auto", gpu is not None) * size.parameters
    moving = costs.loading_seconds(loaded)
    if None in sizes:
        return moving, None
    scorings = scope.config["scoring"]
    one = partial(costs.scoring_flop, size, scorings=scorings, shots=task["shots"])
    return moving, costs.seconds(sum(map(one, sizes)), gpu, costs.SCORING_MFU)


def _use_timings(
    jobs: list[Job], timings: Mapping[str, Timing], scorings: int
) -> list[Job]:
    """Mark what has finished, and measure the rest by it where the kind is known.

    Args:
        jobs: with estimated seconds.
        timings: what finished jobs took.
        scorings: how often each question is scored.
    """
    measured: dict[tuple, list[Timing]] = {}
    for job in jobs:
        taken = timings.get(job.address)
        if taken and (job.stage == "tune" or taken.questions):
            measured.setdefault(job.kind, []).append(taken)
    known = []
    for job in jobs:
        taken, seconds = timings.get(job.address), job.seconds
        samples = measured.get(job.kind, [])
        if job.stage == "score" and not job.questions:
            samples = []
        if taken:
            seconds = _work(job, taken)
        elif job.stage == "tune" and samples:
            seconds = median(_work(job, each) for each in samples)
        elif samples:
            per_question = median(each.scoring / each.questions for each in samples)
            seconds = median(each.loading for each in samples)
            seconds += per_question * job.questions * scorings
        done = taken is not None
        known.append(replace(job, done=done, samples=len(samples), seconds=seconds))
    return known


def _work(job: Job, taken: Timing) -> float:
    """Seconds that a finished job worked, as far as that is known.

    What a training took beside its steps is starting and moving weights. Where it is
    more than estimated, the job has waited; where it is negative, the job went on with
    an interrupted one, whose start nobody has timed.
    """
    if taken.training is None:
        return taken.seconds
    rest = taken.seconds - taken.training
    return taken.training + (rest if 0 < rest < job.moving else job.moving)
