"""The record of a kind of figure, and the rows that it is made from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from polycal.comparing import conditions

NO_SFT = "the study has no SFT to compare with its base models"


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


@dataclass(frozen=True)
class FigureKind:
    """Everything that polycal knows about one kind of figure.

    A new figure is one such record beside its drawing function, and its name in
    `polycal.study.figures`, which the workflow reads without matplotlib.

    Attributes:
        name: the stem of its file.
        values: from a selection to the table that is drawn; no rows: nothing to draw.
        draw: from that table, and a `title`, to a picture.
        caption: from that table to a sentence with its main numbers.
        reading: how to read the figure, in sentences.
        missing: why there may be nothing to draw; empty if every study has values.
        shown: on the page `always`, under the `leading` scoring of a task only (many
            marks make a large page), or `never`.
    """

    name: str
    values: Callable[[Selection], pd.DataFrame]
    draw: Callable[..., Figure]
    caption: Callable[[pd.DataFrame], str]
    reading: str
    missing: str = ""
    shown: Literal["always", "leading", "never"] = "leading"
