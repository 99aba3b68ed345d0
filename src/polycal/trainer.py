"""transformers' Trainer with the smoothed loss, and a log that holds both losses."""

import logging
import math
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from transformers import (
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainingArguments,
)

from polycal.examples import Example
from polycal.head_loss import HeadLoss
from polycal.loss import Losses
from polycal.packing import pad
from polycal.recipe import Recipe

IGNORED = -100  # the label of a token that no loss is computed on
_LINES = 100  # of a training log, about
_logger = logging.getLogger(__name__)


def collate(examples: Sequence[Example]) -> dict[str, torch.Tensor]:
    """Examples as one batch, padded on the right: three int64 tensors [rows, longest].

    A label is the token itself where it is a target, elsewhere `IGNORED`. The padding
    is neither attended to nor trained on, so its token does not matter.
    """
    labels = [np.where(each.targets, each.tokens, IGNORED) for each in examples]
    columns = {
        "input_ids": pad([each.tokens for each in examples], 0),
        "attention_mask": pad([np.ones_like(each.tokens) for each in examples], 0),
        "labels": pad(labels, IGNORED),
    }
    return {name: torch.from_numpy(column) for name, column in columns.items()}


class _Totals(NamedTuple):
    """Sums since the last line of the log."""

    smoothed: float | torch.Tensor = 0.0
    plain: float | torch.Tensor = 0.0
    tokens: int = 0


class SmoothingTrainer(Trainer):
    """Minimises the smoothed loss over the target tokens of the whole batch.

    That is their mean or, if the recipe says so, their sum; the log has means.

    Attributes:
        lines: the log: dictionaries with the columns of a training log that vary.
    """

    # The loss is divided by the tokens of all accumulated micro-batches; without
    # these two the Trainer would divide once more.
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
        folder: str,
    ) -> None:
        """Set up AdamW, the linear schedule and the order of the examples.

        Args:
            model: on any device; all parameters that require a gradient are trained.
            examples: the training examples; each is asked for when it is used.
            recipe: the settings.
            smoothing: label-smoothing epsilon.
            bfloat16: whether to compute in bfloat16 (the weights keep their dtype).
            seed: of the order of the examples and of dropout.
            folder: for what the Trainer may write; nothing of it is kept.
        """
        steps = recipe.count_steps(len(examples))
        arguments = TrainingArguments(
            output_dir=folder,
            max_steps=steps,
            per_device_train_batch_size=recipe.micro_batch_size,
            gradient_accumulation_steps=recipe.batch_size // recipe.micro_batch_size,
            learning_rate=recipe.lr,
            lr_scheduler_type="linear",
            # The first step of a warm-up has the rate 0, so one step has no warm-up.
            warmup_steps=math.ceil(recipe.warmup_ratio * steps) if steps > 1 else 0,
            weight_decay=recipe.weight_decay,
            max_grad_norm=recipe.max_grad_norm,
            optim="adamw_torch",
            bf16=bfloat16,
            use_cpu=not torch.cuda.is_available(),
            seed=seed,
            logging_steps=max(1, steps // _LINES),
            logging_nan_inf_filter=False,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            remove_unused_columns=False,
            dataloader_pin_memory=torch.cuda.is_available(),
        )
        arguments._n_gpu = min(arguments.n_gpu, 1)  # no DataParallel, ever
        super().__init__(
            model,
            arguments,
            train_dataset=examples,
            data_collator=collate,
        )
        self.remove_callback(PrinterCallback)  # our log has the numbers
        self.model_accepts_loss_kwargs = True
        self.lines: list[dict[str, object]] = []
        self._head_loss, self._reduction = HeadLoss(smoothing), recipe.loss_reduction
        self._totals, self._since = _Totals(), time.perf_counter()

    def compute_loss(
        self,
        model: PreTrainedModel,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: int | torch.Tensor | None = None,
    ) -> torch.Tensor:
        """This micro-batch's part of the batch's smoothed loss (nats)."""
        losses, tokens = self._sum_losses(model, inputs)
        found = (losses.smoothed.detach(), losses.plain, tokens)
        self._totals = _Totals(*map(sum, zip(self._totals, found, strict=True)))
        whole = num_items_in_batch if self._reduction == "mean" else 1
        return losses.smoothed / whole

    def _sum_losses(
        self, model: PreTrainedModel, inputs: dict[str, torch.Tensor]
    ) -> tuple[Losses, int]:
        """Both losses summed over the target tokens, and how many they are."""
        inputs = dict(inputs)
        labels = inputs.pop("labels")
        # A token is predicted at the position before it.
        rows, places = (labels[:, 1:] != IGNORED).nonzero(as_tuple=True)
        plain_model = self.accelerator.unwrap_model(model)
        kept, targets = rows * labels.shape[1] + places, labels[rows, places + 1]
        losses = self._head_loss.sum(model, plain_model, inputs, kept, targets)
        return losses, len(targets)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Keep a line about the steps since the last one; the Trainer calls this."""
        super().log(logs, start_time)
        tokens = self._totals.tokens
        if "learning_rate" not in logs or not tokens:
            return  # the summary at the end
        seconds = time.perf_counter() - self._since
        line = {
            "step": self.state.global_step,
            "split": "train",
            "loss": float(self._totals.smoothed) / tokens,
            "nll": float(self._totals.plain) / tokens,
            "learning_rate": logs["learning_rate"],
            "grad_norm": logs.get("grad_norm"),
            "tokens": tokens,
            "tokens_per_second": tokens / seconds,
        }
        self.lines.append(line)
        self._totals, self._since = _Totals(), time.perf_counter()
        _logger.info(
            "step %d of %d: loss %.4f, nll %.4f, learning rate %.2e, %.0f tokens/s",
            *(line["step"], self.state.max_steps, line["loss"], line["nll"]),
            *(line["learning_rate"], line["tokens_per_second"]),
        )

    @torch.no_grad()
    def validate(self, examples: Sequence[Example]) -> dict[str, object]:
        """Append a line about held-out examples to the log, and return it."""
        self.model.eval()
        size = self.args.per_device_train_batch_size
        lengths = [len(examples[index].tokens) for index in range(len(examples))]
        order = np.argsort(lengths, kind="stable")  # little padding
        totals = _Totals()
        for begin in range(0, len(order), size):
            batch = [examples[index] for index in order[begin : begin + size]]
            inputs = self._prepare_inputs(collate(batch))
            with self.compute_loss_context_manager():
                losses, tokens = self._sum_losses(self.model, inputs)
            totals = _Totals(*map(sum, zip(totals, (*losses, tokens), strict=True)))
        tokens = totals.tokens
        line = {
            "step": self.state.global_step,
            "split": "validation",
            "loss": float(totals.smoothed) / tokens,
            "nll": float(totals.plain) / tokens,
            "learning_rate": None,
            "grad_norm": None,
            "tokens": tokens,
            "tokens_per_second": None,
        }
        self.lines.append(line)
        _logger.info("validation: loss %.4f, nll %.4f", line["loss"], line["nll"])
        return line
