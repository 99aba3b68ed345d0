"""Sizes come from tables, or from what lies on this machine; none is made up."""

import dataclasses
import json
from importlib.resources import files
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, DatasetDict
from paper import paper_study, save_prepared

from polycal.errors import InputError
from polycal.models.gpu_types import find_gpu
from polycal.planning import data_sizes
from polycal.planning.data_sizes import Questions
from polycal.planning.model_sizes import read_table
from polycal.planning.sizes import SizedStudy, find_fertility
from polycal.storage import tables

NOWHERE = Path("nowhere")


ENTRY = paper_study()["sft"][0]


def study(resources, **changes):
    return SizedStudy(paper_study(**changes), find_gpu("h200"), resources)


def alpaca(resources, **changes):
    return study(resources, sft=[ENTRY | changes]).sft["alpaca"]


OTHERS = [
    {"repo": "./alpaca"},
    {"format": "alpaca"},
    {"filter": {"column": "source", "keep": ["a"]}},
]


def test_a_prepared_sft_set_tells_its_own_size(tmp_path):
    """Rows are exact and replace the table's; text is counted in bytes."""
    assert alpaca(tmp_path).rows == 52002
    save_prepared(tmp_path, ENTRY, rows=1000)
    size = alpaca(tmp_path)
    assert (size.rows, size.prepared, size.download_bytes) == (1000, True, 0)
    assert size.tokens == pytest.approx(100, rel=0.05)


def test_a_prepared_sft_set_knows_what_its_cap_left_out(tmp_path):
    """A study that lifts or lowers the cap has the right number before it is run."""
    save_prepared(tmp_path, ENTRY, rows=10, left_out=990)
    assert alpaca(tmp_path).rows == 1000


@pytest.mark.parametrize("changes", OTHERS)
def test_a_set_that_was_prepared_otherwise_is_not_asked(tmp_path, changes):
    """The workflow is going to make it again; the table of sizes is nearer to it."""
    save_prepared(tmp_path, ENTRY | changes)
    assert alpaca(tmp_path) == alpaca(NOWHERE)


