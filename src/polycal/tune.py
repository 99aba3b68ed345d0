"""Fine-tune a base model on an SFT set, with label smoothing: one candidate."""

import dataclasses
import json
import logging
import tempfile
from pathlib import Path

import pyarrow as pa
import torch
from torch.utils.data import Subset
from transformers import PreTrainedModel, set_seed

from polycal import models, tables
from polycal.chat import choose_template
from polycal.checkpoints import load_tokenizer
from polycal.errors import InputError
from polycal.examples import FILE, Examples
from polycal.files import digest, replacing
from polycal.provenance import read_digest, read_provenance, write_provenance
from polycal.recipe import Recipe
from polycal.trainer import SmoothingTrainer

_logger = logging.getLogger(__name__)


def tune(
    *,
    base: Path,
    examples: Path,
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
        examples: the directory that `tokenize` made of this model's SFT set.
        model: short name of the base model; this and `sft` are noted only.
        sft: short name of the SFT set.
        smoothing: label-smoothing epsilon, from 0 to below 1.
        seed: of the order of the examples, dropout and the adapter's first weights.
        recipe: every other setting.
        out: the directory that is written.

    Raises:
        InputError: the model, the examples or a setting cannot be used.
    """
    if not 0 <= smoothing < 1:
        raise InputError(f"smoothing is {smoothing}; it must be at least 0 and below 1")
    if not 0 <= seed < 2**31:
        raise InputError(f"seed is {seed}; it must be from 0 to 2147483647")
    identity = {"model": model, "sft": sft, "smoothing": smoothing, "seed": seed}
    tokenizer, made = load_tokenizer(base), _read_origin(examples, base)
    choose_template(tokenizer, made["rendering"]["chat_template"])
    training, validation = split_validation(
        Examples(examples / FILE), recipe.validation_fraction
    )
    counts = {"training": len(training), "validation": len(validation)}
    _logger.info("%s: %s", examples, counts)

    set_seed(seed)
    device = models.pick_device()
    dtype = models.pick_dtype(recipe.dtype, device)
    network = _make_network(base, recipe, dtype, device)
    own_dropout = models.read_attention_dropout(base)
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
            if own_dropout is not None:
                network.config.attention_dropout = own_dropout
        models.save(network, tokenizer, temporary)
        weights = digest(path for path in temporary.iterdir() if path.is_file())
        log = pa.Table.from_pylist(
            [{**identity, "lr": recipe.lr, **line} for line in trainer.lines],
            tables.SCHEMAS["training_log"],
        )
        tables.write(log, temporary / "training_log.parquet", "training_log")
        settings = {**identity, **made["rendering"], **dataclasses.asdict(recipe)}
        text = json.dumps(settings, indent=2, sort_keys=True)
        (temporary / "recipe.json").write_text(text + "\n")
        write_provenance(
            temporary,
            **identity,
            lr=recipe.lr,
            base=read_digest(base),
            conversations=made["conversations"],
            examples=made["digest"],
            counts=made["counts"] | counts,
            device=models.describe_device(device),
            dtype=str(dtype).removeprefix("torch."),
            digest=weights,
        )


def _read_origin(examples: Path, base: Path) -> dict:
    """What made the examples, if it was this base model's tokenizer.

    Raises:
        InputError: they were made with another one, or not by polycal.
    """
    try:
        made = read_provenance(examples)
    except FileNotFoundError:
        raise InputError(
            f"{examples} holds no examples; `polycal tokenize` makes them"
        ) from None
    if made["base"] != read_digest(base):
        raise InputError(
            f"{examples} was made with the tokenizer of another model than {base}; run "
            "`polycal tokenize` with this one"
        )
    return made


def split_validation(examples: Examples, fraction: float) -> tuple[Subset, Subset]:
    """Training and validation examples, by chance but always the same.

    The split depends on nothing but the number of examples, so the validation losses
    of all candidates are about the same examples. Both parts keep their order, and read
    an example when it is asked for.

    Raises:
        InputError: there are fewer than two examples.
    """
    if len(examples) < 2:
        raise InputError(
            f"{len(examples)} conversations with an answer are too few to train on "
            "and to validate with"
        )
    chance = torch.Generator().manual_seed(0)
    order = torch.randperm(len(examples), generator=chance)
    held = min(max(round(fraction * len(examples)), 1), len(examples) - 1)
    training, validation = order[held:].sort().values, order[:held].sort().values
    return Subset(examples, training.numpy()), Subset(examples, validation.numpy())


def _make_network(
    base: Path, recipe: Recipe, dtype: torch.dtype, device: torch.device
) -> PreTrainedModel:
    """The model with float32 weights wherever it is trained.

    A bfloat16 weight would round most of AdamW's small steps away. A base model under
    an adapter is frozen, so it has the dtype of the arithmetic.
    """
    if recipe.method == "full":
        return models.load_model(
            base,
            dtype=torch.float32,
            device=device,
            attention_dropout=recipe.attention_dropout,
        )
    from peft import LoraConfig, get_peft_model  # takes a second to import

    network = models.load_model(
        base, dtype=dtype, device=device, attention_dropout=recipe.attention_dropout
    )
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
