"""Tables are written whole, carry their origin, and foreign files are refused."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polycal import tables
from polycal.errors import InputError


def conversations(rows: int = 2) -> pa.Table:
    message = [{"role": "user", "content": "hi"}]
    return pa.table(
        {
            "example_id": list(range(rows)),
            "sft": ["s"] * rows,
            "messages": [message] * rows,
        }
    )


def test_round_trip_puts_columns_in_order_and_keeps_facts(tmp_path):
    """Any column order is accepted, the schema's comes back, and so do the facts."""
    path = tmp_path / "a.parquet"
    tables.write(conversations(), path, "conversations", revision="abc")
    table = tables.read(path, "conversations")
    assert table.schema.equals(tables.SCHEMAS["conversations"])
    assert table.to_pylist()[1]["messages"] == [{"role": "user", "content": "hi"}]
    facts = tables.read_metadata(path)
    assert facts["revision"] == "abc"
    assert facts["kind"] == "conversations"
    assert "pyarrow" in facts["libraries"]


def test_the_same_table_gives_the_same_bytes(tmp_path):
    """Nothing of the moment or the place goes into a file."""
    for name in ("a", "b"):
        tables.write(conversations(), tmp_path / name, "conversations")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_wrong_column_is_a_defect_and_leaves_no_file(tmp_path):
    """A misnamed column raises before anything is written."""
    wrong = conversations().rename_columns({"sft": "set"})
    with pytest.raises(ValueError, match=r"missing columns \['sft'\].*\['set'\]"):
        tables.write(wrong, tmp_path / "a", "conversations")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("keep", [0, 10, 500])
def test_a_truncated_file_is_refused_by_name(tmp_path, keep):
    """However much of the file is left, the message names it and what to do."""
    path = tmp_path / "cut.parquet"
    tables.write(conversations(), path, "conversations")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"cut\.parquet is not a complete Parquet"):
        tables.read(path, "conversations")


def test_a_foreign_file_is_refused_by_name(tmp_path):
    """Parquet that polycal did not write, or of another kind, is not taken."""
    pq.write_table(conversations(), tmp_path / "foreign.parquet")
    with pytest.raises(InputError, match=r"foreign\.parquet is not a polycal table"):
        tables.read(tmp_path / "foreign.parquet", "conversations")
    tables.write(conversations(), tmp_path / "other.parquet", "conversations")
    with pytest.raises(InputError, match=r"other\.parquet.*'metrics'.*'conversations'"):
        tables.read(tmp_path / "other.parquet", "metrics")


def test_reading_many_keeps_the_order_of_paths(tmp_path):
    """Rows come in the order of the paths; no path at all is an error."""
    for name, rows in (("a", 1), ("b", 3)):
        tables.write(conversations(rows), tmp_path / name, "conversations")
    both = tables.read_many([tmp_path / "b", tmp_path / "a"], "conversations")
    assert both["example_id"].to_pylist() == [0, 1, 2, 0]
    with pytest.raises(InputError, match="no tables"):
        tables.read_many([], "conversations")
