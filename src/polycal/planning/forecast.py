"""What a study needs in all, and what is unknown of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from polycal.planning import costs
from polycal.planning.costs import find_misfits, find_unscorable
from polycal.planning.data_sizes import BYTES_PER_TOKEN
from polycal.planning.jobs import Job, Timing, list_jobs
from polycal.planning.sizes import UNKNOWN_TOKENS, SizedStudy
from polycal.study import grid


@dataclass(frozen=True)
class Forecast:
    """What a study consists of and costs."""

    jobs: list[Job]  # trainings and scoring jobs
    addresses: dict[str, list[str]]  # stage -> its jobs, the other stages' too
    disk: dict[str, float]  # kind of file -> known bytes, for the whole study
    partial: set[str]  # kinds of file of which something of unknown size is left out
    notes: list[str]  # what is unknown, and what will not work; whole sentences

    def of(self, stage: str, model: str | None = None) -> list[Job]:
        """Return the jobs of a stage, and of one model if it is named."""
        jobs = [job for job in self.jobs if job.stage == stage]
        return [job for job in jobs if model in (None, job.model)]


def forecast(study: SizedStudy, timings: Mapping[str, Timing]) -> Forecast:
    """List a study's jobs and what they cost."""
    jobs = list_jobs(study, timings)
    runs = grid.expand_runs(study.config)
    trained = grid.expand_trained(study.config)
    addresses = {
        "tokenize": sorted({f"tokenize/{run.model}/{run.sft}" for run in trained}),
        "tune": [job.address for job in jobs if job.stage == "tune"],
        "select": [f"select/{run.path}" for run in trained],
        "score": [job.address for job in jobs if job.stage == "score"],
        "measure": [
            f"measure/{run.path}/{task['name']}"
            for run in runs
            for task in study.config["tasks"]
        ],
    }
    disk, partial = _sum_disk(study, jobs)
    notes = [*_name_unknown(study), *find_misfits(study), *find_unscorable(study)]
    return Forecast(jobs, addresses, disk, partial, notes)


def _sum_disk(study: SizedStudy, jobs: list[Job]) -> tuple[dict[str, float], set[str]]:
    """Return the known bytes by kind of file, and the kinds that are not complete."""
    config, recipe = study.config, study.config["recipe"]
    models = "downloads: models"
    data = "downloads: SFT sets and benchmarks"
    prepared = "prepared tables"
    tokenised = "tokenised SFT sets"
    candidates = "candidates"
    predictions = "predictions, and the store of them"
    kinds = (models, data, prepared, tokenised, candidates, predictions)
    disk, partial = dict.fromkeys(kinds, 0.0), set()

    def add(kind: str, size: float, *, known: bool) -> None:
        disk[kind] += size
        if not known:
            partial.add(kind)

    for entry in config["models"]:
        name, model = entry["name"], study.models[entry["name"]]
        stored = model.stored_bytes * model.parameters if model else 0
        add(models, stored, known=bool(model) or grid.is_local(entry["repo"]))
        trainings = sum(job.stage == "tune" and job.model == name for job in jobs)
        on_gpu = study.gpu_of(name) is not None
        checkpoint = (
            costs.checkpoint_bytes(model, recipe, on_gpu=on_gpu) if model else 0
        )
        add(candidates, trainings * checkpoint, known=bool(model))
    for run in grid.expand_released(config):
        model = study.size_of(run)
        repo = grid.get_checkpoint(config, run.model, run.sft)["repo"]
        stored = model.stored_bytes * model.parameters if model else 0
        local = grid.is_local(repo)
        add(models, 0 if local else stored, known=bool(model) or local)
    for entry in grid.list_data_sets(config):
        name, sft = entry["name"], study.sft[entry["name"]]
        local, known = grid.is_local(entry["repo"]), bool(sft)
        add(data, sft.download_bytes if sft else 0, known=known or local)
        examples, tokens = study.examples(name)
        text = BYTES_PER_TOKEN * tokens * (examples or 0)
        add(prepared, costs.PREPARED_BYTES * text, known=known)
        kept = tokens * (examples or 0) * len(study.models)
        add(tokenised, costs.EXAMPLE_BYTES * kept, known=known)
    scored_times = len(grid.expand_runs(config)) * len(config["scoring"])
    for task in config["tasks"]:
        for size in (study.questions(task, code) for code in task["languages"]):
            local, known = grid.is_local(task["repo"]), bool(size)
            download = size.download_bytes if size else 0
            add(data, download, known=known or local)
            add(prepared, download, known=known)
            options = size.number * size.options if size else 0
            scored = costs.PREDICTION_BYTES * options * scored_times
            add(predictions, scored, known=known)
    for kind in () if study.sft else (tokenised, candidates):
        del disk[kind]
    return disk, partial


def _name_unknown(study: SizedStudy) -> Iterator[str]:
    config = study.config
    for entry in config["models"]:
        if study.models[entry["name"]] is None:
            yield (
                f"No size is known for the model {entry['repo']}: the time and the "
                f"disk space of {entry['name']}'s jobs are left out."
            )
    if grid.expand_released(config):
        yield (
            "A released checkpoint of unknown size is counted as large as its base "
            "model; an adapter takes less."
        )
    for entry in grid.list_data_sets(config):
        sft, (examples, _) = study.sft[entry["name"]], study.examples(entry["name"])
        unknown = f"No size is known for the SFT set {entry['repo']}:"
        if sft and entry["filter"] and not sft.prepared:
            yield (
                f"The filter of {entry['name']} is not counted: how many conversations "
                "it keeps is unknown until the set is prepared."
            )
        elif sft is None and (examples or config["recipe"]["max_steps"]):
            count = f"as {examples:,}" if examples else "by max_steps"
            yield (
                f"{unknown} its conversations are counted {count}, of "
                f"{UNKNOWN_TOKENS} tokens each."
            )
        elif sft is None:
            yield f"{unknown} the time of its trainings is left out."
    for task in config["tasks"]:
        sizes = [study.questions(task, code) for code in task["languages"]]
        if None in sizes:
            yield (
                f"No size is known for {sizes.count(None)} languages of the benchmark "
                f"{task['repo']}: the time of scoring jobs with them is left out."
            )
