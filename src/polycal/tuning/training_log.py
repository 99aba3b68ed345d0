"""The log of a training: both losses of every few steps, in Parquet as they come."""

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import torch

from polycal.storage import tables
from polycal.tuning.throughput import Throughput

_logger = logging.getLogger(__name__)


class Totals(NamedTuple):
    """Sums of both losses (nats) over target tokens, and numbers of tokens."""

    smoothed: float | torch.Tensor = 0.0  # sum of the smoothed loss
    plain: float | torch.Tensor = 0.0  # sum of the negative log-likelihood
    tokens: int = 0  # target tokens
    read: int = 0  # all tokens that the network read, targets included

    def plus(self, other: "Totals") -> "Totals":
        """Return the sums over the tokens of both."""
        return Totals._make(map(sum, zip(self, other, strict=True)))

    def means(self) -> dict[str, float | int]:
        """Return both losses per token and the tokens, as columns of a line."""
        return {
            "loss": float(self.smoothed) / self.tokens,
            "nll": float(self.plain) / self.tokens,
            "tokens": self.tokens,
        }


class TrainingLog:
    """Lines of a training log, and sums for the next line.

    Attributes:
        lines: dictionaries with the columns of a training log that vary.
        totals: sums since the last line.
    """

    def __init__(
        self,
        path: Path | None,  # rewritten at every line; None: none
        identity: Mapping[str, Any],  # columns that are constant in the file
        throughput: Throughput | None = None,  # None: speed and memory are null
    ) -> None:
        self._path, self._identity, self._throughput = path, identity, throughput
        self.lines: list[dict[str, Any]] = []
        self.totals = Totals()
        self._since = time.perf_counter()

    def count(self, losses: Totals) -> None:
        """Add a micro-batch to the next line."""
        self.totals = self.totals.plus(losses)

    def close_line(
        self, step: int, *, of: int, learning_rate: float, grad_norm: float | None
    ) -> dict[str, Any]:
        """Write the line about the steps since the last one, and return it."""
        seconds = time.perf_counter() - self._since
        line = {
            "step": step,
            "split": "train",
            **self.totals.means(),
            "learning_rate": learning_rate,
            "grad_norm": grad_norm,
            "tokens_per_second": self.totals.tokens / seconds,
        }
        if self._throughput:
            tokens, targets = self.totals.read, self.totals.tokens
            line |= self._throughput.of_line(
                tokens=tokens, targets=targets, seconds=seconds
            )
        self.totals, self._since = Totals(), time.perf_counter()
        self._append(line)
        _logger.info(
            "step %d of %d: loss %.4f, nll %.4f, learning rate %.2e, %.0f tokens/s%s",
            *(step, of, line["loss"], line["nll"]),
            *(learning_rate, line["tokens_per_second"], _describe_throughput(line)),
        )
        return line

    def add_validation(self, step: int, totals: Totals) -> dict[str, Any]:
        """Write a line about held-out examples, and return it."""
        line = {
            "step": step,
            "split": "validation",
            **totals.means(),
            "learning_rate": None,
            "grad_norm": None,
            "tokens_per_second": None,
        }
        self._append(line)
        self._since = time.perf_counter()  # the next steps begin here
        _logger.info("validation: loss %.4f, nll %.4f", line["loss"], line["nll"])
        return line

    def table(self) -> pa.Table:
        """Return the lines as a table of the kind `training_log`."""
        rows = [{**self._identity, **line} for line in self.lines]
        return pa.Table.from_pylist(rows, tables.SCHEMAS["training_log"])

    def state(self) -> dict[str, Any]:
        """Return the state that `restore` takes; JSON can hold it."""
        smoothed, plain, *counts = self.totals
        return {
            "lines": self.lines,
            "totals": [float(smoothed), float(plain), *counts],
            "seconds": time.perf_counter() - self._since,
        }

    def restore(self, state: Mapping) -> None:
        """Continue from a state."""
        self.lines, self.totals = list(state["lines"]), Totals(*state["totals"])
        self._since = time.perf_counter() - state["seconds"]

    def _append(self, line: dict[str, Any]) -> None:
        self.lines.append(line)
        if self._path:
            tables.write(self.table(), self._path, "training_log")


def _describe_throughput(line: Mapping[str, Any]) -> str:
    """Return the known speed and memory of a line, as text."""
    if "tflops" not in line:
        return ""
    used = f" ({100 * line['mfu']:.0f} % MFU)" if line["mfu"] else ""
    return f", {line['tflops']:.3g} TFLOP/s{used}, {line['memory_gib']:.1f} GiB"
