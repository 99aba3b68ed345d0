"""Which models a training cannot hold on one GPU, and what would help."""

import functools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from polycal.models.gpu_types import Gpu, list_gpus
from polycal.planning import costs
from polycal.planning.model_sizes import Model
from polycal.planning.scope import Scope
from polycal.study import grid

_PER_NODE = 8  # GPUs of one machine, at most, about
_NODES = 8  # that are worth naming


@dataclass(frozen=True)
class Misfit:
    """A model whose training needs more memory than one GPU has.

    Attributes:
        model: short name.
        certain: whether not even its weights and AdamW fit; else it depends on how long
            the conversations of a micro-batch are.
        warning: what it takes and what would fit; whole sentences.
    """

    model: str
    certain: bool
    warning: str


def find_misfits(scope: Scope) -> Iterator[Misfit]:
    """The models of a study that do not, or may not, fit on the GPUs of a job."""
    recipe = scope.config["recipe"]
    for name, model in scope.models.items():
        gpu = scope.gpu_of(name)
        if model is None or gpu is None or not scope.sft:
            continue
        gpus = grid.count_gpus(grid.entry(scope.config["models"], name))
        if _count_bytes(model, recipe, gpus) > gpu.memory:
            certain = costs.fixed_memory(model, recipe) / gpus > gpu.memory
            warning = _warn(name, model, recipe, gpu, gpus, certain)
            yield Misfit(name, certain, warning)


def _warn(
    name: str, model: Model, recipe: Mapping, gpu: Gpu, gpus: int, certain: bool
) -> str:
    fixed = costs.fixed_memory(model, recipe) / gpus
    parts = costs.activation_memory(model, recipe)
    spelt = ", ".join(f"{size / 1e9:.0f} of {part}" for part, size in parts.items())
    return (
        f"WARNING: {name} {'does' if certain else 'may'} not fit on "
        f"{'one' if gpus == 1 else gpus} {gpu.name}: "
        f"training it takes {fixed / 1e9:.0f} GB for weights, gradients and AdamW, and "
        f"up to about {sum(parts.values()) / 1e9:.0f} GB for a micro-batch of "
        f"{recipe['micro_batch_size']} x {recipe['max_length']} tokens ({spelt}); the "
        f"GPU has {gpu.memory / 1e9:.0f} GB. What would fit: "
        f"{', '.join(_remedies(model, recipe, gpu, gpus))}."
    )


def _remedies(model: Model, recipe: Mapping, gpu: Gpu, gpus: int) -> Iterator[str]:
    """What a training that does not fit on a GPU could be changed to."""
    small = {**recipe, "micro_batch_size": 1}
    lora = {**recipe, "method": "lora"}
    again = {**recipe, "gradient_checkpointing": True}
    fits = functools.partial(_fits, model, gpu, gpus)
    if recipe["micro_batch_size"] > 1 and fits(small):
        yield "micro_batch_size: 1"
    if not recipe["gradient_checkpointing"] and fits(again):
        yield "gradient_checkpointing: true"
    if recipe["method"] == "full" and fits(lora):
        yield f"method: lora ({_count_bytes(model, lora, gpus) / 1e9:.0f} GB)"
    needed = _count_bytes(model, recipe, gpus)
    larger = [each for each in list_gpus().values() if each.memory >= needed]
    if larger:
        smallest = min(larger, key=lambda each: each.memory)
        yield f"a GPU like {smallest.name} ({smallest.memory / 1e9:.0f} GB)"
    enough = [each for each in _share(recipe, gpus) if _fits(model, gpu, each, recipe)]
    if enough:
        yield _spell_gpus(enough[0])
    yield "a smaller model"


def _share(recipe: Mapping, gpus: int) -> Iterator[int]:
    """Larger numbers of GPUs, each twice the one before, that divide a batch."""
    micro_batches = recipe["batch_size"] // recipe["micro_batch_size"]
    while (gpus := 2 * gpus) <= min(micro_batches, _PER_NODE * _NODES):
        if micro_batches % gpus == 0:
            yield gpus


def _spell_gpus(gpus: int) -> str:
    if gpus <= _PER_NODE:
        return f"gpus: {gpus}"
    return f"gpus: {_PER_NODE} on nodes: {math.ceil(gpus / _PER_NODE)}"


def _fits(model: Model, gpu: Gpu, gpus: int, recipe: Mapping) -> bool:
    return _count_bytes(model, recipe, gpus) <= gpu.memory


def _count_bytes(model: Model, recipe: Mapping, gpus: int) -> float:
    """Of one GPU. Weights, gradients and AdamW are spread, a micro-batch is its own."""
    moving = sum(costs.activation_memory(model, recipe).values())
    return costs.fixed_memory(model, recipe) / gpus + moving
