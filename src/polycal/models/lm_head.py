"""Inspect and temporarily override the LM head; run it at scored positions only.

`only_positions`, `scored_logits` and `narrow_end` skip positions whose logits nobody
reads. Scored logits are float32 whatever the model's dtype: in bfloat16 one step of a
logit of 25 is 0.125 nats, more than the difference between many options.
"""

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import nn
from transformers import PreTrainedModel

_COPIED = 2**24  # numbers of the head's weight that are float32 at the same time


def is_plain(head: nn.Module) -> bool:
    """Return whether a head is a matrix product: no adapter, no 4-bit weights."""
    return isinstance(head, nn.Linear) and type(head).forward is nn.Linear.forward


def is_untouched(layer: nn.Module) -> bool:
    """Return whether a plain linear layer has the forward pass of its class."""
    return is_plain(layer) and "forward" not in vars(layer)


@contextlib.contextmanager
def replaced(
    head: nn.Module, forward: Callable[[torch.Tensor], torch.Tensor]
) -> Iterator[None]:
    """Context manager: replace the head's forward pass for the duration.

    The head's hooks still run.
    """
    before = vars(head).get("forward")  # accelerate may have set one
    head.forward = forward
    try:
        yield
    finally:
        if before is None:
            del head.forward
        else:
            head.forward = before


@contextlib.contextmanager
def only_positions(model: PreTrainedModel, kept: torch.Tensor) -> Iterator[None]:
    """Context manager: compute logits [1, N, vocabulary] of N positions only.

    The input of the head is selected; a soft cap or scale after the head still applies.

    Args:
        model: a causal language model.
        kept: [N] indices into the flattened [rows x width] positions of the input.
    """

    def select(_: nn.Module, arguments: tuple) -> tuple:
        (hidden,) = arguments
        return (hidden.flatten(0, 1)[kept.to(hidden.device)][None],)

    hook = model.get_output_embeddings().register_forward_pre_hook(select)
    try:
        yield
    finally:
        hook.remove()


@contextlib.contextmanager
def scored_logits(model: PreTrainedModel, kept: torch.Tensor) -> Iterator[None]:
    """Context manager: do the same as `only_positions`, with float32 logits.

    A soft cap or scale after the head runs in the architecture's own forward pass, in
    float32. A head that is not a plain matrix product (an adapter on it, 4-bit weights)
    keeps its own dtype.
    """
    head = model.get_output_embeddings()
    with contextlib.ExitStack() as stack:
        stack.enter_context(only_positions(model, kept))
        if is_plain(head) and head.weight.dtype != torch.float32:
            stack.enter_context(replaced(head, lambda hidden: _multiply(head, hidden)))
        yield


@contextlib.contextmanager
def narrow_end(model: PreTrainedModel, kept: torch.Tensor) -> Iterator[None]:
    """Context manager: run the last layer's output at N positions only.

    For models that `polycal.models.passes.can_pack` accepts. Keys and values of the
    last layer stay complete. Its output projection and feed-forward block run on N
    rows; their other rows are undefined afterwards.
    """
    layer = model.get_decoder().layers[-1]
    with contextlib.ExitStack() as stack:
        for module in (layer.self_attn.o_proj, layer.mlp):
            stack.enter_context(_narrowed(module, kept))
        yield


@contextlib.contextmanager
def _narrowed(module: nn.Module, kept: torch.Tensor) -> Iterator[None]:
    """Context manager: run a position-wise module at N positions only."""
    width = []

    def select(_: nn.Module, arguments: tuple) -> tuple:
        (whole,) = arguments
        width.append(whole.shape[:2])
        return (whole.flatten(0, 1)[kept.to(whole.device)][None],)

    def spread(_: nn.Module, __: tuple, narrow: torch.Tensor) -> torch.Tensor:
        rows, columns = width.pop()
        whole = narrow.new_zeros(rows * columns, narrow.shape[-1])
        whole[kept.to(narrow.device)] = narrow[0]
        return whole.view(rows, columns, -1)

    hooks = (
        module.register_forward_pre_hook(select),
        module.register_forward_hook(spread),
    )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _multiply(head: nn.Linear, hidden: torch.Tensor) -> torch.Tensor:
    """Apply a linear layer [..., size] -> [..., rows] with a float32 result.

    A GPU's half-precision units compute exact float32 products and float32 sums, so the
    result need not be rounded. A CPU converts a part of the weight at a time.
    """
    weight = head.weight
    flat = hidden.to(weight.device).flatten(0, -2)
    if weight.is_cuda:
        logits = torch.mm(flat, weight.T, out_dtype=torch.float32)
    else:
        logits = flat.new_empty(len(flat), len(weight), dtype=torch.float32)
        flat, rows = flat.float(), max(1, _COPIED // weight.shape[1])
        for begin in range(0, len(weight), rows):
            part = slice(begin, begin + rows)
            torch.mm(flat, weight[part].float().T, out=logits[:, part])
    if head.bias is not None:
        logits += head.bias.float()
    return logits.view(*hidden.shape[:-1], -1)
