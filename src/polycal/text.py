"""Plain text: tables for a terminal, and YAML."""

from collections.abc import Iterator, Sequence

import yaml


def load_yaml(text: str) -> object:
    """Read YAML that polycal or a repository ships, by the C library where it is there.

    It is ten times as fast as PyYAML's own reader, but names no place in its errors.

    Raises:
        yaml.YAMLError: the text is not YAML.
    """
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def align(
    head: Sequence[str], rows: Sequence[Sequence[str]], sides: str
) -> Iterator[str]:
    """A table as lines.

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
