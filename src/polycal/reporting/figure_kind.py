"""The record of a kind of figure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import pandas as pd
from matplotlib.figure import Figure

from polycal.reporting.selection import Selection

NO_SFT = "the study has no SFT to compare with its base models"


@dataclass(frozen=True)
class FigureKind:
    """Everything that polycal knows about one kind of figure.

    A new figure is one such record beside its drawing function, and its name in
    `polycal.study.figures`, which the workflow reads without matplotlib.

    Attributes:
        name: the stem of its file.
        title: what it shows, as a heading.
        source: the study's table that holds its numbers.
        values: from a selection to the table that is drawn; no rows: nothing to draw.
        draw: from that table, and a `title`, to a picture.
        caption: from that table to a sentence with its main numbers.
        reading: how to read the figure, in sentences.
        missing: why there may be nothing to draw; empty if every study has values.
        shown: on the page `always`, under the `leading` scoring of a task only (many
            marks make a large page), or `never`.
    """

    name: str
    title: str
    source: str
    values: Callable[[Selection], pd.DataFrame]
    draw: Callable[..., Figure]
    caption: Callable[[pd.DataFrame], str]
    reading: str
    missing: str = ""
    shown: Literal["always", "leading", "never"] = "leading"
