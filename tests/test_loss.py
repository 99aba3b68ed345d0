"""The loss is PyTorch's own, in value and in gradient."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy
from transformers.modeling_outputs import CausalLMOutput
from transformers.trainer_pt_utils import LabelSmoother

from polycal.loss import cross_entropies


def make(n: int, classes: int, *, scale: float = 3.0) -> tuple:
    torch.manual_seed(n * 1000 + classes)
    logits = scale * torch.randn(n, classes, dtype=torch.float64)
    return logits.requires_grad_(), torch.randint(classes, (n,))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(2, 40), st.floats(0, 0.99))
def test_value_and_gradient_are_torch_s(n, classes, smoothing):
    """Any shape, any smoothing: equal to float64 rounding."""
    logits, targets = make(n, classes)
    found = cross_entropies(logits, targets, smoothing=smoothing)
    (gradient,) = torch.autograd.grad(found.smoothed, logits)
    options = {"label_smoothing": smoothing, "reduction": "sum"}
    expected = cross_entropy(logits, targets, **options)
    (expected_gradient,) = torch.autograd.grad(expected, logits)
    torch.testing.assert_close(found.smoothed, expected)
    torch.testing.assert_close(gradient, expected_gradient)
    plain = cross_entropy(logits, targets, reduction="sum")
    torch.testing.assert_close(found.plain, plain.detach())
    assert not found.plain.requires_grad


def test_no_targets_are_a_loss_of_zero_with_a_gradient():
    """A micro-batch without a target must not break the backward pass."""
    logits, targets = make(0, 5)
    found = cross_entropies(logits, targets, smoothing=0.1)
    assert (found.smoothed.item(), found.plain.item()) == (0, 0)
    (gradient,) = torch.autograd.grad(found.smoothed, logits)
    assert gradient.shape == (0, 5)


def test_the_trainer_s_own_label_smoother_agrees():
    """transformers' `label_smoothing_factor` is the same loss."""
    logits, targets = make(8, 30)
    found = cross_entropies(logits, targets, smoothing=0.2)
    theirs = LabelSmoother(epsilon=0.2)(
        CausalLMOutput(logits=logits[None]), targets[None]
    )
    torch.testing.assert_close(found.smoothed / 8, theirs)


def test_the_other_convention_is_another_loss():
    """epsilon / (K - 1) on the wrong classes only is not what the config means."""
    logits, targets = make(8, 30)
    found = cross_entropies(logits, targets, smoothing=0.2)
    log_probs = logits.log_softmax(-1)
    right = log_probs.gather(1, targets[:, None])[:, 0]
    wrong = (log_probs.sum(-1) - right) / 29
    other = -(0.8 * right + 0.2 * wrong).sum()
    assert abs(float((found.smoothed - other).detach())) > 0.05
    # ... but the same with epsilon * K / (K - 1) (Mueller's to torch's).
    same = cross_entropies(logits, targets, smoothing=0.2 * 30 / 29)
    torch.testing.assert_close(same.smoothed, other)


def test_bfloat16_logits_are_summed_in_float32():
    """The only rounding is that of the logits themselves."""
    logits, targets = make(64, 200, scale=8)
    low = logits.detach().bfloat16()
    found = cross_entropies(low, targets, smoothing=0.1)
    exact = cross_entropies(low.double(), targets, smoothing=0.1)
    assert found.smoothed.dtype == torch.float32
    assert float(found.smoothed) == pytest.approx(float(exact.smoothed), rel=1e-6)


@pytest.mark.parametrize(
    ("classes", "smoothing", "floor"),
    [(32_000, 0.1, 1.362), (128_256, 0.2, 2.853), (256_000, 0.1, 1.570)],
)
def test_the_lowest_possible_loss_is_the_entropy_of_the_target(
    classes, smoothing, floor
):
    """Hand-worked floors for the paper's three vocabularies (nats)."""
    off = smoothing / classes
    gap = torch.tensor((1 - smoothing + off) / off, dtype=torch.float64).log()
    logits = torch.zeros(1, classes, dtype=torch.float64)
    logits[0, 7] = gap
    found = cross_entropies(logits, torch.tensor([7]), smoothing=smoothing)
    assert float(found.smoothed) == pytest.approx(floor, abs=5e-4)
