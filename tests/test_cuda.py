"""What a GPU computes is what a CPU computes, and its memory is not the end."""

import copy
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import make_tiny_conversations, make_tiny_examples, make_tiny_model, tune_tiny
from torch.nn.attention import SDPBackend, sdpa_kernel
from toys import WORDS, make_model, make_tokenizer

from polycal.models import loading as models
from polycal.models.attention import attend
from polycal.models.gpu_types import recognise_gpu
from polycal.models.passes import PACKED_TYPES
from polycal.scoring.engine import Engine
from polycal.storage import tables
from polycal.storage.provenance import read_provenance
from polycal.study.prompts import Prompt, build_prompt
from polycal.tuning.loss import head_cross_entropies

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]

TOLERANCE = 1e-3  # nats an option, float32 products of another order
SETTINGS = {
    "mistral": {"sliding_window": 20},
    "gemma2": {"sliding_window": 20, "attn_logit_softcapping": 2.0},
    "gemma3_text": {"sliding_window": 20},
}
needs_two = pytest.mark.skipif(
    torch.cuda.device_count() < 2, reason="there are no two GPUs"
)
needs_package = pytest.mark.skipif(
    not importlib.util.find_spec("bitsandbytes"), reason="bitsandbytes is not installed"
)


def make_prompts(n: int = 12) -> list[Prompt]:
    """Texts and letters, alone and behind a beginning that they share."""
    random = np.random.default_rng(0)

    def some(most: int) -> str:
        return " ".join(random.choice(WORDS, random.integers(1, most)))

    prompts = [
        build_prompt(scoring, some(15), [some(6) for _ in range(4)], "Answer:")
        for scoring in ("letters", "text")
        for _ in range(n)
    ]
    shared = f"{some(15)}\nAnswer: {some(6)}\n\n"
    return prompts + [
        Prompt(shared + each.context, each.continuations, shared) for each in prompts
    ]


def score(model: torch.nn.Module, **options: object) -> list[np.ndarray]:
    found = Engine(model, make_tokenizer(), **options).score(make_prompts())
    return [each.logprobs for each in found]


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("kind", PACKED_TYPES)
def test_scores_are_those_of_a_cpu(kind, packed):
    """In float32, option by option; in bfloat16 the self-check passes."""
    model = make_model(kind, max_position_embeddings=256, **SETTINGS.get(kind, {}))
    expected = score(model)
    found = score(copy.deepcopy(model).cuda(), packed=packed)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=TOLERANCE)
    rounded = score(model.to("cuda", torch.bfloat16), packed=packed)
    assert np.isfinite(np.concatenate(rounded)).all()


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_with_fewer_heads_of_keys_is_fused(dtype, masked):
    """PyTorch's plain kernel, which makes all scores, is not allowed here."""
    query, key, value = (
        torch.randn(1, heads, 40, 64, device="cuda", dtype=dtype) for heads in (8, 2, 2)
    )
    mask = torch.ones(40, 40, dtype=torch.bool, device="cuda").tril()
    fused = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION]
    with sdpa_kernel(fused):
        found = attend(query, key, value, mask if masked else None, 0.1, softcap=None)
    wide = (each.double() for each in (query, key, value))
    exact = attend(*wide, mask, 0.1, softcap=None)
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=0.05)


