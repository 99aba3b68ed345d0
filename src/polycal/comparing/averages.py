"""The one rule for means over seeds and languages."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from polycal.measuring.side_metrics import MEASURED

_GEOMETRIC = [name for name, metric in MEASURED.items() if metric.geometric]


def average(rows: pd.DataFrame, keys: Sequence[str]) -> pd.Series:
    """Return the mean of `value`, geometric for metrics that are ratios.

    Temperatures of 1 and 4 are 2 on average: each divides scores, so twice as much and
    half as much are equally far away.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(rows["value"].to_numpy(np.float64, na_value=np.nan))
    of_ratio = rows["metric"].isin(_GEOMETRIC)
    values = rows["value"].where(~of_ratio, logs)
    means = rows.assign(value=values).groupby([*keys], sort=True)["value"].mean()
    of_ratio = means.index.get_level_values("metric").isin(_GEOMETRIC)
    return means.where(~of_ratio, np.exp(means.where(of_ratio)))