def test_a_broken_prepared_set_is_named(tmp_path):
    """One line, not a traceback of pyarrow."""
    (tmp_path / "sft").mkdir()
    (tmp_path / "sft" / "alpaca.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"alpaca\.parquet is not a complete Parquet"):
        alpaca(tmp_path)


def test_caps_bound_the_examples():
    """A cap counts where the size is unknown, too."""

    def examples(**changes):
        return study(NOWHERE, sft=[ENTRY | changes]).examples("alpaca")

    for cap, rows in ((None, 52002), (30, 30), (60000, 52002)):
        assert examples(max_examples=cap) == (rows, 100)
    for cap in (None, 30):
        assert examples(repo="some/set", max_examples=cap) == (cap, 500)


def save_questions(resources, task, language):
    """Two test questions and one for shots, as `prepare_task` writes them."""
    row = {"task": task["name"], "language": language, "question": "x" * 40, "gold": 0}
    row |= {"question_id": "q", "subject": "s", "category": "c"}
    rows = [
        {**row, "split": "test", "options": ["a" * 12, "b" * 8]},
        {**row, "split": "test", "options": ["a" * 12, "b" * 8]},
        {**row, "split": "dev", "options": ["a" * 400, "b" * 400]},
    ]
    table = pa.Table.from_pylist(rows, tables.SCHEMAS["questions"])
    path = resources / "tasks" / task["name"] / f"{language}.parquet"
    tables.write(table, path, "questions", repo=task["repo"])


def questions(resources, language, model=None, repo="CohereLabs/Global-MMLU"):
    task = {"name": "global_mmlu", "repo": repo, "format": "global_mmlu"}
    return study(resources).questions(task, language, model)


def test_a_prepared_benchmark_tells_its_own_size(tmp_path):
    """Test questions only; a question has its own text and that of its options."""
    assert questions(tmp_path, "de", repo="./quiz") is None
    save_questions(tmp_path, {"name": "global_mmlu", "repo": "./quiz"}, "de")
    size = questions(tmp_path, "de", repo="./quiz")
    assert size == Questions(2, 2, 15, 10, 5, 0)


def test_a_prepared_benchmark_of_the_table_tells_how_many_questions_it_has(tmp_path):
    """Tokens are still the table's; a language without a file has the table's number.

    The benchmark's Lite version under the same name is not the one that is prepared.
    """
    save_questions(tmp_path, paper_study()["tasks"][0], "de")
    known = questions(NOWHERE, "de", "mistral")
    assert known.number == 14042
    size = questions(tmp_path, "de", "mistral")
    assert size == dataclasses.replace(known, number=2)
    assert questions(tmp_path, "en").number == 14042
    assert questions(tmp_path, "de", repo="CohereLabs/Global-MMLU-Lite").number == 400


def test_a_language_multiplies_the_tokens():
    """Telugu takes more tokens than English, and Mistral more of them than Llama."""

    def tokens(language, model):
        return questions(NOWHERE, language, model).letters_tokens

    assert tokens("en", "llama") == tokens("en", None) == 106
    assert tokens("te", "llama") == pytest.approx(106 * 9.71)
    assert tokens("en", "mistral") == pytest.approx(106 * 1.13)
    assert tokens("ar", "mistral") > 2 * tokens("ar", "llama")
    english, telugu = (questions(NOWHERE, code, "llama") for code in ("en", "te"))
    assert telugu.text_tokens == pytest.approx(9.71 * english.text_tokens)
    assert telugu.option_tokens == pytest.approx(9.71 * english.option_tokens)
    assert telugu.options == english.options == 4


def test_languages_of_the_paper_s_benchmarks_have_a_fertility():
    """Only tokens of these benchmarks are known by language."""
    text = (files("polycal") / "data" / "fertility.csv").read_text()
    measured = {line.split(",")[0] for line in text.splitlines()[1:]}
    languages = read_table("languages.csv")
    flags = ("in_global_mmlu", "in_global_mmlu_lite", "in_mmlu_prox")
    assert measured == {
        code for code, row in languages.items() if any(row[flag] for flag in flags)
    }
    assert find_fertility("xx", "llama3") == find_fertility("xx", "llama3")
    assert 1 < find_fertility("xx", "llama3") < 3


@pytest.mark.parametrize(
    "name", ["model_sizes", "sft_sizes", "benchmark_sizes", "gpus", "fertility"]
)
def test_every_row_has_a_source(name):
    """A number is from somewhere, or is said to be an assumption."""
    rows = list(read_table(f"{name}.csv").values())
    assert len(rows) > 3
    assert all(row["source"].strip() and None not in row for row in rows)


@pytest.mark.parametrize("kind", ["parquet", "jsonl", "json", "csv", "saved"])
def test_a_local_set_tells_its_own_size(tmp_path, kind):
    """Before it is prepared, whatever form its files have.

    A long text in a column that the format does not read counts for nothing.
    """
    row = {"instruction": "x" * 120, "input": "", "output": "é" * 140}
    rows = pd.DataFrame([row | {"source": "z" * 999}] * 2 + [row | {"input": "y" * 80}])
    save_rows(rows, tmp_path / "train", kind)
    size = alpaca(NOWHERE, repo=str(tmp_path), format="alpaca")
    assert (size.rows, size.download_bytes, size.prepared) == (3, 0, False)
    assert size.tokens == pytest.approx((100 + 100 + 120) / 3)
    assert size.cut(110) == pytest.approx((100 + 100 + 110) / 3)


def save_rows(rows, path, kind):
    """The rows as `path` with a suffix; `saved` is a folder of `save_to_disk`."""
    if kind == "csv":
        rows.to_csv(path.with_suffix(".csv"), index=False)
    elif kind == "parquet":
        rows.to_parquet(path.with_suffix(".parquet"))
    elif kind == "saved":
        DatasetDict({path.name: Dataset.from_pandas(rows)}).save_to_disk(path.parent)
    else:
        path = path.with_suffix(f".{kind}")
        rows.to_json(path, orient="records", lines=kind == "jsonl")


def test_a_local_set_that_cannot_be_prepared_is_named(tmp_path):
    """Before anything runs; one that is still to be made is of unknown size."""
    (tmp_path / "train.csv").write_text("instruction,answer\na,b\n")
    with pytest.raises(InputError, match=r"train\.csv lacks the columns input, output"):
        alpaca(NOWHERE, repo=str(tmp_path), format="alpaca")
    assert alpaca(NOWHERE, repo="./nowhere-at-all") is None


def test_a_broken_file_behind_the_first_rows_is_named(tmp_path, monkeypatch):
    """Texts are read of the first rows only, but every file is counted."""
    monkeypatch.setattr(data_sizes, "_ROWS", 1)
    row = {"instruction": "a", "input": "", "output": "b"}
    rows = Dataset.from_list([row] * 4)
    rows.save_to_disk(tmp_path, num_shards=2)
    assert alpaca(NOWHERE, repo=str(tmp_path), format="alpaca").rows == 4
    data_sizes.measure_local_sft.cache_clear()
    last = tmp_path / "data-00001-of-00002.arrow"
    last.write_bytes(last.read_bytes()[:100])
    with pytest.raises(InputError, match=r"00001-of-.*is not complete \("):
        alpaca(NOWHERE, repo=str(tmp_path), format="alpaca")


def test_a_lone_surrogate_in_a_local_set_is_no_error(tmp_path):
    """Preparing drops its row; a plan is told all the same."""
    row = {"instruction": "\ud800", "input": "", "output": "x"}
    (tmp_path / "train.jsonl").write_text(json.dumps(row))
    assert alpaca(NOWHERE, repo=str(tmp_path), format="alpaca").tokens == 1


def test_no_conversation_is_longer_than_max_length(tmp_path):
    """Neither one of known length nor one of unknown."""
    recipe = paper_study()["recipe"] | {"max_length": 64}
    for repo in ("./nowhere-at-all", "tatsu-lab/alpaca"):
        changed = study(NOWHERE, sft=[ENTRY | {"repo": repo}], recipe=recipe)
        assert changed.examples("alpaca")[1] <= 64


def test_a_row_that_is_cut_counts_as_cut(tmp_path):
    """One long conversation among short ones does not make all of them long."""
    folder, recipe = tmp_path / "set", paper_study()["recipe"] | {"max_length": 256}
    folder.mkdir()
    texts = ["x" * 4 * n for n in (10, 10, 10, 9970)]
    rows = [{"instruction": "", "input": "", "output": text} for text in texts]
    pq.write_table(pa.Table.from_pylist(rows), folder / "train.parquet")
    entry = ENTRY | {"repo": str(folder), "format": "alpaca"}
    changed = study(NOWHERE, sft=[entry], recipe=recipe)
    assert changed.examples("alpaca") == (4, (3 * 10 + 256) / 4)
    row = {"sft": "alpaca", "example_id": 0, "input": None}
    texts = ("ab" * 4, "ü" * 1000)
    messages = [{"role": "user", "content": text} for text in texts]
    rows = [row | {"messages": messages[:1]}, row | {"messages": messages}]
    path = tmp_path / "r" / "sft" / "alpaca.parquet"
    facts = {key: ENTRY[key] for key in ("repo", "format", "filter")}
    schema = tables.SCHEMAS["conversations"]
    tables.write(pa.Table.from_pylist(rows, schema), path, "conversations", **facts)
    changed = study(tmp_path / "r", sft=[ENTRY], recipe=recipe)
    # "user" is a text, too: a token a turn.
    assert changed.examples("alpaca") == (2, (3 + 256) / 2)


QUIZ = {"question": "x" * 40, "a": "a" * 12, "b": "b" * 8, "answer": "A"}
OWN_FORMAT = {
    "splits": {"test": "test", "dev": "dev"},
    "question": "question",
    "options": ["a", "b"],
    "gold": {"answer": "letter"},
}


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet", "json"])
def test_a_local_benchmark_tells_its_own_size(tmp_path, suffix):
    """Before it is prepared: rows of the test split, and texts of the first ones."""
    rows = pd.DataFrame([QUIZ] * 3 + [QUIZ | {"question": ""}])
    (tmp_path / "de").mkdir()
    for split, own in (("test", rows), ("dev", rows[:1])):
        save_rows(own, tmp_path / "de" / split, suffix)
    task = {"name": "quiz", "repo": str(tmp_path), "format": OWN_FORMAT, "configs": {}}
    sized = study(NOWHERE)
    assert sized.questions(task, "de") == Questions(4, 2, 15, 10, 5, 0)
    assert sized.questions(task | {"configs": {"sw": "de"}}, "sw").number == 4
    with pytest.raises(InputError, match="does not offer 'sw'; it offers: de"):
        sized.questions(task, "sw")
    other = task | {"format": OWN_FORMAT | {"question": "frage"}}
    with pytest.raises(InputError, match="frage"):
        sized.questions(other, "de")
    assert sized.questions(task | {"repo": "./nowhere-at-all"}, "de") is None
