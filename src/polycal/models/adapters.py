"""Put a LoRA adapter on its base model, and check that all of it is there."""

import contextlib
from pathlib import Path

from safetensors import safe_open
from transformers import PreTrainedModel

from polycal.errors import InputError
from polycal.models import ADAPTER_WEIGHTS
from polycal.models.configurations import UNREADABLE

_SHOWN = 3  # weights that a message names


def check_adapter(checkpoint: Path) -> None:
    """Refuse an adapter without safetensors weights: peft would read a pickle.

    Raises:
        InputError: it has none.
    """
    if not (checkpoint / ADAPTER_WEIGHTS).exists():
        raise InputError(
            f"{checkpoint} has no {ADAPTER_WEIGHTS}; save the adapter again"
        )


def load_adapter(
    model: PreTrainedModel, checkpoint: Path, base: Path
) -> PreTrainedModel:
    """Return the peft model of a base model and an adapter.

    peft leaves a layer as it is whose adapter has another name, and ignores weights
    that it does not know: scores would be those of the base model. Here every weight of
    the adapter has to be in the model, and all that its configuration tuned in the
    adapter: LoRA matrices, biases, whole layers.

    Raises:
        InputError: it is not an adapter of this model.
    """
    from peft import PeftModel, get_peft_model_state_dict  # take a second to import

    try:
        # On the meta device, where a model is checked, no rank takes memory.
        on_meta = model.device.type == "meta"
        with model.device if on_meta else contextlib.nullcontext():
            adapted = PeftModel.from_pretrained(
                model, checkpoint, low_cpu_mem_usage=on_meta
            )
    except (*UNREADABLE, RuntimeError) as error:  # RuntimeError: another shape
        why = f"it lacks {error}" if isinstance(error, KeyError) else error
        raise InputError(f"{checkpoint} is not an adapter of {base}: {why}") from error
    with safe_open(checkpoint / ADAPTER_WEIGHTS, framework="numpy") as file:
        held = set(file.keys())
    needed = set(get_peft_model_state_dict(adapted, save_embedding_layers=False))
    # Beside its own weights, an adapter may hold some of the base model.
    known = needed | set(adapted.state_dict())
    if unlike := (needed - held) | (held - known):
        shown = ", ".join(sorted(unlike)[:_SHOWN]) + " ..." * (len(unlike) > _SHOWN)
        raise InputError(
            f"{checkpoint} is not an adapter of {base}: only one of them has {shown}"
        )
    return adapted
