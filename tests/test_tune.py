"""A candidate is trained as the recipe says, and says how."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny import make_tiny_conversations, make_tiny_model
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer

from polycal import models, tables
from polycal.dialogs import collate, make_examples, split_validation
from polycal.errors import InputError
from polycal.files import digest
from polycal.provenance import read_provenance
from polycal.recipe import Recipe
from polycal.tune import tune

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def conversations(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("conversations")
    return make_tiny_conversations(folder / "toy.parquet", n=40)


@pytest.fixture
def call(tmp_path, base, conversations):
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
        tune(
            base=base,
            conversations=conversations,
            model="tiny",
            sft="toy",
            smoothing=smoothing,
            seed=seed,
            recipe=Recipe(**(settings | recipe)),
            out=tmp_path / name,
        )
        return tmp_path / name

    return call


def read_log(candidate: Path) -> list[dict]:
    path = candidate / "training_log.parquet"
    return tables.read(path, "training_log").to_pylist()


def weights(candidate: Path, base: Path | None = None) -> dict[str, torch.Tensor]:
    model = models.load_model(candidate, base=base, dtype=torch.float32, device=CPU)
    return model.state_dict()


def test_the_first_line_is_the_loss_of_the_untouched_model(call, base, conversations):
    """One step over all training examples: both losses as PyTorch computes them."""
    out = call(batch_size=32, micro_batch_size=32, max_steps=1, smoothing=0.3)
    tokenizer = AutoTokenizer.from_pretrained(base)
    table = tables.read(conversations, "conversations")
    examples, _ = make_examples(table, tokenizer, max_length=4096)
    training, validation = split_validation(examples, 0.2)
    assert (len(training), len(validation)) == (32, 8)

    def losses(checkpoint: Path, chosen: list) -> tuple[float, float, int]:
        batch = collate(chosen)
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

    first, last = read_log(out)
    assert (first["split"], last["split"]) == ("train", "validation")
    for line, checkpoint, chosen in ((first, base, training), (last, out, validation)):
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


def test_another_process_gives_the_same_adapter(base, conversations, tmp_path):
    """Byte for byte, whatever the order of sets in that process is."""
    made = []
    for number in (1, 2):
        out = tmp_path / f"out-{number}"
        subprocess.run(
            [
                *(sys.executable, "-m", "polycal", "tune"),
                *("--base", base, "--conversations", conversations, "--out", out),
                *("--model", "m", "--sft", "s", "--smoothing", "0.1", "--seed", "0"),
                *("--lr", "0.01", "--max-steps", "2", "--method", "lora"),
            ],
            env={**os.environ, "PYTHONHASHSEED": str(number)},
            check=True,
        )
        made.append(read_provenance(out)["digest"])
    assert made[0] == made[1]


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
    rates = [line["learning_rate"] for line in read_log(out)[:-1]]
    expected = [0, 0.5, *(1 - step / 8 for step in range(8))]
    assert rates == pytest.approx([1e-2 * each for each in expected])


def test_the_candidate_says_what_made_it(call, base, conversations):
    """Recipe, identity, counts and digests."""
    out = call(seed=3, smoothing=0.2, weight_decay=0.01)
    recipe = json.loads((out / "recipe.json").read_text())
    expected = {"model": "tiny", "sft": "toy", "smoothing": 0.2, "seed": 3, "lr": 0.01}
    assert expected.items() <= recipe.items()
    assert recipe["weight_decay"] == 0.01
    facts = read_provenance(out)
    assert facts["base"] == read_provenance(base)["digest"]
    assert facts["conversations"] == digest([conversations])
    assert (facts["counts"]["training"], facts["counts"]["validation"]) == (32, 8)
    assert {(row["sft"], row["lr"]) for row in read_log(out)} == {("toy", 0.01)}


def test_the_gradient_norm_is_that_before_clipping(call):
    """Clipping to almost nothing does not change what is logged of the first step."""
    free = read_log(call("free", max_grad_norm=1e9))
    tight = read_log(call("tight", max_grad_norm=1e-6))
    assert free[0]["grad_norm"] == pytest.approx(tight[0]["grad_norm"], rel=1e-6)
    assert free[0]["grad_norm"] > 1e-3


def test_bfloat16_trains_float32_weights(call, base):
    """Small steps are not rounded away; what is saved is bfloat16."""
    out = call(dtype="bfloat16", lr=1e-5, max_steps=30)
    assert AutoModelForCausalLM.from_pretrained(out).dtype == torch.bfloat16
    lines = read_log(out)
    assert all(math.isfinite(line["loss"]) for line in lines)
    assert lines[-2]["nll"] < lines[0]["nll"]


def test_a_tokenizer_without_a_chat_template_gets_tulu_s(tmp_path, conversations):
    """And the candidate carries it along."""
    bare = make_tiny_model(tmp_path / "bare", chat_template=None)
    tune(
        base=bare,
        conversations=conversations,
        model="bare",
        sft="toy",
        smoothing=0.0,
        seed=0,
        recipe=Recipe(lr=1e-3, max_steps=1),
        out=tmp_path / "out",
    )
    assert "<|assistant|>" in models.load_tokenizer(tmp_path / "out").chat_template


def test_bad_settings_are_named_before_the_model_is_loaded(call, monkeypatch):
    """Smoothing, seed, and layers that the model does not have."""
    with pytest.raises(InputError, match="lora_target_modules 'nowhere' does not fit"):
        call(method="lora", lora_target_modules="nowhere")
    monkeypatch.setattr(models, "load_model", None)
    with pytest.raises(InputError, match="smoothing is 1"):
        call(smoothing=1)
    with pytest.raises(InputError, match="seed is -1"):
        call(seed=-1)
