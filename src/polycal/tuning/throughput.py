"""Training throughput: FLOP/s, MFU, peak memory."""

import resource
import sys

import torch
from transformers import PreTrainedModel

from polycal.models.gpu_types import recognise_gpu
from polycal.models.loading import describe_device


def needed_flop(network: PreTrainedModel, tokens: int, targets: int) -> float:
    """Return the FLOP that a step needs, without attention's own products.

    Six per weight and token for trained weights, four for frozen ones that pass
    gradients on; the head's are counted at target tokens only. Recomputation that saves
    memory is not counted: so is model FLOPs utilisation defined (Chowdhery et al. 2022,
    appendix B).

    Args:
        network: before it is spread over devices.
        tokens: number of tokens that it reads.
        targets: number of tokens whose logits are needed.
    """
    head = network.get_output_embeddings().weight
    embeddings = network.get_input_embeddings().weight
    body = sum(
        (4 + 2 * weight.requires_grad) * _size(weight)
        for weight in network.parameters()
        if weight is not head and weight is not embeddings
    )
    return tokens * body + targets * (4 + 2 * head.requires_grad) * head.numel()


def _size(weight: torch.nn.Parameter) -> int:
    """Return how many numbers a weight has; 4-bit weights are packed."""
    packed = getattr(weight, "quant_state", None)
    return packed.shape.numel() if packed else weight.numel()


class Throughput:
    """Speed and memory of a training, as columns of its log.

    The network is given before it is spread over devices.
    """

    def __init__(
        self,
        network: PreTrainedModel,
        *,
        device: torch.device,
        bfloat16: bool,
        processes: int,
    ) -> None:
        self._per_token = needed_flop(network, 1, 0)
        self._per_target = needed_flop(network, 0, 1)
        self._device = device
        gpu = recognise_gpu(describe_device(device)) if bfloat16 else None
        self._peak = gpu.flops * processes if gpu else None

    def of_line(
        self, *, tokens: int, targets: int, seconds: float
    ) -> dict[str, float | None]:
        """Return the columns `tflops`, `mfu` and `memory_gib` of a line of the log."""
        flop = tokens * self._per_token + targets * self._per_target
        return {
            "tflops": flop / seconds / 1e12,
            "mfu": flop / seconds / self._peak if self._peak else None,
            "memory_gib": self._peak_memory() / 2**30,
        }

    def _peak_memory(self) -> int:
        """Return the peak bytes: of the GPU, or of the process in main memory."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak
