"""The end of a model, computed where something is scored and nowhere else.

Which token follows is asked at some positions only. So the head runs there, and so does
what comes after the keys and values of the last layer: nobody reads its other rows.
Logits are float32 whatever the model's dtype. In bfloat16 one step of a logit of 25 is
0.125 nats, more than what tells many options apart.
"""

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import nn
from transformers import PreTrainedModel

_COPIED = 2**24  # numbers of the head's weight that are in float32 at the same time


def is_plain(head: nn.Module) -> bool:
    """Whether a head is a matrix product: no adapter on it, no 4-bit weights."""
    return isinstance(head, nn.Linear) and type(head).forward is nn.Linear.forward


def is_untouched(layer: nn.Module) -> bool:
    """Whether no library has put a forward pass of its own on a plain linear layer."""
    return is_plain(layer) and "forward" not in vars(layer)


@contextlib.contextmanager
def replaced(
    head: nn.Module, forward: Callable[[torch.Tensor], torch.Tensor]
) -> Iterator[None]:
    """Inside, the head computes something else; its hooks run as ever."""
    before = vars(head).get("forward")  # accelerate puts one of its own there
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
    """Inside, the model computes logits [1, N, vocabulary] of N positions only.

    Whatever an architecture does to its logits (soft cap, scale) stays in its own
    forward pass; only what reaches its head is chosen here.

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
    """Inside, the model's logits are [1, N, vocabulary] in float32, of N positions.

    What an architecture does to its logits (soft cap, scale) stays in its own forward
    pass, which goes on in float32. A head that is no plain matrix product (an adapter
    on it, 4-bit weights) gives what it gives.

    Args:
        model: a causal language model.
        kept: [N] indices into the flattened [rows x width] positions of the input.
    """
    head = model.get_output_embeddings()
    with contextlib.ExitStack() as stack:
        stack.enter_context(only_positions(model, kept))
        if is_plain(head) and head.weight.dtype != torch.float32:
            stack.enter_context(replaced(head, lambda hidden: _multiply(head, hidden)))
        yield


@contextlib.contextmanager
def narrow_end(model: PreTrainedModel, kept: torch.Tensor) -> Iterator[None]:
    """Inside, the last layer gives what is right at N positions, elsewhere anything.

    Its keys and values are complete; its output projection and its feed-forward block
    run on N rows.

    Args:
        model: a causal language model of `polycal.models.passes.PACKED_TYPES`.
        kept: as in `scored_logits`.
    """
    layer = model.get_decoder().layers[-1]
    with contextlib.ExitStack() as stack:
        for module in (layer.self_attn.o_proj, layer.mlp):
            stack.enter_context(_narrowed(module, kept))
        yield


@contextlib.contextmanager
def _narrowed(module: nn.Module, kept: torch.Tensor) -> Iterator[None]:
    """Inside, a module that treats every position alike runs at some of them."""
    width = []

    def select(_: nn.Module, arguments: tuple) -> tuple:
        (whole,) = arguments
        width.append(whole.shape[:2])
        return (whole.flatten(0, 1)[kept.to(whole.device)][None],)

    def spread(_: nn.Module, __: tuple, found: torch.Tensor) -> torch.Tensor:
        rows, columns = width.pop()
        whole = found.new_zeros(rows * columns, found.shape[-1])
        whole[kept.to(found.device)] = found[0]
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
    """A linear layer [..., size] -> [..., rows] in float32, some of its rows at a time.

    On a GPU the half-precision units do it: their products are exact in float32, their
    sums are float32, and only the result would have been rounded.
    """
    weight = head.weight
    flat = hidden.to(weight.device).flatten(0, -2)
    if weight.is_cuda:
        found = torch.mm(flat, weight.T, out_dtype=torch.float32)
    else:
        found = flat.new_empty(len(flat), len(weight), dtype=torch.float32)
        flat, rows = flat.float(), max(1, _COPIED // weight.shape[1])
        for begin in range(0, len(weight), rows):
            part = slice(begin, begin + rows)
            torch.mm(flat, weight[part].float().T, out=found[:, part])
    if head.bias is not None:
        found += head.bias.float()
    return found.view(*hidden.shape[:-1], -1)
