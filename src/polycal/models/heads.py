"""The output head of a model: what it is, and how it is made to do something else.

Scoring and training want logits at some positions only, or none at all. Whatever an
architecture does around its head (soft cap, scale) stays in its own forward pass.
"""

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import nn
from transformers import PreTrainedModel


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
