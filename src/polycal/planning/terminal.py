"""Tables and paragraphs for a terminal."""

import textwrap
from collections.abc import Iterator, Sequence

_WIDTH = 96


def align(
    head: Sequence[str], rows: Sequence[Sequence[str]], sides: str
) -> Iterator[str]:
    """Yield the lines of a table for a terminal, columns two spaces apart.

    Args:
        head: names of the columns.
        rows: their cells.
        sides: < or > for each column, the side that it is flush with.
    """
    lines = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = zip(line, sides, widths, strict=True)
        yield "  ".join(f"{cell:{side}{width}}" for cell, side, width in cells).rstrip()


def wrap(text: str, indent: str = "") -> list[str]:
    """Return the lines of a text, at most 96 characters wide."""
    width = _WIDTH - len(indent)
    lines = textwrap.wrap(text, width, break_on_hyphens=False)
    return [indent + line for line in lines]


def count(n: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
