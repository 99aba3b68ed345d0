"""Checkpoints load as they were saved, and nothing else loads."""

import pytest
import torch
from accelerate import dispatch_model
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from toys import make_model, make_tokenizer, save_checkpoint

from polycal.errors import InputError
from polycal.models import loading as models
from polycal.models.loading import (
    describe_device,
    load_model,
    pick_device,
    pick_dtype,
    pick_placement,
)
from polycal.models.tokens import load_tokenizer
from polycal.scoring.engine import Engine
from polycal.study.prompts import Prompt

CPU = torch.device("cpu")
IDS = torch.arange(2, 40)[None]


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=IDS).logits


@pytest.fixture
def base(tmp_path):
    return save_checkpoint(tmp_path / "base", make_model())


@pytest.fixture
def adapter(tmp_path, base):
    model = get_peft_model(
        load_model(base, dtype=torch.float32, device=CPU),
        LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False),
    )
    return save_checkpoint(tmp_path / "adapter", model)


def test_a_full_model_is_what_was_saved(base):
    """Same logits, evaluation mode, the dtype that was asked for."""
    model = load_model(base, dtype=torch.float32, device=CPU)
    torch.testing.assert_close(logits(model), logits(make_model()), rtol=0, atol=0)
    assert not model.training
    half = load_model(base, dtype=torch.bfloat16, device=CPU)
    assert {weight.dtype for weight in half.parameters()} == {torch.bfloat16}


def test_an_adapter_is_the_base_and_its_update(base, adapter):
    """Equal to merging the update into the weights by hand."""
    plain = load_model(base, dtype=torch.float32, device=CPU)
    model = load_model(adapter, base=base, dtype=torch.float32, device=CPU)
    assert not model.training
    state = model.state_dict()
    for layer in (0, 1):
        for name in ("q_proj", "v_proj"):
            place = f"base_model.model.model.layers.{layer}.self_attn.{name}.lora"
            down = state[f"{place}_A.default.weight"]
            up = state[f"{place}_B.default.weight"]
            attention = plain.model.layers[layer].self_attn
            getattr(attention, name).weight.data += up @ down * 8 / 2  # alpha / rank
    torch.testing.assert_close(logits(model), logits(plain), rtol=0, atol=1e-4)
    assert (logits(model) - logits(make_model())).abs().max() > 0.1
    assert len(load_tokenizer(adapter)) == len(make_tokenizer())


def test_an_adapter_needs_its_base(adapter):
    """A missing base is named, not guessed from the adapter's own config."""
    with pytest.raises(InputError, match=r"adapter is an adapter; give its base"):
        load_model(adapter, dtype=torch.float32, device=CPU)


def test_an_adapter_without_safetensors_is_refused(base, adapter):
    """peft would unpickle adapter_model.bin."""
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    with pytest.raises(InputError, match=r"adapter has no adapter_model.safetensors"):
        load_model(adapter, base=base, dtype=torch.float32, device=CPU)


def test_a_model_without_safetensors_is_refused(base):
    """Pickled weights can run code."""
    (base / "provenance.json").unlink()  # what polycal made would be found damaged
    (base / "model.safetensors").unlink()
    torch.save(make_model().state_dict(), base / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"base has no readable model"):
        load_model(base, dtype=torch.float32, device=CPU)


def test_truncated_weights_are_refused_by_name(base):
    """An interrupted copy is bad input, not a defect."""
    (base / "provenance.json").unlink()  # what polycal made would be found damaged
    weights = base / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(InputError, match=r"base has no readable model"):
        load_model(base, dtype=torch.float32, device=CPU)


def test_missing_weights_are_named(base):
    """transformers fills them with random numbers and a warning."""
    (base / "provenance.json").unlink()  # what polycal made would be found damaged
    weights = load_file(base / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"base lacks the weights model\.norm\.weight"):
        load_model(base, dtype=torch.float32, device=CPU)


def test_a_damaged_base_model_is_refused_under_an_adapter(base, adapter):
    """One flipped bit of a weight loads without an error, and changes every score."""
    weights = base / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(InputError, match=r"base is damaged"):
        load_model(adapter, base=base, dtype=torch.float32, device=CPU)


def test_an_adapter_of_another_model_is_refused(tmp_path, adapter):
    """Shapes that do not fit name both directories."""
    other = save_checkpoint(tmp_path / "other", make_model(hidden_size=16))
    with pytest.raises(InputError, match=r"adapter is not an adapter of .*other"):
        load_model(adapter, base=other, dtype=torch.float32, device=CPU)


def test_a_missing_directory_is_named_and_not_looked_up_on_the_hub(tmp_path):
    """A path is never taken for a Hub id."""
    with pytest.raises(InputError, match=r"no checkpoint directory .*gone"):
        load_model(tmp_path / "gone", dtype=torch.float32, device=CPU)


def test_auto_is_float32_on_a_cpu_and_bfloat16_on_a_gpu():
    """The default fits the device, a name wins over it, another name is refused."""
    assert pick_dtype("auto", CPU) == torch.float32
    assert pick_dtype("auto", torch.device("cuda")) == torch.bfloat16
    assert pick_dtype("float32", torch.device("cuda")) == torch.float32
    with pytest.raises(InputError, match="'int8' is not known; use auto, float32"):
        pick_dtype("int8", CPU)


def test_the_device_has_a_name():
    """CUDA where there is one."""
    device = pick_device()
    assert device.type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert describe_device(CPU) == "cpu"


def test_a_job_with_several_gpus_may_divide_its_model(monkeypatch):
    """One GPU, or none, gets the whole model; accelerate decides about several."""
    places = {}
    for count in (0, 1, 2):
        monkeypatch.setattr(torch.cuda, "device_count", lambda count=count: count)
        monkeypatch.setattr(torch.cuda, "is_available", lambda count=count: count > 0)
        places[count] = pick_placement()
    assert places == {0: CPU, 1: torch.device("cuda"), 2: None}


@pytest.mark.parametrize(
    "change",
    [
        lambda name: name.replace("model.layers.1", "layers.1"),
        lambda name: name if "layers.1" not in name else None,
    ],
    ids=["renamed", "missing"],
)
def test_an_adapter_that_peft_would_leave_out_is_refused(base, adapter, change):
    """Its layers would be the base model's, and nothing would tell."""
    path = adapter / "adapter_model.safetensors"
    weights = {change(name): weight for name, weight in load_file(path).items()}
    weights.pop(None, None)
    save_file(weights, path, {"format": "pt"})
    (adapter / "provenance.json").unlink()
    with pytest.raises(InputError, match=r"adapter is not an adapter of .*: only one"):
        load_model(adapter, base=base, dtype=torch.float32, device=CPU)


def test_a_spread_model_is_what_was_saved(base, adapter):
    """Without a GPU accelerate puts everything on the CPU."""
    for checkpoint in (base, adapter):
        given = {"base": base, "dtype": torch.float32}
        plain = load_model(checkpoint, **given, device=CPU)
        spread = load_model(checkpoint, **given, device=None)
        assert not spread.training
        torch.testing.assert_close(logits(spread), logits(plain), rtol=0, atol=0)


@pytest.mark.parametrize("rest", ["cpu", "disk"])
def test_a_model_that_does_not_fit_its_gpus_is_refused(base, rest, monkeypatch):
    """accelerate would keep layers elsewhere, and fetch them for every pass."""

    def load(*_: object) -> torch.nn.Module:
        model = make_model()
        model.hf_device_map = {"model.layers.0": 0, "model.layers.1": rest}
        return model

    monkeypatch.setattr(models, "load_full", load)
    with pytest.raises(
        InputError, match=r"base does not fit on .* give the job more of them"
    ):
        load_model(base, dtype=torch.float32, device=None)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_model_in_pieces_has_the_scores_of_the_whole(dtype):
    """accelerate's hooks around every layer and the head, as on several GPUs."""
    settings = {"tie_word_embeddings": False, "final_logit_softcapping": 5.0}
    model, tokenizer = make_model("gemma2", **settings).to(dtype), make_tokenizer()
    options = (" yen krona", " euro", " A B yen")
    prompts = [Prompt(f"which uses {word}:", options) for word in ("euro", "yen")]
    whole = Engine(model, tokenizer).score(prompts)
    names = ("embed_tokens", "layers.0", "layers.1", "norm", "rotary_emb")
    pieces = {**{f"model.{name}": "cpu" for name in names}, "lm_head": "cpu"}
    model = dispatch_model(
        model, pieces, main_device="cpu", offload_buffers=False, force_hooks=True
    )
    hooked = vars(model.get_output_embeddings())["forward"]
    for one, other in zip(whole, Engine(model, tokenizer).score(prompts), strict=True):
        assert one.logprobs.tobytes() == other.logprobs.tobytes()
    assert vars(model.get_output_embeddings())["forward"] is hooked
