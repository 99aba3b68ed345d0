"""The arithmetic of a job, worked by hand."""

import dataclasses
import json
from pathlib import Path

import pytest
from paper import one_model, paper_study

from polycal.errors import InputError
from polycal.models.gpu_types import Gpu, find_gpu
from polycal.planning import costs
from polycal.planning.data_sizes import Questions
from polycal.planning.model_sizes import Model
from polycal.planning.sizes import SizedStudy
from polycal.tuning import loss

# A layer has 4 maps of 4 x 4 and 3 of 4 x 10: 184; two layers: 368. The head: 5 x 4.
TOY = Model(
    *(2, 4, 10, 4, 4, 2, 5),
    tied=False,
    soft_cap=False,
    stored_bytes=2,
    tokenizer="llama3",
)
RECIPE = one_model("llama")["recipe"] | {"validation_fraction": 0.5, "epochs": 3}
LORA = RECIPE | {"method": "lora", "lora_rank": 2}
# A layer's adapter: 2 x (4 x (4 + 4) + 3 x (4 + 10)) = 148.
ADAPTER = 2 * 148


def test_parameters_of_the_toy():
    """The numbers that the other tests rest on."""
    assert (TOY.body, TOY.head, TOY.parameters) == (368, 20, 408)
    assert costs.count_adapter(TOY, LORA) == ADAPTER


def test_full_training_is_six_per_parameter_and_token():
    """10 conversations, 5 of them held out: 3 epochs of 5, and 5 forward passes."""
    flop = costs.training_flop(TOY, RECIPE, 10, tokens=7)
    assert flop == 7 * (15 * 6 * 388 + 5 * 2 * 388)


def test_an_adapter_s_base_model_has_no_weight_gradients():
    """Four per frozen parameter, six per parameter of the adapter."""
    flop = costs.training_flop(TOY, LORA, 10, tokens=7)
    assert flop == 7 * (15 * (4 * 388 + 6 * ADAPTER) + 5 * 2 * (388 + ADAPTER))


def test_long_conversations_are_cut():
    """No more than max_length tokens of one are computed."""
    cut = costs.training_flop(TOY, RECIPE | {"max_length": 7}, 10, tokens=1000)
    assert cut == costs.training_flop(TOY, RECIPE, 10, tokens=7)


def test_steps_override_epochs():
    """4 steps of 8 sequences are 32 sequences, however many there are."""
    recipe = RECIPE | {"max_steps": 4, "batch_size": 8}
    flop = costs.training_flop(TOY, recipe, 10, tokens=1)
    assert flop == 32 * 6 * 388 + 5 * 2 * 388


@pytest.mark.parametrize(
    ("targets", "parameters"),
    [
        ("all-linear", ADAPTER),
        (r".*\.(q|v)_proj", 2 * 2 * 2 * (4 + 4)),
        (r".*\.down_proj", 2 * 2 * (10 + 4)),
    ],
)
def test_an_adapter_has_the_layers_that_peft_would_give_it(targets, parameters):
    """A pattern has to match the whole name of a layer."""
    recipe = LORA | {"lora_target_modules": targets}
    assert costs.count_adapter(TOY, recipe) == parameters


def test_a_pattern_that_is_none_is_told():
    """One line, not a traceback of re."""
    with pytest.raises(InputError, match="lora_target_modules"):
        costs.count_adapter(TOY, LORA | {"lora_target_modules": "("})


QUESTIONS = Questions(10, 4, 30.0, 20.0, 12.0, 0)


@pytest.mark.parametrize(
    ("scorings", "shots", "per_question"),
    [
        (["letters"], 0, 2 * (368 * 30 + 20)),
        (["text"], 0, 2 * (368 * (20 + 8) + 20 * 9)),
        (["letters", "text"], 0, 2 * (368 * 58 + 20 * 10)),
        (["letters"], 5, 2 * (368 * (30 + 0.05 * 31) + 20)),
        (["text"], 2, 2 * (368 * (20 + 8 + 0.02 * 23) + 20 * 9)),
    ],
)
def test_scoring_computes_contexts_and_options_once(scorings, shots, per_question):
    """12 tokens in 4 options: 8 are read; the head is asked at 8 + 1 positions.

    A hundred questions share their shots.
    """
    asked = {"shots": shots, "prompt": "plain"}
    flop = costs.scoring_flop(TOY, QUESTIONS, scorings, asked)
    assert flop == pytest.approx(10 * per_question)
    chat = costs.scoring_flop(TOY, QUESTIONS, scorings, asked | {"prompt": "chat"})
    # Once a question and scoring, for its context.
    more = 10 * len(scorings) * 2 * 368 * costs.TEMPLATE_TOKENS
    assert chat == pytest.approx(flop + more)


def test_seconds_on_gpus_and_on_a_core():
    """GPUs share 4 TFLOP at 0.4 TFLOP/s; nothing shares the start and the weights."""
    gpu = Gpu("g", flops=1e12, memory=1e9, device="g")
    assert costs.job_seconds(0.8e9, 4e12, gpu, 0.4) == (12, pytest.approx(22))
    assert costs.job_seconds(0.8e9, 4e12, gpu, 0.4, 5) == (12, pytest.approx(14))
    assert costs.job_seconds(0, costs.CORE_FLOPS, None, 0.4) == (10, 11)
    assert costs.job_seconds(0.8e9, None, gpu, 0.4) == (12, None)


@pytest.mark.parametrize(
    ("recipe", "on_gpu", "weights"),
    [
        (RECIPE, True, 2 * 408),
        (RECIPE, False, 4 * 408),
        (RECIPE | {"dtype": "float32"}, True, 4 * 408),
        (LORA, True, 4 * ADAPTER),
    ],
)
def test_a_checkpoint_has_the_dtype_of_the_training(recipe, on_gpu, weights):
    """An adapter is float32 always."""
    size = costs.checkpoint_bytes(TOY, recipe, on_gpu=on_gpu)
    assert size - costs.TOKENIZER_BYTES == pytest.approx(weights)


def test_memory_of_full_training_is_eighteen_bytes_per_parameter():
    """Weights, gradients, two moments in float32; bfloat16 copies if it computes so."""
    assert costs.fixed_memory(TOY, RECIPE) == 18 * 408
    assert costs.fixed_memory(TOY, RECIPE | {"dtype": "float32"}) == 16 * 408
    assert costs.fixed_memory(TOY, LORA) == 2 * 408 + 18 * ADAPTER


def test_activations_grow_with_the_micro_batch():
    """34 bytes per token, layer and unit of width; 6 per logit of 256 positions."""
    recipe = RECIPE | {"micro_batch_size": 3, "max_length": 11}
    parts = costs.activation_memory(TOY, recipe)
    assert parts == {"activations": 34 * 33 * 4 * 2, "logits": 6 * 33 * 5}
    longer = costs.activation_memory(TOY, recipe | {"max_length": 1000})
    assert longer["logits"] == 6 * 256 * 5


def test_the_loss_holds_as_many_positions_as_the_plan_says():
    """A plan imports no torch, so the number stands in two places."""
    assert costs.LOGIT_POSITIONS == loss._CHUNK


def test_layers_that_are_computed_again_cost_time_and_save_memory():
    """2 more operations per parameter of the body (388 - 20), and one layer at a time.

    What is kept of the others is their input, 2 bytes per token and unit of width.
    """
    recipe = RECIPE | {"micro_batch_size": 3, "max_length": 11, "max_steps": 4}
    recipe |= {"batch_size": 8}
    again = recipe | {"gradient_checkpointing": True}
    more = costs.training_flop(TOY, again, 10, tokens=1)
    more -= costs.training_flop(TOY, recipe, 10, tokens=1)
    assert more == 32 * 2 * 368
    parts = costs.activation_memory(TOY, again)
    assert parts["activations"] == (34 + 2 * 2) * 33 * 4


def test_a_soft_cap_keeps_every_weight_of_every_head():
    """10 bytes for each of 3 sequences' 11 x 11 pairs, 2 heads and 2 layers."""
    recipe = RECIPE | {"micro_batch_size": 3, "max_length": 11}
    capped = dataclasses.replace(TOY, soft_cap=True)
    parts = costs.activation_memory(capped, recipe)
    assert parts.pop("eager attention") == 10 * 3 * 11 * 11 * 2 * 2
    assert parts.pop("logits") == 10 * 33 * 5
    rest = costs.activation_memory(TOY, recipe)
    assert parts == {"activations": rest["activations"]}


def test_a_frozen_model_in_4_bits_takes_a_quarter_but_for_its_ends():
    """4.127 bits for 16 of each weight that all tokens are multiplied by."""
    whole, quantised = (
        costs.fixed_memory(TOY, LORA | {"load_in_4bit": four}) for four in (False, True)
    )
    assert whole - quantised == pytest.approx(TOY.body * (2 - 4.127 / 8))


def misfits(config, gpu):
    study = SizedStudy(config, find_gpu(gpu), Path("nowhere"))
    return list(costs.find_misfits(study))


def warnings(name, gpu, **recipe):
    return misfits(one_model(name, **{"micro_batch_size": 1, **recipe}), gpu)


@pytest.mark.parametrize("gpu", ["h200", "h100", "l40s"])
def test_eight_billion_parameters_do_not_fit(gpu):
    """18 bytes each are 145 GB; an adapter, or a larger GPU, is offered."""
    (warning,) = warnings("llama", gpu)
    assert f"llama does not fit on one {gpu}" in warning
    assert "145 GB for weights" in warning
    assert "a GPU like b200 (180 GB)" in warning
    assert "method: lora" in warning


