"""SFT sets of three forms become the same conversations."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polycal.errors import InputError
from polycal.preparing import sft as module
from polycal.preparing.sft import prepare_sft
from polycal.storage import tables


def alpaca(output: str | None = "answer", *, instruction="ask", input="") -> dict:
    return {"instruction": instruction, "input": input, "output": output}


def messages(*turns: tuple[str, str | None]) -> dict:
    turns = [{"role": role, "content": content} for role, content in turns]
    return {"id": "x", "messages": turns, "source": "aya"}


def sharegpt(*turns: tuple[str, str | None]) -> dict:
    turns = [{"from": role, "value": value, "weight": None} for role, value in turns]
    return {"conversations": turns, "source": "hermes"}


def make_repository(folder: Path, rows: list[dict]) -> Path:
    """A local directory in the Hub's layout with a train split."""
    (folder / "data").mkdir(parents=True)
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files:\n"
        "  - split: train\n    path: data/train-*\n---\n"
    )
    path = folder / "data" / "train-00000-of-00001.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    return folder


def prepare(folder: Path, format: str, rows: list[dict], **options: object) -> pa.Table:
    """Make a repository, prepare it, and return the conversations."""
    repository = folder / "repository"
    if not repository.exists():
        make_repository(repository, rows)
    out = folder / "set.parquet"
    place = {"repo": str(repository), "revision": None, "sft": "set", "out": out}
    prepare_sft(**place, format=format, **options)
    return tables.read(out, "conversations")


def turns_of(table: pa.Table) -> list[list[tuple[str, str]]]:
    return [
        [(turn["role"], turn["content"]) for turn in conversation]
        for conversation in table["messages"].to_pylist()
    ]


def counts_of(folder: Path) -> dict[str, int]:
    return tables.read_metadata(folder / "set.parquet")["counts"]


def test_alpaca_keeps_the_input_beside_the_instruction(tmp_path):
    """A blank or missing input is none; texts are otherwise untouched."""
    rows = [
        alpaca(" a\n", instruction=" do", input="this "),
        alpaca("b", input=" \n"),
        alpaca("c", input=None),
    ]
    table = prepare(tmp_path, "alpaca", rows)
    assert turns_of(table) == [
        [("user", " do"), ("assistant", " a\n")],
        [("user", "ask"), ("assistant", "b")],
        [("user", "ask"), ("assistant", "c")],
    ]
    assert table["input"].to_pylist() == ["this ", None, None]
    assert table["sft"].to_pylist() == ["set"] * 3


def test_messages_are_taken_as_they_are(tmp_path):
    """System turns and many turns stay, in order."""
    turns = [
        ("system", "be kind"),
        ("user", "q"),
        ("assistant", "a"),
        ("user", "r"),
        ("assistant", "b"),
    ]
    table = prepare(tmp_path, "messages", [messages(*turns)])
    assert turns_of(table) == [turns]
    assert table["input"].to_pylist() == [None]


def test_sharegpt_roles_are_translated(tmp_path):
    """human, gpt and system become user, assistant and system."""
    row = sharegpt(("system", "s"), ("human", "h"), ("gpt", "g"))
    assert turns_of(prepare(tmp_path, "sharegpt", [row])) == [
        [("system", "s"), ("user", "h"), ("assistant", "g")]
    ]


