"""Every kind of table as Markdown: the body of docs/data.md."""

from polycal.storage.schemas import KINDS
from polycal.verb import verb


@verb()
def show_tables() -> None:
    """Print each kind of table: what a row is, and its columns with their meanings."""
    for name, kind in KINDS.items():
        print(f"## {name}\n\nA row is {kind.row}.\n")
        print("| column | type | meaning |\n|---|---|---|")
        for column in kind.columns:
            meaning = column.meaning.replace("|", "\\|")
            print(f"| `{column.name}` | {column.type} | {meaning} |")
        print()
