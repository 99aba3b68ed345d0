"""Values and marks of figures of the made-up study."""

import functools

import pandas as pd
from made_up import make_study, new_folder
from matplotlib.axes import Axes

from polycal.reporting.figures import FIGURES
from polycal.reporting.selection import Selection

PLACE = {"task": "global_mmlu", "scoring": "text", "normaliser": "token"}
NAMES = {
    "en": "English (en)",
    "de": "German (de)",
    "he": "Hebrew (he)",
    "sw": "Swahili (sw)",
    "yo": "Yoruba (yo)",
}


@functools.cache
def study(**options: object) -> Selection:
    """Return the made-up study, scored by option texts."""
    folder = new_folder()
    make_study(folder, **options)
    return Selection(folder, PLACE)


def values_of(name: str, **options: object) -> pd.DataFrame:
    """Return the values of a figure of the made-up study."""
    return FIGURES[name].values(study(**options))


def marks_of(axes: Axes, marker: str, first: Axes, shift: float = 0) -> dict:
    """Return the x of each mark by the text of its line, which the first panel shows.

    Args:
        axes: the panel.
        marker: as matplotlib spells it.
        first: the panel whose lines have texts.
        shift: of the marks within their lines.
    """
    texts = [text.get_text() for text in first.get_yticklabels()]
    return {
        texts[round(y - shift)]: x
        for line in axes.lines
        if line.get_marker() == marker
        for x, y in zip(*line.get_data(), strict=True)
    }
