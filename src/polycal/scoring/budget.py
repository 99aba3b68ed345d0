"""How much one forward pass of scoring may hold, so that it fits the memory."""

from dataclasses import dataclass

import torch
from transformers import PreTrainedConfig, PreTrainedModel

_CPU_TOKENS = 2048  # more is no faster: the caches are full
_MOST_TOKENS = 32768  # more is no faster on any GPU
_FEWEST_TOKENS = 512
_MOST_LOGITS = 2**28
_LOGIT_BYTES = 12  # float32, and what a soft cap makes of it on the way
_SPARED = 0.1  # of the free memory, for fragments and the libraries' own


@dataclass(frozen=True)
class Budget:
    """Of one forward pass.

    Attributes:
        tokens: that are read, padding included.
        logits: numbers, scored positions times the vocabulary.
    """

    tokens: int
    logits: int


def pick_budget(model: PreTrainedModel) -> Budget:
    """What fits beside a model that is loaded; on the GPU with least free memory.

    Args:
        model: a causal language model, adapters included, on one device or several.
    """
    devices = {weight.device for weight in model.parameters()}
    free = [torch.cuda.mem_get_info(each)[0] for each in devices if each.type == "cuda"]
    if not free:
        return Budget(_CPU_TOKENS, _MOST_LOGITS)
    config = model.config.get_text_config()
    return fit_budget(min(free), token_bytes(config, model.dtype.itemsize))


def fit_budget(free: int, a_token: int) -> Budget:
    """Divide free memory: at most a quarter for logits, the rest for tokens.

    Args:
        free: bytes.
        a_token: bytes that a token takes in a forward pass.

    Returns:
        At least 512 tokens and one thousand logits: whether they fit will be seen,
        and the engine halves the tokens when they do not.
    """
    usable = free * (1 - _SPARED)
    logits = min(_MOST_LOGITS, int(usable / 4 / _LOGIT_BYTES))
    tokens = int((usable - logits * _LOGIT_BYTES) / a_token)
    return Budget(
        min(_MOST_TOKENS, max(_FEWEST_TOKENS, tokens)),
        max(1000, logits),
    )


def token_bytes(config: PreTrainedConfig, itemsize: int) -> int:
    """Bytes of what one token leaves in memory where a layer needs most.

    Of the layer's residual stream there are four copies, and two in float32 (its
    norms); of queries, keys and values four (before and after the rotation, and what
    the rotation takes); of the feed-forward block's inner vectors three. Layers do not
    add up: nothing is kept for a backward pass.

    Args:
        config: of the text model.
        itemsize: bytes of a number in the model's dtype.
    """
    heads = config.num_attention_heads
    of_keys = getattr(config, "num_key_value_heads", None) or heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    inner = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    numbers = 4 * config.hidden_size + 4 * (heads + 2 * of_keys) * size + 3 * inner
    return itemsize * numbers + 2 * 4 * config.hidden_size
