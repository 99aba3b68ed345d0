"""Freed memory stays with the process, where the C library is glibc."""

import platform
import resource

import pytest
import torch

from polycal.scoring.heap import keep_memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a request to glibc")
def test_the_next_tensor_gets_the_pages_of_the_last_one():
    """Twenty tensors of 40 MiB, one after the other: new pages for about one."""
    assert keep_memory()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.zeros(10 * 2**20).add_(1)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    assert faults * resource.getpagesize() < 5 * 40 * 2**20
