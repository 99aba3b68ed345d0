"""Examples packed into one row are trained on as if each stood alone."""

import numpy as np
import pytest
import torch
from toys import VOCABULARY, make_model

from polycal.models.passes import PACKED_TYPES
from polycal.tuning.batches import pack_examples, pad_examples
from polycal.tuning.examples import Example
from polycal.tuning.head_loss import HeadLoss
from polycal.tuning.segments import read_segments

# A window that is shorter than most examples, where the architecture has one.
CHANGES = {
    "mistral": {"sliding_window": 4},
    "qwen2": {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1},
    "qwen3": {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1},
    "gemma2": {"sliding_window": 4, "attn_logit_softcapping": 2.0},
    "gemma3_text": {"sliding_window": 4},
}


def draw_examples(lengths: list[int]) -> list[Example]:
    chance = np.random.default_rng(0)
    return [
        Example(
            index,
            chance.integers(2, VOCABULARY, length).astype(np.int32),
            np.arange(length) >= length // 3 + 1,
        )
        for index, length in enumerate(lengths)
    ]


def differentiate(model: torch.nn.Module, batch: dict) -> dict[str, torch.Tensor]:
    """The smoothed and the plain sum, and every weight's gradient."""
    inputs = dict(batch)
    labels = inputs.pop("labels")
    rows, places = (labels[:, 1:] != -100).nonzero(as_tuple=True)
    kept, targets = rows * labels.shape[1] + places, labels[rows, places + 1]
    model.zero_grad()
    losses = HeadLoss(0.1).sum(model, model, inputs, kept, targets)
    losses.smoothed.backward()
    found = {name: weight.grad.clone() for name, weight in model.named_parameters()}
    return {**found, "smoothed": losses.smoothed.detach(), "plain": losses.plain}


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("kind", PACKED_TYPES)
def test_packed_examples_are_trained_on_as_if_alone(kind, recompute):
    """Losses and all gradients, with layers that are computed again, too."""
    model = make_model(kind, **CHANGES.get(kind, {})).double()
    model.set_attn_implementation("eager")
    examples = draw_examples([12, 3, 2, 7])
    alone = [differentiate(model, pad_examples([each])) for each in examples]
    read_segments(model)
    if recompute:
        model.train()
        model.gradient_checkpointing_enable({"use_reentrant": False})
    packed = differentiate(model, pack_examples(examples))
    for name, found in packed.items():
        expected = sum(each[name] for each in alone)
        scale = float(expected.abs().max())
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize("kind", PACKED_TYPES)
def test_a_window_and_a_cap_matter_here(kind):
    """The models of these tests would notice a mask that were left out."""
    if not (changes := CHANGES.get(kind)):
        return
    examples = draw_examples([12])
    sums = []
    for settings in (changes, {**changes, "sliding_window": 64}):
        model = make_model(kind, **settings)
        read_segments(model)
        sums.append(float(differentiate(model, pack_examples(examples))["plain"]))
    assert sums[0] != pytest.approx(sums[1], rel=1e-3)


@pytest.mark.parametrize("kind", ["llama", "gemma2"])
def test_dropout_is_of_the_training_only(kind):
    """With a seed it is the same again; half of the weights are dropped, on average."""
    model = make_model(kind, attention_dropout=0.5)
    read_segments(model)
    batch = pack_examples(draw_examples([12, 9]))

    def loss(seed: int) -> float:
        torch.manual_seed(seed)
        return float(differentiate(model, batch)["plain"])

    assert loss(0) == loss(1)
    model.train()
    assert loss(0) == loss(0) != loss(1)


def test_without_segments_a_row_is_one_example():
    """Padding on the right is never looked at."""
    model = make_model("llama")
    batch = pad_examples(draw_examples([12, 5]))
    expected = differentiate(model, batch)
    read_segments(model)
    found = differentiate(model, batch)
    assert float(found["plain"]) == pytest.approx(float(expected["plain"]), rel=1e-5)
