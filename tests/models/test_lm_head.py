"""The LM head and the last layer at scored positions only, with float32 logits."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from toys import make_model

from polycal.models import lm_head
from polycal.models.lm_head import narrow_end, scored_logits
from polycal.models.passes import PACKED_TYPES

IDS = torch.arange(2, 26).view(2, 12)
KEPT = torch.tensor([3, 11, 17])
CAP = 3.0


def run(model) -> torch.Tensor:
    with torch.inference_mode():
        return model(IDS, use_cache=False).logits


@pytest.mark.parametrize("kind", PACKED_TYPES)
def test_what_is_left_out_is_not_missed(kind):
    """Logits at the chosen positions are those of the whole pass; the last layer's
    feed-forward block reads these positions and no other."""
    model = make_model(kind)
    whole = run(model).flatten(0, 1)[KEPT]
    read = []
    layer = model.get_decoder().layers[-1]
    for module in (layer.mlp.down_proj, layer.self_attn.o_proj):
        module.register_forward_hook(lambda _, given, __: read.append(given[0].shape))
    with narrow_end(model, KEPT), scored_logits(model, KEPT):
        narrow = run(model)
    torch.testing.assert_close(narrow[0], whole, rtol=0, atol=1e-5)
    assert [shape[:2] for shape in read] == [(1, 3), (1, 3)]
    assert run(model).shape[:2] == IDS.shape  # and nothing stays behind


def test_adapters_are_narrowed_with_their_layers():
    """peft wraps the projections of which a part is computed."""
    settings = LoraConfig(
        target_modules=["o_proj", "down_proj"], init_lora_weights=False
    )
    model = get_peft_model(make_model(), settings).eval()
    whole = run(model).flatten(0, 1)[KEPT]
    with narrow_end(model, KEPT), scored_logits(model, KEPT):
        narrow = run(model)
    torch.testing.assert_close(narrow[0], whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize("copied", [2**24, 100], ids=["at once", "in parts"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_logits_of_half_precision_are_float32(dtype, copied, monkeypatch):
    """By hand: the hidden states that reach the head, times its weight, then the cap.

    The model's own logits are these, rounded.
    """
    monkeypatch.setattr(lm_head, "_COPIED", copied)
    model = make_model("gemma2", final_logit_softcapping=CAP).to(dtype)
    head = model.get_output_embeddings()
    head.bias = torch.nn.Parameter(torch.linspace(-1, 1, len(head.weight)).to(dtype))
    hidden = []
    hook = head.register_forward_hook(lambda _, given, __: hidden.append(given[0]))
    own = run(model).flatten(0, 1)[KEPT]
    hook.remove()
    raw = hidden[0].double() @ head.weight.double().T + head.bias.double()
    expected = (CAP * torch.tanh(raw / CAP)).flatten(0, 1)[KEPT]
    with scored_logits(model, KEPT):
        found = run(model)[0]
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-5)
    assert (found.double() - expected).abs().max() < (own - expected).abs().max() / 50
    assert run(model).dtype == dtype


def test_an_adapter_on_the_head_stays():
    """A head that is more than a matrix product is left to itself."""
    settings = LoraConfig(target_modules=["lm_head"], init_lora_weights=False)
    model = get_peft_model(make_model().to(torch.bfloat16), settings).eval()
    whole = run(model).flatten(0, 1)[KEPT]
    with scored_logits(model, KEPT):
        narrow = run(model)[0]
    torch.testing.assert_close(narrow, whole, rtol=0, atol=0.1)


def test_a_forward_of_ones_own_comes_back():
    """accelerate hangs its own on a module; it is there again after an error."""
    model = make_model().to(torch.bfloat16)
    head = model.get_output_embeddings()
    head.forward = own = lambda hidden: hidden
    with pytest.raises(RuntimeError), scored_logits(model, KEPT):
        raise RuntimeError
    assert head.forward is own
