"""Sizes come from tables, or from what lies on this machine; none is made up."""

import json
from importlib.resources import files
from pathlib import Path

import pyarrow as pa
import pytest
from paper import MODELS, SFT, paper_study

from polycal import sizes, tables
from polycal.errors import InputError
from polycal.languages import load_languages

NOWHERE = Path("nowhere")


def model(name: str) -> sizes.Model:
    return sizes.find_model({"name": name, "repo": MODELS[name]}, NOWHERE)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("mistral", 7_241_732_096),
        ("llama", 8_030_261_248),
        ("gemma", 2_614_341_888),
    ],
)
def test_parameters_are_those_of_transformers(name, parameters):
    """Norms, which are left out, are less than a thousandth of the model."""
    assert model(name).parameters == pytest.approx(parameters, rel=1e-3)
    assert model(name).parameters <= parameters


def test_a_tied_head_counts_once():
    """Gemma's head is its embedding table; Llama's is a matrix of its own."""
    assert model("gemma").parameters == model("gemma").body + 256000 * 2304
    assert model("llama").parameters == model("llama").body + 2 * 128256 * 4096


CONFIG = {
    "model_type": "llama",
    "num_hidden_layers": 2,
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_attention_heads": 4,
    "vocab_size": 10,
}


@pytest.mark.parametrize(
    ("changes", "kv", "tied"),
    [
        ({}, 8, False),
        ({"num_key_value_heads": 2}, 4, False),
        ({"num_key_value_heads": 2, "head_dim": 3}, 6, False),
        ({"model_type": "gemma2"}, 8, True),
        ({"tie_word_embeddings": True}, 8, True),
    ],
)
def test_a_local_model_tells_its_own_size(tmp_path, changes, kv, tied):
    """What config.json leaves out is transformers' default."""
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | changes))
    found = sizes.find_model({"name": "m", "repo": str(tmp_path)}, NOWHERE)
    assert (found.kv, found.tied, found.stored_bytes) == (kv, tied, 0)


def test_a_prepared_model_of_the_hub_tells_its_own_size(tmp_path):
    """After prepare_model, no table has to know the repository."""
    entry = {"name": "m", "repo": "somebody/something"}
    assert sizes.find_model(entry, tmp_path) is None
    (tmp_path / "models" / "m").mkdir(parents=True)
    (tmp_path / "models" / "m" / "config.json").write_text(json.dumps(CONFIG))
    assert sizes.find_model(entry, tmp_path).layers == 2


@pytest.mark.parametrize("changes", [{"num_local_experts": 8}, {"hidden_size": None}])
def test_an_architecture_of_another_kind_has_no_size(tmp_path, changes):
    """A mixture of experts, or a config without a width, is not counted wrongly."""
    config = {k: v for k, v in (CONFIG | changes).items() if v is not None}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert sizes.find_model({"name": "m", "repo": str(tmp_path)}, NOWHERE) is None


def test_a_broken_config_is_named(tmp_path):
    """One line, not a traceback of json."""
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config\.json is not JSON"):
        sizes.find_model({"name": "m", "repo": str(tmp_path)}, NOWHERE)


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
    rows = list(sizes._table(f"{name}.csv").values())
    assert len(rows) > 3
    assert all(row["source"].strip() and None not in row for row in rows)


def test_an_unknown_gpu_is_met_with_the_known():
    """The line lists them."""
    assert sizes.find_gpu("H200").memory == 141e9
    with pytest.raises(InputError, match=r"'k80' is known; known are .*h100"):
        sizes.find_gpu("k80")
