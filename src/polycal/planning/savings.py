"""Cheaper variants of a study, each forecast like the study itself."""

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from polycal.models.gpu_types import Gpu
from polycal.planning.forecast import Forecast, forecast
from polycal.planning.scope import Scope, measure_scope
from polycal.planning.sizes import find_lite
from polycal.study import layout
from polycal.study.languages import load_languages

CAP = 50_000  # conversations of the variant with smaller SFT sets


@dataclass(frozen=True)
class Saving:
    """What one change of a study would save.

    Attributes:
        change: what to change, as one would write it.
        hours: that the whole study would take less.
        part: of the whole study's hours.
    """

    change: str
    hours: float
    part: float


def find_savings(config: dict, *, gpu: Gpu, resources: Path) -> list[Saving]:
    """What changes of a study would save, the largest first.

    Both the study and the variants are estimated as if nothing had been run, because
    what finished jobs took says nothing of another recipe.

    Args:
        config: a complete study; it is not changed.
        gpu: what jobs run on whose model asks for a GPU.
        resources: folder of prepared models, SFT sets and tasks; it may be absent.
    """

    def plan(variant: dict) -> Forecast:
        return forecast(variant, gpu=gpu, timings={}, resources=resources)

    whole = plan(config).hours()
    scope = measure_scope(config, gpu=gpu, resources=resources)
    found = []
    for change, variant in _variants(scope):
        hours = whole - plan(variant).hours()
        if hours > 0:
            found.append(Saving(change, hours, hours / whole))
    return sorted(found, key=lambda each: -each.hours)


def _variants(scope: Scope) -> Iterator[tuple[str, dict]]:
    """Changes that apply to the study, and the study with each of them."""
    config = scope.config
    recipe = config["recipe"]
    if config["sft"]:
        yield from _vary_recipe(config, recipe)
        yield from _vary_sft(scope)
    fewer = {"smoothing": config["smoothing"][:-1], "seeds": config["seeds"][:1]}
    for section, kept in fewer.items():
        if config["sft"] and 0 < len(kept) < len(config[section]):
            spelt = ", ".join(map(layout.number, kept))
            yield f"{section}: [{spelt}]", _changed(config, **{section: kept})
    sized = {name: each for name, each in scope.models.items() if each}
    if len(config["models"]) > 1 and sized:
        largest = max(sized, key=lambda name: sized[name].parameters)
        kept = [each for each in config["models"] if each["name"] != largest]
        yield f"without {largest}, the largest model", _changed(config, models=kept)
    if len(config["scoring"]) > 1:
        yield "scoring: [letters]", _changed(config, scoring=["letters"])
    yield from _vary_tasks(config)


def _vary_recipe(config: dict, recipe: dict) -> Iterator[tuple[str, dict]]:
    if len(recipe["lr"]) > 1:
        change = f"one learning rate instead of {len(recipe['lr'])}"
        yield change, _changed(config, recipe={**recipe, "lr": recipe["lr"][:1]})
    if recipe["method"] == "full":
        changed = _changed(config, recipe={**recipe, "method": "lora"})
        yield f"method: lora (rank {recipe['lora_rank']})", changed
    if recipe["epochs"] > 1 and not recipe["max_steps"]:
        yield "epochs: 1", _changed(config, recipe={**recipe, "epochs": 1})


def _vary_sft(scope: Scope) -> Iterator[tuple[str, dict]]:
    config = scope.config
    known = [name for name in scope.sft if scope.examples(name)[0] is not None]
    if any(scope.examples(name)[0] > CAP for name in known):
        capped = [
            {**each, "max_examples": min(CAP, each["max_examples"] or CAP)}
            for each in config["sft"]
        ]
        yield f"max_examples: {CAP} for every SFT set", _changed(config, sft=capped)
    if len(config["sft"]) > 1 and known:
        largest = max(known, key=lambda name: math.prod(scope.examples(name)))
        kept = [each for each in config["sft"] if each["name"] != largest]
        yield f"without {largest}, the largest SFT set", _changed(config, sft=kept)


def _vary_tasks(config: dict) -> Iterator[tuple[str, dict]]:
    lite = [_lite_of(each) for each in config["tasks"]]
    held = [each for each in lite if each["languages"]]
    if held and lite != config["tasks"]:
        change = "the benchmarks' Lite versions, in the languages that they have"
        yield change, _changed(config, tasks=held)


def _lite_of(task: dict) -> dict:
    """The task with its benchmark's Lite version; the task itself if there is none."""
    repo = find_lite(task["repo"])
    if repo is None:
        return task
    known = load_languages()
    flag = "in_global_mmlu_lite" if "Global-MMLU" in repo else "in_mmlu_prox"
    held = [code for code in task["languages"] if getattr(known[code], flag)]
    return {**task, "repo": repo, "languages": held}


def _changed(config: dict, **sections: object) -> dict:
    return copy.deepcopy({**config, **sections})
