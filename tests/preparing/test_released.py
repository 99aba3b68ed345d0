"""A released checkpoint is prepared like a base model, or as an adapter on one."""

import json

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from toys import WORDS, make_model, make_tokenizer, save_checkpoint

from polycal.errors import InputError
from polycal.models.loading import load_model
from polycal.models.tokens import digest_tokenizer, load_tokenizer
from polycal.preparing.released import prepare_released
from polycal.storage.files import digest
from polycal.storage.provenance import check_content, read_provenance

CPU = {"dtype": torch.float32, "device": torch.device("cpu")}


@pytest.fixture
def base(tmp_path):
    """A base model as polycal prepares it."""
    return save_checkpoint(tmp_path / "base", make_model())


@pytest.fixture
def adapter(tmp_path, base):
    """What peft saves, without a tokenizer."""
    settings = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    get_peft_model(load_model(base, **CPU), settings).save_pretrained(tmp_path / "a")
    return tmp_path / "a"


def prepare(source, base, out):
    """Prepare a checkpoint; its provenance."""
    prepare_released(
        repo=str(source), base=base, model="m", sft="instruct", out=out, revision=None
    )
    check_content(out)
    return read_provenance(out)


def test_a_full_model_is_taken_with_its_own_tokenizer(tmp_path, base):
    """A pad token and a template, as chat models add them, split no text otherwise."""
    tokenizer = make_tokenizer()
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    tokenizer.chat_template = "{{ messages }}"
    model = make_model(vocab_size=len(tokenizer))
    source = save_checkpoint(tmp_path / "source", model, tokenizer)
    facts = prepare(source, base, tmp_path / "out")
    assert (facts["model"], facts["sft"]) == ("m", "instruct")
    assert (facts["repo"], facts["revision"]) == (str(source), None)
    assert facts["shares_tokenizer"] is True
    files = set((tmp_path / "out").iterdir()) - {tmp_path / "out/provenance.json"}
    assert facts["digest"] == digest(files)
    assert (tmp_path / "out/chat_template.jinja").exists()
    assert load_model(tmp_path / "out", **CPU).config.vocab_size == len(tokenizer)


def test_another_tokenizer_is_seen(tmp_path, base):
    """One merge less splits some text otherwise; so does a token not called special."""
    state = json.loads(make_tokenizer().backend_tokenizer.to_str())
    state["model"]["merges"].pop()
    spoilt = save_checkpoint(tmp_path / "source", make_model())
    (spoilt / "tokenizer.json").write_text(json.dumps(state))
    assert prepare(spoilt, base, tmp_path / "out")["shares_tokenizer"] is False
    more = make_tokenizer()
    assert digest_tokenizer(more) == digest_tokenizer(load_tokenizer(base))
    more.add_tokens([WORDS[0] + WORDS[1]])
    assert digest_tokenizer(more) != digest_tokenizer(load_tokenizer(base))


