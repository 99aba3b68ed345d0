"""Which models a training cannot hold on one GPU, and what would help."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from polycal import costs
from polycal.model_sizes import Model
from polycal.scope import Scope
from polycal.sizes import Gpu, list_gpus


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
    """The models of a study that do not, or may not, fit on the one GPU of a job."""
    recipe = scope.config["recipe"]
    for name, model in scope.models.items():
        gpu = scope.gpu_of(name)
        if model is None or gpu is None or not scope.sft:
            continue
        if _count_bytes(model, recipe) > gpu.memory:
            certain = costs.fixed_memory(model, recipe) > gpu.memory
            yield Misfit(name, certain, _warn(name, model, recipe, gpu, certain))


def _warn(name: str, model: Model, recipe: Mapping, gpu: Gpu, certain: bool) -> str:
    fixed = costs.fixed_memory(model, recipe)
    parts = costs.activation_memory(model, recipe)
    spelt = ", ".join(f"{size / 1e9:.0f} of {part}" for part, size in parts.items())
    return (
        f"WARNING: {name} {'does' if certain else 'may'} not fit on one {gpu.name}: "
        f"training it takes {fixed / 1e9:.0f} GB for weights, gradients and AdamW, and "
        f"up to about {sum(parts.values()) / 1e9:.0f} GB for a micro-batch of "
        f"{recipe['micro_batch_size']} x {recipe['max_length']} tokens ({spelt}); the "
        f"GPU has {gpu.memory / 1e9:.0f} GB. What would fit: "
        f"{', '.join(_remedies(model, recipe, gpu))}."
    )


def _remedies(model: Model, recipe: Mapping, gpu: Gpu) -> Iterator[str]:
    """What a training that does not fit on a GPU could be changed to."""
    small = {**recipe, "micro_batch_size": 1}
    lora = {**recipe, "method": "lora"}
    again = {**recipe, "gradient_checkpointing": True}
    if recipe["micro_batch_size"] > 1 and _count_bytes(model, small) <= gpu.memory:
        yield "micro_batch_size: 1"
    if not recipe["gradient_checkpointing"] and (
        _count_bytes(model, again) <= gpu.memory
    ):
        yield "gradient_checkpointing: true"
    if recipe["method"] == "full" and _count_bytes(model, lora) <= gpu.memory:
        yield f"method: lora ({_count_bytes(model, lora) / 1e9:.0f} GB)"
    needed = _count_bytes(model, recipe)
    larger = [each for each in list_gpus().values() if each.memory >= needed]
    if larger:
        smallest = min(larger, key=lambda each: each.memory)
        yield f"a GPU like {smallest.name} ({smallest.memory / 1e9:.0f} GB)"
    yield "a smaller model"


def _count_bytes(model: Model, recipe: Mapping) -> float:
    moving = sum(costs.activation_memory(model, recipe).values())
    return costs.fixed_memory(model, recipe) + moving
