"""Marks of figures with titles, which a browser shows where one points at them.

SVG has them as `<title>` in a mark; matplotlib cannot write those, so they travel as
the id of the marks' group, which no other format holds.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from xml.sax.saxutils import escape, unescape

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from polycal.comparing.conditions import label
from polycal.measuring.readings import UNCALIBRATED
from polycal.measuring.side_metrics import MEASURED
from polycal.measuring.temperature import CALIBRATORS
from polycal.reporting.canvas import name_line
from polycal.reporting.spelling import spell

_GROUP = re.compile(r"<g id=(?:\"(.*)\"|'(.*)')>")
_MARK = re.compile(r"<(?:use|text) [^>]*>")
_QUOTES = {"&quot;": '"', "&apos;": "'"}


def name_case(row: Mapping) -> str:
    """Return the language or the level of a row, and its condition."""
    return f"{name_line(row.get('language', row.get('level')))}, {name_condition(row)}"


def name_condition(row: Mapping) -> str:
    """Return the condition of a row, and its calibrator if it has one."""
    calibrator = CALIBRATORS.get(row.get("calibrator", UNCALIBRATED))
    return label(row["rank"]) + (f" with {calibrator}" if calibrator else "")


def spell_values(row: Mapping, *metrics: str) -> str:
    """Spell the metrics of a row: "accuracy 45.7%, gap +6.6 pp"."""
    of = {name: MEASURED[name] for name in metrics}
    return ", ".join(
        f"{metric.short_heading} {spell(row[name], metric.unit)}"
        for name, metric in of.items()
    )


def carry(*titles: str) -> str:
    """Return an artist's `gid` for the titles of its marks, or of its text."""
    return json.dumps(titles)  # one line of ASCII, whatever is in a name


def put_marks(
    axes: Axes, x: ArrayLike, y: ArrayLike, titles: Iterable[str], **look: object
) -> None:
    """Draw marks with titles.

    Args:
        axes: the panel.
        x: [N] of the marks; those that are missing or infinite are not drawn.
        y: [N] of the marks.
        titles: [N] of the marks.
        look: marker, colours and line, as in `Axes.plot`; without a line by default.
    """
    drawn = np.isfinite(np.column_stack([x, y]).astype(float)).all(axis=1)
    own = [title for title, is_drawn in zip(titles, drawn, strict=True) if is_drawn]
    axes.plot(x, y, **{"ls": "none", **look, "gid": carry(*own) if own else None})


def add_titles(drawn: str) -> str:
    """Return an SVG file of matplotlib's with the titles that its groups carry.

    The inside of a hollow mark shows the title, too.
    """
    titles: Iterator[str] = iter(())

    def name_mark(found: re.Match) -> str:
        words = next(titles, None)
        if words is None:
            return found[0]
        title = f"<title>{escape(words)}</title>"
        if found[0].endswith("/>"):
            return f'{found[0][:-2]} pointer-events="all">{title}</use>'
        return found[0] + title

    lines = []
    for line in drawn.splitlines(keepends=True):
        if found := _GROUP.search(line):
            carried = unescape(found[1] or found[2], _QUOTES)
            is_titled = carried.startswith("[")
            titles = iter(json.loads(carried) if is_titled else [])
            line = line.replace(found[0], "<g>") if is_titled else line
        lines.append(_MARK.sub(name_mark, line))
    return "".join(lines)
