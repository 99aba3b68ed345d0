"""An SFT set is tokenised once for a model, and says how."""

import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from tiny import (
    CHAT_TEMPLATE,
    make_tiny_conversations,
    make_tiny_examples,
    make_tiny_model,
)
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from polycal.errors import InputError
from polycal.models.tokens import load_tokenizer
from polycal.storage import tables
from polycal.storage.files import digest
from polycal.storage.provenance import read_provenance
from polycal.tuning.examples import FILE, Examples


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


def test_the_directory_holds_examples_a_report_and_what_made_them(tmp_path, base):
    """Digests and counts are those of the files beside them."""
    table = make_tiny_conversations(tmp_path / "toy.parquet", n=50)
    made = make_tiny_examples(
        tmp_path / "made", base=base, conversations=table, max_length=50
    )
    examples, facts = Examples(made / FILE), read_provenance(made)
    assert sorted(path.name for path in made.iterdir()) == [
        *("examples.arrow", "provenance.json", "report.txt"),
    ]
    counts = facts["counts"]
    assert counts["examples"] == len(examples) > 10
    assert counts["examples"] + counts["dropped_no_target"] == 50
    assert counts["tokens"] == sum(len(each.tokens) for each in examples)
    assert counts["target_tokens"] == sum(each.n_targets for each in examples)
    assert facts["rendering"] == {
        "chat_template": "auto",
        "bos": "auto",
        "max_length": 50,
    }
    assert facts["conversations"] == digest([table])
    assert facts["source"] == {
        "repo": "./toy",
        "format": "messages",
        "filter": None,
        "counts": {},
    }
    assert facts["base"] == read_provenance(base)["digest"]
    assert facts["digest"] == digest([made / FILE])
    report = (made / "report.txt").read_text(encoding="utf-8")
    assert f"{counts['truncated']:15,}  truncated" in report
    tokenizer = load_tokenizer(base)
    for each in list(examples)[:3]:
        first = int(np.flatnonzero(each.targets)[0])
        answer = tokenizer.decode(each.tokens[each.targets].tolist())
        asked = tokenizer.decode(each.tokens[:first].tolist())
        assert f"--- row {each.example_id} ---\n{asked}⟦{answer}⟧" in report


@pytest.mark.parametrize("cut", ["positions", "max_length"])
def test_what_is_cut_is_counted_and_said(tmp_path, caplog, cut):
    """By max_length, or by the model's positions, past which training would read."""
    base, by_model = make_tiny_model(tmp_path / "base"), cut == "positions"
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(
        json.dumps(config | ({"max_position_embeddings": 50} if by_model else {}))
    )
    table = make_tiny_conversations(tmp_path / "toy.parquet", n=50)
    made = make_tiny_examples(
        tmp_path / "made",
        base=base,
        conversations=table,
        max_length=4096 if by_model else 50,
    )
    facts = read_provenance(made)
    assert facts["positions"] == (50 if by_model else 256)
    lengths = [len(example.tokens) for example in Examples(made / FILE)]
    assert max(lengths) == 50
    assert facts["counts"]["truncated"] > 0
    why = "all that the model reads" if by_model else "max_length"
    said = f"{facts['counts']['truncated']} sequences are cut at 50 tokens ({why})"
    assert said in caplog.text


@pytest.mark.parametrize("known", [True, False])
def test_text_that_the_tokenizer_does_not_know_is_warned_of(tmp_path, caplog, known):
    """Training would learn to write the unknown token; some of it is no matter.

    20 rows of words the tokenizer knows, or of digits of which it knows none.
    """
    base = make_tiny_model(tmp_path / "base")
    words = ["<unk>", "<s>", "</s>", "what", "is", "red", "user", "assistant"]
    model = models.WordLevel({word: k for k, word in enumerate(words)}, "<unk>")
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)
    made.chat_template = "{% for m in messages %}{{ m['content'] + ' ' }}{% endfor %}"
    made.save_pretrained(base)
    asked, answer = ("what is red", "red") if known else ("1 2 3", "6")
    turns = [{"role": "user", "content": asked}]
    turns += [{"role": "assistant", "content": answer}]
    rows = [{"sft": "s", "example_id": k, "messages": turns} for k in range(20)]
    table = pa.Table.from_pylist(rows, tables.SCHEMAS["conversations"])
    tables.write(table, tmp_path / "toy.parquet", "conversations")
    folder = make_tiny_examples(
        tmp_path / "made", base=base, conversations=tmp_path / "toy.parquet"
    )
    counts = read_provenance(folder)["counts"]
    said = "tokens are <unk>: the tokenizer does not know the text"
    assert counts["unknown_tokens"] == (0 if known else 80)
    assert (said in caplog.text) == (not known)
    assert known or f"80 of {counts['tokens']} {said}" in caplog.text


