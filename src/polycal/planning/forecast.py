"""What a study consists of and costs, before it is run or in the middle of it."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from polycal.models.gpu_types import Gpu
from polycal.planning import costs
from polycal.planning.jobs import Job, list_jobs
from polycal.planning.memory import Misfit, find_misfits
from polycal.planning.scope import UNKNOWN_TOKENS, Scope, measure_scope
from polycal.planning.sizes import BYTES_PER_TOKEN, Questions
from polycal.planning.timings import Timing
from polycal.study import grid
from polycal.study.grid import is_local

# What takes disk space.
MODELS = "downloads: models"
DATA = "downloads: SFT sets and benchmarks"
TABLES = "prepared tables"
EXAMPLES = "tokenised SFT sets"
CANDIDATES = "candidates"
PREDICTIONS = "predictions, and the store of them"


@dataclass(frozen=True)
class Forecast:
    """What a study consists of and costs.

    Attributes:
        jobs: trainings and scoring jobs.
        others: other stages -> addresses of their jobs.
        disk: what is written -> bytes, for the whole study.
        partial: keys of `disk` from which things of unknown size are left out.
        notes: what is not in the numbers, and what will not work; whole sentences.
        misfits: models that are too large for a training on the GPU.
    """

    jobs: list[Job]
    others: dict[str, list[str]]
    disk: dict[str, float]
    partial: set[str]
    notes: list[str]
    misfits: list[Misfit]

    def of(self, stage: str, model: str | None = None) -> list[Job]:
        """The jobs of a stage, and of a model if one is named."""
        return [
            job
            for job in self.jobs
            if job.stage == stage and model in (None, job.model)
        ]

    def hours(self) -> float:
        """Hours of GPUs and CPU cores together, as far as they are known."""
        return sum(job.held or 0 for job in self.jobs) / 3600


def forecast(
    config: Mapping, *, gpu: Gpu, timings: Mapping[str, Timing], resources: Path
) -> Forecast:
    """List a study's jobs and what they cost.

    Args:
        config: a complete study.
        gpu: what jobs run on whose model asks for a GPU.
        timings: what finished jobs took, as `read_timings` gives it.
        resources: folder of prepared models, SFT sets and tasks; it may be absent.

    Raises:
        InputError: a file that tells a size is broken.
    """
    scope = measure_scope(config, gpu=gpu, resources=resources)
    jobs = list_jobs(scope, timings)
    tuned = [run for run in grid.expand_runs(config) if run.sft != grid.BASE]
    others = {
        "tokenize": sorted({f"tokenize/{run.model}/{run.sft}" for run in tuned}),
        "select": [f"select/{run.path}" for run in tuned],
        "measure": [
            f"measure/{run.path}/{task['name']}"
            for run in grid.expand_runs(config)
            for task in config["tasks"]
        ],
    }
    misfits = list(find_misfits(scope))
    notes = [*_name_unknown(scope), *(each.warning for each in misfits)]
    disk = _weigh(scope, jobs)
    return Forecast(jobs, others, disk, _find_partial(scope), notes, misfits)


def _weigh(scope: Scope, jobs: list[Job]) -> dict[str, float]:
    """Bytes on disk of the whole study, as far as sizes are known."""
    recipe = scope.config["recipe"]
    downloads, prepared = _weigh_data(scope)
    models = [each for each in scope.models.values() if each]
    return {
        MODELS: sum(each.stored_bytes * each.parameters for each in models),
        DATA: downloads,
        TABLES: prepared,
        EXAMPLES: _weigh_examples(scope),
        CANDIDATES: sum(
            costs.checkpoint_bytes(size, recipe, on_gpu=job.on_gpu)
            for job in jobs
            if job.stage == "tune" and (size := scope.models[job.model])
        ),
        PREDICTIONS: _weigh_predictions(scope),
    }


def _find_partial(scope: Scope) -> set[str]:
    """Which parts of the disk space leave something out."""
    config = scope.config
    partial = set()
    for each in config["models"]:
        if scope.models[each["name"]] is None:
            partial |= {CANDIDATES} if is_local(each["repo"]) else {CANDIDATES, MODELS}
    for each in config["sft"]:
        if scope.sft[each["name"]] is None:
            partial |= {TABLES, EXAMPLES}
            partial |= set() if is_local(each["repo"]) else {DATA}
    for task in config["tasks"]:
        if scope.unknown_languages(task):
            partial |= {TABLES, PREDICTIONS}
            partial |= set() if is_local(task["repo"]) else {DATA}
    return partial


def _weigh_data(scope: Scope) -> tuple[float, float]:
    """Bytes of the downloads of data, and of the tables made of them."""
    downloads = sum(each.download_bytes for each in scope.sft.values() if each)
    prepared = 0.0
    for examples, tokens in map(scope.examples, scope.sft):
        text = BYTES_PER_TOKEN * tokens * (examples or 0)
        prepared += costs.PREPARED_BYTES * text
    for size in _benchmark_sizes(scope):
        downloads += size.download_bytes
        prepared += size.download_bytes
    return downloads, prepared


def _weigh_examples(scope: Scope) -> float:
    tokens = 0.0
    for model, sft in itertools.product(scope.models, scope.sft):
        examples, length = scope.examples(sft, model)
        cut = min(length, scope.config["recipe"]["max_length"])
        tokens += (examples or 0) * cut
    return costs.EXAMPLE_BYTES * tokens


def _weigh_predictions(scope: Scope) -> float:
    runs, scorings = len(grid.expand_runs(scope.config)), len(scope.config["scoring"])
    options = sum(size.number * size.options for size in _benchmark_sizes(scope))
    return costs.PREDICTION_BYTES * options * scorings * runs


def _benchmark_sizes(scope: Scope) -> Iterator[Questions]:
    """The known ones of every language of every benchmark."""
    for task in scope.config["tasks"]:
        for language in task["languages"]:
            size = scope.questions(task, language)
            if size is not None:
                yield size


def _name_unknown(scope: Scope) -> Iterator[str]:
    config = scope.config
    for each in config["models"]:
        if scope.models[each["name"]] is None:
            yield (
                f"No size is known for the model {each['repo']}: the time and the "
                f"disk space of {each['name']}'s jobs are left out."
            )
    for each in config["sft"]:
        size, (examples, _) = scope.sft[each["name"]], scope.examples(each["name"])
        if size is None and (examples or config["recipe"]["max_steps"]):
            count = f"as {examples:,}" if examples else "by max_steps"
            yield (
                f"No size is known for the SFT set {each['repo']}: its conversations "
                f"are counted {count}, of {UNKNOWN_TOKENS} tokens each."
            )
        elif size is None:
            yield (
                f"No size is known for the SFT set {each['repo']}: the time of its "
                "trainings is left out."
            )
        elif each["filter"] and not size.prepared:
            yield (
                f"The filter of {each['name']} is not counted: nobody knows yet how "
                "many conversations it leaves."
            )
    for task in config["tasks"]:
        unknown = scope.unknown_languages(task)
        if unknown:
            yield (
                f"No size is known for {len(unknown)} languages of the benchmark "
                f"{task['repo']}: the time of scoring jobs with them is left out."
            )