def test_rows_that_teach_nothing_are_dropped_and_counted(tmp_path):
    """No answer, an empty one, a null one, one to nothing; ids stay the source's.

    An instruction may be empty beside an input or a system turn.
    """
    rows = [
        messages(("user", "q")),
        messages(("user", "q"), ("assistant", "a")),
        messages(("user", "q"), ("assistant", " \n")),
        messages(("user", "q"), ("assistant", "a"), ("user", "r"), ("assistant", None)),
        messages(),
        messages(("user", None), ("assistant", "b")),
        messages(("assistant", "b")),
        messages(("system", "s"), ("user", None), ("assistant", "b")),
        *[messages(("user", "q"), ("assistant", "a"))] * 12,
    ]
    table = prepare(tmp_path, "messages", rows)
    assert table["example_id"].to_pylist() == [1, *range(7, 20)]
    assert turns_of(table)[1] == [("system", "s"), ("user", ""), ("assistant", "b")]
    assert counts_of(tmp_path) == {
        "rows": 20,
        "dropped_by_filter": 0,
        "dropped_no_answer": 2,
        "dropped_no_question": 2,
        "dropped_empty_answer": 2,
        "dropped_faulty": 0,
        "dropped_by_max_examples": 0,
    }


def test_empty_outputs_of_alpaca_are_dropped(tmp_path):
    """Alpaca has a few rows with an empty output; an input may be the question."""
    rows = [alpaca(""), *[alpaca("x")] * 20, alpaca(None)]
    rows += [alpaca("x", instruction="", input=each) for each in (" ", "this")]
    table = prepare(tmp_path, "alpaca", rows)
    assert table["example_id"].to_pylist() == [*range(1, 21), 23]
    assert counts_of(tmp_path)["dropped_no_question"] == 1
    assert counts_of(tmp_path)["dropped_empty_answer"] == 2


@pytest.mark.parametrize(
    ("format", "rows", "message"),
    [
        (
            "messages",
            [
                messages(("user", "q"), ("assistant", "a")),
                *[messages(("tool", "x"))] * 2,
            ],
            r"2 of 3 rows .*row 1 of train: role 'tool' is not one of system, user, "
            "assistant; name it in `roles:`",
        ),
        ("sharegpt", [sharegpt(("chatgpt", "x"))], "row 0 of train: role 'chatgpt'"),
        ("messages", [messages((None, "x"))], "row 0 of train: role None"),
        ("alpaca", [messages(("user", "q"))], "lacks the columns instruction, input"),
        ("sharegpt", [{"conversations": [{"role": "x"}]}], r"KeyError\('from'\)"),
        ("alpaca", [alpaca("")], r"1 of 1 rows are dropped \(empty answer\)"),
        ("alpaca", [alpaca("a", instruction=None)], r"dropped \(no question\)"),
    ],
)
def test_what_is_not_understood_names_the_row(tmp_path, format, rows, message):
    """An unknown role or form stops in one line, and nothing is written."""
    with pytest.raises(InputError, match=message) as caught:
        prepare(tmp_path, format, rows)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "set.parquet").exists()


BROKEN = [
    {"messages": [{"role": "chatgpt", "content": "a"}]},
    {"messages": [{"role": ["user"], "content": "a"}]},
    {"messages": [{"role": "user", "content": 3}]},
    {"messages": [{"role": "user", "content": {"text": "a"}}]},
    {"messages": [{"role": "user", "content": "half \ud83d"}]},
    {"messages": [{"role": "user"}]},
    {"messages": "user"},
    {"messages": 3},
    {"messages": ["user"]},
]


@pytest.mark.parametrize("broken", BROKEN)
def test_one_odd_row_in_a_hundred_is_dropped_and_counted(tmp_path, broken, caplog):
    """A second one stops preparing; neither is a traceback."""
    good = {
        "messages": [
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": "a"},
        ]
    }
    path = tmp_path / "set.jsonl"
    for n_broken in (1, 2):
        rows = [*[good] * 98, *[broken] * n_broken]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        asked = {"repo": str(path), "format": "messages", "sft": "s"}
        if n_broken == 1:
            prepare_sft(**asked, out=tmp_path / "set.parquet")
            assert counts_of(tmp_path)["dropped_faulty"] == 1
            assert "row 98 of train: " in caplog.text
        else:
            with pytest.raises(InputError, match=r"2 of 100 .*faulty.*row 98 of train"):
                prepare_sft(**asked, out=tmp_path / "out.parquet")
    prepare_sft(**asked, max_dropped=0.02, out=tmp_path / "out.parquet")
    assert tables.read_metadata(tmp_path / "out.parquet")["counts"]["rows"] == 100


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_a_missing_content_is_empty(tmp_path, missing):
    """NaN is how pandas writes a null."""
    turns = [("system", missing), ("user", "q"), ("assistant", "a")]
    rows = [messages(*turns)]
    path = tmp_path / "set.jsonl"
    path.write_text(json.dumps(rows[0]))
    out = tmp_path / "set.parquet"
    prepare_sft(repo=str(path), format="messages", sft="s", out=out)
    table = tables.read(out, "conversations")
    assert turns_of(table) == [[("system", ""), *turns[1:]]]


def test_roles_are_translated_or_left_out_as_the_study_says(tmp_path):
    """Beside those that the format knows."""
    rows = [
        sharegpt(("human", "q"), ("chatgpt", "a")),
        sharegpt(("human", "q"), ("tool", "42"), ("gpt", "a")),
    ]
    roles = {"chatgpt": "assistant", "tool": "drop"}
    table = prepare(tmp_path, "sharegpt", rows, roles=roles)
    assert turns_of(table) == [[("user", "q"), ("assistant", "a")]] * 2
    assert tables.read_metadata(tmp_path / "set.parquet")["roles"] == roles
    with pytest.raises(InputError, match="roles: bot is none of system, user"):
        prepare(tmp_path, "sharegpt", rows, roles={"tool": "bot"})


def test_a_set_that_lost_rows_is_refused_by_its_readme(tmp_path):
    """A directory can be completed; `dataset_info` counts its rows."""
    make_repository(tmp_path / "repository", [alpaca()] * 3)
    readme = tmp_path / "repository" / "README.md"
    info = "dataset_info:\n  splits:\n  - name: train\n    num_examples: {}\n---\n"
    header = readme.read_text().removesuffix("---\n")
    readme.write_text(header + info.format(3))
    assert len(prepare(tmp_path, "alpaca", [])) == 3
    readme.write_text(header + info.format(4))
    with pytest.raises(InputError, match=r"has 3 rows, but README.md .* states 4"):
        prepare(tmp_path, "alpaca", [])


def test_an_unknown_format_is_refused(tmp_path):
    """The message lists the formats."""
    with pytest.raises(InputError, match="'chatml' is not known; use alpaca, messages"):
        prepare_sft(
            repo="./x", revision=None, format="chatml", sft="s", out=tmp_path / "o"
        )


@pytest.mark.parametrize("n_rows", [3, 4, 5, 8, 9])
def test_every_row_comes_once_over_batches(tmp_path, monkeypatch, n_rows):
    """The cut into batches neither loses nor repeats a row."""
    monkeypatch.setattr(module, "_BATCH", 4)
    table = prepare(tmp_path, "alpaca", [alpaca(str(i)) for i in range(n_rows)])
    assert table["example_id"].to_pylist() == list(range(n_rows))
    assert [turns[1][1] for turns in turns_of(table)] == [str(i) for i in range(n_rows)]


SOURCES = ["aya", "wild", None, "flan", "aya", "wild"]


def make_sourced(sources: list[object]) -> list[dict]:
    """One answered row per source; ids are the row numbers."""
    row = messages(("user", "q"), ("assistant", "a"))
    return [{**row, "source": source} for source in sources]


@pytest.mark.parametrize(
    ("chosen", "kept"),
    [
        ({"keep": ["aya", "flan"]}, [0, 3, 4]),
        ({"drop": ["aya"]}, [1, 2, 3, 5]),
        ({"keep": [None]}, [2]),
        ({"drop": [None, "wild"]}, [0, 3, 4]),
    ],
)
def test_a_filter_keeps_or_drops_by_the_values_of_a_column(tmp_path, chosen, kept):
    """What it drops is counted apart from rows without an answer."""
    rows = [*make_sourced(SOURCES), messages(("user", "q"))]
    chosen = {"column": "source", **chosen}
    table = prepare(tmp_path, "messages", rows, filter=chosen, max_dropped=0.5)
    assert table["example_id"].to_pylist() == kept
    counts = counts_of(tmp_path)
    assert counts["rows"] == 7
    dropped = counts["dropped_by_filter"] + counts["dropped_no_answer"]
    assert dropped == 7 - len(kept)
    assert counts["dropped_by_filter"] >= 6 - len(kept) > 0
    assert tables.read_metadata(tmp_path / "set.parquet")["filter"] == chosen


def test_rows_that_a_filter_drops_need_not_be_understood(tmp_path):
    """A role that only they have does not stop the set."""
    rows = [*make_sourced(["aya"]), {**messages(("tool", "x")), "source": "tools"}]
    chosen = {"column": "source", "drop": ["tools"]}
    table = prepare(tmp_path, "messages", rows, filter=chosen)
    assert table["example_id"].to_pylist() == [0]


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (
            {"column": "sauce", "keep": ["aya"]},
            r"lacks the columns sauce \(it has: id, messages, source\); is "
            "`format:` or `filter:` right",
        ),
        (
            {"column": "source", "keep": ["ayah"]},
            "keep names 'ayah', but no row has it in 'source', where there is 'aya', "
            "'flan', 'wild', None, ...",
        ),
        ({"column": "source", "drop": ["aya", "x"]}, "drop names 'x', but no row has"),
        ({"column": "messages", "keep": ["x"]}, "row 0 .*'messages' holds a list"),
        ({"column": "source"}, "is not understood; it needs `column`"),
    ],
)
def test_a_filter_that_does_not_fit_tells_what_there_is(tmp_path, chosen, message):
    """One line, and nothing is written."""
    with pytest.raises(InputError, match=message) as caught:
        prepare(tmp_path, "messages", make_sourced(SOURCES), filter=chosen)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "set.parquet").exists()


def test_some_examples_are_taken_by_chance_but_always_the_same(tmp_path):
    """In order, from all over the set, and fewer of them are a part of more."""
    rows = [alpaca(str(number) if number % 10 else "") for number in range(200)]
    taken = {}
    for most in (20, 60, 60, 180, 500):
        table = prepare(tmp_path, "alpaca", rows, max_examples=most)
        ids = table["example_id"].to_pylist()
        assert ids == sorted(ids) == taken.get(most, ids)
        taken[most] = ids
        assert len(ids) == min(most, 180)
        assert counts_of(tmp_path)["dropped_by_max_examples"] == 180 - len(ids)
        assert counts_of(tmp_path)["dropped_empty_answer"] == 20
    assert set(taken[20]) < set(taken[60]) < set(taken[180])
    assert 10 < sum(number < 100 for number in taken[60]) < 50


def test_a_filter_and_a_number_go_together(tmp_path):
    """The number is of the rows that the filter keeps."""
    rows = make_sourced(["aya", "flan"] * 30)
    chosen = {"column": "source", "keep": ["flan"]}
    table = prepare(tmp_path, "messages", rows, filter=chosen, max_examples=10)
    ids = table["example_id"].to_pylist()
    assert len(ids) == 10
    assert all(number % 2 for number in ids)
    assert counts_of(tmp_path) == {
        "rows": 60,
        "dropped_by_filter": 30,
        "dropped_no_answer": 0,
        "dropped_no_question": 0,
        "dropped_empty_answer": 0,
        "dropped_faulty": 0,
        "dropped_by_max_examples": 20,
    }


@pytest.mark.parametrize("form", ["lines", "array"])
def test_a_local_json_file_is_a_set(tmp_path, form):
    """A file of one's own, in lines or as OpenHermes' array, gives the same rows."""
    answered = sharegpt(("human", "é"), ("gpt", "b"))
    rows = [*[answered] * 9, sharegpt(("human", "c"))]
    text = json.dumps(rows)
    if form == "lines":
        text = "\n".join(map(json.dumps, rows))
    (tmp_path / "mine.json").write_text(text)
    prepare_sft(
        repo=str(tmp_path / "mine.json"),
        revision=None,
        format="sharegpt",
        sft="set",
        out=tmp_path / "set.parquet",
    )
    table = tables.read(tmp_path / "set.parquet", "conversations")
    assert turns_of(table) == [[("user", "é"), ("assistant", "b")]] * 9
    assert counts_of(tmp_path)["dropped_no_answer"] == 1


CHAT = messages(("user", "ask"), ("assistant", "answer"))
OTHER_SHAPES = {
    "other columns": (
        sharegpt(("human", "ask"), ("gpt", "answer")),
        r"{name}\.json lacks the columns messages .it has: conversations, source.; is",
    ),
    "other turns": (
        {"messages": [{"from": "human", "value": "ask"}]},
        r"40 of 50 rows .*messages is not written as expected",
    ),
}


@pytest.mark.parametrize("shape", OTHER_SHAPES)
@pytest.mark.parametrize("first", [True, False])
def test_two_shapes_of_json_in_one_folder_are_refused(tmp_path, shape, first):
    """10 of 50 rows would be left; whichever file comes first."""
    other, message = OTHER_SHAPES[shape]
    good, bad = ("a", "b") if first else ("b", "a")
    folder = tmp_path / "repository" / "train"
    folder.mkdir(parents=True)
    (folder / f"{good}.json").write_text(json.dumps([CHAT] * 10))
    (folder / f"{bad}.json").write_text(json.dumps([other] * 40))
    with pytest.raises(InputError, match=message.format(name=bad)):
        prepare(tmp_path, "messages", [])
    assert not (tmp_path / "set.parquet").exists()
    (folder / f"{bad}.json").write_text(json.dumps([CHAT] * 40))
    assert prepare(tmp_path, "messages", []).num_rows == 50


def test_the_hub_branch_records_the_commit(tmp_path, monkeypatch):
    """A branch is resolved; the facts hold the commit and the digest of the files."""
    commit = "b" * 40
    snapshot = make_repository(tmp_path / "snapshots" / commit, [alpaca()])
    asked = []

    def snapshot_download(repo, **options):
        asked.append((repo, options["repo_type"], options["revision"]))
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    prepare_sft(
        repo="tatsu-lab/alpaca",
        revision="main",
        format="alpaca",
        sft="set",
        out=tmp_path / "set.parquet",
    )
    facts = tables.read_metadata(tmp_path / "set.parquet")
    assert (facts["repo"], facts["revision"]) == ("tatsu-lab/alpaca", commit)
    assert len(facts["digest"]) == 64
    assert asked[0] == ("tatsu-lab/alpaca", "dataset", "main")
    assert asked[-1] == ("tatsu-lab/alpaca", "dataset", commit)


def test_local_sets_need_no_network(tmp_path, monkeypatch):
    """No socket is opened for a local directory, online as the process is."""

    def refuse(*arguments):
        pytest.fail(f"a connection was opened: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    prepare(tmp_path, "alpaca", [alpaca()])


def test_preparing_leaves_torch_and_the_cache_alone(tmp_path):
    """A whole job on a directory without a header: torch stays out, HF_HOME empty."""
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train.jsonl").write_text(json.dumps(alpaca()))
    code = (
        "import sys; from pathlib import Path; "
        "from polycal.preparing.sft import prepare_sft; "
        "prepare_sft(repo=sys.argv[1], revision=None, format='alpaca', sft='s', "
        "out=Path(sys.argv[2])); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "set", tmp_path / "out.parquet"],
        env=os.environ | {"HF_HOME": str(tmp_path / "home")},
    )
    assert done.returncode == 0
    assert tables.read(tmp_path / "out.parquet", "conversations").num_rows == 1
    assert not (tmp_path / "home").exists()
