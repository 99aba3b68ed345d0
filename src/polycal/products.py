"""Float32 matrix products on a CPU, by the faster of the libraries that PyTorch has.

PyTorch asks MKL, Intel's library, on every x86 processor. On AMD's, oneDNN multiplies
1.1 to 1.8 times as fast (benchmarks/products.py), and PyTorch carries it, too: its
operator is one that `torch.compile` puts into the code that it makes.
"""

import functools
from pathlib import Path

import torch
from torch.nn import functional

# Multiplications. What oneDNN has not met yet costs it most of a millisecond once.
_WORTHWHILE = 2**28


def linear(
    inputs: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    *,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """`torch.nn.functional.linear`, without gradients.

    Args:
        inputs: [..., H].
        weight: [K, H]; a transposed view is no slower.
        bias: [K].
        out: [N, K], memory for the result, which MKL can use and oneDNN cannot.

    Returns:
        [..., K], not always in `out`.
    """
    if speeds_up(inputs, weight):
        return torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "none", [], "")
    if out is None:
        return functional.linear(inputs, weight, bias)
    torch.mm(inputs, weight.t(), out=out)
    return out if bias is None else out.add_(bias)


def speeds_up(inputs: torch.Tensor, weight: torch.Tensor) -> bool:
    """Whether `linear` of the two goes another way than PyTorch's."""
    return (
        inputs.numel() * len(weight) >= _WORTHWHILE
        and inputs.device.type == weight.device.type == "cpu"
        and inputs.dtype == weight.dtype == torch.float32
        and not torch.is_grad_enabled()
        and torch.backends.mkldnn.enabled
        and _has_both_on_amd()
    )


@functools.cache
def _has_both_on_amd() -> bool:
    """Whether PyTorch would ask MKL and could ask oneDNN, on a processor of AMD's."""
    has_both = (
        torch.backends.mkl.is_available()
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )
    facts = Path("/proc/cpuinfo")
    return has_both and facts.exists() and "AuthenticAMD" in facts.read_text()
