"""The trainings and scoring jobs of a study, and how long each takes.

They are those that the workflow makes: the grid names them. A finished job is known by
its timing; what finished jobs of a kind took replaces the estimate for the others.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from statistics import median

from polycal import grid
from polycal.planning import costs
from polycal.planning.scope import Scope
from polycal.planning.sizes import Questions
from polycal.planning.timings import scored_files


@dataclass(frozen=True)
class Job:
    """One training or one scoring job.

    Attributes:
        stage: tune or score.
        address: of its timing.
        model: short name.
        kind: jobs of a kind take the same time per unit.
        units: 1 for a training, the number of languages of a scoring job.
        questions: that it scores.
        devices: GPUs that it holds, or 0 if it runs on a CPU core.
        seconds: what it took or will take; None if nobody knows.
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


def list_jobs(scope: Scope, timings: Mapping[str, float]) -> list[Job]:
    """The trainings and scoring jobs of a study.

    Args:
        scope: the study.
        timings: what finished jobs took, as `read_timings` gives it.
    """
    return _use_timings([*_trainings(scope), *_scorings(scope, timings)], timings)


def _trainings(scope: Scope) -> Iterator[Job]:
    config = scope.config
    conditions = dict.fromkeys(  # seeds share their candidates
        (run.model, run.sft, run.smoothing)
        for run in grid.expand_runs(config)
        if run.sft != grid.BASE
    )
    for model, sft, smoothing in conditions:
        taken = _estimate_training(scope, model, sft)
        for path in grid.candidate_paths(config, model, sft, smoothing):
            yield Job(
                stage="tune",
                address=f"tune/{path}",
                model=model,
                kind=("tune", model, sft),
                units=1,
                questions=0,
                devices=_count_devices(scope, model),
                seconds=taken,
            )


def _estimate_training(scope: Scope, model: str, sft: str) -> float | None:
    size, gpu, recipe = scope.models[model], scope.gpu_of(model), scope.config["recipe"]
    examples, tokens = scope.examples(sft, model)
    if size is None or (examples is None and not recipe["max_steps"]):
        return None
    flop = costs.training_flop(size, recipe, examples or 0, tokens)
    moved = costs.checkpoint_bytes(size, recipe, on_gpu=gpu is not None)
    moved += costs.weight_bytes("auto", gpu is not None) * size.parameters
    computing = costs.seconds(flop, gpu, costs.TRAINING_MFU)
    # Its GPUs share what is computed, and wait together for what is read and written.
    shared = computing / max(1, _count_devices(scope, model))
    return shared + costs.loading_seconds(moved)


def _count_devices(scope: Scope, model: str) -> int:
    """GPUs that a training of a model holds on all its nodes."""
    return grid.count_gpus(grid.entry(scope.config["models"], model))


def _scorings(scope: Scope, timings: Mapping[str, float]) -> Iterator[Job]:
    config = scope.config
    for run in grid.expand_runs(config):
        for task in config["tasks"]:
            existing = scored_files(timings, run.path, task["name"])
            per_job = config["languages_per_job"]
            for name in grid.batch_languages(task["languages"], existing, per_job):
                languages = name.split("+")
                sizes = [scope.questions(task, each, run.model) for each in languages]
                yield Job(
                    stage="score",
                    address=f"score/{run.path}/{task['name']}/{name}",
                    model=run.model,
                    kind=("score", run.model, task["name"]),
                    units=len(languages),
                    questions=sum(each.number for each in sizes if each),
                    # On one node, and one after the other: layers are divided.
                    devices=grid.entry(config["models"], run.model)["gpus"],
                    seconds=_estimate_scoring(scope, run.model, task, sizes),
                )


def _estimate_scoring(
    scope: Scope, model: str, task: Mapping, sizes: list[Questions | None]
) -> float | None:
    size, gpu = scope.models[model], scope.gpu_of(model)
    if size is None or None in sizes:
        return None
    scorings = scope.config["scoring"]
    one = partial(costs.scoring_flop, size, scorings=scorings, shots=task["shots"])
    loaded = costs.weight_bytes("auto", gpu is not None) * size.parameters
    flop = sum(map(one, sizes))
    return costs.seconds(flop, gpu, costs.SCORING_MFU) + costs.loading_seconds(loaded)


def _use_timings(jobs: list[Job], timings: Mapping[str, float]) -> list[Job]:
    """Mark what has finished, and measure the rest by it where the kind is known."""
    measured: dict[tuple, list[float]] = {}
    for job in jobs:
        if job.address in timings:
            per_unit = timings[job.address] / job.units
            measured.setdefault(job.kind, []).append(per_unit)
    known = []
    for job in jobs:
        found = measured.get(job.kind, [])
        seconds = median(found) * job.units if found else job.seconds
        done = job.address in timings
        if done:
            seconds = timings[job.address]
        known.append(replace(job, done=done, samples=len(found), seconds=seconds))
    return known
