"""Time float32 matrix products on a CPU by PyTorch's choice and by oneDNN.

    python benchmarks/products.py [--rounds 15]

[T, H] x [H, K] for the shapes of scoring (a pass of 2,048 tokens) and of the loss (256
positions, a vocabulary, forward and backward). The two take turns; a ratio is the
median over rounds. PyTorch's choice is MKL on x86; what `polycal` takes on this
processor is in the last column.
"""

import argparse
import statistics
import time

import torch

from polycal import products
from polycal.scoring.heap import keep_memory

SHAPES = [
    *((2048, 512, 512), (2048, 512, 1408), (2048, 1408, 512), (2048, 2048, 2048)),
    *((256, 1024, 128_256), (256, 128_256, 1024)),
]


def timed(left: torch.Tensor, weight: torch.Tensor, onednn: bool) -> float:
    """Seconds of one product."""
    begin = time.perf_counter()
    if onednn:
        torch.ops.mkldnn._linear_pointwise(left, weight, None, "none", [], "")
    else:
        torch.nn.functional.linear(left, weight)
    return time.perf_counter() - begin


@torch.inference_mode()
def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    keep_memory()
    print(f"{torch.get_num_threads()} threads")
    print("    T      H      K  PyTorch GFLOP/s  oneDNN GFLOP/s  ratio  polycal takes")
    for tokens, size, rows in SHAPES:
        left = torch.randn(tokens, size)
        # The loss multiplies by the head's weight as it is, so backward by its view.
        weight = torch.randn(rows, size)
        if size > rows:
            weight = weight.t().contiguous().t()
        for onednn in (False, True):
            timed(left, weight, onednn)
        pairs = [
            (timed(left, weight, False), timed(left, weight, True))
            for _ in range(options.rounds)
        ]
        plain, own = (statistics.median(each) for each in zip(*pairs, strict=True))
        ratio = statistics.median(one / other for one, other in pairs)
        flop = 2e-9 * tokens * size * rows
        taken = "oneDNN" if products.speeds_up(left, weight) else "PyTorch's"
        print(
            f"{tokens:5d} {size:6d} {rows:6d} {flop / plain:16.0f} {flop / own:15.0f} "
            f"{ratio:6.2f}  {taken}",
            flush=True,
        )


if __name__ == "__main__":
    main()
