"""Time the smoothed loss of a head, forward and backward, beside its peers.

    python benchmarks/loss.py [--tokens 2048] [--hidden 1024] [--vocabulary 128256]
        [--heads frozen trained] [--rounds 3] [--chunks 64 256] [--dtype float32]
        [--device cpu] [--everything]

The peers, each with a smoothing of 0.1 over all given tokens:

    full      torch's `cross_entropy(label_smoothing=...)` on all logits
    smoother  transformers' `LabelSmoother` on all logits
    torch     torch's `linear_cross_entropy` in chunks of 256, and the smoothing by the
              mean row of the head (where torch has it)
    liger     Liger's fused linear cross-entropy (on CUDA, where it is installed)
    polycal   `head_cross_entropies` of polycal.tuning.loss; with --chunks also at these
              lengths

Every measurement is a process of its own, in which tensors are made first and a few
tokens warm up. Peak memory is what the process held at most, less what it held before;
that of a trained head includes its gradient. All peers take turns for a number of
rounds; a ratio is the median over the rounds of full's number over the peer's. "Of
ceiling" is the time of the matrix products that nobody can do without (logits, gradient
of the hidden states, that of a trained head), 256 positions at a time and nothing else,
over the peer's time: no loss can be faster than full by more than one over full's. A
row is printed only if the loss and the gradients agree with full's: the difference is
that of the loss and of projections of the gradients on random directions, relative to
their norm.

Without options: the three heads of `CASES`. --everything: all hidden sizes and
vocabularies of `GRID` instead, one round each.
"""

import argparse
import importlib.util
import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy, linear

from polycal.tuning.loss import head_cross_entropies

SMOOTHING = 0.1
CASES = [(2048, 1024, 128_256), (512, 4096, 32_000), (512, 2048, 256_000)]
GRID = list(itertools.product([512], [1024, 2048, 4096], [32_000, 128_256, 256_000]))
PRODUCTS = "products"
TOLERANCE = {"float32": 1e-4, "bfloat16": 3e-2}  # relative
Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def lose_full(hidden, weight, targets) -> torch.Tensor:
    """All logits, in float32 from there on."""
    logits = linear(hidden, weight).float()
    options = {"reduction": "sum", "label_smoothing": SMOOTHING}
    return cross_entropy(logits, targets, **options)


def lose_smoother(hidden, weight, targets) -> torch.Tensor:
    """A mean, hence times the tokens."""
    from transformers.modeling_outputs import CausalLMOutput
    from transformers.trainer_pt_utils import LabelSmoother

    logits = linear(hidden, weight).float()[None]
    mean = LabelSmoother(SMOOTHING)(CausalLMOutput(logits=logits), targets[None])
    return mean * len(targets)


def lose_torch(hidden, weight, targets) -> torch.Tensor:
    """smoothed = plain + smoothing * h . (W_y - mean row)."""
    plain = torch.nn.functional.linear_cross_entropy(
        *(hidden, weight, targets),
        reduction="sum",
        options=torch.nn.LinearCrossEntropyOptions(batch_chunk_size=256),
    )
    away = weight[targets] - weight.mean(0)
    return plain + SMOOTHING * (hidden.float() * away).sum()


def lose_liger(hidden, weight, targets) -> torch.Tensor:
    """Its class; the model patches of Liger pass no smoothing."""
    from liger_kernel.transformers import LigerFusedLinearCrossEntropyLoss

    loss = LigerFusedLinearCrossEntropyLoss(label_smoothing=SMOOTHING, reduction="sum")
    return loss(weight, hidden, targets)


def lose_polycal(hidden, weight, targets, **chunk: int) -> torch.Tensor:
    return head_cross_entropies(
        hidden, weight, targets, smoothing=SMOOTHING, **chunk
    ).smoothed


def find_peers(device: str, chunks: list[int]) -> list[str]:
    """The names of all that can be run here; the first is what is divided by."""
    names = ["full", "smoother"]
    if hasattr(torch.nn.functional, "linear_cross_entropy"):
        names.append("torch")
    if device == "cuda" and importlib.util.find_spec("liger_kernel"):
        names.append("liger")
    return [*names, "polycal", *(f"polycal-{chunk}" for chunk in chunks)]


def pick(name: str) -> Loss:
    """The function of a name."""
    name, _, chunk = name.partition("-")
    if chunk:
        return lambda *given: lose_polycal(*given, chunk=int(chunk))
    return globals()[f"lose_{name}"]


@torch.no_grad()
def multiply(states: torch.Tensor, weight: torch.Tensor, *, trained: bool) -> None:
    """The matrix products of a loss, forward and backward, and nothing else."""
    gradient = torch.empty_like(states)
    update = torch.zeros_like(weight) if trained else None
    held = states.new_empty(256, len(weight))
    for part, result in zip(states.split(256), gradient.split(256), strict=True):
        logits = torch.mm(part, weight.T, out=held[: len(part)])
        torch.mm(logits, weight, out=result)
        if trained:
            update.addmm_(logits.T, part)


