"""Dispersion of the languages' temperatures around one temperature for all."""

import numpy as np
import pyarrow as pa

from polycal.comparing.averages import average
from polycal.comparing.paired import Condition, Row, levels_of
from polycal.storage import tables
from polycal.study.languages import ALL


def dispersions(metrics: pa.Table) -> list[Row]:
    """Return mean and spread of the log temperatures over languages.

    The log of a language's own temperature is its over-confidence. One temperature for
    all languages repairs the mean; it cannot repair the spread.

    Args:
        metrics: the study's metrics table.
    """
    names = list(Condition._fields)
    temperatures = tables.where(metrics, metric="temperature", subset=ALL).to_pandas()
    rows = []
    for condition, own in temperatures.groupby(names, sort=True):
        logs = np.log(average(own, ["metric", "language"]).droplevel("metric"))
        for level, codes in levels_of(logs.index).items():
            members = logs.loc[codes]
            spread = float(members.std(ddof=1)) if len(members) > 1 else None
            numbers = {"mean_log": float(members.mean()), "sd_log": spread}
            numbers |= {"level": level, "n_languages": len(members)}
            rows.append(dict(zip(names, condition, strict=True)) | numbers)
    return rows
