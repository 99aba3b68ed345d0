"""Both losses of a causal language model, computed in place of its LM head."""

import logging

import torch
from torch import nn
from transformers import PreTrainedModel

from polycal.models.lm_head import is_untouched, only_positions, replaced
from polycal.tuning.loss import Final, Losses, cross_entropies, head_cross_entropies

_PROBE = (0.0, 2.0**-10, -1.0, 1.0, 3.0, -20.0, 100.0, -1e4, 1e30)
_logger = logging.getLogger(__name__)


class HeadLoss:
    """Sum both losses over chosen positions without keeping their logits.

    The loss is computed where the model calls its head. So the head's weight is there
    even if hooks gather it from several devices (FSDP, ZeRO), and everything before the
    head is the model's own.

    The step after the head is observed once: a forward pass of one token with a head
    that returns known numbers. If that step is neither a scale nor a soft cap, or if
    the head is not a plain matrix product (an adapter on it, 4-bit weights), the
    model's own logits of the chosen positions are used; the log says so.
    """

    def __init__(self, smoothing: float) -> None:
        self._smoothing = smoothing
        self._final: Final | None = None
        self._observed = False

    def sum(
        self,
        model: nn.Module,
        plain_model: PreTrainedModel,
        inputs: dict[str, torch.Tensor],
        kept: torch.Tensor,
        targets: torch.Tensor,
    ) -> Losses:
        """Return both losses summed over positions, in nats.

        Args:
            model: is called; it may wrap `plain_model`, as DDP and FSDP do.
            plain_model: the causal language model, adapters included.
            inputs: arguments of its forward pass, `input_ids` [rows, width] among them.
            kept: [N] indices into the flattened [rows x width] positions.
            targets: [N] token ids to predict there.

        Returns:
            Two sums; gradients flow through `smoothed`, once, and `plain` is detached.
        """
        if not self._observed:
            self._final = _observe_final(model, plain_model, inputs["input_ids"])
            self._observed = True
        if self._final is None:
            with only_positions(plain_model, kept):
                logits = model(**inputs, use_cache=False).logits[0]
            return cross_entropies(logits, targets, smoothing=self._smoothing)

        computed = []
        head = plain_model.get_output_embeddings()

        def replacement(hidden: torch.Tensor) -> torch.Tensor:
            losses = head_cross_entropies(
                hidden.flatten(0, 1)[kept],
                head.weight,
                targets,
                smoothing=self._smoothing,
                bias=head.bias,
                final=self._final,
            )
            computed.append(losses)
            # Shaped like logits, and not a view: FSDP may lose its hook on a view.
            return losses.smoothed * losses.smoothed.new_ones(1, 1, 1)

        with replaced(head, replacement):
            output = model(**inputs, use_cache=False)
        (losses,) = computed
        # Wrappers put their backward hooks on the model's output.
        linked = losses.smoothed + 0 * output.logits.sum()
        return Losses(linked, losses.plain)


@torch.no_grad()
def _observe_final(
    model: nn.Module, plain_model: PreTrainedModel, tokens: torch.Tensor
) -> Final | None:
    """Return what the model does to its head's output; None: unknown to the loss."""
    head = plain_model.get_output_embeddings()
    if not is_untouched(head):
        _logger.warning("the LM head is not plain; its logits are kept in memory")
        return None
    rows = head.out_features
    given = torch.tensor(_PROBE, device=tokens.device)
    given = given.repeat(rows // len(given) + 1)[:rows].view(1, 1, -1)
    shapes = []  # of the gathered weight

    def probe(_: torch.Tensor) -> torch.Tensor:
        shapes.append(tuple(head.weight.shape))
        return given

    training = plain_model.training
    plain_model.eval()  # dropout would draw random numbers
    try:
        with replaced(head, probe):
            made = model(input_ids=tokens[:1, :1], use_cache=False).logits
    finally:
        plain_model.train(training)
    final = _recognise(given, made.float())
    if shapes != [(rows, head.in_features)]:  # called twice, or split over devices
        final = None
    if final is None:
        _logger.warning(
            "the model changes its logits in an unknown way; they are kept in memory"
        )
    return final


def _recognise(given: torch.Tensor, made: torch.Tensor) -> Final | None:
    """Return the scale or soft cap that maps one tensor to the other, if one does."""
    if made.shape != given.shape:
        return None
    flat, result = given.flatten(), made.flatten()
    scale = float(result[flat == 1][0])
    if torch.allclose(result, scale * flat, rtol=1e-6, atol=0):
        return Final(scale)
    cap = float(result[flat == flat.max()][0])
    if torch.allclose(result, cap * torch.tanh(flat / cap), rtol=1e-5, atol=0):
        return Final(1.0, cap)
    return None
