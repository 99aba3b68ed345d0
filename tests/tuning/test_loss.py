"""The loss is PyTorch's own, in value and in gradient."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy, linear
from torch.utils._python_dispatch import TorchDispatchMode
from transformers.modeling_outputs import CausalLMOutput
from transformers.trainer_pt_utils import LabelSmoother

from polycal.tuning.loss import Final, cross_entropies, head_cross_entropies


def make(n: int, classes: int, *, scale: float = 3.0) -> tuple:
    torch.manual_seed(n * 1000 + classes)
    logits = scale * torch.randn(n, classes, dtype=torch.float64)
    return logits.requires_grad_(), torch.randint(classes, (n,))


@settings(max_examples=40)
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


def make_head(
    n: int, width: int, classes: int, *, dtype=torch.float64, bias: bool = False
) -> tuple:
    """Hidden states, weight and bias that need a gradient, and targets."""
    torch.manual_seed(n * 1000 + classes)
    shapes = [(n, width), (classes, width), (classes,)]
    hidden, weight, shift = (torch.randn(each, dtype=dtype) for each in shapes)
    leaves = [hidden, weight] + [shift] * bias
    for each in leaves:
        each.requires_grad_()
    return hidden, weight, shift if bias else None, torch.randint(classes, (n,))


def full_logits(hidden, weight, bias, final: Final) -> torch.Tensor:
    """As Gemma-2 and Cohere write them down."""
    logits = linear(hidden, weight, bias) * final.scale
    return logits if final.cap is None else torch.tanh(logits / final.cap) * final.cap


FINALS = [Final(), Final(scale=0.25), Final(cap=2.0), Final(scale=3.0, cap=4.0)]


@settings(max_examples=80)
@given(
    kept=st.lists(st.booleans(), max_size=9),
    width=st.integers(1, 5),
    classes=st.integers(2, 20),
    smoothing=st.just(0.0) | st.floats(0, 0.99),
    chunk=st.integers(1, 10),
    final=st.sampled_from(FINALS),
    bias=st.booleans(),
    trained=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
def test_the_head_s_loss_is_torch_s_on_full_logits(
    kept, width, classes, smoothing, chunk, final, bias, trained
):
    """Any shape, mask, head, cap and chunk: values and gradients to float64 rounding.

    A part that is frozen gets no gradient.
    """
    *given, targets = make_head(len(kept), width, classes, bias=bias)
    for each, wanted in zip(given, trained, strict=True):
        if each is not None:
            each.requires_grad_(wanted)
    hidden, weight, shift = given
    kept = torch.tensor(kept, dtype=torch.bool)
    found = head_cross_entropies(
        hidden[kept],
        weight,
        targets[kept],
        smoothing=smoothing,
        bias=shift,
        final=final,
        chunk=chunk,
    )
    logits = full_logits(hidden, weight, shift, final)
    labels = targets.where(kept, -100)
    options = {"reduction": "sum", "ignore_index": -100}
    expected = cross_entropy(logits, labels, label_smoothing=smoothing, **options)
    torch.testing.assert_close(found.smoothed, expected)
    torch.testing.assert_close(
        found.plain, cross_entropy(logits, labels, **options).detach()
    )
    leaves = [each for each in given if each is not None and each.requires_grad]
    assert found.smoothed.requires_grad == bool(leaves)
    if leaves:
        made = torch.autograd.grad(7 * found.smoothed, leaves)
        torch.testing.assert_close(made, torch.autograd.grad(7 * expected, leaves))


@pytest.mark.parametrize("final", FINALS)
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_the_gradient_is_the_slope(final, smoothing):
    """PyTorch's own finite differences."""

    class Anew(torch.autograd.Function):
        """Gradcheck goes backward more than once."""

        @staticmethod
        def forward(ctx, *given):
            ctx.save_for_backward(*given)
            return lose(*given)

        @staticmethod
        def backward(ctx, gradient):
            with torch.enable_grad():
                given = [each.detach().requires_grad_() for each in ctx.saved_tensors]
                return torch.autograd.grad(lose(*given), given, gradient)

    *given, targets = make_head(5, 3, 7, bias=True)

    def lose(hidden, weight, bias):
        return head_cross_entropies(
            *(hidden, weight, targets),
            smoothing=smoothing,
            bias=bias,
            final=final,
            chunk=2,
        ).smoothed

    assert torch.autograd.gradcheck(Anew.apply, given)


