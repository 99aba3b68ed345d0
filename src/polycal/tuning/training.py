"""One training in every process: from a base model to a candidate's directory.

`tune` checks the arguments before.
"""

import dataclasses
import functools
import json
import logging
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import distributed
from torch.utils.data import Subset
from transformers import PreTrainedModel, set_seed

from polycal.errors import InputError
from polycal.models import loading as models
from polycal.models.configurations import read_attention_dropout
from polycal.models.tokens import load_tokenizer
from polycal.storage import tables
from polycal.storage.files import digest, replacing_folder
from polycal.storage.provenance import read_digest, write_provenance
from polycal.study.recipe import Recipe
from polycal.tuning.callbacks import TrainingCallback
from polycal.tuning.chat import choose_template
from polycal.tuning.checkpoints import Checkpoints
from polycal.tuning.examples import FILE, Examples
from polycal.tuning.launch import count_processes, process_rank, wait_for_all
from polycal.tuning.networks import make_network, outline_network
from polycal.tuning.throughput import Throughput
from polycal.tuning.trainer import SmoothingTrainer
from polycal.tuning.training_log import TrainingLog

LOG = "training_log.parquet"
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Training:
    """The arguments of `train`: those of `tune`, checked."""

    base: Path
    examples: Path
    origin: dict  # provenance of the examples
    identity: dict  # columns that name the run: model, sft, smoothing, seed
    recipe: Recipe
    out: Path
    key: str  # of everything that determines the result
    checkpoints: Checkpoints
    minutes: float
    report_to: tuple[str, ...]


def train(training: Training) -> None:
    """Train from the last checkpoint or the start; the first process writes the result.

    Raises:
        InputError: the model or a setting cannot be used.
        SystemExit: a signal ended the training.
    """
    recipe, seed = training.recipe, training.identity["seed"]
    train_set, validation_set = split_validation(
        Examples(training.examples / FILE), recipe.validation_fraction
    )
    counts = {"training": len(train_set), "validation": len(validation_set)}
    _logger.info("%s: %s", training.examples, counts)
    device = models.pick_device()
    dtype = models.pick_dtype(recipe.dtype, device)
    n_processes, is_first = count_processes(), process_rank() == 0
    # The first process alone reads weights that are sharded, into main memory.
    weights_device = device if n_processes == 1 else torch.device("cpu")
    set_seed(seed)
    if is_first:
        network = make_network(training.base, recipe, dtype, weights_device)
    else:
        network = outline_network(training.base, recipe, dtype)
    tokenizer = load_tokenizer(training.base)
    choose_template(tokenizer, training.origin["rendering"]["chat_template"])
    models.check_rows(network, tokenizer, training.base)
    bfloat16 = dtype == torch.bfloat16
    log = TrainingLog(
        training.checkpoints.folder / LOG if is_first else None,
        {**training.identity, "lr": recipe.lr},
        Throughput(network, device=device, bfloat16=bfloat16, processes=n_processes),
    )
    vocabulary = network.get_output_embeddings().weight.shape[0]
    callback = TrainingCallback(
        training.checkpoints, log, minutes=training.minutes, vocabulary=vocabulary
    )
    trainer = SmoothingTrainer(
        network,
        train_set,
        recipe=recipe,
        smoothing=training.identity["smoothing"],
        bfloat16=bfloat16,
        seed=seed,
        log=log,
        callback=callback,
        folder=training.checkpoints.unfinished,
        report_to=training.report_to,
        name="/".join(map(str, (*training.identity.values(), recipe.lr))),
    )
    callback.validate = validate = functools.partial(trainer.validate, validation_set)
    if is_first:
        training.checkpoints.set_aside_damaged()
    wait_for_all()
    last = training.checkpoints.find()
    if last:
        _logger.info("resuming from %s", last)
        callback.restore(last)
    with callback.listening():
        trainer.train(resume_from_checkpoint=str(last) if last else None)
    if callback.signal:
        sys.exit(128 + callback.signal)
    diverged = callback.diverged
    if not diverged:
        nll = validate()["nll"]
        if not math.isfinite(nll):
            diverged = f"the validation loss is {nll}"
    if n_processes > 1:
        weights = trainer.gather_weights()
        distributed.barrier()
        distributed.destroy_process_group()
        if not is_first:
            return
        network = make_network(training.base, recipe, dtype, torch.device("cpu"))
        network.load_state_dict(weights)
    with replacing_folder(training.out) as temporary:
        if diverged:
            _logger.warning("%s: %s; no weights are kept", training.out, diverged)
        else:
            _restore_settings(network, training, dtype)
            models.save(network, tokenizer, temporary)
        saved = digest(path for path in temporary.iterdir() if path.is_file())
        tables.write(log.table(), temporary / LOG, "training_log")
        settings = {**training.identity, **training.origin["rendering"]}
        settings |= dataclasses.asdict(recipe)
        text = json.dumps(settings, indent=2, sort_keys=True)
        (temporary / "recipe.json").write_text(text + "\n", encoding="utf-8")
        write_provenance(
            temporary,
            **training.identity,
            key=training.key,
            diverged=diverged,
            lr=recipe.lr,
            base=read_digest(training.base),
            conversations=training.origin["conversations"],
            examples=training.origin["digest"],
            counts=training.origin["counts"] | counts,
            device=models.describe_device(device),
            dtype=str(dtype).removeprefix("torch."),
            digest=None if diverged else saved,
        )


def _restore_settings(
    network: PreTrainedModel, training: Training, dtype: torch.dtype
) -> None:
    """Restore the dtype and the dropout of a full model's base."""
    if training.recipe.method != "full":
        return
    network.to(dtype)
    own_dropout = read_attention_dropout(training.base)
    if own_dropout is not None:
        network.config.attention_dropout = own_dropout


def split_validation(examples: Examples, fraction: float) -> tuple[Subset, Subset]:
    """Split examples into training and validation sets, by a fixed random draw.

    All examples of a conversation, and of its copies, are in one set. The split depends
    only on their places in the set, so all candidates have the same validation
    examples. Both sets keep the order, and read an example on demand.

    Args:
        examples: of one SFT set.
        fraction: part of the conversations that is held out, at least one.

    Raises:
        InputError: there are fewer than two different conversations.
    """
    different, conversation = np.unique(examples.read_ids(), return_inverse=True)
    n = len(different)
    if n < 2:
        raise InputError(
            f"{n} conversations with an answer are too few for training and "
            "validation (copies do not count); add conversations"
        )
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(n, generator=generator)
    n_validation = min(max(round(fraction * n), 1), n - 1)
    is_held_out = np.isin(conversation, order[:n_validation].numpy())
    training, validation = np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)
    return Subset(examples, training), Subset(examples, validation)
