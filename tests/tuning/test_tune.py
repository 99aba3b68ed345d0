"""A candidate is trained as the recipe says, and says how."""

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from tiny import make_tiny_conversations, make_tiny_examples, make_tiny_model, tune_tiny
from torch.nn.functional import cross_entropy
from toys import make_model, save_checkpoint
from transformers import AutoModelForCausalLM
from transformers.models.llama.modeling_llama import LlamaMLP

from polycal.errors import InputError
from polycal.models import loading as models
from polycal.models.configurations import read_attention_dropout
from polycal.models.tokens import load_tokenizer
from polycal.storage import tables
from polycal.storage.files import digest
from polycal.storage.provenance import read_provenance
from polycal.study.recipe import Recipe
from polycal.tuning.batches import pad_examples
from polycal.tuning.examples import FILE, Example, Examples, write_examples
from polycal.tuning.training import split_validation
from polycal.tuning.tune import tune

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def conversations(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("conversations")
    return make_tiny_conversations(folder / "toy.parquet", n=40)


@pytest.fixture(scope="module")
def examples(tmp_path_factory, base, conversations) -> Path:
    folder = tmp_path_factory.mktemp("examples") / "toy"
    return make_tiny_examples(folder, base=base, conversations=conversations)


@pytest.fixture
def call(tmp_path, base, examples):
    """Tune into `tmp_path` and return the candidate's directory."""

    def call(name: str = "out", *, smoothing=0.1, seed=0, **recipe: object) -> Path:
        settings = {
            "lr": 1e-2,
            "max_steps": 3,
            "batch_size": 8,
            "micro_batch_size": 8,
            "validation_fraction": 0.2,
            "lora_rank": 4,
            "dtype": "float32",
        }
        return tune_tiny(
            *(tmp_path / name, settings | recipe),
            base=base,
            examples=examples,
            smoothing=smoothing,
            seed=seed,
        )

    return call


def read_log(candidate: Path) -> list[dict]:
    path = candidate / "training_log.parquet"
    return tables.read(path, "training_log").to_pylist()


def read_steps(candidate: Path) -> list[dict]:
    return [line for line in read_log(candidate) if line["split"] == "train"]


def weights(candidate: Path, base: Path | None = None) -> dict[str, torch.Tensor]:
    model = models.load_model(candidate, base=base, dtype=torch.float32, device=CPU)
    return model.state_dict()


def test_the_log_has_the_losses_before_and_after(call, base, examples):
    """One step over all training examples: both losses as PyTorch computes them."""
    out = call(batch_size=32, micro_batch_size=32, max_steps=1, smoothing=0.3)
    training, validation = split_validation(Examples(examples / FILE), 0.2)
    assert (len(training), len(validation)) == (32, 8)

    def losses(checkpoint: Path, chosen: list) -> tuple[float, float, int]:
        batch = pad_examples(chosen)
        model = AutoModelForCausalLM.from_pretrained(checkpoint)
        with torch.no_grad():
            logits = model(
                input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
            ).logits
        logits, labels = logits[:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten()
        return (
            float(cross_entropy(logits, labels, label_smoothing=0.3)),
            float(cross_entropy(logits, labels)),
            int((labels != -100).sum()),
        )

    untuned, first, last = read_log(out)
    splits = [(line["split"], line["step"]) for line in (untuned, first, last)]
    assert splits == [("validation", 0), ("train", 1), ("validation", 1)]
    for line, checkpoint, chosen in (
        (untuned, base, validation),
        (first, base, training),
        (last, out, validation),
    ):
        smoothed, plain, tokens = losses(checkpoint, chosen)
        assert line["loss"] == pytest.approx(smoothed, abs=1e-5)
        assert line["nll"] == pytest.approx(plain, abs=1e-5)
        assert line["tokens"] == tokens


def test_accumulated_micro_batches_are_one_batch(call):
    """Micro-batches of 8, 4 and 1 sequences give the same weights up to rounding."""
    whole = weights(call("whole"))
    for size in (4, 1):
        parts = weights(call(f"parts-{size}", micro_batch_size=size))
        for name, weight in whole.items():
            torch.testing.assert_close(parts[name], weight, rtol=0, atol=2e-5)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_the_same_call_gives_the_same_weights(call, method):
    """Same seed, same bytes; another seed, other weights."""
    first, second = call("a", method=method), call("b", method=method)
    other = call("c", method=method, seed=1)
    held = [
        {path.name: digest([path]) for path in each.glob("*.safetensors")}
        for each in (first, second, other)
    ]
    assert held[0]
    assert held[0] == held[1] != held[2]
    made = [read_provenance(each)["digest"] for each in (first, second, other)]
    assert made[0] == made[1] != made[2]


def test_another_process_gives_the_same_adapter(base, examples, tmp_path):
    """Byte for byte, whatever the order of sets there, and what launchers left there.

    A job script may export its own RANK, and `accelerate launch` its settings.
    """
    made = []
    left = {"RANK": "1", "WORLD_SIZE": "2", "ACCELERATE_MIXED_PRECISION": "bf16"}
    for number in (1, 2):
        out = tmp_path / f"out-{number}"
        subprocess.run(
            [
                *(sys.executable, "-m", "polycal", "tune"),
                *("--base", base, "--examples", examples, "--out", out),
                *("--model", "m", "--sft", "s", "--smoothing", "0.1", "--seed", "0"),
                *("--lr", "0.01", "--max-steps", "2", "--method", "lora"),
            ],
            env=os.environ
            | {"PYTHONHASHSEED": str(number)}
            | (left if number == 2 else {}),
            check=True,
        )
        made.append(read_provenance(out)["digest"])
    assert made[0] == made[1]


@pytest.mark.parametrize("method", ["full", "lora"])
def test_computing_layers_again_changes_nothing(call, monkeypatch, method):
    """The same bytes, dropout included, and every layer is run twice in a step."""
    dropout = {"attention_dropout": 0.1, "method": method}
    kept = call("kept", **dropout)
    calls, forward = [], LlamaMLP.forward

    def note(self, hidden: torch.Tensor) -> torch.Tensor:
        calls.append(hidden.requires_grad or torch.is_grad_enabled())
        return forward(self, hidden)

    monkeypatch.setattr(LlamaMLP, "forward", note)
    again = call("again", gradient_checkpointing=True, **dropout)
    layers, steps = 2, 3
    assert sum(calls) == 2 * layers * steps
    held = [
        digest([*each.glob("*.safetensors"), *each.glob("*config.json")])
        for each in (kept, again)
    ]
    assert held[0] == held[1]


def test_one_step_is_a_step(call, base):
    """A warm-up begins with the rate 0, which would leave a single step without use."""
    before, after = weights(base), weights(call(max_steps=1))
    assert all(not torch.equal(after[name], before[name]) for name in before)


def test_full_training_moves_all_weights_and_lora_none_of_the_base(call, base):
    """An adapter is small, and its base model is untouched."""
    before = weights(base)
    full = weights(call("full"))
    assert all(not torch.equal(full[name], before[name]) for name in before)
    lora = call("lora", method="lora")
    assert (lora / "adapter_model.safetensors").exists()
    assert not (lora / "model.safetensors").exists()
    adapted = weights(lora, base)
    kept = {name for name in adapted if "lora_" not in name}
    assert kept
    for name in kept:
        short = name.removeprefix("base_model.model.").replace(".base_layer", "")
        assert torch.equal(adapted[name], before[short])
    assert any(bool(adapted[name].any()) for name in adapted if "lora_B" in name), (
        "the adapter did not learn"
    )


def test_smoothing_is_what_is_minimised(call):
    """With the same data and rate, smoothing ends with the less confident model."""
    plain = read_log(call("plain", smoothing=0, max_steps=60))[-1]
    smooth = read_log(call("smooth", smoothing=0.5, max_steps=60))[-1]
    assert plain["loss"] == plain["nll"]
    assert plain["nll"] < smooth["nll"] < smooth["loss"]


def test_the_schedule_is_linear_with_warm_up(call):
    """Up over a fifth of ten steps, then down; the log has the rate of each step."""
    out = call(max_steps=10, warmup_ratio=0.2)
    rates = [line["learning_rate"] for line in read_steps(out)]
    expected = [0, 0.5, *(1 - step / 8 for step in range(8))]
    assert rates == pytest.approx([1e-2 * each for each in expected])


def test_the_candidate_says_what_made_it(call, base, conversations, examples):
    """Recipe, identity, counts and digests."""
    out = call(seed=3, smoothing=0.2, weight_decay=0.01)
    recipe = json.loads((out / "recipe.json").read_text())
    expected = {"model": "tiny", "sft": "toy", "smoothing": 0.2, "seed": 3, "lr": 0.01}
    assert expected.items() <= recipe.items()
    assert recipe["weight_decay"] == 0.01
    assert (recipe["chat_template"], recipe["max_length"]) == ("auto", 4096)
    facts = read_provenance(out)
    assert facts["base"] == read_provenance(base)["digest"]
    assert facts["conversations"] == digest([conversations])
    assert facts["examples"] == digest([examples / FILE])
    assert facts["counts"]["conversations"] == 40
    assert (facts["counts"]["training"], facts["counts"]["validation"]) == (32, 8)
    assert {(row["sft"], row["lr"]) for row in read_log(out)} == {("toy", 0.01)}


def test_the_gradient_norm_is_that_before_clipping(call):
    """Clipping to almost nothing does not change what is logged of the first step."""
    free = read_steps(call("free", max_grad_norm=1e6))
    tight = read_steps(call("tight", max_grad_norm=1e-6))
    assert free[0]["grad_norm"] == pytest.approx(tight[0]["grad_norm"], rel=1e-6)
    assert free[0]["grad_norm"] > 1e-3


def test_bfloat16_trains_float32_weights(call, base):
    """Small steps are not rounded away; what is saved is bfloat16."""
    out = call(dtype="bfloat16", lr=1e-5, max_steps=30)
    assert AutoModelForCausalLM.from_pretrained(out).dtype == torch.bfloat16
    lines = read_steps(out)
    assert all(math.isfinite(line["loss"]) for line in lines)
    assert lines[-1]["nll"] < lines[0]["nll"]


@pytest.mark.parametrize(
    ("choice", "marker"), [("auto", "<|assistant|>"), ("alpaca", "### Response:")]
)
def test_a_candidate_carries_the_template_that_it_was_trained_with(
    choice, marker, tmp_path, conversations
):
    """A tokenizer without one of its own gets Tulu's, or what the study says."""
    bare = make_tiny_model(tmp_path / "bare", chat_template=None)
    examples = make_tiny_examples(
        tmp_path / "examples",
        base=bare,
        conversations=conversations,
        chat_template=choice,
    )
    tune(
        base=bare,
        examples=examples,
        model="bare",
        sft="toy",
        smoothing=0.0,
        seed=0,
        recipe=Recipe(lr=1e-3, max_steps=1),
        out=tmp_path / "out",
    )
    assert marker in load_tokenizer(tmp_path / "out").chat_template


def test_a_sum_has_the_gradient_of_its_mean_times_the_tokens(call):
    """Over micro-batches, too; what the log says of the loss stays per token."""
    mean = read_steps(call("mean", max_steps=1, micro_batch_size=4))
    total = read_steps(
        call("sum", max_steps=1, micro_batch_size=4, loss_reduction="sum")
    )
    assert total[0]["tokens"] == mean[0]["tokens"] > 8
    expected = mean[0]["grad_norm"] * mean[0]["tokens"]
    assert total[0]["grad_norm"] == pytest.approx(expected, rel=1e-4)
    assert total[0]["loss"] == mean[0]["loss"]


@pytest.mark.parametrize("method", ["full", "lora"])
def test_attention_dropout_is_of_the_training_only(call, base, method):
    """It changes the weights, and nothing in what is saved beside them."""
    without = call("without", method=method, lora_dropout=0)
    with_it = call("with", method=method, lora_dropout=0, attention_dropout=0.5)
    before, after = weights(without, base), weights(with_it, base)
    assert any(not torch.equal(before[name], after[name]) for name in before)
    first, second = (read_steps(each)[0] for each in (without, with_it))
    assert first["loss"] != second["loss"]
    config = "config.json" if method == "full" else "adapter_config.json"
    assert (with_it / config).read_text() == (without / config).read_text()
    if method == "full":
        saved = json.loads((with_it / config).read_text())
        assert saved["attention_dropout"] == read_attention_dropout(base) == 0


def test_a_model_s_own_attention_dropout_is_saved_and_not_used(
    tmp_path, base, examples, monkeypatch
):
    """The recipe says 0; the base model's configuration says otherwise."""
    # The changed copy keeps the digest, for the examples were made with it.
    monkeypatch.setattr("polycal.models.loading.check_content", lambda _: None)
    other = tmp_path / "other"
    shutil.copytree(base, other)
    config = json.loads((base / "config.json").read_text()) | {"attention_dropout": 0.4}
    (other / "config.json").write_text(json.dumps(config))
    made = {}
    for each in (base, other):
        out = tmp_path / f"from-{each.name}"
        tune(
            base=each,
            examples=examples,
            model="m",
            sft="toy",
            smoothing=0.0,
            seed=0,
            recipe=Recipe(lr=1e-2, max_steps=2),
            out=out,
        )
        made[each] = weights(out)
    assert all(torch.equal(made[other][name], made[base][name]) for name in made[base])
    assert read_attention_dropout(tmp_path / "from-other") == 0.4


def test_an_architecture_without_attention_dropout_is_named(tmp_path, examples):
    """GPT-2 calls it otherwise; 0 is fine."""
    folder = save_checkpoint(tmp_path / "gpt2", make_model("gpt2", n_inner=48))
    settings = {"dtype": torch.float32, "device": CPU}
    with pytest.raises(
        InputError, match=r"attention_dropout is 0\.1, but .*gpt2 has no"
    ):
        models.load_model(folder, attention_dropout=0.1, **settings)
    assert models.load_model(folder, attention_dropout=0, **settings)


def test_examples_of_another_model_are_refused(tmp_path, examples, monkeypatch):
    """Before the model is loaded; as is a directory that holds none."""
    other = make_tiny_model(tmp_path / "other", chat_template=None)
    monkeypatch.setattr(models, "load_model", None)
    place = {"model": "m", "sft": "toy", "smoothing": 0.0, "seed": 0}
    place |= {"recipe": Recipe(lr=1e-3), "out": tmp_path / "out"}
    with pytest.raises(InputError, match="made with the tokenizer of another model"):
        tune(base=other, examples=examples, **place)
    with pytest.raises(InputError, match="holds no examples; `polycal tokenize` makes"):
        tune(base=other, examples=tmp_path, **place)


@pytest.mark.parametrize("damage", ["a bit", "no file", "provenance"])
def test_damaged_examples_are_refused(tmp_path, base, examples, damage, monkeypatch):
    """Before the model is loaded: training on flipped bits gives other weights."""
    monkeypatch.setattr(models, "load_model", None)
    shutil.copytree(examples, tmp_path / "examples")
    path = tmp_path / "examples" / FILE
    if damage == "a bit":
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif damage == "no file":
        path.unlink()
    else:
        (path.parent / "provenance.json").write_text("{")
    place = {"model": "m", "sft": "toy", "smoothing": 0.0, "seed": 0}
    place |= {"recipe": Recipe(lr=1e-3), "out": tmp_path / "out"}
    with pytest.raises(InputError, match=r"is damaged.*; delete .*examples|folder"):
        tune(base=base, examples=tmp_path / "examples", **place)


def test_the_split_is_the_same_for_every_candidate(tmp_path):
    """It keeps the order, loses nothing and never leaves a side empty."""

    def make(n: int) -> Examples:
        path = tmp_path / f"{n}.arrow"
        token, target = np.zeros(2, np.int32), np.ones(2, bool)
        write_examples((Example(index, token, target) for index in range(n)), path)
        return Examples(path)

    def ids(part: Sequence[Example]) -> list[int]:
        return [part[index].example_id for index in range(len(part))]

    training, validation = map(ids, split_validation(make(50), 0.1))
    assert [*map(ids, split_validation(make(50), 0.1))] == [training, validation]
    # A change of these numbers changes the learning rate that a study selects.
    assert validation == [6, 7, 17, 39, 44]
    assert sorted(training + validation) == list(range(50))
    assert training == sorted(training)
    assert [len(part) for part in split_validation(make(2), 0.001)] == [1, 1]
    assert [len(part) for part in split_validation(make(2), 0.999)] == [1, 1]
    with pytest.raises(InputError, match="1 conversations with an answer are too few"):
        split_validation(make(1), 0.5)


def test_the_turns_of_a_conversation_are_never_split(tmp_path):
    """Where each is an example of its own: else validation would see the training."""
    path, token = tmp_path / "e.arrow", np.zeros(2, np.int32)
    turns = [index for index in range(50) for _ in range(index % 3 + 1)]
    write_examples((Example(index, token, token == 0) for index in turns), path)
    parts = [
        [part[index].example_id for index in range(len(part))]
        for part in split_validation(Examples(path), 0.1)
    ]
    # The same conversations as if each were one example.
    assert sorted(set(parts[1])) == [6, 7, 17, 39, 44]
    assert sorted(parts[0] + parts[1]) == turns
    assert not set(parts[0]) & set(parts[1])


def test_copies_of_a_conversation_are_never_split(tmp_path, base):
    """A set that holds each conversation three times would be validated on itself."""
    once = make_tiny_conversations(tmp_path / "once.parquet", n=20)
    rows = tables.read(once, "conversations").to_pylist()
    rows = [each | {"example_id": i} for i, each in enumerate(rows * 3)]
    table = pa.Table.from_pylist(rows, tables.SCHEMAS["conversations"])
    tables.write(table, tmp_path / "thrice.parquet", "conversations")
    made = make_tiny_examples(
        tmp_path / "made", base=base, conversations=tmp_path / "thrice.parquet"
    )
    parts = [
        [part[index].tokens.tobytes() for index in range(len(part))]
        for part in split_validation(Examples(made / FILE), 0.2)
    ]
    assert [len(part) for part in parts] == [48, 12]
    assert not set(parts[0]) & set(parts[1])


def test_bad_settings_are_named_before_the_model_is_loaded(call, monkeypatch):
    """Smoothing, seed, a batch, and layers that the model does not have."""
    with pytest.raises(InputError, match="lora_target_modules 'nowhere' does not fit"):
        call(method="lora", lora_target_modules="nowhere")
    monkeypatch.setattr(models, "load_model", None)
    with pytest.raises(InputError, match="smoothing: 1 is greater"):
        call(smoothing=1)
    with pytest.raises(InputError, match="seeds: -1 is less than the minimum"):
        call(seed=-1)
    with pytest.raises(InputError, match="batch_size 10 is not a multiple"):
        call(batch_size=10, micro_batch_size=4)
