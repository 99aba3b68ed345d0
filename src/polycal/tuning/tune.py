"""Fine-tune a base model on an SFT set with label smoothing: one candidate."""

import dataclasses
import functools
import importlib.metadata
import importlib.util
import logging
from collections.abc import Sequence
from pathlib import Path

import torch

from polycal.errors import InputError
from polycal.models import loading as models
from polycal.models.quantisation import refuse_tuning
from polycal.models.tokens import load_tokenizer
from polycal.storage.files import digest
from polycal.storage.provenance import read_digest, read_provenance
from polycal.study.recipe import Recipe, check_settings
from polycal.study.stages import STAGES
from polycal.tuning.chat import choose_template
from polycal.tuning.checkpoints import Checkpoints, is_made, make_key
from polycal.tuning.examples import FILE, Examples
from polycal.tuning.launch import forget_launchers, launch
from polycal.tuning.machines import ONE, Machines
from polycal.tuning.trainer import prepare_trackers
from polycal.tuning.training import Training, split_validation, train
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
    """Fine-tune and write one candidate, or resume it from its last checkpoint.

    The directory gets the weights (or a LoRA adapter) and the tokenizer, and
    `training_log.parquet`, `recipe.json` and `provenance.json`, whose `digest` is of
    the weights and tokenizer. On the CPU of one machine, with a fixed number of
    threads, the same arguments give the same bytes, also when the training was killed
    and resumed. On a GPU, attention's backward pass may round differently each time.

    SIGTERM and SIGINT end the process with exit code 143 or 130, after the current step
    and with a checkpoint of it. A training that diverges ends at once; its directory
    holds no weights, and `diverged` in its provenance has the reason. If `out` was made
    of the same arguments before, nothing is done.

    With several processes on GPUs, weights, gradients and AdamW's moments are sharded
    over them; the last step of an epoch repeats examples until all have equally many.
    On several machines, call this on each with the same arguments and a shared file
    system; the first one writes.

    Args:
        base: directory of the base model, made by prepare_model
        examples: directory of the tokenised SFT set, made by tokenize
        model: short name of the base model
        sft: short name of the SFT set
        smoothing: label-smoothing epsilon, from 0 to below 1
        seed: of the examples' order, of dropout and of the adapter's first weights
        recipe: every other setting
        out: directory to write
        checkpoints: folder of checkpoints, removed at the end (default:
            OUT.checkpoints)
        checkpoint_minutes: minutes between two checkpoints
        processes: processes per machine, each on a GPU of its own if there are GPUs
        machines: the machines of this training
        report_to: trackers that also show the log, such as wandb and tensorboard

    Raises:
        InputError: the model, the examples or a setting cannot be used.
        SystemExit: a signal ended the training.
    """
    check_settings(smoothing=smoothing, seeds=seed)
    forget_launchers()
    identity = {"model": model, "sft": sft, "smoothing": smoothing, "seed": seed}
    n_processes = processes * machines.nodes
    if recipe.batch_size % (recipe.micro_batch_size * n_processes):
        raise InputError(
            f"batch_size {recipe.batch_size} is not a multiple of micro_batch_size "
            f"{recipe.micro_batch_size} x {n_processes} processes; a step would not "
            "see batch_size sequences"
        )
    if recipe.load_in_4bit:
        _check_four_bits(n_processes)
    refuse_tuning(base)
    tokenizer, origin = load_tokenizer(base), _read_origin(examples, base)
    choose_template(tokenizer, origin["rendering"]["chat_template"])
    split_validation(Examples(examples / FILE), recipe.validation_fraction)
    dtype = models.pick_dtype(recipe.dtype, models.pick_device())
    key = _make_key(base, origin, identity, recipe, dtype, n_processes)
    kept = Checkpoints(checkpoints or out.with_name(f"{out.name}.checkpoints"), key)
    if is_made(out, key):
        _logger.info("%s was made from the same inputs before; nothing is done", out)
        if not machines.node_rank:
            kept.remove()  # a process that was killed at its end left them
        return
    prepare_trackers(report_to, out.with_name(f"{out.name}.tensorboard"))
    training = Training(
        *(base, examples, origin, identity, recipe, out, key, kept),
        minutes=checkpoint_minutes,
        report_to=tuple(report_to),
    )
    run = train
    if n_processes > 1:
        run = functools.partial(
            launch,
            train,
            processes=processes,
            name="polycal tune",
            machines=machines,
        )
    if machines.node_rank:
        # The first machine writes the result, and removes checkpoints.
        try:
            run(training)
        except InputError:
            # While this machine waited for the first one, a job that a killed workflow
            # left may have finished the result; then the first one does not come.
            if not is_made(out, key):
                raise
        return
    with kept.tidied():
        run(training)
    kept.remove()


def _check_four_bits(processes: int) -> None:
    """Refuse, before anything is loaded, what cannot be loaded in 4 bits."""
    if not importlib.util.find_spec("bitsandbytes"):
        raise InputError(
            "load_in_4bit needs bitsandbytes; install it in this environment "
            "(`pip install 'polycal[quantised]'`), or set load_in_4bit to false"
        )
    if processes > 1:
        raise InputError(
            f"load_in_4bit is for one process, not {processes}; set the model's gpus "
            "to 1, or load_in_4bit to false"
        )


def _make_key(
    base: Path,
    origin: dict,
    identity: dict,
    recipe: Recipe,
    dtype: torch.dtype,
    processes: int,
) -> str:
    """Return a key of all that determines a candidate, library versions included.

    The names of model and SFT set stand in the candidate's files, so they belong to the
    key.
    """
    files = (path for path in base.iterdir() if path.is_file())
    names = ("torch", "transformers", "accelerate", "peft")
    return make_key(
        base=read_digest(base) or digest(files),
        examples=origin["digest"],
        identity=identity,
        recipe=dataclasses.asdict(recipe),
        dtype=str(dtype),
        processes=processes,
        stage=STAGES["tune"],
        libraries={name: importlib.metadata.version(name) for name in names},
    )


def _read_origin(examples: Path, base: Path) -> dict:
    """Return the provenance of examples that this base model's tokenizer made."""
    try:
        provenance = read_provenance(examples)
        stated_digest, stated_base = provenance["digest"], provenance["base"]
    except FileNotFoundError:
        raise InputError(
            f"{examples} holds no examples; `polycal tokenize` makes them"
        ) from None
    except KeyError as error:
        raise InputError(
            f"{examples}/provenance.json has no {error}; delete the folder and run "
            "again"
        ) from None
    if not (examples / FILE).exists() or stated_digest != digest([examples / FILE]):
        raise InputError(
            f"{examples / FILE} is damaged: its digest differs; delete {examples} and "
            "run again"
        )
    if stated_base != read_digest(base):
        raise InputError(
            f"{examples} was made with the tokenizer of another model than {base}; "
            "run `polycal tokenize` with this one"
        )
    return provenance
