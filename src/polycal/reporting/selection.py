"""The rows of a study's tables about one task, scoring and normaliser."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from polycal.comparing import conditions


class Selection(NamedTuple):
    """The rows of a study's tables about one task, scoring and normaliser.

    Attributes:
        tables: the folder that holds the study's tables.
        about: `task`, `scoring` and `normaliser`.
    """

    tables: Path
    about: Mapping[str, str]

    def rows(self, kind: str, **values: str) -> pd.DataFrame:
        """Return the rows of a table, perhaps none; `values` narrows the selection."""
        return conditions.rows_of(self._path(kind), kind, **self.about, **values)

    def uncalibrated(self, kind: str) -> pd.DataFrame:
        """Return the rows about all questions, before any calibrator.

        Raises:
            InputError: there are none.
        """
        return conditions.select(self._path(kind), kind, **self.about)

    def per_language(self) -> pd.DataFrame:
        """Return the uncalibrated metrics as `conditions.per_language` does."""
        return conditions.per_language(self.uncalibrated("metrics"))

    def per_level(self) -> pd.DataFrame:
        """Return the uncalibrated metrics as `conditions.per_level` does."""
        return conditions.per_level(
            self.uncalibrated("summary"), self.rows("level_means", calibrator="none")
        )

    def _path(self, kind: str) -> Path:
        return self.tables / f"{kind}.parquet"
