"""A model that could not be tuned or scored is refused before a study pays for it."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from toys import make_model, make_tokenizer, save_checkpoint
from transformers import AutoConfig, AutoModelForMaskedLM, AutoModelForSeq2SeqLM

from polycal.errors import InputError, summarise
from polycal.models.loading import load_model
from polycal.models.meta_loading import check_model


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    folder = save_checkpoint(tmp_path / "toy", make_model())
    (folder / "provenance.json").unlink()  # what polycal made would be found damaged
    return folder


def change_config(checkpoint: Path, **changes: object) -> None:
    path = checkpoint / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change_weights(checkpoint: Path, change: Callable[[dict], object]) -> None:
    weights = load_file(checkpoint / "model.safetensors")
    change(weights)
    save_file(weights, checkpoint / "model.safetensors", metadata={"format": "pt"})


def refuse(checkpoint: Path, message: str) -> None:
    """One line that names the directory, here and where the weights are read."""
    with pytest.raises(InputError, match=message) as caught:
        check_model(checkpoint)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(checkpoint))


@pytest.mark.parametrize(
    "kind", ["llama", "gpt2", "gpt_neox", "gemma3_text", "mixtral", "qwen3"]
)
def test_causal_decoders_pass(tmp_path, kind):
    """Experts that transformers joins and weights that it ties included."""
    check_model(save_checkpoint(tmp_path / kind, make_model(kind)))


def test_tied_weights_are_not_missing(checkpoint):
    """The head is the embeddings."""
    change_weights(checkpoint, lambda weights: weights.pop("lm_head.weight"))
    refuse(checkpoint, r"lacks the weights lm_head\.weight;")
    change_config(checkpoint, tie_word_embeddings=True)
    check_model(checkpoint)


def test_no_weight_is_read(checkpoint, monkeypatch):
    """All are on the meta device, which has no memory."""
    devices = set()
    monkeypatch.setattr(
        "polycal.models.loading.check_rows",
        lambda model, *_: devices.update(w.device.type for w in model.parameters()),
    )
    check_model(checkpoint)
    assert devices == {"meta"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("model.norm.weight"), r"lacks the weights model\.norm\.w"),
        (
            lambda w: w.update({"score.weight": torch.zeros(3)}),
            r"weights that its architecture does not know: score\.weight; its config",
        ),
        (
            lambda w: w.update({"model.norm.weight": torch.zeros(3)}),
            r"weights of another shape: model\.norm\.weight \(\[3\] instead of \[32\]",
        ),
    ],
)
def test_weights_of_another_model_are_refused(checkpoint, change, message):
    """By the check, and by the job that reads them if nobody checked."""
    change_weights(checkpoint, change)
    refuse(checkpoint, message)
    with pytest.raises(InputError, match=message):
        load_model(checkpoint, dtype=torch.float32, device=torch.device("cpu"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_act": "gelo"}, "KeyError: 'gelo'; hidden_act cannot be 'gelo'"),
        ({"num_attention_heads": 0}, "num_attention_heads cannot be 0$"),
        ({"num_attention_heads": 3}, "not a multiple of the number of attention heads"),
        ({"rope_parameters": {"rope_type": "linear"}}, "factor"),
        ({"hidden_size": "big"}, "'hidden_size' expected int"),
        ({"hidden_size": -32}, "negative dimension"),
        ({"num_hidden_layers": 3}, r"lacks the weights model\.layers\.2.* and 6 more"),
        ({"num_hidden_layers": 1}, r"does not know: model\.layers\.1.* and 6 more"),
        ({"model_type": "toy"}, "model type `toy`"),
        (
            {"quantization_config": {"quant_method": "gptq", "bits": 4}},
            r"quantised weights \(gptq, 4 bits\), which cannot be read here: .*GPTQ",
        ),
        ({"quantization_config": {"quant_method": "awq", "bits": 4}}, "read here: Imp"),
        ({"quantization_config": {"quant_method": "nix"}}, "cannot be read.*nix"),
    ],
)
def test_a_wrong_configuration_is_refused(checkpoint, changes, message):
    """By the key that is wrong, where transformers does not name it."""
    change_config(checkpoint, **changes)
    refuse(checkpoint, message)


@pytest.mark.parametrize("text", ["[]", "{}", "{", ""])
def test_a_broken_configuration_is_refused(checkpoint, text):
    (checkpoint / "config.json").write_text(text)
    refuse(checkpoint, "has no readable model")


@pytest.mark.parametrize("text", ["{}", "[]", "{", '{"added_tokens": []}'])
def test_a_broken_tokenizer_is_refused(checkpoint, text):
    (checkpoint / "tokenizer.json").write_text(text)
    refuse(checkpoint, "has no readable tokenizer")


@pytest.mark.parametrize(
    ("kind", "loader", "settings"),
    [
        ("bert", AutoModelForMaskedLM, {"hidden_size": 32, "num_attention_heads": 4}),
        ("t5", AutoModelForSeq2SeqLM, {"d_model": 32, "num_layers": 1}),
    ],
)
def test_encoders_are_refused(tmp_path, kind, loader, settings):
    """transformers would load BERT, and every token would see the later ones."""
    config = AutoConfig.for_model(kind, vocab_size=330, **settings)
    refuse(
        save_checkpoint(tmp_path / kind, loader.from_config(config)),
        f"of type {kind} is not a causal decoder",
    )


def test_a_tokenizer_of_another_model_is_refused(tmp_path):
    """Its ids would be rows that the embeddings do not have."""
    n_tokens = len(make_tokenizer())
    folder = save_checkpoint(tmp_path / "toy", make_model(vocab_size=n_tokens - 1))
    refuse(folder, f"need {n_tokens} rows of the embeddings, the model has")
    check_model(save_checkpoint(tmp_path / "fits", make_model(vocab_size=n_tokens)))


def test_without_torch_the_weights_are_left_for_later(checkpoint, monkeypatch):
    """The environment that prepares models has none, where conda makes it."""
    change_weights(checkpoint, lambda weights: weights.clear())
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setitem(sys.modules, "polycal.models.loading", None)
    check_model(checkpoint)
    (checkpoint / "tokenizer.json").write_text("{}")
    refuse(checkpoint, "has no readable tokenizer")


def test_a_library_s_exception_is_one_line():
    assert summarise(KeyError("a")) == "KeyError: 'a'"
    assert summarise(ValueError("a\n  b")) == "ValueError: a b"
    assert summarise(ValueError()) == "ValueError"
    assert len(summarise(ValueError("x" * 10_000))) < 400


def test_stored_masks_of_old_checkpoints_pass(checkpoint):
    """Models compute them; a weight of another layer is still refused."""
    mask = torch.ones(1, 1, 4, 4)
    names = ["model.layers.0.attn.masked_bias", "model.layers.0.attention.bias"]
    change_weights(
        checkpoint, lambda held: held.update({name: mask.clone() for name in names})
    )
    check_model(checkpoint)
    change_weights(checkpoint, lambda held: held.update({"v_head.weight": mask}))
    refuse(checkpoint, r"does not know: v_head\.weight;")
