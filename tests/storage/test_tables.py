"""Tables are written whole, carry their origin, and foreign files are refused."""

import csv
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polycal.errors import InputError
from polycal.storage import tables


def conversations(rows: int = 2) -> pa.Table:
    message = [{"role": "user", "content": "hi"}]
    return pa.table(
        {
            "example_id": list(range(rows)),
            "sft": ["s"] * rows,
            "input": pa.nulls(rows, pa.string()),
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


def test_a_flipped_bit_is_refused(tmp_path):
    """Wherever it is: in the content, the metadata or its digest."""
    path = tmp_path / "flipped.parquet"
    tables.write(conversations(50), path, "conversations")
    content = path.read_bytes()
    end = len(content) - pq.read_metadata(path).serialized_size - 8
    for place in (*range(4, end, 5), *range(end, len(content))):
        damaged = bytearray(content)
        damaged[place] ^= 1 << (place % 8)
        path.write_bytes(damaged)
        said = (
            r"flipped\.parquet is damaged" if place < end else r"flipped\.parquet is "
        )
        with pytest.raises(InputError, match=said):
            tables.read(path, "conversations")


def test_a_table_of_an_older_polycal_is_read(tmp_path):
    """Its metadata, of version 2, have no digest of their own."""
    path = tmp_path / "old.parquet"
    tables.write(conversations(), path, "conversations")
    expected, made_by = tables.read(path, "conversations"), tables.read_metadata(path)
    del made_by["footer"]
    for version in (2, 3):
        with pq.ParquetFile(path) as file:
            groups = [file.read_row_group(n) for n in range(file.num_row_groups)]
        old = tmp_path / f"v{version}.parquet"
        with pq.ParquetWriter(old, expected.schema, compression="zstd") as sink:
            for group in groups:
                sink.write_table(group.cast(expected.schema))
            noted = json.dumps(made_by | {"schema_version": version}, sort_keys=True)
            sink.add_key_value_metadata({"polycal": noted})
        if version == 2:
            assert tables.read(old, "conversations").equals(expected)
        else:
            with pytest.raises(InputError, match=r"v3\.parquet is damaged"):
                tables.read(old, "conversations")


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


def test_a_table_that_is_written_in_pieces_is_read_in_pieces(tmp_path):
    """Rows keep their order over row groups; facts that are known last are kept."""
    path = tmp_path / "a.parquet"
    with tables.writing(path, "conversations") as writer:
        for rows in (3, 2):
            writer.add(conversations(rows))
        writer.facts["counts"] = {"rows": writer.num_rows}
        assert not path.exists()
    ids = [0, 1, 2, 0, 1]
    assert tables.read(path, "conversations")["example_id"].to_pylist() == ids
    pieces = list(tables.stream(path, "conversations", rows=2))
    assert len(pieces) > 2
    assert all(0 < piece.num_rows <= 2 for piece in pieces)
    assert [each for piece in pieces for each in piece["example_id"].to_pylist()] == ids
    assert pq.ParquetFile(path).num_row_groups == 2
    assert tables.read_metadata(path)["counts"] == {"rows": 5}


@pytest.mark.parametrize("content", [b"", b"PAR1", b"not Parquet at all"])
def test_metadata_of_a_broken_file_are_refused_by_name(tmp_path, content):
    """Who reads only them gets one line, too."""
    path = tmp_path / "a.parquet"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.parquet is not a complete Parquet file"):
        tables.read_metadata(path)


def fail_after(rows: int, path):
    """A writer that is stopped by an error of its caller."""
    with tables.writing(path, "conversations") as writer:
        writer.add(conversations(rows))
        raise RuntimeError


def test_a_table_that_is_not_written_to_its_end_is_absent(tmp_path):
    """An error between two pieces leaves no file, under any name."""
    with pytest.raises(RuntimeError):
        fail_after(3, tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_a_table_that_is_read_in_pieces_is_not_held(tmp_path):
    """Halfway through 40 MB, and at the end, a small part of it is in memory."""
    chance = np.random.default_rng(0)
    path = tmp_path / "a.parquet"
    with tables.writing(path, "conversations") as writer:
        for _ in range(40):
            text = chance.bytes(2**19).hex()  # a byte is two characters: 1 MB
            rows = conversations(1).to_pylist()
            rows[0]["messages"][0]["content"] = text
            writer.add(pa.Table.from_pylist(rows, tables.SCHEMAS["conversations"]))
    assert path.stat().st_size > 20 * 2**20
    before, held = pa.total_allocated_bytes(), []
    for piece in tables.stream(path, "conversations", rows=1):
        assert piece.num_rows == 1
        held.append(pa.total_allocated_bytes() - before)
    assert len(held) == 40
    assert max(held) < 10 * 2**20


def test_pieces_of_a_foreign_file_are_refused_by_name(tmp_path):
    """As whole tables are; a damaged row group, too."""
    path = tmp_path / "a.parquet"
    pq.write_table(conversations(), path)
    with pytest.raises(InputError, match=r"a\.parquet is not a polycal table"):
        next(tables.stream(path, "conversations", rows=1))
    tables.write(conversations(500), path, "conversations")
    content = bytearray(path.read_bytes())
    content[4:400] = bytes(396)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.parquet is damaged; delete"):
        list(tables.stream(path, "conversations", rows=1))


def test_a_digest_is_of_the_rows_and_not_of_what_wrote_them(tmp_path):
    """Another origin gives other bytes and the same digest; another row another one."""
    table = pa.Table.from_pylist(
        [{"sft": "a", "example_id": 1, "messages": [], "input": None}],
        tables.SCHEMAS["conversations"],
    )
    files = [tmp_path / "one.parquet", tmp_path / "two.parquet"]
    for number, path in enumerate(files):
        tables.write(table, path, "conversations", revision=str(number))
    assert files[0].read_bytes() != files[1].read_bytes()
    one, two = (tables.digest(tables.read(path, "conversations")) for path in files)
    assert one == two
    longer = pa.concat_tables([table, table])
    assert tables.digest(longer) != one
    assert tables.digest(longer) == tables.digest(longer.combine_chunks())


def test_what_is_not_there_is_named(tmp_path):
    """The command line's message names this file, not one that the verb writes."""
    path = tmp_path / "none.parquet"
    for read in (tables.read_metadata, lambda path: tables.read(path, "metrics")):
        with pytest.raises(FileNotFoundError) as caught:
            read(path)
        assert caught.value.filename == str(path)
        assert caught.value.strerror == "No such file or directory"


def test_a_csv_file_holds_no_formula(tmp_path):
    """A spreadsheet would compute what a stranger's benchmark has as a subject."""
    texts = ["=1+1", "+1", "-1", "@x", "\tx", "a=1", "", None, "'x", "\n=1"]
    columns = {"text": texts, "number": [-1.5] * len(texts), "list": [[1]] * len(texts)}
    tables.write_csv(pa.table(columns), tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    written = ["'=1+1", "'+1", "'-1", "'@x", "'\tx", "a=1", "", "", "'x", "'\n=1"]
    assert [row["text"] for row in rows] == written
    assert {(row["number"], row["list"]) for row in rows} == {("-1.5", "[1]")}
