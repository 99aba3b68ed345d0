"""transformers' Trainer with the smoothed loss; its log has both losses."""

import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import distributed
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
)
from transformers import (
    PreTrainedModel,
    PrinterCallback,
    ProgressCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.integrations import get_reporting_integration_callbacks

from polycal.errors import InputError
from polycal.models.loading import named_disk_errors
from polycal.models.passes import can_pack
from polycal.study.recipe import Recipe
from polycal.tuning.batches import IGNORED, pack_examples, pad_examples
from polycal.tuning.examples import Example
from polycal.tuning.head_loss import HeadLoss
from polycal.tuning.launch import count_processes
from polycal.tuning.loss import Losses
from polycal.tuning.segments import read_segments
from polycal.tuning.training_log import Totals, TrainingLog

_RECOMPUTE = {
    "gradient_checkpointing": True,
    "gradient_checkpointing_kwargs": {"use_reentrant": False},
}
# The first process reads the weights and sends the others their parts.
_FSDP = {"cpu_ram_efficient_loading": True}
_LINES = 100  # lines of a training log, about
# Columns that trackers get beside the Trainer's own numbers.
_REPORTED = ("loss", "nll", "tokens_per_second", "tflops", "mfu", "memory_gib")


def prepare_trackers(names: Sequence[str], folder: Path) -> None:
    """Check before a training that transformers can report to these trackers.

    Args:
        names: as `report_to` of transformers' TrainingArguments takes them.
        folder: for TensorBoard's files; the Trainer would put them beside temporary
            checkpoints. The environment's TENSORBOARD_LOGGING_DIR takes precedence.

    Raises:
        InputError: a name is not known, or its package is not installed.
    """
    os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(folder))
    for name in names:
        try:
            for callback in get_reporting_integration_callbacks([name]):
                callback()
        except ValueError as error:
            raise InputError(f"report_to: {error}") from None
        except (ImportError, RuntimeError) as error:
            raise InputError(
                f"report_to: {name} cannot be used here ({error}); install its package "
                "in this environment, or remove it"
            ) from None


class _Bar(ProgressCallback):
    """Progress bar on a terminal."""

    def on_log(self, *_: object, **__: object) -> None:
        """Print nothing; the training log has the numbers."""


