"""What a study needs in all, what is unknown of it, and what cheaper variants save."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

from polycal.planning import costs
from polycal.planning.costs import Misfit, find_misfits, find_unscorable
from polycal.planning.data_sizes import BYTES_PER_TOKEN
from polycal.planning.jobs import Job, Timing, list_jobs
from polycal.planning.model_sizes import read_table
from polycal.planning.sizes import UNKNOWN_TOKENS, SizedStudy
from polycal.study import grid
from polycal.study.languages import load_languages
from polycal.study.layout import number

CAP = 50_000  # conversations of the variant with smaller SFT sets


@dataclass(frozen=True)
class Forecast:
    """What a study consists of and costs."""

    jobs: list[Job]  # trainings and scoring jobs
    addresses: dict[str, list[str]]  # stage -> its jobs, the other stages' too
    disk: dict[str, float]  # kind of file -> known bytes, for the whole study
    partial: set[str]  # kinds of file of which something of unknown size is left out
    notes: list[str]  # what is unknown, and what will not work; whole sentences
    misfits: list[Misfit]

    def of(self, stage: str, model: str | None = None) -> list[Job]:
        """Return the jobs of a stage, and of one model if it is named."""
        jobs = [job for job in self.jobs if job.stage == stage]
        return [job for job in jobs if model in (None, job.model)]


class Saving(NamedTuple):
    """What one change of a study saves."""

    change: str  # as it is written in the study's file, where that is possible
    hours: float  # of GPUs and CPU cores together
    part: float  # of the whole study's hours


def forecast(study: SizedStudy, timings: Mapping[str, Timing]) -> Forecast:
    """List a study's jobs and what they cost.

    Args:
        study: the study and its sizes.
        timings: what finished jobs took, as `read_timings` returns it.
    """
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
    misfits = list(find_misfits(study))
    notes = [
        *_name_unknown(study),
        *(misfit.warning for misfit in misfits),
        *find_unscorable(study),
    ]
    return Forecast(jobs, addresses, disk, partial, notes, misfits)


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
        for model in study.models:
            examples, tokens = study.examples(name, model)
            kept = min(tokens, recipe["max_length"]) * (examples or 0)
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


def find_savings(study: SizedStudy) -> list[Saving]:
    """Return what changes of a study would save, the largest first.

    The study and its variants are estimated as if nothing had been run, because what
    finished jobs took says nothing about another recipe.
    """

    def estimate_hours(study: SizedStudy) -> float:
        seconds = (job.device_seconds or 0 for job in list_jobs(study, timings={}))
        return sum(seconds) / 3600

    whole = estimate_hours(study)
    savings = []
    for change, sections in _list_variants(study):
        saved = whole - estimate_hours(study.change(sections))
        if saved > 0:
            savings.append(Saving(change, saved, saved / whole))
    return sorted(savings, key=lambda saving: -saving.hours)


def _list_variants(study: SizedStudy) -> Iterator[tuple[str, dict]]:
    """Yield changes that apply to the study, and the sections that they replace."""
    config = study.config
    if study.sft:
        yield from _list_training_variants(study)
    sizes = {name: model.parameters for name, model in study.models.items() if model}
    if len(config["models"]) > 1 and sizes:
        largest = max(sizes, key=lambda name: sizes[name])
        kept = [entry for entry in config["models"] if entry["name"] != largest]
        yield f"without {largest}, the largest model", {"models": kept}
    if len(config["scoring"]) > 1:
        yield "scoring: [letters]", {"scoring": ["letters"]}
    lite = [_lite_of(task) for task in config["tasks"]]
    kept = [task for task in lite if task["languages"]]
    if kept and lite != config["tasks"]:
        change = "the benchmarks' Lite versions, in the languages that they have"
        yield change, {"tasks": kept}


def _list_training_variants(study: SizedStudy) -> Iterator[tuple[str, dict]]:
    config, recipe = study.config, study.config["recipe"]
    if len(recipe["lr"]) > 1:
        change = f"one learning rate instead of {len(recipe['lr'])}"
        yield change, {"recipe": {**recipe, "lr": recipe["lr"][:1]}}
    if recipe["method"] == "full":
        change = f"method: lora (rank {recipe['lora_rank']})"
        yield change, {"recipe": {**recipe, "method": "lora"}}
    if recipe["epochs"] > 1 and not recipe["max_steps"]:
        yield "epochs: 1", {"recipe": {**recipe, "epochs": 1}}
    sizes = {name: study.examples(name) for name in study.sft}
    known = {
        name: (examples, tokens)
        for name, (examples, tokens) in sizes.items()
        if examples is not None
    }
    if any(examples > CAP for examples, _ in known.values()):
        capped = [
            {**entry, "max_examples": min(CAP, entry["max_examples"] or CAP)}
            if entry["name"] in study.sft
            else entry
            for entry in config["sft"]
        ]
        yield f"max_examples: {CAP} for every SFT set", {"sft": capped}
    if len(study.sft) > 1 and known:
        largest = max(known, key=lambda name: prod(known[name]))
        kept = [entry for entry in config["sft"] if entry["name"] != largest]
        yield f"without {largest}, the largest SFT set", {"sft": kept}
    for section, values in (
        ("smoothing", config["smoothing"][:-1]),
        ("seeds", config["seeds"][:1]),
    ):
        if 0 < len(values) < len(config[section]):
            yield f"{section}: [{', '.join(map(number, values))}]", {section: values}


def _lite_of(task: dict) -> dict:
    """Return the task with its benchmark's Lite version, or the task if it has none."""
    repo = read_table("benchmark_sizes.csv").get(task["repo"], {}).get("lite")
    if not repo:
        return task
    languages = load_languages()
    flag = "in_global_mmlu_lite" if "Global-MMLU" in repo else "in_mmlu_prox"
    codes = [code for code in task["languages"] if getattr(languages[code], flag)]
    return {**task, "repo": repo, "languages": codes}
