"""Both losses of a causal language model, computed in the place of its output head."""

import logging

import torch
from torch import nn
from transformers import PreTrainedModel

from polycal.models.lm_head import is_untouched, only_positions, replaced
from polycal.tuning.loss import Final, Losses, cross_entropies, head_cross_entropies

_PROBE = (0.0, 2.0**-10, -1.0, 1.0, 3.0, -20.0, 100.0, -1e4, 1e30)
_logger = logging.getLogger(__name__)


class HeadLoss:
    """Sums both losses over chosen positions without keeping their logits.

    The loss is computed where the model calls its head. So the head's weight is
    there even if it is spread over devices and gathered by hooks (FSDP, ZeRO), and
    whatever the model does before its head stays the model's own. What it does
    afterwards is found out by a forward pass of one token, whose head gives known
    numbers. If that is neither a scale nor a soft cap, or if the head is no plain
    matrix product (an adapter on it, 4-bit weights), the model's own logits of the
    chosen positions are taken; a line of the log says so.
    """

    def __init__(self, smoothing: float) -> None:
        """Find nothing out yet.

        Args:
            smoothing: epsilon, from 0 to below 1.
        """
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
        """Both losses summed over positions, in nats.

        Args:
            model: what is called; it may wrap `plain_model`, as DDP and FSDP do.
            plain_model: the causal language model, adapters included.
            inputs: arguments of its forward pass, `input_ids` [rows, width] among them.
            kept: [N] indices into the flattened [rows x width] positions.
            targets: [N] token ids that are to be predicted there.

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

        found = []
        head = plain_model.get_output_embeddings()

        def lose(hidden: torch.Tensor) -> torch.Tensor:
            losses = head_cross_entropies(
                hidden.flatten(0, 1)[kept],
                head.weight,
                targets,
                smoothing=self._smoothing,
                bias=head.bias,
                final=self._final,
            )
            found.append(losses)
            # Shaped as logits are, and no view: FSDP may lose its hook on one.
            return losses.smoothed * losses.smoothed.new_ones(1, 1, 1)

        with replaced(head, lose):
            output = model(**inputs, use_cache=False)
        (losses,) = found
        # Wrappers hang their backward hooks on what the model returns.
        linked = losses.smoothed + 0 * output.logits.sum()
        return Losses(linked, losses.plain)


@torch.no_grad()
def _observe_final(
    model: nn.Module, plain_model: PreTrainedModel, tokens: torch.Tensor
) -> Final | None:
    """What the model makes of its head's output; None: nothing that the loss knows."""
    head = plain_model.get_output_embeddings()
    if not is_untouched(head):
        _logger.warning("no plain output head; its logits are kept in memory")
        return None
    rows = head.out_features
    given = torch.tensor(_PROBE, device=tokens.device)
    given = given.repeat(rows // len(given) + 1)[:rows].view(1, 1, -1)
    shapes = []  # of the weight, once it is gathered

    def probe(_: torch.Tensor) -> torch.Tensor:
        shapes.append(tuple(head.weight.shape))
        return given

    training = plain_model.training
    plain_model.eval()  # dropout would take random numbers
    try:
        with replaced(head, probe):
            made = model(input_ids=tokens[:1, :1], use_cache=False).logits
    finally:
        plain_model.train(training)
    final = _recognise(given, made.float())
    if shapes != [(rows, head.in_features)]:  # called twice, or split over devices
        final = None
    if final is None:
        _logger.warning("the model changes its logits; they are kept in memory")
    return final


def _recognise(given: torch.Tensor, made: torch.Tensor) -> Final | None:
    """The scale or the soft cap that made one tensor of the other, if it was one."""
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