class SmoothingTrainer(Trainer):
    """Minimises the smoothed loss over the target tokens of the whole batch.

    The loss is their mean or, by the recipe, their sum; the log has means. Examples are
    packed into one row without padding where the architecture is known to be exact on
    such rows.

    Attributes:
        training_log: both losses.
    """

    # The loss is divided by the tokens of all accumulated micro-batches; without this
    # and model_accepts_loss_kwargs the Trainer would divide again.
    loss_is_scaled_for_ga = True

    def __init__(
        self,
        model: PreTrainedModel,
        examples: Sequence[Example],
        *,
        recipe: Recipe,
        smoothing: float,
        bfloat16: bool,
        seed: int,
        folder: Path | str,  # of unfinished checkpoints
        log: TrainingLog | None = None,  # None: one in memory
        callback: TrainerCallback | None = None,  # without it no checkpoints
        report_to: Sequence[str] = (),
        name: str | None = None,
    ) -> None:
        """Set up AdamW, the linear schedule and the order of the examples."""
        steps = recipe.count_steps(len(examples))
        n_processes = count_processes()
        sequences_at_once = recipe.micro_batch_size * n_processes
        arguments = TrainingArguments(
            output_dir=str(folder),
            max_steps=steps,
            per_device_train_batch_size=recipe.micro_batch_size,
            gradient_accumulation_steps=recipe.batch_size // sequences_at_once,
            learning_rate=recipe.lr,
            lr_scheduler_type="linear",
            # The first step of a warm-up has the rate 0, so one step has no warm-up.
            warmup_steps=math.ceil(recipe.warmup_ratio * steps) if steps > 1 else 0,
            weight_decay=recipe.weight_decay,
            max_grad_norm=recipe.max_grad_norm,
            optim="adamw_torch",
            **(_RECOMPUTE if recipe.gradient_checkpointing else {}),
            bf16=bfloat16,
            use_cpu=not torch.cuda.is_available(),
            seed=seed,
            logging_steps=max(1, steps // _LINES),
            logging_nan_inf_filter=False,
            save_strategy="no",
            report_to=list(report_to),
            run_name=name,
            disable_tqdm=True,
            remove_unused_columns=False,
            dataloader_pin_memory=torch.cuda.is_available(),
            fsdp=True if n_processes > 1 else None,
            fsdp_config=_FSDP if n_processes > 1 else None,
            ddp_backend="gloo"
            if n_processes > 1 and not torch.cuda.is_available()
            else None,
        )
        arguments._n_gpu = min(arguments.n_gpu, 1)  # no DataParallel, ever
        self._collate = pad_examples
        if can_pack(model):
            self._collate = pack_examples
            read_segments(model)
        super().__init__(
            model,
            arguments,
            train_dataset=examples,
            data_collator=self._collate,
            callbacks=[callback] if callback else [],
        )
        if sys.stderr.isatty():
            self.add_callback(_Bar)
        self.remove_callback(PrinterCallback)  # the training log has the numbers
        self.model_accepts_loss_kwargs = True
        self.training_log = log or TrainingLog(None, {})
        self._head_loss, self._reduction = HeadLoss(smoothing), recipe.loss_reduction

    def compute_loss(
        self,
        model: PreTrainedModel,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: int | torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return this micro-batch's part of the batch's smoothed loss (nats)."""
        losses, tokens = self._sum_losses(model, inputs)
        padded = inputs.get("attention_mask")
        read = inputs["labels"].numel() if padded is None else int(padded.sum())
        totals = Totals(losses.smoothed.detach(), losses.plain, tokens, read)
        self.training_log.count(totals)
        divisor = num_items_in_batch if self._reduction == "mean" else 1
        # Gradients are averaged over processes, while the divisor counts all tokens.
        return losses.smoothed * self.args.world_size / divisor

    def _sum_losses(
        self, model: PreTrainedModel, inputs: dict[str, torch.Tensor]
    ) -> tuple[Losses, int]:
        """Return both losses summed over the target tokens, and the tokens' number."""
        inputs = dict(inputs)
        labels = inputs.pop("labels")
        # A token is predicted at the position before its own.
        rows, positions = (labels[:, 1:] != IGNORED).nonzero(as_tuple=True)
        plain_model = self.accelerator.unwrap_model(model)
        kept = rows * labels.shape[1] + positions
        targets = labels[rows, positions + 1]
        losses = self._head_loss.sum(model, plain_model, inputs, kept, targets)
        return losses, len(targets)

    def _save_checkpoint(self, *arguments: object) -> None:
        """Save a checkpoint; a full disk is an OSError, whoever writes."""
        with named_disk_errors(Path(self.args.output_dir)):
            super()._save_checkpoint(*arguments)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log a line about the steps since the last one; the Trainer calls this."""
        if "learning_rate" in logs and self.training_log.totals.tokens:
            self.training_log.totals = self._add_up(self.training_log.totals)
            line = self.training_log.close_line(
                self.state.global_step,
                of=self.state.max_steps,
                learning_rate=logs["learning_rate"],
                grad_norm=logs.get("grad_norm"),
            )
            known = {name: value for name, value in line.items() if value is not None}
            logs |= {name: known[name] for name in _REPORTED if name in known}
        super().log(logs, start_time)

    @torch.no_grad()
    def validate(self, examples: Sequence[Example]) -> dict[str, Any]:
        """Log both losses of held-out examples, and return the line."""
        self.model.eval()
        size = self.args.per_device_train_batch_size
        lengths = [len(examples[index].tokens) for index in range(len(examples))]
        order = np.argsort(lengths, kind="stable")  # little padding
        begins = range(0, len(order), size)
        n_processes, process_rank = self.args.world_size, self.args.process_index
        totals = Totals()
        for first in range(0, len(begins), n_processes):
            own = first + process_rank
            # A process without a batch repeats the first one, because all processes
            # must gather the weights.
            begin = begins[own] if own < len(begins) else 0
            batch = [examples[index] for index in order[begin : begin + size]]
            inputs = self._prepare_inputs(self._collate(batch))
            with self.compute_loss_context_manager():
                losses, tokens = self._sum_losses(self.model, inputs)
            if own < len(begins):
                totals = totals.plus(Totals(*losses, tokens))
        totals = self._add_up(totals)
        return self.training_log.add_validation(self.state.global_step, totals)

    def _add_up(self, totals: Totals) -> Totals:
        """Return the sums over all processes."""
        if self.args.world_size == 1:
            return totals
        sums = torch.tensor(
            list(map(float, totals)),
            dtype=torch.float64,
            device=self.args.device,
        )
        distributed.all_reduce(sums)
        smoothed, plain, *counts = sums.tolist()
        return Totals(smoothed, plain, *map(int, counts))

    def gather_weights(self) -> dict[str, torch.Tensor]:
        """Return all weights on the CPU by name; none but in the first process."""
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        return get_model_state_dict(self.model_wrapped, options=options)
