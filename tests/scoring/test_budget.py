"""The memory budget of a forward pass: made-up memories, and the measured peak."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toys import make_model
from transformers import AutoConfig

from polycal.scoring import budget
from polycal.scoring.budget import Budget, fit_budget, pick_budget, token_bytes

GIB = 2**30
LLAMA_8B = AutoConfig.for_model(
    "llama",
    hidden_size=4096,
    intermediate_size=14336,
    num_hidden_layers=32,
    num_attention_heads=32,
    num_key_value_heads=8,
    head_dim=128,
    vocab_size=128256,
)


def test_a_token_of_llama_8b_by_hand():
    """2 bytes of 4 x 4096 + 4 x (32 + 16) x 128 + 3 x 14336, and 8 x 4096."""
    assert token_bytes(LLAMA_8B, 2) == 2 * (16384 + 24576 + 43008) + 32768


@pytest.mark.parametrize(
    ("free", "expected"),
    [
        (60 * GIB, Budget(32768, 2**28)),  # 80 GiB, half of it weights
        (4 * GIB, Budget(14444, 80530636)),
        (0, Budget(512, 1000)),
    ],
)
def test_tokens_and_logits_share_the_free_memory(free, expected):
    """A large GPU is not filled for nothing; a full one gets a try."""
    assert fit_budget(free, token_bytes(LLAMA_8B, 2)) == expected


@given(st.integers(0, 200 * GIB), st.integers(1, 2**24))
def test_the_budget_fits_where_it_is_not_the_least(free, a_token):
    """And more memory never means a smaller pass."""
    found = fit_budget(free, a_token)
    if found.tokens > 512 and found.logits > 1000:
        assert found.tokens * a_token + found.logits * 12 <= free
    assert fit_budget(free + GIB, a_token).tokens >= found.tokens


def test_the_gpu_with_least_memory_decides(monkeypatch):
    """Where layers lie on different devices, each holds a whole pass's activations."""

    class Spread:
        config, dtype = LLAMA_8B, torch.bfloat16

        def parameters(self):
            for index in (0, 1):
                yield type("Weight", (), {"device": torch.device("cuda", index)})

    memory = {0: (60 * GIB, 80 * GIB), 1: (4 * GIB, 80 * GIB)}
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: memory[device.index])
    assert pick_budget(Spread()) == fit_budget(4 * GIB, token_bytes(LLAMA_8B, 2))


def test_on_a_cpu_the_pass_is_what_is_fast():
    """Its memory is not asked for."""
    assert pick_budget(make_model()) == Budget(budget._CPU_TOKENS, 2**28)