def test_memory_that_runs_out_halves_the_pass(caplog):
    """For real: passes are asked for that the allowed memory cannot hold."""
    model = make_model(hidden_size=256, intermediate_size=8192).cuda()
    expected = score(model)
    torch.cuda.empty_cache()
    _, whole = torch.cuda.mem_get_info()
    # Some 100 kB a token in the feed-forward blocks, and thousands of tokens.
    allowed = torch.cuda.memory_reserved() + 64 * 2**20
    torch.cuda.set_per_process_memory_fraction(allowed / whole)
    try:
        found = score(model, max_tokens=10**6)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert "out of memory; continuing with" in caplog.text
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_head_s_loss_is_torch_s_on_full_logits(dtype):
    """Value and gradients; in bfloat16 as near to float64 as full logits, about."""
    torch.manual_seed(0)
    hidden, weight = torch.randn(300, 64), torch.randn(1000, 64) / 8
    targets = torch.randint(1000, (300,)).cuda()

    def lose(compute, kind: torch.dtype) -> list[torch.Tensor]:
        given = [each.to("cuda", kind).requires_grad_() for each in (hidden, weight)]
        loss = compute(*given)
        return [loss.double(), *(g.double() for g in torch.autograd.grad(loss, given))]

    def ours(h: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return head_cross_entropies(h, w, targets, smoothing=0.1).smoothed

    def theirs(h: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(
            (h @ w.T).float(), targets, label_smoothing=0.1, reduction="sum"
        )

    exact = lose(theirs, torch.float64)
    for one, other, right in zip(
        lose(ours, dtype), lose(theirs, dtype), exact, strict=True
    ):
        off, usual = ((each - right).norm() for each in (one, other))
        assert off <= 2 * usual + 1e-5 * right.norm()


@pytest.fixture
def call(tmp_path):
    """Tune into `tmp_path` and return the candidate's directory."""
    base = make_tiny_model(tmp_path / "base", width=128)
    table = make_tiny_conversations(tmp_path / "toy.parquet", n=40)
    examples = make_tiny_examples(tmp_path / "examples", base=base, conversations=table)
    recipe = {"lr": 1e-2, "max_steps": 6, "batch_size": 8, "micro_batch_size": 2}
    recipe |= {"validation_fraction": 0.2, "lora_rank": 4, "lora_dropout": 0}

    def call(name: str, *, processes: int = 1, **changes: object) -> Path:
        return tune_tiny(
            *(tmp_path / name, recipe | changes),
            base=base,
            examples=examples,
            checkpoint_minutes=0,
            processes=processes,
        )

    return call


def read_losses(candidate: Path) -> list[float]:
    log = tables.read(candidate / "training_log.parquet", "training_log")
    return log["nll"].to_pylist()


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("again", [False, True], ids=["plain", "checkpointing"])
def test_a_training_learns_and_tells_what_it_took(call, method, again, tmp_path):
    """In bfloat16, unasked; the checkpoint is read again, and the GPU is named."""
    made = call("out", method=method, gradient_checkpointing=again)
    losses = read_losses(made)
    assert losses[6] < losses[1]
    log = tables.read(made / "training_log.parquet", "training_log").to_pylist()
    assert log[1]["tflops"] > 0
    assert 0 < log[1]["memory_gib"] < 4
    known = recognise_gpu(torch.cuda.get_device_name())
    assert (log[1]["mfu"] is None) == (known is None)
    assert read_provenance(made)["device"] == torch.cuda.get_device_name()
    model = models.load_model(
        made,
        base=tmp_path / "base",
        dtype=torch.bfloat16,
        device=torch.device("cuda"),
    )
    assert np.isfinite(np.concatenate(score(model))).all()


def test_the_losses_are_those_of_a_cpu(call, tmp_path):
    """Step by step, in float32; the CPU's process sees no GPU."""
    on_gpu = read_losses(call("gpu", dtype="float32"))
    flags = {
        **{"base": tmp_path / "base", "examples": tmp_path / "examples"},
        **{"model": "tiny", "sft": "toy", "smoothing": 0.1, "seed": 0, "lr": 1e-2},
        **{"max-steps": 6, "batch-size": 8, "micro-batch-size": 2},
        **{"validation-fraction": 0.2, "dtype": "float32", "out": tmp_path / "cpu"},
    }
    command = [sys.executable, "-m", "polycal", "tune"]
    command += [str(each) for name, of in flags.items() for each in (f"--{name}", of)]
    subprocess.run(command, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""}, check=True)
    np.testing.assert_allclose(on_gpu, read_losses(tmp_path / "cpu"), rtol=1e-3)


@needs_package
def test_a_training_in_4_bits_learns(call):
    """An adapter over a frozen base model (QLoRA)."""
    losses = read_losses(call("out", method="lora", load_in_4bit=True))
    assert losses[5] < losses[0]


@needs_two
@pytest.mark.parametrize("method", ["full", "lora"])
def test_two_gpus_train_what_one_trains(call, method):
    """With the weights spread over them (FSDP, NCCL), in float32."""
    one, two = (
        read_losses(call(f"{n}", processes=n, method=method, dtype="float32"))
        for n in (1, 2)
    )
    np.testing.assert_allclose(one, two, rtol=1e-3)


@needs_two
def test_a_model_is_divided_among_two_gpus(tmp_path):
    """Layer by layer; the scores are those of one."""
    base = make_tiny_model(tmp_path / "base", width=128)
    one, two = (
        score(models.load_model(base, dtype=torch.float32, device=device))
        for device in (torch.device("cuda"), None)
    )
    for alone, divided in zip(one, two, strict=True):
        np.testing.assert_allclose(alone, divided, rtol=0, atol=TOLERANCE)
