"""The values and bootstrap replicates of a study, loaded one run at a time.

Replicate r of every metric was drawn with the same weights of the questions, so that
differences and means of replicates are replicates themselves.
"""

from collections.abc import Iterable
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from polycal.comparing.runs import Checkpoints, check_checkpoint
from polycal.errors import InputError
from polycal.measuring.biases import bound_bias
from polycal.measuring.resampling import REPLICATED
from polycal.storage import tables


class MeasuredRun(NamedTuple):
    """A run on a task, as its tables name it."""

    model: str
    sft: str
    smoothing: float
    seed: int
    task: str


class MetricKey(NamedTuple):
    """A metric of some questions under one reading."""

    subset: str
    scoring: str
    normaliser: str
    calibrator: str
    metric: str


_ROW = [*MetricKey._fields, "language"]  # a run has one row of each


class RunMetric(NamedTuple):
    """One metric of one run by language.

    Attributes:
        languages: L codes, sorted.
        values: [L] as observed.
        null_means: [L] expected of a calibrated model; NaN for a metric without.
        n_questions: [L].
        replicates: [L, R], float32.
    """

    languages: list[str]
    values: np.ndarray
    null_means: np.ndarray
    n_questions: np.ndarray
    replicates: np.ndarray

    def bound_bias(self, gap: "RunMetric") -> np.ndarray:
        """Return a bound [L] on the bias of a calibration error, with the run's gap."""
        spread = gap.replicates.std(axis=1, ddof=1, dtype=np.float64)
        return bound_bias(self.values, self.null_means, gap.values, spread)


class Replicates:
    """Loads the replicated metrics of a study's runs.

    Attributes:
        runs: with replicates, sorted.
    """

    def __init__(
        self,
        metrics: pa.Table,
        paths: Iterable[Path],
        checkpoints: Checkpoints = MappingProxyType({}),
    ) -> None:
        """Find the run of each file.

        Args:
            metrics: the study's metrics table; it may hold more than the replicates.
            paths: replicates tables, one for each run and task.
            checkpoints: that the runs have now.

        Raises:
            InputError: a file is broken or of another checkpoint, or two files are of
                the same run.
        """
        self._paths: dict[MeasuredRun, Path] = {}
        for path in paths:
            row = tables.read_first(path, "replicates")
            if row is None:
                continue
            check_checkpoint(path, row, checkpoints)
            run = MeasuredRun(*(row[name] for name in MeasuredRun._fields))
            if run in self._paths:
                raise InputError(f"{path} and {self._paths[run]} are of the same run")
            self._paths[run] = path
        self.runs = sorted(self._paths)
        replicated = metrics.filter(pc.is_in(metrics["metric"], pa.array(REPLICATED)))
        kept = [*_ROW, "value", "null_mean", "n_questions"]
        names = [*MeasuredRun._fields, *kept]
        groups = replicated.select(names).to_pandas().groupby([*MeasuredRun._fields])
        self._values = {MeasuredRun(*run): own[kept] for run, own in groups}

    def load(self, run: MeasuredRun) -> dict[MetricKey, RunMetric]:
        """Return every replicated metric of a run.

        Raises:
            InputError: the file is broken, or the metrics table lacks a value.
        """
        path = self._paths[run]
        table = tables.read(path, "replicates")
        table = table.sort_by([(name, "ascending") for name in _ROW])
        replicates = table["values"].combine_chunks().flatten().to_numpy()
        replicates = replicates.reshape(len(table), -1)
        rows = table.select(_ROW).to_pandas()
        values = self._values.get(run)
        if values is not None:
            rows = rows.merge(values, how="left")
        if values is None or rows["value"].isna().any():
            raise InputError(
                f"the metrics table lacks what {path} is about; run `polycal "
                "aggregate` on the files that were measured with it"
            )
        return {
            MetricKey(*key): _run_metric(own, replicates[own.index])
            for key, own in rows.groupby([*MetricKey._fields])
        }


def _run_metric(rows: pd.DataFrame, replicates: np.ndarray) -> RunMetric:
    return RunMetric(
        rows["language"].tolist(),
        rows["value"].to_numpy(),
        rows["null_mean"].to_numpy(),
        rows["n_questions"].to_numpy(),
        replicates,
    )
