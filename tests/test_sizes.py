"""Sizes come from tables, or from what lies on this machine; none is made up."""

from importlib.resources import files
from pathlib import Path

import pyarrow as pa
import pytest
from paper import SFT, paper_study

from polycal import sizes, tables
from polycal.errors import InputError
from polycal.languages import load_languages
from polycal.provenance import write_provenance

NOWHERE = Path("nowhere")


def test_a_prepared_sft_set_tells_its_own_size(tmp_path):
    """Rows are exact and replace the table's; text is counted in bytes."""
    entry = {"name": "alpaca", "repo": SFT["alpaca"][0]}
    assert sizes.find_sft(entry, tmp_path).rows == 52002
    rows = [
        {
            "sft": "alpaca",
            "example_id": n,
            "messages": [{"role": "user", "content": f"{n:0400}"}],
        }
        for n in range(1000)
    ]
    table = pa.Table.from_pylist(rows, tables.SCHEMAS["conversations"])
    tables.write(table, tmp_path / "sft" / "alpaca.parquet", "conversations")
    found = sizes.find_sft(entry, tmp_path)
    assert (found.rows, found.prepared, found.download_bytes) == (1000, True, 0)
    assert found.tokens == pytest.approx(100, rel=0.05)


def test_a_tokenised_sft_set_is_exact(tmp_path):
    """Its provenance counts sequences and tokens; one without counts is named."""
    assert sizes.find_examples("llama", "alpaca", tmp_path) is None
    folder = tmp_path / "examples" / "llama" / "alpaca"
    folder.mkdir(parents=True)
    write_provenance(folder, counts={"examples": 40, "tokens": 1000})
    assert sizes.find_examples("llama", "alpaca", tmp_path) == (40, 25)
    assert sizes.find_examples("gemma", "alpaca", tmp_path) is None
    write_provenance(folder)
    with pytest.raises(InputError, match=r"alpaca/provenance\.json has no counts"):
        sizes.find_examples("llama", "alpaca", tmp_path)


def test_a_prepared_benchmark_tells_its_own_size(tmp_path):
    """Test questions only; a question has its own text and that of its options."""
    task = {"name": "quiz", "repo": "./quiz"}
    assert sizes.find_questions(task, "de", "llama3", tmp_path) is None
    row = {"task": "quiz", "language": "de", "question": "x" * 40, "gold": 0}
    row |= {"question_id": "q", "subject": "s", "category": "c"}
    rows = [
        {**row, "split": "test", "options": ["a" * 12, "b" * 8]},
        {**row, "split": "test", "options": ["a" * 12, "b" * 8]},
        {**row, "split": "dev", "options": ["a" * 400, "b" * 400]},
    ]
    table = pa.Table.from_pylist(rows, tables.SCHEMAS["questions"])
    tables.write(table, tmp_path / "tasks" / "quiz" / "de.parquet", "questions")
    found = sizes.find_questions(task, "de", "llama3", tmp_path)
    assert found == sizes.Questions(2, 2, 15, 10, 5, 0)


def test_a_language_multiplies_the_tokens():
    """Telugu takes more tokens than English, and Mistral more of them than Llama."""
    task = paper_study()["tasks"][0]

    def tokens(language, tokenizer):
        found = sizes.find_questions(task, language, tokenizer, NOWHERE)
        return found.letters_tokens

    assert tokens("en", "llama3") == 106
    assert tokens("te", "llama3") == pytest.approx(106 * 9.71)
    assert tokens("en", "mistral") == pytest.approx(106 * 1.13)
    assert tokens("ar", "mistral") > 2 * tokens("ar", "llama3")


def test_every_language_has_a_fertility():
    """None falls back to the median without anybody noticing."""
    text = (files("polycal") / "data" / "fertility.csv").read_text()
    assert {line.split(",")[0] for line in text.splitlines()[1:]} == set(
        load_languages()
    )
    assert sizes.find_fertility("xx", "llama3") == sizes.find_fertility("xx", "llama3")
    assert 1 < sizes.find_fertility("xx", "llama3") < 3


@pytest.mark.parametrize(
    "name", ["model_sizes", "sft_sizes", "benchmark_sizes", "gpus", "fertility"]
)
def test_every_row_has_a_source(name):
    """A number is from somewhere, or is said to be an assumption."""
    rows = list(sizes.read_table(f"{name}.csv").values())
    assert len(rows) > 3
    assert all(row["source"].strip() and None not in row for row in rows)


def test_an_unknown_gpu_is_met_with_the_known():
    """The line lists them."""
    assert sizes.find_gpu("H200").memory == 141e9
    with pytest.raises(InputError, match=r"'k80' is known; known are .*h100"):
        sizes.find_gpu("k80")
