"""A matrix product is the same by either library, and goes its way where it should."""

import pytest
import torch
from torch.nn import functional

from polycal import products

ROWS, SIZE, NAMES = 512, 512, 1100  # above the threshold


@pytest.fixture(params=[True, False], ids=["AMD", "Intel"])
def on_amd(request, monkeypatch):
    """As on either processor; oneDNN runs on both."""
    monkeypatch.setattr(products, "_has_both_on_amd", lambda: request.param)
    return request.param


def given(dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    sizes = ((ROWS, SIZE), (NAMES, SIZE), (NAMES,))
    return [torch.randn(each, generator=generator, dtype=dtype) for each in sizes]


@torch.no_grad()
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("room", [False, True])
def test_it_is_the_product_in_float64(on_amd, turned, room):
    """With a bias, a transposed weight, and memory to write to."""
    inputs, weight, bias = given()
    exact = functional.linear(inputs.double(), weight.double(), bias.double())
    if turned:
        weight = weight.t().contiguous().t()
    assert products.speeds_up(inputs, weight) == on_amd
    out = torch.empty(ROWS, NAMES) if room else None
    found = products.linear(inputs, weight, bias, out=out)
    assert found.dtype == torch.float32
    sizes = inputs.abs() @ weight.abs().t() + bias.abs()
    assert ((found - exact).abs() <= 4 * torch.finfo(torch.float32).eps * sizes).all()


@torch.no_grad()
def test_leading_dimensions_stay():
    """As a model's layers have them."""
    inputs, weight, _ = given()
    found = products.linear(inputs.view(2, -1, SIZE), weight)
    assert found.shape == (2, ROWS // 2, NAMES)
    assert torch.allclose(found.flatten(0, 1), inputs @ weight.t(), atol=1e-4)


def test_gradients_flow_where_they_are_asked_for(on_amd):
    """OneDNN's product has none, so PyTorch's own is taken."""
    inputs, weight, bias = given()
    products.linear(inputs.requires_grad_(), weight, bias).sum().backward()
    assert torch.allclose(inputs.grad, weight.sum(0).expand_as(inputs), atol=1e-4)


@torch.no_grad()
def test_what_oneDNN_is_no_gain_for_stays_as_it_was(on_amd):  # noqa: N802, its name
    """Few numbers, another dtype, or a user who switched it off."""
    inputs, weight, _ = given()
    assert not products.speeds_up(inputs[:9], weight)
    assert not products.speeds_up(*given(torch.bfloat16)[:2])
    before = torch.backends.mkldnn.enabled
    torch._C._set_mkldnn_enabled(False)
    try:
        assert not products.speeds_up(inputs, weight)
    finally:
        torch._C._set_mkldnn_enabled(before)
