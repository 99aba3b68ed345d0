"""A frozen base model in 4 bits under an adapter that is trained."""

import importlib.util

import pytest
import torch
from tiny import make_tiny_conversations, make_tiny_examples, make_tiny_model, tune_tiny

from polycal.errors import InputError
from polycal.models import loading as models
from polycal.storage import tables
from polycal.storage.provenance import read_provenance
from polycal.study.recipe import Recipe
from polycal.tuning.networks import make_network
from polycal.tuning.throughput import needed_flop

CPU = torch.device("cpu")
LORA = {"lr": 1e-2, "method": "lora", "lora_rank": 4, "dtype": "float32"}
needs_package = pytest.mark.skipif(
    not importlib.util.find_spec("bitsandbytes"), reason="bitsandbytes is not installed"
)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """As wide as bitsandbytes' kernels for a CPU want it."""
    return make_tiny_model(tmp_path_factory.mktemp("base") / "model", width=128)


@pytest.fixture
def call(base, tmp_path):
    table = make_tiny_conversations(tmp_path / "toy.parquet", n=40)
    examples = make_tiny_examples(tmp_path / "toy", base=base, conversations=table)

    def call(name, *, processes=1, **recipe):
        sizes = {"max_steps": 6, "batch_size": 8, "micro_batch_size": 8}
        settings = LORA | sizes | {"load_in_4bit": True} | recipe
        places = {"base": base, "examples": examples}
        return tune_tiny(tmp_path / name, settings, **places, processes=processes)

    return call


@needs_package
def test_the_layers_have_4_bits_and_the_adapter_has_none_less(base):
    """The head and the embeddings stay; the numbers are near, and not the same."""
    made = {
        four: make_network(base, Recipe(**LORA, load_in_4bit=four), torch.float32, CPU)
        for four in (False, True)
    }
    stored = {
        name.split(".")[-3]: weight.dtype
        for name, weight in made[True].named_parameters()
        if name.endswith("base_layer.weight")
    }
    assert set(stored.values()) == {torch.uint8}
    assert {"q_proj", "down_proj"} < set(stored)
    assert made[True].get_output_embeddings().weight.dtype == torch.float32
    learnt = [p for p in made[True].parameters() if p.requires_grad]
    assert {p.dtype for p in learnt} == {torch.float32}
    tokens = torch.arange(40)[None]
    logits = [made[four](input_ids=tokens).logits for four in (False, True)]
    off = (logits[1] - logits[0]).std() / logits[0].std()
    assert 0.01 < off < 0.3
    flop = [needed_flop(made[four], 10, 10) for four in (False, True)]
    assert flop[0] == flop[1]


@needs_package
def test_gradients_are_those_of_the_dequantised_weights(base):
    """Of every weight of the adapter, also after a pass in evaluation mode."""
    from bitsandbytes.functional import dequantize_4bit

    quantised, plain = (
        make_network(base, Recipe(**LORA, load_in_4bit=four), torch.float32, CPU)
        for four in (True, False)
    )
    ours, theirs = (dict(each.named_parameters()) for each in (quantised, plain))
    chance = torch.Generator().manual_seed(0)
    for name, weight in ours.items():
        if "lora_" in name:
            weight.data.normal_(generator=chance, std=0.1)
            theirs[name].data.copy_(weight.data)
        elif hasattr(weight, "quant_state"):
            theirs[name].data.copy_(dequantize_4bit(weight.data, weight.quant_state))
    tokens = torch.arange(40)[None]
    losses = []
    for network in (quantised, plain):
        network.eval()
        with torch.no_grad():
            network(input_ids=tokens)
        losses.append(network(input_ids=tokens, labels=tokens).loss)
        losses[-1].backward()
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-5)
    checked = 0
    for name, weight in theirs.items():
        if weight.grad is not None:
            torch.testing.assert_close(
                ours[name].grad, weight.grad, rtol=1e-3, atol=1e-6
            )
            checked += 1
    assert checked == 2 * 7 * 2


@needs_package
def test_a_training_in_4_bits_learns_and_can_be_repeated(call, base):
    """The candidate is an adapter that fits the base model as it is."""
    first, again = call("first"), call("again")
    assert read_provenance(first)["digest"] == read_provenance(again)["digest"]
    log = tables.read(first / "training_log.parquet", "training_log").to_pylist()
    assert log[6]["nll"] < log[1]["nll"]
    plain = call("plain", load_in_4bit=False)
    assert read_provenance(plain)["digest"] != read_provenance(first)["digest"]
    model = models.load_model(first, base=base, dtype=torch.float32, device=CPU)
    assert model(input_ids=torch.arange(9)[None]).logits.isfinite().all()


def test_what_cannot_be_in_4_bits_is_told_first(call, monkeypatch):
    """Other methods, several processes, and no bitsandbytes."""
    with pytest.raises(InputError, match="needs method lora, not full"):
        call("out", method="full")
    find = importlib.util.find_spec
    for found, processes, words in (
        (True, 2, "for one process, not 2"),
        (None, 1, "needs bitsandbytes; install it"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(
                importlib.util,
                "find_spec",
                lambda name, *more, found=found: (
                    found if name == "bitsandbytes" else find(name, *more)
                ),
            )
            with pytest.raises(InputError, match=words):
                call("out", processes=processes, micro_batch_size=4)
