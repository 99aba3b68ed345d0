"""Trainer callbacks: checkpoint, stop on SIGTERM, detect divergence."""

import contextlib
import json
import logging
import math
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import distributed
from transformers import (
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from polycal.tuning.checkpoints import Checkpoints
from polycal.tuning.launch import count_processes, process_rank, wait_for_all
from polycal.tuning.training_log import TrainingLog

# A training has diverged when its loss exceeds a uniform guess's by this factor.
_DIVERGED = 2.0
_logger = logging.getLogger(__name__)


class TrainingCallback(TrainerCallback):
    """Write checkpoints, and end a training that is signalled or diverges.

    Attributes:
        signal: number of the signal that ended the training, or 0.
        diverged: why the training counts as diverged, part of a sentence; None: it has
            not.
        validate: adds the validation loss of the model as it is to the log; called
            before the first step, for the loss of the untuned model.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        log: TrainingLog,
        *,
        minutes: float,
        vocabulary: int,
    ) -> None:
        self._checkpoints, self._log = checkpoints, log
        self._minutes, self._uniform_nll = minutes, math.log(vocabulary)
        self._last_saved = time.monotonic()
        self.signal = 0
        self.diverged: str | None = None
        self.validate: Callable[[], object] = lambda: None
        self._name = f"log-{process_rank()}.json"  # within a checkpoint

    def restore(self, checkpoint: Path) -> None:
        """Restore the log as a checkpoint left it."""
        self._log.restore(json.loads((checkpoint / self._name).read_text("utf-8")))

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Context manager: the first SIGTERM or SIGINT ends training after its step.

        The second signal ends a lone process at once. One of several processes ignores
        it, because a whole job's signal reaches it twice: from the sender and from the
        launcher.
        """
        handlers = {
            number: signal.getsignal(number)
            for number in (signal.SIGTERM, signal.SIGINT)
        }

        def restore_handlers() -> None:
            for number, handler in handlers.items():
                signal.signal(number, handler)

        def note(number: int, _: object) -> None:
            self.signal = number
            if count_processes() == 1:
                restore_handlers()

        for number in handlers:
            signal.signal(number, note)
        try:
            yield
        finally:
            restore_handlers()

    def on_train_begin(self, *_: object, **__: object) -> None:
        """Validate; here the weights are already sharded over the processes."""
        if not self._log.lines:  # no checkpoint restored the untuned model's loss
            self.validate()

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **_: object,
    ) -> None:
        """Check the loss, the clock and the signals."""
        finite = math.isfinite(float(self._log.totals.smoothed))
        due = time.monotonic() - self._last_saved >= 60 * self._minutes
        diverged, due, self.signal = _max_over_processes(
            [not finite, due, self.signal or 0], args.device
        )
        if diverged:
            self.diverged = f"the loss is not finite at step {state.global_step}"
            control.should_training_stop = control.should_log = True
            return
        # The Trainer cannot resume after the last step; what follows it is short.
        if state.global_step < state.max_steps:
            control.should_save = bool(due or self.signal)
        if self.signal:
            name = signal.Signals(self.signal).name
            _logger.warning("%s: the training ends at step %d", name, state.global_step)
            control.should_training_stop = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **_: object,
    ) -> None:
        """Check the last line of the log for divergence."""
        lines = [line for line in self._log.lines if line["split"] == "train"]
        if self.diverged or not lines:
            return
        limit = _DIVERGED * max(self._uniform_nll, lines[0]["nll"])
        if lines[-1]["nll"] > limit:
            self.diverged = (
                f"the loss blew up: {lines[-1]['nll']:.1f} nats per token at step "
                f"{state.global_step}, more than {limit:.1f}"
            )
            control.should_training_stop, control.should_save = True, False

    def on_save(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **_: object,
    ) -> None:
        """Complete the checkpoint that the Trainer has written."""
        written = self._checkpoints.written()
        (written / self._name).write_text(json.dumps(self._log.state()))
        wait_for_all()
        if process_rank() == 0:
            self._checkpoints.keep(state.global_step)
        wait_for_all()
        self._last_saved = time.monotonic()


def _max_over_processes(numbers: list[int], device: torch.device) -> list[int]:
    """Return the maxima over all processes, so that all decide the same."""
    if count_processes() == 1:
        return numbers
    maxima = torch.tensor(numbers, dtype=torch.int64, device=device)
    distributed.all_reduce(maxima, distributed.ReduceOp.MAX)
    return maxima.tolist()
