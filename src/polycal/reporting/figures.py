"""All figures of a study, and one way to draw and save them.

Nothing here touches matplotlib's global state.
"""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Literal

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from polycal.reporting import comparisons, diagrams, gaps, overview, remedies, tradeoffs
from polycal.reporting.canvas import STYLE, make_canvas
from polycal.reporting.figure_kind import FigureKind
from polycal.reporting.latex import write_figure
from polycal.reporting.marks import add_titles
from polycal.reporting.selection import Selection
from polycal.storage.files import check_outputs, replacing
from polycal.study.figures import FIGURES as NAMES
from polycal.study.scorings import Scoring
from polycal.verb import verb

# Every record of these modules by its name, in the order of the page.
FIGURES: dict[str, FigureKind] = {
    kind.name: kind
    for kind in sorted(
        (
            kind
            for module in (comparisons, diagrams, gaps, overview, remedies, tradeoffs)
            for kind in vars(module).values()
            if isinstance(kind, FigureKind)
        ),
        key=lambda kind: NAMES.index(kind.name),
    )
}
_PLACE = "{task}, {scoring} ({normaliser})"
_DATES = {".svg": "Date", ".pdf": "CreationDate", ".png": "Software"}


@verb(makes="{out[0]}")
def draw(
    *,
    tables: Path,
    task: str,
    scoring: Scoring,
    normaliser: Literal["sum", "token"],
    out: list[Path],
) -> None:
    """Draw figures of one task and scoring from a study's tables.

    The same tables give the same bytes: files hold no date, and their ids come from a
    fixed salt, which differs between figures so that one page can hold several. Where
    the tables hold nothing for a figure, its file says why.

    Args:
        tables: the folder that holds the study's tables.
        task: short name of the benchmark.
        scoring: letters or text.
        normaliser: sum or token.
        out: files to write, such as forest.svg or forest.pdf; another name lists all.
            forest.tex sets forest.pdf with its caption.

    Raises:
        InputError: an unknown figure or format, or no rows for this selection.
    """
    check_outputs(out, "figure", FIGURES, [*_DATES, ".tex"])
    about = {"task": task, "scoring": scoring, "normaliser": normaliser}
    drawn: dict[str, Figure] = {}
    values: dict[str, pd.DataFrame] = {}
    for path in out:
        kind = FIGURES[path.stem]
        if kind.name not in drawn:
            values[kind.name] = kind.values(Selection(tables, about))
            drawn[kind.name] = make_figure(kind, values[kind.name], about)
        with replacing(path) as temporary:
            if path.suffix == ".tex":
                text = _set(kind, values[kind.name], about)
                temporary.write_text(text, encoding="utf-8")
                continue
            salt = " ".join((kind.name, *about.values()))
            file = render(drawn[kind.name], path.suffix, salt, kind.title)
            temporary.write_bytes(file)


@matplotlib.rc_context(STYLE)
def make_figure(
    kind: FigureKind, values: pd.DataFrame, about: Mapping[str, str]
) -> Figure:
    """Draw a figure, or a sentence that says why there is nothing to draw.

    Args:
        kind: of the figure.
        values: of that kind.
        about: `task`, `scoring` and `normaliser`, for the title.
    """
    title = _PLACE.format_map(about)
    if not values.empty:
        return kind.draw(values, title=title)
    figure, _ = make_canvas(6.0, 0.0, title=f"{title}: not drawn; {kind.missing}.")
    return figure


def _set(kind: FigureKind, values: pd.DataFrame, about: Mapping[str, str]) -> str:
    """Return a figure for LaTeX: title, main numbers and how to read it."""
    told = [kind.caption(values), kind.reading] if len(values) else [f"{kind.missing}."]
    place = _PLACE.format_map(about)
    return write_figure(kind.name, f"{kind.title}: {place}. {' '.join(told)}", place)


def render(figure: Figure, suffix: str, salt: str, title: str) -> bytes:
    """Return a figure's file without a date; its ids are made from the salt."""
    file = BytesIO()
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": salt}):
        facts = {"Title": title, _DATES[suffix]: None}
        figure.savefig(file, format=suffix[1:], dpi=200, metadata=facts)
    drawn = file.getvalue()
    return add_titles(drawn.decode()).encode() if suffix == ".svg" else drawn
