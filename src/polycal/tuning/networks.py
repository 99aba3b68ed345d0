"""The network that a recipe trains: a whole model, or a model with a LoRA adapter."""

from pathlib import Path

import torch
from transformers import PreTrainedModel

from polycal.errors import InputError
from polycal.models import loading as models
from polycal.study.recipe import Recipe


def make_network(
    base: Path, recipe: Recipe, dtype: torch.dtype, device: torch.device
) -> PreTrainedModel:
    """Load the model, with float32 weights wherever it is trained.

    A bfloat16 weight would round most of AdamW's small steps away. A frozen base model
    under an adapter has the dtype of the arithmetic, or 4 bits.

    Raises:
        InputError: the model cannot be read, or lacks what the recipe asks for.
    """
    network = models.load_model(
        base,
        dtype=_stored(recipe, dtype),
        device=device,
        attention_dropout=recipe.attention_dropout,
        four_bits=recipe.load_in_4bit,
    )
    return _add_adapter(network, base, recipe)


def outline_network(base: Path, recipe: Recipe, dtype: torch.dtype) -> PreTrainedModel:
    """Make what `make_network` returns, on the CPU, without reading the weights.

    For a process that receives its part of the weights from the first process.
    """
    network = models.outline_model(
        base,
        dtype=_stored(recipe, dtype),
        attention_dropout=recipe.attention_dropout,
    )
    return _add_adapter(network, base, recipe)


def _stored(recipe: Recipe, dtype: torch.dtype) -> torch.dtype:
    return torch.float32 if recipe.method == "full" else dtype


def _add_adapter(
    network: PreTrainedModel, base: Path, recipe: Recipe
) -> PreTrainedModel:
    """Add the recipe's adapter; return the network itself for full training."""
    if recipe.method == "full":
        return network
    from peft import LoraConfig, get_peft_model  # takes a second to import

    settings = LoraConfig(
        r=recipe.lora_rank,
        lora_alpha=recipe.lora_alpha,
        lora_dropout=recipe.lora_dropout,
        target_modules=recipe.lora_target_modules,
        task_type="CAUSAL_LM",
    )
    try:
        adapted = get_peft_model(network, settings)  # the adapter is float32
    except ValueError as error:
        raise InputError(
            f"lora_target_modules {recipe.lora_target_modules!r} does not fit "
            f"{base}: {error}"
        ) from error
    # peft keeps the layers' names as a set, whose order differs between processes.
    for config in adapted.peft_config.values():
        if isinstance(config.target_modules, set):
            config.target_modules = sorted(config.target_modules)
    return adapted
