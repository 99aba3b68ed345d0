"""What is decided after every step of a training: keep it, end it, or go on."""

import contextlib
import json
import logging
import math
import signal
import time
from collections.abc import Iterator
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
from polycal.tuning.launch import count_processes, rank
from polycal.tuning.training_log import TrainingLog

# A loss of so many times that of knowing nothing is a training that blew up.
_BLOWN_UP = 2.0
_logger = logging.getLogger(__name__)


class TrainingCallback(TrainerCallback):
    """Keeps checkpoints, and ends a training that is asked to stop or that diverged.

    Attributes:
        signal: the number of the signal that ended the training, or 0.
        diverged: what became of the loss, or None; a sentence's part.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        log: TrainingLog,
        *,
        minutes: float,
        vocabulary: int,
    ) -> None:
        """TrainingCallback nothing yet.

        Args:
            checkpoints: where they are kept.
            log: of the training.
            minutes: between two checkpoints.
            vocabulary: tokens that the model tells apart.
        """
        self._checkpoints, self._log = checkpoints, log
        self._minutes, self._know_nothing = minutes, math.log(vocabulary)
        self._kept = time.monotonic()
        self.signal = 0
        self.diverged: str | None = None
        self._name = f"log-{rank()}.json"  # within a checkpoint

    def restore(self, checkpoint: Path) -> None:
        """Take the log up where a checkpoint left it."""
        self._log.restore(json.loads((checkpoint / self._name).read_text()))

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Inside, the first SIGTERM or SIGINT ends the training after its step.

        The second one ends the process as if nobody listened; but not one of several,
        which gets the signal of a whole job twice, from the sender and the launcher.
        """
        before = {
            number: signal.getsignal(number)
            for number in (signal.SIGTERM, signal.SIGINT)
        }

        def restore_handlers() -> None:
            for number, handler in before.items():
                signal.signal(number, handler)

        def note(number: int, _: object) -> None:
            self.signal = number
            if count_processes() == 1:
                restore_handlers()

        for number in before:
            signal.signal(number, note)
        try:
            yield
        finally:
            restore_handlers()

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **_: object,
    ) -> None:
        """Look at the loss, the clock and the signals."""
        finite = math.isfinite(float(self._log.totals.smoothed))
        due = time.monotonic() - self._kept >= 60 * self._minutes
        diverged, due, self.signal = _find_largest(
            [not finite, due, self.signal or 0], args.device
        )
        if diverged:
            self.diverged = f"the loss is not finite at step {state.global_step}"
            control.should_training_stop = control.should_log = True
            return
        # The Trainer cannot go on after the last step; what follows it is short.
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
        """Look at the last line of the log."""
        lines = [line for line in self._log.lines if line["split"] == "train"]
        if self.diverged or not lines:
            return
        limit = _BLOWN_UP * max(self._know_nothing, lines[0]["nll"])
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
        """Make what the Trainer has written a checkpoint."""
        written = self._checkpoints.written()
        (written / self._name).write_text(json.dumps(self._log.state()))
        _wait_for_all()
        if rank() == 0:
            self._checkpoints.keep(state.global_step)
        _wait_for_all()
        self._kept = time.monotonic()


def _find_largest(numbers: list[int], device: torch.device) -> list[int]:
    """The largest of each number over all processes, so that all decide the same."""
    if count_processes() == 1:
        return numbers
    found = torch.tensor(numbers, dtype=torch.int64, device=device)
    distributed.all_reduce(found, distributed.ReduceOp.MAX)
    return found.tolist()


def _wait_for_all() -> None:
    if count_processes() > 1:
        distributed.barrier()
