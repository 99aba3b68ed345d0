"""Memory budget of one forward pass of scoring: tokens and logits that fit."""

from dataclasses import dataclass

import torch
from transformers import PreTrainedConfig, PreTrainedModel

_CPU_TOKENS = 2048  # more is not faster: the caches are full
_MOST_TOKENS = 32768  # more is not faster on any GPU
_FEWEST_TOKENS = 512
_MOST_LOGITS = 2**28
_LOGIT_BYTES = 12  # float32, and the temporary copies of a soft cap
_SPARED = 0.1  # part of the free memory for fragmentation and libraries


@dataclass(frozen=True)
class Budget:
    """Limits of one forward pass."""

    tokens: int  # tokens that it reads, padding included
    logits: int  # numbers: scored positions times the vocabulary


def pick_budget(model: PreTrainedModel) -> Budget:
    """Return what fits beside a loaded model, on the GPU with the least free memory."""
    devices = {weight.device for weight in model.parameters()}
    free = [
        torch.cuda.mem_get_info(device)[0]
        for device in devices
        if device.type == "cuda"
    ]
    if not free:
        return Budget(_CPU_TOKENS, _MOST_LOGITS)
    config = model.config.get_text_config()
    return fit_budget(min(free), token_bytes(config, model.dtype.itemsize))


def fit_budget(free: int, a_token: int) -> Budget:
    """Divide free bytes: at most a quarter for logits, the rest for tokens.

    Returns:
        At least 512 tokens and 1000 logits. These may still not fit; the engine halves
        the pass when memory runs out.
    """
    usable = free * (1 - _SPARED)
    logits = min(_MOST_LOGITS, int(usable / 4 / _LOGIT_BYTES))
    tokens = int((usable - logits * _LOGIT_BYTES) / a_token)
    return Budget(
        min(_MOST_TOKENS, max(_FEWEST_TOKENS, tokens)),
        max(1000, logits),
    )


def token_bytes(config: PreTrainedConfig, itemsize: int) -> int:
    """Return the bytes that one token takes in the layer that needs most.

    It counts four copies of the residual stream and two in float32 (norms), four of
    queries, keys and values (before and after the rotation, and its temporaries), and
    three of the feed-forward block's inner vectors. Layers do not add up: nothing is
    kept for a backward pass.
    """
    heads = config.num_attention_heads
    key_heads = getattr(config, "num_key_value_heads", None) or heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    inner = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    numbers = 4 * config.hidden_size + 4 * (heads + 2 * key_heads) * size + 3 * inner
    return itemsize * numbers + 2 * 4 * config.hidden_size
