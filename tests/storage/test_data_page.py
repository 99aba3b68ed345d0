"""docs/data.md says what the code says."""

from study import REPOSITORY

from polycal.storage.data_page import show_tables
from polycal.storage.schemas import KINDS

PAGE = (REPOSITORY / "docs" / "data.md").read_text()


def test_the_page_is_what_the_command_prints(capsys):
    """Behind the introduction; write it anew with `polycal show-tables`."""
    show_tables()
    printed = capsys.readouterr().out.rstrip() + "\n"
    assert PAGE[PAGE.index("## ") :] == printed


def test_every_column_has_a_meaning_and_a_type_in_words(capsys):
    """One row a column, nothing empty."""
    show_tables()
    rows = [line for line in capsys.readouterr().out.splitlines() if "| `" in line]
    assert len(rows) == sum(len(kind.columns) for kind in KINDS.values())
    for row in rows:
        cells = [cell.strip() for cell in row.strip("|").split(" | ")]
        assert len(cells) == 3, row
        assert all(cells), row
    assert "list of float" in "".join(rows)
    assert "role (string) and content (string)" in "".join(rows)
