"""Tables for a terminal."""

from collections.abc import Iterator, Sequence


def align(
    head: Sequence[str], rows: Sequence[Sequence[str]], sides: str
) -> Iterator[str]:
    """Yield the lines of a table, columns two spaces apart.

    Args:
        head: names of the columns.
        rows: their cells.
        sides: < or > for each column, the side that it is flush with.
    """
    lines = [head, *rows]
    widths = [max(len(line[n]) for line in lines) for n in range(len(head))]
    for line in lines:
        cells = zip(line, sides, widths, strict=True)
        yield "  ".join(f"{cell:{side}{width}}" for cell, side, width in cells).rstrip()
