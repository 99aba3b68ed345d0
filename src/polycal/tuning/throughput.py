"""How hard a training works: operations per second, part of the device's, memory."""

import resource
import sys

import torch
from transformers import PreTrainedModel

from polycal.models.gpu_types import recognise_gpu
from polycal.models.loading import describe_device


def needed_flop(network: PreTrainedModel, tokens: int, targets: int) -> float:
    """Operations that a step has to compute, attention's own products left out.

    Six per weight and token where the weight is trained, four where it is frozen and
    passes gradients on; the head's at the target tokens alone. What is computed again
    to save memory is not counted: that is how model FLOPs utilisation is defined
    (Chowdhery et al. 2022, appendix B).

    Args:
        network: before it is spread over devices.
        tokens: that it reads.
        targets: those whose logits are needed.
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
    """Numbers that it stands for; 4-bit ones are packed."""
    packed = getattr(weight, "quant_state", None)
    return packed.shape.numel() if packed else weight.numel()


class Throughput:
    """What the lines of a training's log say of its speed and memory."""

    def __init__(
        self,
        network: PreTrainedModel,
        *,
        device: torch.device,
        bfloat16: bool,
        processes: int,
    ) -> None:
        """Count once what a token costs.

        Args:
            network: before it is spread over devices.
            device: of this process.
            bfloat16: whether to compute in bfloat16, of which the datasheets speak.
            processes: that work on it together.
        """
        self._per_token = needed_flop(network, 1, 0)
        self._per_target = needed_flop(network, 0, 1)
        self._device = device
        gpu = recognise_gpu(describe_device(device)) if bfloat16 else None
        self._peak = gpu.flops * processes if gpu else None

    def of_line(
        self, *, tokens: int, targets: int, seconds: float
    ) -> dict[str, float | None]:
        """Columns of a line of the log.

        Args:
            tokens: that were read by all processes.
            targets: those that were trained on.
            seconds: that this took.
        """
        flop = tokens * self._per_token + targets * self._per_target
        return {
            "tflops": flop / seconds / 1e12,
            "mfu": flop / seconds / self._peak if self._peak else None,
            "memory_gib": self._find_memory() / 2**30,
        }

    def _find_memory(self) -> int:
        """Bytes at most so far: of the GPU, or of the process in main memory."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak
