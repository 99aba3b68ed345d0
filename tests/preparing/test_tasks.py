"""Both benchmarks' rows, with every trap that is known of them."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest
from repositories import (
    ROWS,
    SPLITS,
    global_mmlu_row,
    make_repository,
    mmlu_prox_row,
    write_file,
    write_repository,
)

from polycal.errors import InputError
from polycal.preparing.tasks import prepare_task
from polycal.storage import tables
from polycal.study.config import complete_format


def prepare(folder: Path, format: str, test: list[dict], dev=None) -> Path:
    """Make a repository, prepare it, and return the questions file."""
    repository = make_repository(folder / "repository", format, test, dev)
    out = folder / "sw.parquet"
    prepare_task(
        repo=str(repository),
        revision=None,
        format=format,
        task="a-task",
        language="sw",
        out=out,
    )
    return out


def rows_of(path: Path, split: str = "test") -> list[dict]:
    return tables.where(tables.read(path, "questions"), split=split).to_pylist()


def counts_of(path: Path, split: str = "test") -> dict[str, int]:
    """What was counted, without the zeros."""
    counts = tables.read_metadata(path)["counts"][split]
    return {name: number for name, number in counts.items() if number}


def test_global_mmlu_becomes_questions(tmp_path):
    """Every column lands where it belongs; test comes before dev; facts are stored."""
    test = [
        global_mmlu_row(3, answer="D", cultural_sensitivity_label="CS"),
        global_mmlu_row(1, answer="A", cultural_sensitivity_label="CA"),
    ]
    dev = [global_mmlu_row(sample_id="anatomy/dev/0")]
    path = prepare(tmp_path, "global_mmlu", test, dev)
    found = tables.read(path, "questions").to_pylist()
    assert [row["question_id"] for row in found] == [
        "anatomy/test/3",
        "anatomy/test/1",
        "anatomy/dev/0",
    ]
    assert [row["split"] for row in found] == ["test", "test", "dev"]
    assert [row["gold"] for row in found] == [3, 0, 1]
    assert [row["culture"] for row in found] == ["CS", "CA", None]
    assert found[0] == {
        "task": "a-task",
        "language": "sw",
        "split": "test",
        "question_id": "anatomy/test/3",
        "subject": "anatomy",
        "category": "STEM",
        "culture": "CS",
        "question": "Question 3?",
        "options": ["one", "two", "three", "four"],
        "gold": 3,
        "lead_in": "Answer:",
    }
    facts = tables.read_metadata(path)
    assert facts["repo"] == str(tmp_path / "repository")
    assert facts["format"] == complete_format("global_mmlu")
    assert (facts["task"], facts["language"], facts["name"]) == ("a-task", "sw", "sw")
    assert counts_of(path) == {"rows": 2}
    assert counts_of(path, "dev") == {"rows": 1}


def test_mmlu_prox_becomes_questions(tmp_path):
    """Nulls at the tail are no options; ids are text; category is the subject too."""
    ten = tuple("abcdefghij")
    test = [
        mmlu_prox_row(71, options=ten, answer="J", answer_index=9),
        mmlu_prox_row(70),
    ]
    path = prepare(tmp_path, "mmlu_prox", test, [mmlu_prox_row(0)])
    first, second = rows_of(path)
    assert first["options"] == list(ten)
    assert (first["gold"], first["question_id"]) == (9, "71")
    assert second["options"] == ["one", "two", "three"]
    assert (second["subject"], second["category"], second["culture"]) == (
        "computer science",
        "computer science",
        None,
    )
    assert [row["question_id"] for row in rows_of(path, "dev")] == ["0"]


def test_mmlu_prox_has_four_to_ten_options(tmp_path):
    """As its Lite version has: each question keeps its own number, gold at the end."""
    test = [
        mmlu_prox_row(
            66 + n,
            options=tuple("abcdefghij"[:n]),
            answer="ABCDEFGHIJ"[n - 1],
            answer_index=n - 1,
        )
        for n in range(4, 11)
    ]
    found = rows_of(prepare(tmp_path, "mmlu_prox", test))
    assert [len(row["options"]) for row in found] == list(range(4, 11))
    assert [row["gold"] for row in found] == list(range(3, 10))
    assert {row["lead_in"] for row in found} == {"Jibu:"}


def test_global_mmlu_lite_is_read_as_global_mmlu(tmp_path):
    """The same columns, all of its questions annotated, and dev rows that are not."""
    lists = {"required_knowledge": "['cultural']", "country": "['Kenya', 'Tanzania']"}
    test = [
        global_mmlu_row(0, cultural_sensitivity_label="CS", is_annotated=True, **lists),
        global_mmlu_row(1, cultural_sensitivity_label="CA", is_annotated=True),
    ]
    dev = [global_mmlu_row(sample_id=f"anatomy/dev/{n}") for n in range(5)]
    path = prepare(tmp_path, "global_mmlu", test, dev)
    assert [row["culture"] for row in rows_of(path)] == ["CS", "CA"]
    assert [row["culture"] for row in rows_of(path, "dev")] == [None] * 5
    assert counts_of(path) == {"rows": 2}


def test_a_language_may_have_another_name_in_the_repository(tmp_path):
    """The rows carry the code; the metadata say what was read."""
    make_repository(tmp_path / "repository", "global_mmlu", [global_mmlu_row()])
    prepare_task(
        repo=str(tmp_path / "repository"),
        revision=None,
        format="global_mmlu",
        task="t",
        language="de",
        name="sw",
        out=tmp_path / "de.parquet",
    )
    assert {row["language"] for row in rows_of(tmp_path / "de.parquet")} == {"de"}
    assert tables.read_metadata(tmp_path / "de.parquet")["name"] == "sw"


@pytest.mark.parametrize("text", ["None", "N/A", "null", "nan", "-", " padded\n"])
@pytest.mark.parametrize("format", list(SPLITS))
def test_genuine_texts_stay_as_they_are(tmp_path, format, text):
    """The option "None" is an option; white space is the prompts' business."""
    change = {"option_1": text} if format == "mmlu_prox" else {"option_b": text}
    path = prepare(tmp_path, format, [ROWS[format](70, **change, question=text + "?")])
    (row,) = rows_of(path)
    assert row["options"][:3] == ["one", text, "three"]
    assert row["question"] == text + "?"
    assert counts_of(path) == {"rows": 1}


@pytest.mark.parametrize("blank", ["", " \t\n", "\u3000", None])
def test_blank_options_and_questions_are_dropped_and_counted(tmp_path, blank):
    """Global-MMLU has rows with null or blank options; any place counts."""
    test = [
        global_mmlu_row(0, option_a=blank),
        global_mmlu_row(1),
        global_mmlu_row(2, option_d=blank),
        global_mmlu_row(3, question=blank),
        *(global_mmlu_row(number) for number in range(4, 20)),
    ]
    path = prepare(tmp_path, "global_mmlu", test)
    kept = [int(row["question_id"].split("/")[-1]) for row in rows_of(path)]
    assert kept == [1, *range(4, 20)]
    assert counts_of(path) == {
        "rows": 20,
        "dropped_blank_option": 2,
        "dropped_blank_question": 1,
    }


def test_blank_options_of_mmlu_prox_are_dropped_too(tmp_path):
    """A blank text is not a null: the question has an option that says nothing."""
    test = [mmlu_prox_row(number) for number in range(70, 79)]
    test.append(mmlu_prox_row(79, options=("one", "two", " ")))
    path = prepare(tmp_path, "mmlu_prox", test)
    assert "79" not in [row["question_id"] for row in rows_of(path)]
    assert counts_of(path) == {"rows": 10, "dropped_blank_option": 1}


@pytest.mark.parametrize(
    ("rows", "faulty", "max_dropped", "passes"),
    [
        (9, 1, None, False),
        (10, 1, None, True),  # though 1 % is less than a row
        (10, 2, None, False),
        (199, 2, None, False),
        (200, 2, None, True),
        (10, 1, 0, False),
        (10, 1, 0.05, False),
        (2, 1, 0.5, True),
    ],
)
def test_a_few_rows_of_a_tiny_set_are_many(tmp_path, rows, faulty, max_dropped, passes):
    """One row in ten may be dropped unasked; what the study says is taken literally."""
    test = [
        mmlu_prox_row(number, answer="x" if number < faulty else "B")
        for number in range(rows)
    ]
    repository = make_repository(tmp_path / "repository", "mmlu_prox", test, dev=[])
    asked = {"repo": str(repository), "format": "mmlu_prox", "task": "t"}
    asked |= {"language": "sw", "max_dropped": max_dropped}
    if not passes:
        message = rf"{faulty} of {rows} rows are dropped \(faulty\)"
        with pytest.raises(InputError, match=message):
            prepare_task(**asked, out=tmp_path / "out.parquet")
        return
    prepare_task(**asked, out=tmp_path / "out.parquet")
    assert counts_of(tmp_path / "out.parquet")["dropped_faulty"] == faulty


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        ({"option_a": ""}, "blank option.*say `missing_options: shorten`"),
        ({"question": None}, "blank question.*name columns .* `optional`"),
        ({"answer": "x"}, "faulty.*correct `format:`"),
        ({"sample_id": "anatomy/test/0", "question": "Question 0?"}, "repeated row"),
    ],
)
def test_no_reason_drops_many_rows(tmp_path, change, advice):
    """Four of 20 stop preparing, unless the study allows it."""
    rows = [global_mmlu_row(n, **(change if n > 15 else {})) for n in range(20)]
    with pytest.raises(InputError, match=rf"4 of 20 rows are dropped.*{advice}"):
        prepare(tmp_path, "global_mmlu", rows)
    allowed = tmp_path / "allowed.parquet"
    prepare_task(
        repo=str(tmp_path / "repository"),
        format="global_mmlu",
        task="t",
        language="sw",
        max_dropped=0.2,
        out=allowed,
    )
    assert len(rows_of(allowed)) == 16


def test_questions_with_one_text_under_two_ids_are_counted(tmp_path, caplog):
    """They stay: nothing says which of them is meant."""
    rows = [global_mmlu_row(0), global_mmlu_row(1, question=" Question 0?")]
    path = prepare(tmp_path, "global_mmlu", rows)
    assert counts_of(path) == {"rows": 2, "duplicate_questions": 1}
    assert "1 questions have the text and options of another one" in caplog.text


def test_a_repository_without_dev_questions_is_read_without_them(tmp_path, caplog):
    """A known format names a dev split, which shots alone need."""
    write_repository(tmp_path / "set", {"sw": {"test": [global_mmlu_row()]}})
    out = tmp_path / "sw.parquet"
    prepare_task(
        repo=str(tmp_path / "set"),
        format="global_mmlu",
        task="t",
        language="sw",
        out=out,
    )
    assert len(rows_of(out)) == 1
    assert not rows_of(out, "dev")
    assert "has no split dev to take shots from" in caplog.text


@pytest.mark.parametrize("place", ["sw.{}", "sw/test.{}", "test/sw.{}"])
@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "parquet"])
def test_a_folder_with_a_file_per_language_needs_no_header(tmp_path, place, kind):
    """Every kind gives the same questions; the dev split is a file of its own."""
    rows = [global_mmlu_row(0, option_a="None"), global_mmlu_row(1, option_b="N/A")]
    for split, path in (("test", place), ("dev", "dev/sw.{}")):
        path = tmp_path / "set" / path.format(kind)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, rows if split == "test" else [global_mmlu_row(7)])
    asked = {"format": "global_mmlu", "task": "t", "out": tmp_path / "sw.parquet"}
    prepare_task(repo=str(tmp_path / "set"), language="sw", **asked)
    assert [row["options"][:2] for row in rows_of(asked["out"])] == [
        ["None", "two"],
        ["one", "N/A"],
    ]
    assert len(rows_of(asked["out"], "dev")) == 1
    with pytest.raises(InputError, match=r"does not offer 'yo'; it offers: .*sw"):
        prepare_task(repo=str(tmp_path / "set"), language="yo", **asked)


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ("test-00000-of-00002", "lacks 1 of its 2 files .test-00000-of-00002"),
        ("test-00001-of-00002", "lacks 1 of its 2 files .test-00001-of-00002"),
        (None, "states 5"),
    ],
)
def test_a_part_of_a_split_is_not_taken_for_the_whole(tmp_path, lost, message):
    """By the names of its files, and by the rows that README.md states."""
    folder = write_repository(
        tmp_path / "set", {"sw": {"test": [global_mmlu_row()], "dev": []}}
    )
    (folder / "sw" / "test-00000-of-00001.parquet").unlink()
    for part in range(2):
        path = folder / "sw" / f"test-{part:05}-of-00002.parquet"
        write_file(path, [global_mmlu_row(2 * part), global_mmlu_row(2 * part + 1)])
    if lost:
        (folder / "sw" / f"{lost}.parquet").unlink()
    else:
        info = "dataset_info:\n- config_name: sw\n  splits:\n"
        info += "  - name: test\n    num_examples: 5\n---\n"
        header = (folder / "README.md").read_text().removesuffix("---\n")
        (folder / "README.md").write_text(header + info)
    asked = {"format": "global_mmlu", "task": "t", "language": "sw"}
    with pytest.raises(InputError, match=message):
        prepare_task(repo=str(folder), **asked, out=tmp_path / "sw.parquet")


@pytest.mark.parametrize("names", ["ab", "ba"])
def test_two_shapes_of_json_in_one_folder_are_refused(tmp_path, names):
    """10 of 50 questions would be left; whichever file comes first."""
    folder = tmp_path / "own" / "sw"
    folder.mkdir(parents=True)
    good, bad = (folder / f"test-{name}.jsonl" for name in names)
    asked = {"repo": str(tmp_path / "own"), "format": "global_mmlu", "task": "t"}
    asked |= {"language": "sw", "out": tmp_path / "sw.parquet"}
    rows = [global_mmlu_row(n) for n in range(50)]
    write_file(good, rows[:10])
    write_file(bad, [mmlu_prox_row(n) for n in range(40)])
    with pytest.raises(InputError, match=rf"{bad.name} lacks the columns sample_id, "):
        prepare_task(**asked)
    assert not (tmp_path / "sw.parquet").exists()
    write_file(bad, rows[10:])
    prepare_task(**asked)
    assert len(rows_of(tmp_path / "sw.parquet")) == 50


def test_two_sets_of_parts_in_one_folder_are_refused(tmp_path):
    """Else every question would be there twice."""
    folder = write_repository(tmp_path / "set", {"sw": {"test": [global_mmlu_row()]}})
    write_file(folder / "sw" / "test-00000-of-00001-0a.parquet", [global_mmlu_row(1)])
    asked = {"format": "global_mmlu", "task": "t", "language": "sw"}
    with pytest.raises(InputError, match="split 'test' is there twice"):
        prepare_task(repo=str(folder), **asked, out=tmp_path / "sw.parquet")


def test_repeated_rows_are_dropped_and_counted(tmp_path):
    """A whole row that comes again (nl) is dropped; the first keeps its place."""
    test = [global_mmlu_row(number) for number in (0, 1, 0, *range(2, 9))]
    path = prepare(tmp_path, "global_mmlu", test)
    names = [row["question_id"] for row in rows_of(path)]
    assert names == [f"anatomy/test/{number}" for number in range(9)]
    assert counts_of(path) == {"rows": 10, "dropped_repeated_row": 1}


def test_equal_options_are_kept_and_counted(tmp_path):
    """Two options may be the same text; the question stays, the count says so."""
    path = prepare(tmp_path, "global_mmlu", [global_mmlu_row(option_a="two")])
    assert len(rows_of(path)) == 1
    assert counts_of(path) == {"rows": 1, "duplicate_options": 1}


def test_a_row_whose_columns_tell_two_answers_is_dropped(tmp_path):
    """MMLU-ProX has one in English and German (3787 at revision 8e6106a6)."""
    rows = [mmlu_prox_row(number) for number in range(70, 79)]
    rows.append(mmlu_prox_row(3787, answer="C", answer_index=1))
    path = prepare(tmp_path, "mmlu_prox", rows)
    assert counts_of(path) == {"rows": 10, "dropped_faulty": 1}


def test_an_id_with_two_texts_names_no_question(tmp_path):
    """Neither of its rows is kept; the other questions are."""
    rows = [mmlu_prox_row(number) for number in range(8)]
    rows += [mmlu_prox_row(71, question=text) for text in ("one", "another")]
    path = prepare(tmp_path, "mmlu_prox", rows)
    assert counts_of(path) == {"rows": 10, "dropped_faulty": 2}


@pytest.mark.parametrize(
    ("format", "rows", "message"),
    [
        (
            "mmlu_prox",
            [mmlu_prox_row(444, option_1=None)],
            r"row 1 \(444\): option_1 is null although a later one is not",
        ),
        (
            "mmlu_prox",
            [mmlu_prox_row(n, answer_index=2 if n > 70 else 1) for n in range(70, 75)],
            r"4 of 5 rows .*faulty.*row 2 .71.: answer is 'B' but answer_index",
        ),
        (
            "mmlu_prox",
            [mmlu_prox_row(70, answer="E", answer_index=4)],
            r"\(70\): answer is 'E', but there are only 3 options; is `format:` right",
        ),
        (
            "mmlu_prox",
            [mmlu_prox_row(70, answer_index=None)],
            "answer_index is None, not",
        ),
        ("mmlu_prox", [mmlu_prox_row(None)], "question_id is empty"),
        (
            "global_mmlu",
            [global_mmlu_row(answer="E")],
            r"\(anatomy/test/0\): answer is 'E', but there are only 4 options",
        ),
        ("global_mmlu", [global_mmlu_row(answer="1")], "answer is '1', not a letter"),
        ("global_mmlu", [global_mmlu_row(answer="AB")], "answer is 'AB', not a letter"),
        ("global_mmlu", [global_mmlu_row(answer=None)], "answer is None, not a letter"),
        (
            "global_mmlu",
            [global_mmlu_row(cultural_sensitivity_label="C")],
            "cultural_sensitivity_label is 'C'",
        ),
        (
            "global_mmlu",
            [global_mmlu_row(), global_mmlu_row(option_c="other", answer="C")],
            "test/0.: an earlier row has this id but differs in options, gold",
        ),
        (
            "global_mmlu",
            [global_mmlu_row(question=" ")],
            "no question that can be used",
        ),
    ],
)
def test_contradictions_name_the_question(tmp_path, format, rows, message):
    """What cannot be repaired stops with the repository, the row and its id."""
    with pytest.raises(InputError, match=message) as caught:
        prepare(tmp_path, format, rows)
    assert str(tmp_path / "repository") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "sw.parquet").exists()


def test_missing_columns_are_listed(tmp_path):
    """Another benchmark's columns are refused with what is missing."""
    make_repository(tmp_path / "repository", "global_mmlu", [global_mmlu_row()])
    with pytest.raises(
        InputError, match=r"lacks the columns question_id, option_0.*is `format:` right"
    ):
        prepare(tmp_path, "mmlu_prox", [global_mmlu_row()], [global_mmlu_row()])


def test_an_unknown_format_is_refused(tmp_path):
    """The message lists the formats."""
    with pytest.raises(InputError, match="'mmlu' is not known; use global_mmlu, mmlu"):
        prepare_task(
            repo="./x",
            revision=None,
            format="mmlu",
            task="t",
            language="sw",
            out=tmp_path / "out",
        )


def test_a_language_that_is_not_offered_is_refused(tmp_path):
    """The config of the study asks for a language that the repository lacks."""
    make_repository(tmp_path, "global_mmlu", [global_mmlu_row()])
    with pytest.raises(InputError, match="does not offer 'zu'; it offers: sw"):
        prepare_task(
            repo=str(tmp_path),
            revision=None,
            format="global_mmlu",
            task="t",
            language="zu",
            out=tmp_path / "out",
        )


def test_the_hub_and_a_directory_give_the_same_rows(tmp_path, monkeypatch):
    """The two ways differ in where the files lie and in nothing else."""
    commit = "a" * 40
    local = prepare(tmp_path, "mmlu_prox", [mmlu_prox_row()])
    snapshot = tmp_path / "snapshots" / commit
    make_repository(snapshot, "mmlu_prox", [mmlu_prox_row()])
    monkeypatch.setattr(
        huggingface_hub, "snapshot_download", lambda repo, **options: str(snapshot)
    )
    prepare_task(
        repo="li-lab/MMLU-ProX",
        revision="main",
        format="mmlu_prox",
        task="a-task",
        language="sw",
        out=tmp_path / "hub.parquet",
    )
    assert rows_of(tmp_path / "hub.parquet") == rows_of(local)
    facts = tables.read_metadata(tmp_path / "hub.parquet")
    assert (facts["repo"], facts["revision"]) == ("li-lab/MMLU-ProX", commit)
    assert facts["digest"] == tables.read_metadata(local)["digest"]


def test_the_same_input_gives_the_same_bytes(tmp_path):
    """Nothing of the time or of the moment is in the file."""
    first = prepare(tmp_path, "global_mmlu", [global_mmlu_row()]).read_bytes()
    second = prepare(tmp_path, "global_mmlu", [global_mmlu_row()]).read_bytes()
    assert first == second


def test_local_data_need_no_network(tmp_path, monkeypatch):
    """No socket is opened for a local directory, online as the process is."""

    def refuse(*arguments):
        pytest.fail(f"a connection was opened: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    prepare(tmp_path, "global_mmlu", [global_mmlu_row()])


def test_preparing_leaves_torch_and_the_cache_alone(tmp_path):
    """A whole job in its own process: torch stays out, HF_HOME stays empty."""
    make_repository(tmp_path / "repository", "mmlu_prox", [mmlu_prox_row()])
    code = (
        "import sys; from pathlib import Path; "
        "from polycal.preparing.tasks import prepare_task; "
        "prepare_task(repo=sys.argv[1], revision=None, format='mmlu_prox', task='t', "
        "language='sw', out=Path(sys.argv[2])); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "repository", tmp_path / "out.parquet"],
        env=os.environ | {"HF_HOME": str(tmp_path / "home")},
    )
    assert done.returncode == 0
    assert len(rows_of(tmp_path / "out.parquet")) == 1
    assert not (tmp_path / "home").exists()