def read_memory(key: str) -> float:
    """MiB of this process: VmRSS (now) or VmHWM (the most)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{key}:"))
    return int(line.split()[1]) / 1024


class Meter:
    """Seconds and MiB of what happens inside, by the clock and by the kernel."""

    def __init__(self, device: str) -> None:
        self.on_gpu = device == "cuda"

    def __enter__(self) -> "Meter":
        if self.on_gpu:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            self.before = torch.cuda.memory_allocated() / 2**20
        else:
            Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
            self.before = read_memory("VmRSS")
        self.begin = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        if self.on_gpu:
            torch.cuda.synchronize()
        self.seconds = time.perf_counter() - self.begin
        most = (
            torch.cuda.max_memory_allocated() / 2**20
            if self.on_gpu
            else read_memory("VmHWM")
        )
        self.mib = most - self.before


def measure(
    name: str,
    *,
    tokens: int,
    hidden: int,
    vocabulary: int,
    trained: bool,
    dtype: str,
    device: str,
) -> dict:
    """One measurement, in this process."""
    torch.manual_seed(0)
    options = {"dtype": getattr(torch, dtype), "device": device}
    states = torch.randn(tokens, hidden, **options).requires_grad_()
    weight = torch.randn(vocabulary, hidden, **options)
    weight.mul_(hidden**-0.5).requires_grad_(trained)
    targets = torch.randint(vocabulary, (tokens,), device=device)
    directions = [
        torch.randn(size, device=device, dtype=torch.float32)
        for size in (hidden, vocabulary)
    ]
    if name == PRODUCTS:
        given = states.detach(), weight.detach()
        multiply(given[0][:8], given[1], trained=trained)
        with Meter(device) as meter:
            multiply(*given, trained=trained)
        return {"seconds": meter.seconds}
    lose = pick(name)
    few = states[:8].detach().requires_grad_()
    for _ in range(3 if device == "cuda" else 1):
        part = states if device == "cuda" else few
        lose(part, weight, targets[: len(part)]).backward()
        states.grad = weight.grad = None
    with Meter(device) as meter:
        loss = lose(states, weight, targets)
        loss.backward()
    marks = [loss.detach().float()[None], states.grad.float() @ directions[0]]
    if trained:
        marks.append(directions[1] @ weight.grad.float())
    return {
        "seconds": meter.seconds,
        "mib": meter.mib,
        "marks": [mark.tolist() for mark in marks],
    }


def measure_apart(name: str, case: dict) -> dict:
    """One measurement, in a process of its own."""
    command = [sys.executable, __file__, "--measure", json.dumps({"name": name} | case)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def differ(marks: list, others: list) -> float:
    """The largest difference of a loss or a gradient's projection, relative."""
    pairs = [
        tuple(torch.tensor(each, dtype=torch.float64) for each in pair)
        for pair in zip(marks, others, strict=True)
    ]
    return max(float((one - other).norm() / other.norm()) for one, other in pairs)


def compare(case: dict, names: list[str], rounds: int) -> None:
    """Print a row for each peer.

    Raises:
        SystemExit: one does not agree with the first.
    """
    found = [
        {name: measure_apart(name, case) for name in (PRODUCTS, *names)}
        for _ in range(rounds)
    ]
    first = names[0]
    for name in names:
        difference = max(differ(f[name]["marks"], f[first]["marks"]) for f in found)
        if not difference < TOLERANCE[case["dtype"]]:
            raise SystemExit(f"{name} differs from {first} by {difference:.1e}")

        def middle(key: str, name: str = name) -> tuple[float, float]:
            return (
                statistics.median(f[name][key] for f in found),
                statistics.median(f[first][key] / f[name][key] for f in found),
            )

        (seconds, faster), (mib, smaller) = middle("seconds"), middle("mib")
        ceiling = statistics.median(
            f[PRODUCTS]["seconds"] / f[name]["seconds"] for f in found
        )
        print(
            f"{case['tokens']:6d} {case['hidden']:6d} {case['vocabulary']:10d} "
            f"{'trained' if case['trained'] else 'frozen':8s}{name:12s}"
            f"{seconds:8.3f} {mib:8.0f} {faster:7.2f} {smaller:7.2f} "
            f"{ceiling:10.0%} {difference:10.1e}",
            flush=True,
        )


def main() -> None:
    """Print the table, or make the one measurement that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int)
    parser.add_argument("--hidden", type=int)
    parser.add_argument("--vocabulary", type=int)
    heads = ("frozen", "trained")
    parser.add_argument("--heads", nargs="+", choices=heads, default=list(heads))
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--chunks", type=int, nargs="*", default=[])
    parser.add_argument("--dtype", default="float32", choices=tuple(TOLERANCE))
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--everything", action="store_true")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(**json.loads(options.measure))))
        return
    own = (options.tokens, options.hidden, options.vocabulary)
    cases = GRID if options.everything else CASES
    if any(own):
        cases = [
            tuple(each or usual for each, usual in zip(own, CASES[0], strict=True))
        ]
    print(f"{options.device}, {torch.get_num_threads()} threads, {options.dtype}")
    print(
        "tokens hidden vocabulary head    loss         seconds      MiB  faster "
        "smaller of ceiling difference"
    )
    for size, head in itertools.product(cases, options.heads):
        case = dict(zip(("tokens", "hidden", "vocabulary"), size, strict=True))
        case |= {"trained": head == "trained"}
        case |= {"dtype": options.dtype, "device": options.device}
        usual = 1 if options.everything or size != CASES[0] else 3
        compare(
            case, find_peers(options.device, options.chunks), options.rounds or usual
        )


if __name__ == "__main__":
    main()
