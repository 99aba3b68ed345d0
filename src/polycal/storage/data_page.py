"""Every kind of table as Markdown: the body of docs/data.md."""

from collections.abc import Iterator

import pyarrow as pa

from polycal.storage.schemas import KINDS
from polycal.verb import verb


@verb()
def show_tables() -> None:
    """Print each kind of table: what a row is, and its columns with their meanings."""
    print("\n".join(_lines()))


def _lines() -> Iterator[str]:
    for name, kind in KINDS.items():
        yield f"## {name}"
        yield ""
        yield f"A row is {kind.row}."
        yield ""
        yield "| column | type | meaning |"
        yield "|---|---|---|"
        for column in kind.columns:
            meaning = column.meaning.replace("|", "\\|")
            yield f"| `{column.name}` | {_spell(column.type)} | {meaning} |"
        yield ""


def _spell(kind: pa.DataType) -> str:
    """Return a type in Arrow's words, a list by its items."""
    if pa.types.is_list(kind):
        return f"list of {_spell(kind.value_type)}"
    if pa.types.is_struct(kind):
        return " and ".join(f"{field.name} ({_spell(field.type)})" for field in kind)
    return str(kind)