def test_more_gpus_are_offered_if_they_divide_a_batch():
    """On one machine, or on several; weights are spread, a micro-batch is not."""
    (warning,) = warnings("llama", "h200", batch_size=24)
    assert "gpus: 2" in warning
    (warning,) = warnings("llama", "rtx4090", batch_size=64, max_length=2048)
    assert "gpus: 8 on nodes: 2" in warning
    (warning,) = warnings("llama", "h200", batch_size=3)
    assert "gpus:" not in warning
    config = one_model("llama", batch_size=64)
    config["models"][0] |= {"gpus": 2, "nodes": 2}
    assert not misfits(config, "h200")


def test_what_fits_is_not_warned_of():
    """A small model, an adapter, a CPU, or a study without training."""
    assert not warnings("gemma", "h200")
    assert not warnings("gemma", "rtx4090", method="lora", max_length=1024)
    assert not warnings("llama", "h200", method="lora")
    assert not misfits(paper_study(sft=[]), "rtx3090")
    config = one_model("llama")
    config["models"][0]["gpus"] = 0
    assert not misfits(config, "h200")


def test_activations_may_be_what_does_not_fit():
    """Then a smaller micro-batch is the first remedy."""
    (warning,) = warnings("gemma", "h200", micro_batch_size=32)
    assert "gemma may not fit on one h200" in warning
    assert "What would fit: micro_batch_size: 1" in warning


@pytest.mark.parametrize("gpu", ["h100", "a100"])
def test_gemma_s_attention_and_logits_may_not_fit_into_80_gb(gpu):
    """47 GB are fixed; 35 GB of attention and 1 GB of logits are named."""
    (warning,) = warnings("gemma", gpu)
    assert f"gemma may not fit on one {gpu}" in warning
    assert "up to about 44 GB for a micro-batch of 1 x 4096 tokens" in warning
    assert "(8 of activations, 1 of logits, 35 of eager attention)" in warning
    assert "a GPU like h200" in warning
    assert not warnings("gemma", gpu, max_length=2048)


@pytest.mark.parametrize(
    ("gpu", "certain"),
    [
        ("b200", {}),
        ("h200", {"mistral": False, "llama": True}),
        ("h100", {"mistral": True, "llama": True, "gemma": False}),
        ("a100", {"mistral": True, "llama": True, "gemma": False}),
    ],
)
def test_which_of_the_paper_s_models_fit(gpu, certain):
    """Full fine-tuning at 4096 tokens: Gemma needs 91 GB, Mistral 148, Llama 163."""
    words = [warning.split(maxsplit=3) for warning in misfits(paper_study(), gpu)]
    assert {name: verb == "does" for _, name, verb, _ in words} == certain


def unscorable(config, gpu, resources=Path("nowhere")):
    return list(costs.find_unscorable(SizedStudy(config, find_gpu(gpu), resources)))


def test_scoring_has_to_fit_too():
    """8.03e9 parameters of 2 bytes and 2 GB fit on 24 GB; of 4 bytes they do not."""
    config = one_model("llama")
    config["sft"] = []
    assert unscorable(config, "rtx4090") == []
    config["scoring_dtype"] = "float32"
    (warning,) = unscorable(config, "rtx4090")
    assert "llama does not fit on one rtx4090: scoring it takes 34 GB, of" in warning
    assert "fit: scoring_dtype: bfloat16, gpus: 2, a smaller model." in warning
    config["models"][0]["gpus"] = 2
    assert unscorable(config, "rtx4090") == []


def test_a_released_checkpoint_has_its_own_size(tmp_path):
    """A wider one than its base model does not fit; quantised, nobody knows."""
    config = one_model("llama")
    released = {"checkpoints": {"llama": {"repo": "./released"}}}
    config["sft"] = [{"name": "wide", **released}]
    assert unscorable(config, "rtx4090", tmp_path) == []
    shape = {"model_type": "llama", "num_hidden_layers": 80, "hidden_size": 8192}
    shape |= {"intermediate_size": 28672, "num_attention_heads": 64}
    shape |= {"num_key_value_heads": 8, "vocab_size": 128256}
    folder = tmp_path / "released/llama/wide"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(shape))
    (warning,) = unscorable(config, "rtx4090", tmp_path)
    assert (
        "llama, wide, does not fit on one rtx4090: scoring it takes 143 GB" in warning
    )
    shape["quantization_config"] = {"quant_method": "gptq", "bits": 4}
    (folder / "config.json").write_text(json.dumps(shape))
    assert unscorable(config, "rtx4090", tmp_path) == []
