"""Fine-tune a base model on an SFT set, with label smoothing: one candidate."""

import dataclasses
import importlib.metadata
import json
import logging
import math
import sys
from pathlib import Path

import torch
from torch.utils.data import Subset
from transformers import set_seed

from polycal import models, tables
from polycal.chat import choose_template
from polycal.checkpoints import load_tokenizer
from polycal.errors import InputError
from polycal.examples import FILE, Examples
from polycal.files import digest, replacing
from polycal.grid import STAGES
from polycal.networks import make_network
from polycal.provenance import read_digest, read_provenance, write_provenance
from polycal.recipe import Recipe
from polycal.resume import Checkpoints, is_made, make_key
from polycal.trainer import SmoothingTrainer
from polycal.training_log import TrainingLog
from polycal.watch import Watch

LOG = "training_log.parquet"
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
    checkpoints: Path | None = None,
    checkpoint_minutes: float = 15,
) -> None:
    """Fine-tune and write one candidate, or go on with it where it was cut off.

    The directory holds the weights (or a LoRA adapter) and the tokenizer, and
    `training_log.parquet`, `recipe.json` and `provenance.json`, whose `digest` is of
    the former two. On the CPU of one machine, with one number of threads, the same
    arguments give the same bytes; on a GPU, attention's backward pass may round
    differently each time. So do a training that was killed and is called again, and
    one that was not.

    SIGTERM and SIGINT end the process with exit code 143 or 130, after the step that is
    being made and with a checkpoint of it. A training that diverges ends at once: the
    directory then holds no weights, and `diverged` in its provenance says why. Where
    `out` is what these arguments gave before, nothing is done.

    Args:
        base: directory of the base model, as `prepare_model` makes it.
        examples: the directory that `tokenize` made of this model's SFT set.
        model: short name of the base model; this and `sft` are noted only.
        sft: short name of the SFT set.
        smoothing: label-smoothing epsilon, from 0 to below 1.
        seed: of the order of the examples, dropout and the adapter's first weights.
        recipe: every other setting.
        out: the directory that is written.
        checkpoints: folder of what is needed to go on, which is removed in the end;
            None: `out` with `.checkpoints` added to its name.
        checkpoint_minutes: between two checkpoints.

    Raises:
        InputError: the model, the examples or a setting cannot be used.
        SystemExit: a signal ended the training.
    """
    if not 0 <= smoothing < 1:
        raise InputError(f"smoothing is {smoothing}; it must be at least 0 and below 1")
    if not 0 <= seed < 2**31:
        raise InputError(f"seed is {seed}; it must be from 0 to 2147483647")
    if not 0 <= checkpoint_minutes < math.inf:
        raise InputError(
            f"checkpoint_minutes is {checkpoint_minutes}; it must be at least 0"
        )
    identity = {"model": model, "sft": sft, "smoothing": smoothing, "seed": seed}
    tokenizer, made = load_tokenizer(base), _read_origin(examples, base)
    choose_template(tokenizer, made["rendering"]["chat_template"])
    training, validation = split_validation(
        Examples(examples / FILE), recipe.validation_fraction
    )
    counts = {"training": len(training), "validation": len(validation)}
    _logger.info("%s: %s", examples, counts)

    device = models.pick_device()
    dtype = models.pick_dtype(recipe.dtype, device)
    key = _make_key(base, made, identity, recipe, dtype)
    if is_made(out, key):
        _logger.info("%s was made of the same inputs before; nothing is done", out)
        return
    kept = Checkpoints(checkpoints or out.with_name(f"{out.name}.checkpoints"), key)
    with kept.tidied():
        set_seed(seed)
        network = make_network(base, recipe, dtype, device)
        own_dropout = models.read_attention_dropout(base)
        models.check_rows(network, tokenizer, base)
        log = TrainingLog(kept.place / LOG, {**identity, "lr": recipe.lr})
        vocabulary = network.get_output_embeddings().weight.shape[0]
        watch = Watch(kept, log, minutes=checkpoint_minutes, vocabulary=vocabulary)
        trainer = SmoothingTrainer(
            network,
            training,
            recipe=recipe,
            smoothing=smoothing,
            bfloat16=dtype == torch.bfloat16,
            seed=seed,
            log=log,
            watch=watch,
            folder=kept.unfinished,
        )
        last = kept.find()
        if last:
            _logger.info("going on from %s", last)
            watch.restore(last)
        with watch.listening():
            trainer.train(resume_from_checkpoint=str(last) if last else None)
        if watch.signal is not None:
            sys.exit(128 + watch.signal)
        diverged = watch.diverged
        if not diverged:
            nll = trainer.validate(validation)["nll"]
            if not math.isfinite(nll):
                diverged = f"the validation loss is {nll}"
        with replacing(out) as temporary:
            temporary.mkdir()
            if diverged:
                _logger.warning("%s: %s; no weights are kept", out, diverged)
            else:
                if recipe.method == "full":
                    network.to(dtype)
                    if own_dropout is not None:
                        network.config.attention_dropout = own_dropout
                models.save(network, tokenizer, temporary)
            weights = digest(path for path in temporary.iterdir() if path.is_file())
            tables.write(log.table(), temporary / LOG, "training_log")
            settings = {**identity, **made["rendering"], **dataclasses.asdict(recipe)}
            text = json.dumps(settings, indent=2, sort_keys=True)
            (temporary / "recipe.json").write_text(text + "\n")
            write_provenance(
                temporary,
                **identity,
                key=key,
                diverged=diverged,
                lr=recipe.lr,
                base=read_digest(base),
                conversations=made["conversations"],
                examples=made["digest"],
                counts=made["counts"] | counts,
                device=models.describe_device(device),
                dtype=str(dtype).removeprefix("torch."),
                digest=None if diverged else weights,
            )
    kept.remove()


def _make_key(
    base: Path, made: dict, identity: dict, recipe: Recipe, dtype: torch.dtype
) -> str:
    """Of everything that determines a candidate, versions of libraries included.

    The names of model and SFT set are in its files, so they are part of it.
    """
    files = (each for each in base.iterdir() if each.is_file())
    names = ("torch", "transformers", "accelerate", "peft")
    return make_key(
        base=read_digest(base) or digest(files),
        examples=made["digest"],
        identity=identity,
        recipe=dataclasses.asdict(recipe),
        dtype=str(dtype),
        stage=STAGES["tune"],
        libraries={name: importlib.metadata.version(name) for name in names},
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
