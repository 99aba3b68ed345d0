"""Rows come as they are written, whatever the form of the file."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polycal.errors import InputError
from polycal.preparing import rows as module
from polycal.preparing.rows import read_rows

texts = st.text(alphabet=st.sampled_from('a"[]{},\\\n é\u2028'), max_size=12)
ROWS = st.lists(st.fixed_dictionaries({"a": texts, "b": st.none() | texts}))


@settings(max_examples=60, deadline=None)
@given(
    rows=ROWS,
    form=st.sampled_from(["lines", "array", "indented"]),
    chunk=st.integers(1, 9),
    end=st.sampled_from(["", "\n", " \n\n"]),
)
def test_json_of_every_form_gives_the_rows(tmp_path_factory, rows, form, chunk, end):
    """Lines, an array, an indented array; chunks that cut rows anywhere."""
    path = tmp_path_factory.mktemp("json") / "data.json"
    if form == "lines":
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    else:
        text = json.dumps(rows, indent=2 if form == "indented" else None)
    path.write_text(f"{text}{end}", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CHUNK", chunk)
        assert list(read_rows([path], ["a", "b"])) == rows


def test_parquet_keeps_order_over_files_and_tells_none_from_null(tmp_path):
    """The text "None" and a null stay what they are; only named columns are read."""
    parts = [[{"a": "None", "b": 1}, {"a": None, "b": 2}], [{"a": "N/A", "b": 3}]]
    paths = []
    for number, part in enumerate(parts):
        paths.append(tmp_path / f"{number}.parquet")
        pq.write_table(pa.Table.from_pylist(part), paths[-1])
    assert list(read_rows(paths, ["a"])) == [{"a": "None"}, {"a": None}, {"a": "N/A"}]


def test_json_types_may_change_and_keys_may_lack_after_the_first_row(tmp_path):
    """A column that turns from null to number far down breaks nothing."""
    path = tmp_path / "data.jsonl"
    path.write_text('{"a": null, "b": 1}\n{"a": 1.5}\n{"b": "x"}\n')
    found = [{"a": None, "b": 1}, {"a": 1.5, "b": None}, {"a": None, "b": "x"}]
    assert list(read_rows([path], ["a", "b"])) == found


def test_a_byte_order_mark_is_skipped(tmp_path):
    """Files written on Windows begin with one."""
    path = tmp_path / "data.json"
    path.write_text('[{"a": 1}]', encoding="utf-8-sig")
    assert list(read_rows([path], ["a"])) == [{"a": 1}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1}\n{"a": ', "not complete JSON"),
        ('[{"a": 1}, {"a": 2}', "array is not closed"),
        ('[{"a": 1}] [{"a": 2}', "array is not closed"),
        ("[1, 2]", "not a JSON object: 1"),
        ('{"b": 1}', "lacks the columns a .it has: b"),
    ],
)
def test_broken_json_is_refused_by_name(tmp_path, text, message):
    """Cut, foreign or wrong: the file is named."""
    path = tmp_path / "data.json"
    path.write_text(text)
    with pytest.raises(InputError, match=rf"data\.json.*{message}"):
        list(read_rows([path], ["a"]))


def test_json_that_never_ends_a_row_is_given_up_early(tmp_path, monkeypatch):
    """A broken row does not pull gigabytes into memory."""
    path = tmp_path / "data.json"
    path.write_text('{"a": ' + "x" * 10_000)
    monkeypatch.setattr(module, "_CHUNK", 100)
    monkeypatch.setattr(module, "_LONGEST", 1000)
    read = 0
    monkeypatch.setattr(
        module,
        "_read_chunk",
        lambda file, path, original=module._read_chunk: (
            count() and original(file, path)
        ),
    )

    def count():
        nonlocal read
        read += 1
        return True

    with pytest.raises(InputError, match="not complete JSON"):
        list(read_rows([path], ["a"]))
    assert read < 20


def test_bytes_that_are_not_text_are_refused(tmp_path):
    """Latin-1 is not read as something else."""
    path = tmp_path / "data.json"
    path.write_bytes(b'{"a": "\xe9"}')
    with pytest.raises(InputError, match="not UTF-8"):
        list(read_rows([path], ["a"]))


def test_broken_parquet_is_refused_by_name(tmp_path):
    """A truncated file and a missing column name the file."""
    path = tmp_path / "data.parquet"
    pq.write_table(pa.table({"a": list(range(1000))}), path)
    with pytest.raises(
        InputError, match=r"data.parquet lacks the columns b .it has: a"
    ):
        list(read_rows([path], ["b"]))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"data.parquet is not complete Parquet"):
        list(read_rows([path], ["a"]))
