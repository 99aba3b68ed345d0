"""One training from its base model to a candidate's directory, in every process.

Which arguments are possible was checked before.
"""

import dataclasses
import json
import logging
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import distributed
from torch.utils.data import Subset
from transformers import PreTrainedModel, set_seed

from polycal.errors import InputError
from polycal.models import loading as models
from polycal.models.tokens import load_tokenizer
from polycal.storage import tables
from polycal.storage.files import digest, replacing_folder
from polycal.storage.provenance import read_digest, write_provenance
from polycal.study.recipe import Recipe
from polycal.tuning.callbacks import TrainingCallback
from polycal.tuning.chat import choose_template
from polycal.tuning.checkpoints import Checkpoints
from polycal.tuning.examples import FILE, Examples
from polycal.tuning.launch import count_processes, rank
from polycal.tuning.networks import make_network, outline_network
from polycal.tuning.throughput import Throughput
from polycal.tuning.trainer import SmoothingTrainer
from polycal.tuning.training_log import TrainingLog

LOG = "training_log.parquet"
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """What `train` needs to know.

    Attributes:
        base: directory of the base model.
        examples: directory of the tokenised SFT set.
        made: what made the examples.
        identity: columns that name the run: model, sft, smoothing, seed.
        recipe: every other setting.
        out: the directory that is written.
        key: of everything that determines the result.
        kept: the checkpoints.
        minutes: between two checkpoints.
        report_to: where else the log is shown.
    """

    base: Path
    examples: Path
    made: dict
    identity: dict
    recipe: Recipe
    out: Path
    key: str
    kept: Checkpoints
    minutes: float
    report_to: tuple[str, ...]


def train(job: Job) -> None:
    """Go on from the last checkpoint, or begin; the first process writes the result.

    Raises:
        InputError: the model or a setting cannot be used.
        SystemExit: a signal ended the training.
    """
    recipe, seed = job.recipe, job.identity["seed"]
    training, validation = split_validation(
        Examples(job.examples / FILE), recipe.validation_fraction
    )
    counts = {"training": len(training), "validation": len(validation)}
    _logger.info("%s: %s", job.examples, counts)
    device = models.pick_device()
    dtype = models.pick_dtype(recipe.dtype, device)
    # Weights that are spread over GPUs are read into main memory first, and once.
    place = device if count_processes() == 1 else torch.device("cpu")
    set_seed(seed)
    if rank() == 0:
        network = make_network(job.base, recipe, dtype, place)
    else:
        network = outline_network(job.base, recipe, dtype)
    tokenizer = load_tokenizer(job.base)
    choose_template(tokenizer, job.made["rendering"]["chat_template"])
    models.check_rows(network, tokenizer, job.base)
    bfloat16 = dtype == torch.bfloat16
    log = TrainingLog(
        job.kept.place / LOG if rank() == 0 else None,
        {**job.identity, "lr": recipe.lr},
        Throughput(
            network, device=device, bfloat16=bfloat16, processes=count_processes()
        ),
    )
    vocabulary = network.get_output_embeddings().weight.shape[0]
    watch = TrainingCallback(job.kept, log, minutes=job.minutes, vocabulary=vocabulary)
    trainer = SmoothingTrainer(
        network,
        training,
        recipe=recipe,
        smoothing=job.identity["smoothing"],
        bfloat16=bfloat16,
        seed=seed,
        log=log,
        watch=watch,
        folder=job.kept.unfinished,
        report_to=job.report_to,
        name="/".join(str(each) for each in (*job.identity.values(), recipe.lr)),
    )
    if rank() == 0:
        job.kept.set_aside_damaged()
    if count_processes() > 1:
        distributed.barrier()
    last = job.kept.find()
    if last:
        _logger.info("going on from %s", last)
        watch.restore(last)
    with watch.listening():
        trainer.train(resume_from_checkpoint=str(last) if last else None)
    if watch.signal:
        sys.exit(128 + watch.signal)
    diverged = watch.diverged
    if not diverged:
        nll = trainer.validate(validation)["nll"]
        if not math.isfinite(nll):
            diverged = f"the validation loss is {nll}"
    if count_processes() > 1:
        weights = trainer.gather_weights()
        distributed.barrier()
        distributed.destroy_process_group()
        if rank() != 0:
            return
        network = make_network(job.base, recipe, dtype, torch.device("cpu"))
        network.load_state_dict(weights)
    with replacing_folder(job.out) as temporary:
        if diverged:
            _logger.warning("%s: %s; no weights are kept", job.out, diverged)
        else:
            _restore_settings(network, job, dtype)
            models.save(network, tokenizer, temporary)
        saved = digest(path for path in temporary.iterdir() if path.is_file())
        tables.write(log.table(), temporary / LOG, "training_log")
        settings = {**job.identity, **job.made["rendering"]}
        settings |= dataclasses.asdict(recipe)
        text = json.dumps(settings, indent=2, sort_keys=True)
        (temporary / "recipe.json").write_text(text + "\n")
        write_provenance(
            temporary,
            **job.identity,
            key=job.key,
            diverged=diverged,
            lr=recipe.lr,
            base=read_digest(job.base),
            conversations=job.made["conversations"],
            examples=job.made["digest"],
            counts=job.made["counts"] | counts,
            device=models.describe_device(device),
            dtype=str(dtype).removeprefix("torch."),
            digest=None if diverged else saved,
        )


def _restore_settings(network: PreTrainedModel, job: Job, dtype: torch.dtype) -> None:
    """Give a full model the dtype and the dropout that its directory states."""
    if job.recipe.method != "full":
        return
    network.to(dtype)
    own_dropout = models.read_attention_dropout(job.base)
    if own_dropout is not None:
        network.config.attention_dropout = own_dropout


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
