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


@settings(max_examples=60)
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


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (2, 1, 0)])
def test_json_types_may_change_and_any_row_may_lack_a_key(tmp_path, order):
    """The keys of all rows decide, not those of the first."""
    rows = [{"a": None, "b": 1}, {"a": 1.5}, {"b": "x"}]
    found = [{"a": None, "b": 1}, {"a": 1.5, "b": None}, {"a": None, "b": "x"}]
    path = tmp_path / "data.jsonl"
    path.write_text("".join(json.dumps(rows[k]) + "\n" for k in order))
    assert list(read_rows([path], ["a", "b"])) == [found[k] for k in order]
    with pytest.raises(InputError, match=r"lacks the columns c .it has: "):
        list(read_rows([path], ["a", "c"]))


NESTED = {
    "q": {"stem": "Why?", "choices": [{"text": "one"}, {"text": "two"}]},
    "c": {"text": ["one", "two"], "label": ["A", "B"]},
    "a.b": "dotted",
}


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_name_with_dots_leads_into_a_column(tmp_path, kind):
    """Into lists of objects, too; a column that has the dotted name goes first."""
    path = tmp_path / f"data.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist([NESTED]), path)
    else:
        path.write_text(json.dumps(NESTED))
    names = ["q.stem", "q.choices.text", "c.text", "a.b", "q.nothing", "c.text.x"]
    (row,) = read_rows([path], names)
    assert row == {
        "q.stem": "Why?",
        "q.choices.text": ["one", "two"],
        "c.text": ["one", "two"],
        "a.b": "dotted",
        "q.nothing": None,
        "c.text.x": [None, None],
    }
    with pytest.raises(InputError, match=r"lacks the columns x\.y"):
        list(read_rows([path], ["x.y"]))


def test_an_empty_cell_of_csv_is_missing_and_every_other_one_is_text(tmp_path):
    """None, NA and null are texts; quotes hold commas and line breaks."""
    path = tmp_path / "data.csv"
    text = 'a,b\nNone,\n"x, ""y""\nz",null\n1.0,""\nshort\n'
    path.write_text(text, encoding="utf-8-sig")
    assert list(read_rows([path], ["b", "a"])) == [
        {"b": None, "a": "None"},
        {"b": "null", "a": 'x, "y"\nz'},
        {"b": None, "a": "1.0"},
        {"b": None, "a": "short"},
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a,b\n1,2,3\n", "line 2 has more cells than the header"),
        (b'a,b\n1,"2\n', "is not CSV in UTF-8"),
        (b"a,b\n1,\xe9\n", "is not CSV in UTF-8"),
        (b"a;b\n1;2\n", "lacks the columns a, b .it has: a;b"),
        (b"", "lacks the columns a, b"),
    ],
)
def test_broken_csv_is_refused_by_name(tmp_path, content, message):
    """With the line."""
    path = tmp_path / "data.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"data\.csv.*{message}"):
        list(read_rows([path], ["a", "b"]))


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
        ('{"a": ' + "[" * 100_000, "nested too deeply"),
        ('{"a": ' + "1" * 5000 + "}", "is not JSON .Exceeds the limit"),
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
