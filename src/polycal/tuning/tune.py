"""Fine-tune a base model on an SFT set, with label smoothing: one candidate."""

import dataclasses
import functools
import importlib.metadata
import importlib.util
import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from polycal.errors import InputError
from polycal.models import loading as models
from polycal.models.tokens import load_tokenizer
from polycal.storage.files import digest
from polycal.storage.provenance import read_digest, read_provenance
from polycal.study.recipe import Recipe
from polycal.study.stages import STAGES
from polycal.tuning.chat import choose_template
from polycal.tuning.checkpoints import Checkpoints, is_made, make_key
from polycal.tuning.examples import FILE, Examples
from polycal.tuning.launch import launch
from polycal.tuning.machines import ONE, Machines
from polycal.tuning.trainer import prepare_trackers
from polycal.tuning.training import Job, split_validation, train
from polycal.verb import verb

_logger = logging.getLogger(__name__)


@verb(makes="{out}/")
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
    processes: int = 1,
    machines: Machines = ONE,
    report_to: Sequence[str] = (),
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
        processes: of each machine that work on it, each on a GPU of its own where there
            are GPUs; weights, gradients and AdamW's moments are then spread over the
            GPUs.
        machines: that this is called on, with the same arguments and a file system that
            all see; the first one writes.
        report_to: where else the log is shown while it is written, as transformers'
            Trainer spells it, such as wandb and tensorboard (in `out` with
            .tensorboard added, unless TENSORBOARD_LOGGING_DIR says otherwise); the
            result does not depend on it.

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
    ways = processes * machines.nodes
    if processes < 1 or recipe.batch_size % (recipe.micro_batch_size * ways):
        raise InputError(
            f"batch_size {recipe.batch_size} is not a multiple of micro_batch_size "
            f"{recipe.micro_batch_size} x {ways} processes; a step would not see "
            "batch_size sequences"
        )
    if recipe.load_in_4bit:
        _check_four_bits(ways)
    tokenizer, made = load_tokenizer(base), _read_origin(examples, base)
    choose_template(tokenizer, made["rendering"]["chat_template"])
    split_validation(Examples(examples / FILE), recipe.validation_fraction)
    dtype = models.pick_dtype(recipe.dtype, models.pick_device())
    key = _make_key(base, made, identity, recipe, dtype, ways)
    if is_made(out, key):
        _logger.info("%s was made of the same inputs before; nothing is done", out)
        return
    prepare_trackers(report_to, out.with_name(f"{out.name}.tensorboard"))
    kept = Checkpoints(checkpoints or out.with_name(f"{out.name}.checkpoints"), key)
    job = Job(
        *(base, examples, made, identity, recipe, out, key, kept),
        minutes=checkpoint_minutes,
        report_to=tuple(report_to),
    )
    together = functools.partial(
        *(launch, train), processes=processes, name="polycal tune", machines=machines
    )
    if machines.node_rank:
        _help(together, job)
        return
    with kept.tidied():
        work = train if ways == 1 else together
        work(job)
    kept.remove()


def _help(together: Callable[[Job], None], job: Job) -> None:
    """Work with the first machine; checkpoints and result are its own to tidy up."""
    try:
        together(job)
    except InputError:
        # The first may have waited for a job that a killed workflow had left, and found
        # the result there, when this one already waited for it.
        if not is_made(job.out, job.key):
            raise


def _check_four_bits(processes: int) -> None:
    """Refuse what cannot be loaded in 4 bits, before anything is loaded."""
    if not importlib.util.find_spec("bitsandbytes"):
        raise InputError(
            "load_in_4bit needs bitsandbytes in this environment; install it, as "
            "`pip install 'polycal[quantised]'` does, or set load_in_4bit to false"
        )
    if processes > 1:
        raise InputError(
            f"load_in_4bit is for one process, not {processes}; set the model's gpus "
            "to 1, or load_in_4bit to false"
        )


def _make_key(
    base: Path,
    made: dict,
    identity: dict,
    recipe: Recipe,
    dtype: torch.dtype,
    processes: int,
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
        processes=processes,
        stage=STAGES["tune"],
        libraries={name: importlib.metadata.version(name) for name in names},
    )


def _read_origin(examples: Path, base: Path) -> dict:
    """What made the examples, if it was this base model's tokenizer.

    Raises:
        InputError: they were made with another one, or not by polycal, or have changed
            on disk.
    """
    try:
        made = read_provenance(examples)
        stated, origin = made["digest"], made["base"]
    except FileNotFoundError:
        raise InputError(
            f"{examples} holds no examples; `polycal tokenize` makes them"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{examples}/provenance.json is damaged ({error}); delete the folder and "
            "run again"
        ) from None
    if not (examples / FILE).exists() or stated != digest([examples / FILE]):
        raise InputError(
            f"{examples / FILE} is damaged: it is not the file that was written; "
            f"delete {examples} and run again"
        )
    if origin != read_digest(base):
        raise InputError(
            f"{examples} was made with the tokenizer of another model than {base}; run "
            "`polycal tokenize` with this one"
        )
    return made
