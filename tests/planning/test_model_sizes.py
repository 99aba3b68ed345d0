"""A model's size comes from a table or from its config.json; none is made up."""

import json
from pathlib import Path

import pytest
from paper import MODELS

from polycal.errors import InputError
from polycal.planning import model_sizes

NOWHERE = Path("nowhere")


def model(name: str) -> model_sizes.Model:
    return model_sizes.find_model(MODELS[name], NOWHERE)


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
    size = model_sizes.find_model(str(tmp_path), NOWHERE)
    assert (size.kv, size.tied, size.stored_bytes) == (kv, tied, 0)


@pytest.mark.parametrize(
    ("changes", "soft_cap"),
    [
        ({}, False),
        ({"model_type": "gemma2"}, True),
        ({"model_type": "gemma2", "attn_logit_softcapping": None}, False),
        ({"attn_logit_softcapping": 30.0}, True),
    ],
)
def test_a_local_model_tells_its_heads_and_its_soft_cap(tmp_path, changes, soft_cap):
    """Gemma-2 has the cap unless its config.json says null."""
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | changes))
    size = model_sizes.find_model(str(tmp_path), NOWHERE)
    assert (size.heads, size.soft_cap) == (4, soft_cap)


def test_the_paper_s_heads_and_soft_caps():
    """Of the three, only Gemma-2 is trained with eager attention."""
    size = {name: (model(name).heads, model(name).soft_cap) for name in MODELS}
    assert size == {"mistral": (32, False), "llama": (32, False), "gemma": (8, True)}


def test_a_prepared_model_of_the_hub_tells_its_own_size(tmp_path):
    """After prepare_model, no table has to know the repository."""
    repo = "somebody/something"
    assert model_sizes.find_model(repo, tmp_path) is None
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    assert model_sizes.find_model(repo, tmp_path).layers == 2


@pytest.mark.parametrize("changes", [{"num_local_experts": 8}, {"hidden_size": None}])
def test_an_architecture_of_another_kind_has_no_size(tmp_path, changes):
    """A mixture of experts, or a config without a width, is not counted wrongly."""
    config = {k: v for k, v in (CONFIG | changes).items() if v is not None}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert model_sizes.find_model(str(tmp_path), NOWHERE) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "is not a model's configuration"),
        (json.dumps(CONFIG | {"num_attention_heads": 0, "head_dim": None}), "division"),
        (json.dumps(CONFIG | {"hidden_size": None, "head_dim": None}), "NoneType"),
    ],
)
def test_a_broken_config_is_named(tmp_path, text, message):
    """One line, not a traceback of json."""
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(InputError, match=rf"config\.json .*{message}"):
        model_sizes.find_model(str(tmp_path), NOWHERE)