def test_the_label_smoother_on_full_logits_agrees():
    """transformers' mean over the tokens, padding ignored."""
    hidden, weight, _, targets = make_head(8, 4, 30)
    labels = targets.clone()
    labels[2:4] = -100
    theirs = LabelSmoother(epsilon=0.2)(
        CausalLMOutput(logits=(hidden @ weight.t())[None]), labels[None]
    )
    kept = labels != -100
    found = head_cross_entropies(hidden[kept], weight, targets[kept], smoothing=0.2)
    torch.testing.assert_close(found.smoothed / 6, theirs)


class Largest(TorchDispatchMode):
    """Notes the most elements that an operation gave back."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor):
            self.elements = max(self.elements, out.numel())
        return out


@pytest.mark.parametrize("cap", [None, 2.0])
def test_no_more_than_a_chunk_of_logits_is_held(cap):
    """Forward and backward; two sets under a cap, whose slope is kept beside them."""
    hidden, weight, _, targets = make_head(40, 2, 100, dtype=torch.float32)
    with Largest() as largest:
        head_cross_entropies(
            *(hidden, weight, targets), smoothing=0.1, final=Final(cap=cap), chunk=3
        ).smoothed.backward()
    assert largest.elements == 100 * 3 * (1 if cap is None else 2)


class Products(TorchDispatchMode):
    """Counts matrix products."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func.overloadpacket.__name__ in ("mm", "addmm", "addmm_", "bmm")
        return func(*args, **(kwargs or {}))


def test_only_the_products_that_are_needed_are_made():
    """One for the losses, one for each gradient; none of them for the smoothing."""
    hidden, weight, _, targets = make_head(64, 8, 96, dtype=torch.float32)

    def count() -> int:
        with Products() as products:
            found = head_cross_entropies(
                *(hidden, weight, targets), smoothing=0.1, chunk=16
            )
            if found.smoothed.requires_grad:
                found.smoothed.backward()
        return products.count

    chunks = 4
    assert count() == 3 * chunks
    weight.requires_grad_(False)
    assert count() == 2 * chunks
    with torch.no_grad():
        assert count() == chunks


def test_a_head_loss_is_differentiated_once():
    """Its gradient is not kept; whoever wants it again is told."""
    hidden, weight, _, targets = make_head(4, 3, 5)
    found = head_cross_entropies(hidden, weight, targets, smoothing=0.1)
    found.smoothed.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="compute anew"):
        found.smoothed.backward()


@pytest.mark.parametrize("final", FINALS)
def test_bfloat16_is_about_as_near_as_full_logits_are(final):
    """To float64 arithmetic on the same numbers, in value and in gradient.

    A gradient is rounded twice instead of once, and never as often as chunks are.
    """
    hidden, weight, _, targets = make_head(300, 64, 500)
    given = (hidden.detach(), 0.1 * weight.detach())
    low = [each.bfloat16().requires_grad_() for each in given]
    exact = [each.detach().double().requires_grad_() for each in low]

    def differentiate(loss: torch.Tensor, leaves: list) -> list[torch.Tensor]:
        made = [loss.detach(), *torch.autograd.grad(loss, leaves)]
        return [each.double() for each in made]

    def compute_torch_s(leaves: list) -> torch.Tensor:
        logits = full_logits(*leaves, None, final)
        wide = logits if logits.dtype == torch.float64 else logits.float()
        return cross_entropy(wide, targets, label_smoothing=0.1, reduction="sum")

    found = head_cross_entropies(*low, targets, smoothing=0.1, final=final, chunk=10)
    assert found.smoothed.dtype == torch.float32
    lists = (
        differentiate(compute_torch_s(exact), exact),
        differentiate(compute_torch_s(low), low),
        differentiate(found.smoothed, low),
    )
    for right, theirs, ours in zip(*lists, strict=True):
        error = float((ours - right).norm() / right.norm())
        allowed = 1.5 * float((theirs - right).norm() / right.norm())
        assert error < max(allowed, 1e-4)


def test_autocast_multiplies_in_its_dtype_and_adds_up_in_float32():
    """float32 weights of a model that computes in bfloat16."""
    hidden, weight, _, targets = make_head(64, 16, 50, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        found = head_cross_entropies(hidden, weight, targets, smoothing=0.1, chunk=8)
    made = torch.autograd.grad(found.smoothed, (hidden, weight))
    assert {each.dtype for each in made} == {torch.float32}
    low = [each.detach().bfloat16().requires_grad_() for each in (hidden, weight)]
    again = head_cross_entropies(*low, targets, smoothing=0.1, chunk=8)
    assert torch.equal(again.smoothed, found.smoothed)
    for one, other in zip(made, torch.autograd.grad(again.smoothed, low), strict=True):
        torch.testing.assert_close(one.bfloat16(), other)
