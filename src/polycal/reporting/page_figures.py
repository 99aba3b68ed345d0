"""The figures of one task and scoring on the page, with links to their files."""

import os
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import pandas as pd

from polycal.errors import InputError
from polycal.reporting.figure_kind import FigureKind
from polycal.reporting.figures import FIGURES, make_figure, render
from polycal.reporting.overview import OVERVIEW
from polycal.reporting.selection import Selection
from polycal.reporting.svg import inline
from polycal.reporting.tabulate import NAMES
from polycal.study import layout
from polycal.study.scorings import HEADLINE

# With more models and SFT sets, a page of all pictures is too heavy to send: it has the
# overview of the first, and all are in the files beside it.
_MOST_FACETS = 2


class Folders(NamedTuple):
    """Where the page's inputs are, and where the page is.

    Attributes:
        tables: holds the study's tables.
        figures: holds the study's figures.
        papers: holds the study's tables for a paper, if it has any.
        page: the page's own.
    """

    tables: Path
    figures: Path
    papers: Path | None
    page: Path

    def link(self, path: Path) -> str:
        """Return the address of a file as the page spells it."""
        return Path(os.path.relpath(path, self.page)).as_posix()

    def link_papers(self, about: Mapping[str, str]) -> dict[str, list[tuple[str, str]]]:
        """Return (format, address) of each table for a paper, by the table's name.

        Args:
            about: `task`, `scoring` and `normaliser`; none but a scoring's headline
                normaliser has such tables.
        """
        if not self.papers or about["normaliser"] != HEADLINE[about["scoring"]]:
            return {}
        place = self.papers / layout.SHOWN_TAIL.format_map(about)
        return {
            name: [
                (form, self.link(place / f"{name}.{form.lower()}"))
                for form in ("CSV", "TeX")
            ]
            for name in NAMES
        }


def show_figures(
    selection: Selection, folders: Folders, *, leads: bool, n_facets: int
) -> Iterator[dict[str, Any]]:
    """Yield the figures of one task, scoring and normaliser in the page's order.

    A figure has `name`, `title`, `caption`, how to read it as `reading`, `links` to its
    files, and its picture as `svg`, which is empty where only the file shows it. A
    figure without values has no links, and its caption says why.

    Args:
        selection: the tables of task, scoring and normaliser.
        folders: of the study.
        leads: whether the scoring leads; the others have fewer pictures.
        n_facets: models and SFT sets in the figures.

    Raises:
        InputError: the file of a figure is missing or broken.
    """
    drawn = {"always", "leading"} if leads else {"always"}
    for kind in FIGURES.values():
        place = folders.figures / layout.SHOWN_TAIL.format_map(selection.about)
        path = place / f"{kind.name}.svg"
        if not path.exists():
            raise InputError(f"{path} is missing; draw it and write the page again")
        values = kind.values(selection)
        if values.empty:
            yield {"title": kind.title, "caption": f"{kind.missing}.", "links": []}
            continue
        is_drawn = kind.shown in drawn and n_facets <= _MOST_FACETS
        picture: Path | BytesIO = path
        more = ""
        if kind is OVERVIEW and not is_drawn:
            values = values[values["facet"] == values["facet"].min()]
            picture, is_drawn = _draw_one(kind, values, selection), True
            more = f" The files show all {n_facets} models and SFT sets."
        caption = kind.caption(values) + more
        slug = "-".join((*selection.about.values(), kind.name))
        prefix = f"f{crc32(slug.encode()):08x}"  # short: the page repeats it a lot
        files = [path.with_suffix(ending) for ending in (".svg", ".pdf", ".tex")]
        files.append(folders.tables / f"{kind.source}.csv")
        text = f"{kind.title}. {caption}"
        yield {
            "name": kind.name,
            "title": kind.title,
            "caption": caption,
            "reading": kind.reading,
            "links": [
                (file.suffix[1:].upper().replace("TEX", "TeX"), folders.link(file))
                for file in files
                if file.exists()
            ],
            "svg": inline(picture, prefix=prefix, text=text) if is_drawn else "",
        }


def _draw_one(kind: FigureKind, values: pd.DataFrame, selection: Selection) -> BytesIO:
    """Draw a figure of one facet for the page alone."""
    salt = " ".join((kind.name, *selection.about.values()))
    figure = make_figure(kind, values, selection.about)
    return BytesIO(render(figure, ".svg", salt, kind.title))
