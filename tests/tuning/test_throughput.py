"""FLOP are those that a profiler counts; MFU is a part of the GPU's peak."""

import pytest
import torch
from tiny import make_tiny_model
from torch.utils.flop_counter import FlopCounterMode

from polycal.models import loading as models
from polycal.tuning.throughput import Throughput, needed_flop


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    base = make_tiny_model(tmp_path_factory.mktemp("base") / "model")
    return models.load_model(base, dtype=torch.float32, device=torch.device("cpu"))


def test_operations_are_those_that_torch_counts(network):
    """But for attention's own products, which torch names apart."""
    tokens = torch.arange(24)[None]
    with FlopCounterMode(display=False) as counter:
        network(input_ids=tokens, labels=tokens).loss.backward()
    counts = counter.get_flop_counts()["Global"]
    counted = sum(n for name, n in counts.items() if "attention" not in str(name))
    norms = sum(p.numel() for p in network.parameters() if p.ndim == 1)
    needed = needed_flop(network, 24, 24) - 6 * 24 * norms
    # The first layer's input needs no gradient, and bmm is attention's.
    attention = sum(n for name, n in counts.items() if "bmm" in str(name))
    assert needed == pytest.approx(counted - attention, rel=0.02)


def test_frozen_weights_take_two_thirds(network):
    """And the head counts at the targets only."""
    whole = needed_flop(network, 10, 5)
    assert needed_flop(network, 10, 0) + needed_flop(network, 0, 5) == whole
    network.requires_grad_(False)
    assert needed_flop(network, 10, 5) == pytest.approx(2 / 3 * whole)
    network.requires_grad_(True)


def test_the_utilisation_is_a_part_of_all_gpus(network, monkeypatch):
    """Two H100 of 989 TFLOP/s each; unknown devices and float32 have none."""
    cpu = torch.device("cpu")
    monkeypatch.setattr(
        "polycal.tuning.throughput.describe_device", lambda _: "NVIDIA H100 80GB HBM3"
    )
    at_work = {"device": cpu, "processes": 2}
    line = {"tokens": 100, "targets": 50, "seconds": 2.0}
    found = Throughput(network, bfloat16=True, **at_work).of_line(**line)
    speed = needed_flop(network, 100, 50) / 2
    assert found["tflops"] == pytest.approx(speed / 1e12)
    assert found["mfu"] == pytest.approx(speed / (2 * 989e12))
    assert 0.05 < found["memory_gib"] < 100
    assert Throughput(network, bfloat16=False, **at_work).of_line(**line)["mfu"] is None
    monkeypatch.setattr("polycal.tuning.throughput.describe_device", lambda _: "cpu")
    assert Throughput(network, bfloat16=True, **at_work).of_line(**line)["mfu"] is None
