"""Fine-tune a base model on conversations, with label smoothing: one candidate."""

import dataclasses
import json
import logging
import tempfile
from pathlib import Path

import pyarrow as pa
import torch
from transformers import PreTrainedModel, set_seed

from polycal import models, tables
from polycal.dialogs import TULU_TEMPLATE, make_examples, split_validation
from polycal.errors import InputError
from polycal.files import digest, replacing
from polycal.provenance import read_provenance, write_provenance
from polycal.recipe import Recipe
from polycal.trainer import SmoothingTrainer

_logger = logging.getLogger(__name__)


def tune(
    *,
    base: Path,
    conversations: Path,
    model: str,
    sft: str,
    smoothing: float,
    seed: int,
    recipe: Recipe,
    out: Path,
) -> None:
    """Fine-tune and write one candidate.

    The directory holds the weights (or a LoRA adapter) and the tokenizer, and
    `training_log.parquet`, `recipe.json` and `provenance.json`, whose `digest` is of
    the former two. On the CPU of one machine, with one number of threads, the same
    arguments give the same bytes; on a GPU, attention's backward pass may round
    differently each time.

    Args:
        base: directory of the base model, as `prepare_model` makes it.
        conversations: the conversations table.
        model: short name of the base model; this and `sft` are noted only.
        sft: short name of the SFT set.
        smoothing: label-smoothing epsilon, from 0 to below 1.
        seed: of the order of the examples, dropout and the adapter's first weights.
        recipe: every other setting.
        out: the directory that is written.

    Raises:
        InputError: the model, the conversations or a setting cannot be used.
    """
    if not 0 <= smoothing < 1:
        raise InputError(f"smoothing is {smoothing}; it must be at least 0 and below 1")
    if not 0 <= seed < 2**31:
        raise InputError(f"seed is {seed}; it must be from 0 to 2147483647")
    identity = {"model": model, "sft": sft, "smoothing": smoothing, "seed": seed}
    tokenizer = models.load_tokenizer(base)
    if tokenizer.chat_template is None:
        tokenizer.chat_template = TULU_TEMPLATE
        _logger.info("%s has no chat template; Tulu's is used", base)
    examples, counts = make_examples(
        tables.read(conversations, "conversations"),
        tokenizer,
        max_length=recipe.max_length,
    )
    training, validation = split_validation(examples, recipe.validation_fraction)
    counts |= {"training": len(training), "validation": len(validation)}
    _logger.info("%s: %s", conversations, counts)

    set_seed(seed)
    device = models.pick_device()
    dtype = models.pick_dtype(recipe.dtype, device)
    network = _make_network(base, recipe, dtype, device)
    models.check_rows(network, tokenizer, base)
    with tempfile.TemporaryDirectory() as folder:
        trainer = SmoothingTrainer(
            network,
            training,
            recipe=recipe,
            smoothing=smoothing,
            bfloat16=dtype == torch.bfloat16,
            seed=seed,
            folder=folder,
        )
        trainer.train()
        trainer.validate(validation)
    with replacing(out) as temporary:
        if recipe.method == "full":
            network.to(dtype)
        models.save(network, tokenizer, temporary)
        weights = digest(path for path in temporary.iterdir() if path.is_file())
        log = pa.Table.from_pylist(
            [{**identity, "lr": recipe.lr, **line} for line in trainer.lines],
            tables.SCHEMAS["training_log"],
        )
        tables.write(log, temporary / "training_log.parquet", "training_log")
        settings = {**identity, **dataclasses.asdict(recipe)}
        text = json.dumps(settings, indent=2, sort_keys=True)
        (temporary / "recipe.json").write_text(text + "\n")
        write_provenance(
            temporary,
            **identity,
            lr=recipe.lr,
            base=_read_digest(base),
            conversations=digest([conversations]),
            counts=counts,
            device=models.describe_device(device),
            dtype=str(dtype).removeprefix("torch."),
            digest=weights,
        )


def _make_network(
    base: Path, recipe: Recipe, dtype: torch.dtype, device: torch.device
) -> PreTrainedModel:
    """The model with float32 weights wherever it is trained.

    A bfloat16 weight would round most of AdamW's small steps away. A base model under
    an adapter is frozen, so it has the dtype of the arithmetic.
    """
    if recipe.method == "full":
        return models.load_model(base, dtype=torch.float32, device=device)
    from peft import LoraConfig, get_peft_model  # takes a second to import

    network = models.load_model(base, dtype=dtype, device=device)
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
    # peft keeps the layers' names as a set, whose order is another in every process.
    for held in adapted.peft_config.values():
        if isinstance(held.target_modules, set):
            held.target_modules = sorted(held.target_modules)
    return adapted


def _read_digest(base: Path) -> object:
    try:
        return read_provenance(base)["digest"]
    except (OSError, KeyError, ValueError):
        return None  # a directory that polycal did not make can be tuned, too