def test_an_adapter_gets_its_base_model_s_tokenizer(tmp_path, base, adapter):
    """It can be loaded on the base model, and does not carry its weights."""
    facts = prepare(adapter, base, tmp_path / "out")
    assert facts["shares_tokenizer"] is True
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("adapter_config.json", "adapter_model.safetensors", "provenance.json"),
        *("tokenizer.json", "tokenizer_config.json"),
    }
    model = load_model(tmp_path / "out", base=base, **CPU)
    ids = torch.arange(2, 40)[None]
    with torch.no_grad():
        assert not torch.equal(model(ids).logits, make_model()(ids).logits)
    assert len(load_tokenizer(tmp_path / "out")) == len(make_tokenizer())


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda a: (a / "adapter_model.safetensors").unlink(), "has no adapter_model"),
        (
            lambda a: (a / "adapter_model.safetensors").write_bytes(b"cut"),
            "is not a complete safetensors file",
        ),
        (
            lambda a: (a / "adapter_config.json").write_text('{"peft_type": "IA3"}'),
            "is an adapter of the kind IA3; only LORA is read",
        ),
        (
            lambda a: (a / "adapter_config.json").write_text("{}"),
            "is not an adapter's",
        ),
        (lambda a: (a / "adapter_config.json").unlink(), "safetensors weights are"),
    ],
)
def test_what_is_no_checkpoint_is_one_line(tmp_path, base, adapter, spoil, message):
    """And nothing is written."""
    spoil(adapter)
    with pytest.raises(InputError, match=message) as caught:
        prepare(adapter, base, tmp_path / "new/out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"alora_invocation_tokens": [5, 6]}, "is an activated LoRA, which acts only"),
        ({"init_lora_weights": "pissa_niter_4"}, r"pissa_niter_4, so it .* changed we"),
        ({"init_lora_weights": "OLoRA"}, "olora, so it belongs to changed weights"),
        ({"lora_alpha": float("nan")}, "lora_alpha is nan"),
        ({"lora_alpha": None}, "is not an adapter's"),
        ({"r": 10_000_000_000}, "is not an adapter of .*size mismatch for .*q_proj"),
        ({"rank_pattern": {"q_proj": 3}}, "is not an adapter of .*size mismatch"),
        ({"target_modules": "*("}, "is not an adapter of"),
        ({"exclude_modules": "["}, "is not an adapter of"),
    ],
)
def test_an_adapter_s_settings_are_those_of_its_weights(
    tmp_path, base, adapter, changes, message
):
    """An activated one would give its base model's scores, a wrong rank fill memory."""
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(InputError, match=message):
        prepare(adapter, base, tmp_path / "out")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": 64}, r"size mismatch for .*q_proj"),
        ({"num_hidden_layers": 3}, r"only one of them has .*layers\.2\."),
    ],
)
def test_an_adapter_of_another_model_is_refused(tmp_path, base, changes, message):
    """By the shapes and names of its weights, before a GPU is taken."""
    other = save_checkpoint(tmp_path / "other", make_model(**changes))
    settings = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    adapted = get_peft_model(load_model(other, **CPU), settings)
    adapted.save_pretrained(tmp_path / "a")
    with pytest.raises(InputError, match=rf"a is not an adapter of .*{message}"):
        prepare(tmp_path / "a", base, tmp_path / "out")
    assert not (tmp_path / "out").exists()


ALL = {"bias": "all", "modules_to_save": ["lm_head"], "trainable_token_indices": [5, 7]}
MODEL = "base_model.model"
LAYER = f"{MODEL}.model.layers.1.self_attn"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda held: None, None),
        (lambda held: held.pop(f"{LAYER}.k_proj.bias"), r"has .*layers\.1\..*k_proj"),
        (lambda held: held.pop(f"{MODEL}.lm_head.weight"), r"it lacks '.*lm_head"),
        (
            lambda held: held.update({f"{LAYER}.q_proj.weight": torch.ones(32, 32)}),
            r"only one of them has .*layers\.1\.self_attn\.q_proj\.weight",
        ),
        (
            lambda held: held.update({"lm_head.weight": torch.ones(330, 32)}),
            r"only one of them has lm_head\.weight",
        ),
    ],
)
def test_no_part_of_an_adapter_is_ignored(tmp_path, spoil, message):
    """Tuned biases, tokens and whole layers are scored as peft's own model does it.

    One that is missing would be the base model's; one that peft knows by no name would
    be left out.
    """
    base = save_checkpoint(tmp_path / "biased", make_model(attention_bias=True))
    settings = LoraConfig(r=2, target_modules=["q_proj"], **ALL)
    adapted = get_peft_model(load_model(base, **CPU), settings).eval()
    torch.manual_seed(1)
    for weight in adapted.parameters():
        if weight.requires_grad:
            weight.data += torch.randn(weight.shape) / 9
    adapted.save_pretrained(tmp_path / "a")
    path = tmp_path / "a/adapter_model.safetensors"
    held = load_file(path)
    spoil(held)
    save_file(held, path, metadata={"format": "pt"})
    if message:
        with pytest.raises(InputError, match=rf"a is not an adapter of .*{message}"):
            prepare(tmp_path / "a", base, tmp_path / "out")
        return
    prepare(tmp_path / "a", base, tmp_path / "out")
    model, ids = load_model(tmp_path / "out", base=base, **CPU), torch.arange(40)[None]
    with torch.no_grad():
        assert torch.equal(model(ids).logits, adapted(ids).logits)