def test_a_template_that_refuses_most_of_a_set_stops(tmp_path):
    """Training would go on with what is left: here, with 3 of 63."""
    refusing = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('none') }}"
    refusing += "{% endif %}" + CHAT_TEMPLATE
    base = make_tiny_model(tmp_path / "base", chat_template=refusing)
    answer = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    system = {"role": "system", "content": "be brief"}
    rows = [
        {
            "sft": "s",
            "example_id": k,
            "messages": [system, *answer] if k > 2 else answer,
        }
        for k in range(63)
    ]
    table = pa.Table.from_pylist(rows, tables.SCHEMAS["conversations"])
    tables.write(table, tmp_path / "toy.parquet", "conversations")
    with pytest.raises(InputError, match=r"60 of 63 .*refused.*`chat_template: tulu`"):
        make_tiny_examples(
            tmp_path / "made", base=base, conversations=tmp_path / "toy.parquet"
        )
    assert not (tmp_path / "made").exists()


def test_the_same_set_gives_the_same_bytes(tmp_path, base):
    """Examples and report; nothing of the moment or of the cores is in them."""
    table = make_tiny_conversations(tmp_path / "toy.parquet", n=3000)
    for name in ("a", "b"):
        make_tiny_examples(tmp_path / name, base=base, conversations=table)
    for name in (FILE, "report.txt", "provenance.json"):
        first, second = ((tmp_path / each / name).read_bytes() for each in "ab")
        assert first == second


def test_too_few_sequences_are_an_error_here_and_not_on_the_gpu(tmp_path, base):
    """With the counts that say why; nothing is left behind."""
    table = make_tiny_conversations(tmp_path / "toy.parquet", n=20)
    with pytest.raises(
        InputError, match=r"gives 0 sequences .*'dropped_no_target': 20"
    ):
        make_tiny_examples(
            tmp_path / "made", base=base, conversations=table, max_length=3
        )
    assert not (tmp_path / "made").exists()


def test_another_table_is_refused_by_name(tmp_path, base):
    """A questions table is no SFT set."""
    table = pa.Table.from_pylist([], tables.SCHEMAS["questions"])
    tables.write(table, tmp_path / "q.parquet", "questions")
    with pytest.raises(InputError, match=r"q\.parquet is not a polycal table of kind"):
        make_tiny_examples(
            tmp_path / "made", base=base, conversations=tmp_path / "q.parquet"
        )


WITHOUT_TORCH = """
import sys
import importlib.util

find = importlib.util.find_spec
def find_spec(name, *rest):
    return None if name.split(".")[0] == "torch" else find(name, *rest)
importlib.util.find_spec = find_spec
sys.modules["torch"] = None
from polycal.cli import main
main(sys.argv[1:])
"""


def test_it_needs_no_torch(tmp_path, base):
    """The job runs in the light environment, where torch is not installed."""
    table = make_tiny_conversations(tmp_path / "toy.parquet")
    make_tiny_examples(tmp_path / "with", base=base, conversations=table)
    done = subprocess.run(
        [
            *(sys.executable, "-c", WITHOUT_TORCH, "tokenize", "--base", base),
            *("--conversations", table, "--model", "tiny", "--sft", "toy"),
            *("--out", tmp_path / "without"),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    first, second = (tmp_path / name / FILE for name in ("with", "without"))
    assert first.read_bytes() == second.read_bytes()
