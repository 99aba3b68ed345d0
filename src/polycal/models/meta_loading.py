"""Check a full model by loading it onto the meta device, before a study pays for it."""

import importlib.util
import logging
from pathlib import Path

from transformers import PreTrainedConfig

from polycal.errors import InputError, summarise
from polycal.models.configurations import read_config, unreadable
from polycal.models.quantisation import describe_quantisation
from polycal.models.tokens import load_tokenizer

_logger = logging.getLogger(__name__)


def check_model(checkpoint: Path) -> None:
    """Refuse a full model that cannot be tuned and scored.

    transformers itself builds the model and loads it on PyTorch's meta device, where
    weights have a shape and no content. So its renamed and tied weights count as they
    do when the weights are read, and a model of any size takes seconds.

    Raises:
        InputError: the configuration or the tokenizer cannot be read; the model is not
            a causal decoder; a weight is missing, superfluous or of another shape; or
            the tokenizer does not fit the vocabulary.
    """
    config = read_config(checkpoint)
    tokenizer = load_tokenizer(checkpoint)
    if not importlib.util.find_spec("torch"):
        _logger.info("PyTorch is not installed here; the weights are checked later")
        return
    if how := describe_quantisation(checkpoint):
        # Without their content they have no shapes, and some are for GPUs alone.
        _check_packages(checkpoint, config)
        _logger.info("weights are quantised (%s); checked when they are loaded", how)
        return
    import torch

    from polycal.models.loading import check_rows, load_full

    try:
        on_meta = {"device_map": {"": "meta"}}
        model = load_full(checkpoint, torch.float32, {}, on_meta)
    except RuntimeError as error:
        raise unreadable(checkpoint, error) from error
    check_rows(model, tokenizer, checkpoint)


def check_adapter(adapter: Path, base: Path) -> None:
    """Refuse a LoRA adapter that is not one of a base model, as scoring would.

    Both are put on PyTorch's meta device, as in `check_model`.

    Raises:
        InputError: a weight of the adapter has no layer, or one of another shape.
    """
    if describe_quantisation(base) or not importlib.util.find_spec("torch"):
        _logger.info("the adapter is checked when it is loaded")
        return
    import torch

    from polycal.models.adapters import load_adapter
    from polycal.models.loading import load_full

    model = load_full(base, torch.float32, {}, {"device_map": {"": "meta"}})
    load_adapter(model, adapter, base)


def _check_packages(checkpoint: Path, config: PreTrainedConfig) -> None:
    """Refuse quantised weights that nothing installed here can read.

    What else they need, such as a GPU, is known where they are loaded.
    """
    from transformers.quantizers import AutoHfQuantizer  # imports PyTorch

    how = describe_quantisation(checkpoint)
    problem = f"{checkpoint} has quantised weights ({how}), which cannot be read here: "
    try:
        quantiser = AutoHfQuantizer.from_config(
            config.quantization_config, pre_quantized=True
        )
    except (ImportError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(problem + summarise(error)) from error
    try:
        quantiser.validate_environment(device_map={"": "cpu"})
    except ImportError as error:
        if "requires a GPU" not in str(error):  # says transformers of FBGEMM
            raise InputError(problem + summarise(error)) from error
    except (RuntimeError, ValueError, NotImplementedError):
        return  # such as one that needs a GPU
