"""Check a full model before a study pays for it, by the headers of its weights."""

import importlib.util
import logging
from pathlib import Path

from polycal.errors import InputError
from polycal.models.configurations import read_config, unreadable
from polycal.models.tokens import load_tokenizer

_logger = logging.getLogger(__name__)


def check_model(checkpoint: Path) -> None:
    """Refuse a full model that cannot be tuned and scored.

    transformers itself builds the model and loads it on PyTorch's meta device, where
    weights have a shape and no content. So its renamed and tied weights count as they
    do when the weights are read, and a model of any size takes seconds.

    Args:
        checkpoint: directory of a full model.

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
    import torch

    from polycal.models.loading import check_rows, load_full

    try:
        on_meta = {"device_map": {"": "meta"}}
        model = load_full(checkpoint, torch.float32, {}, on_meta)
    except (InputError, RuntimeError) as error:
        no_package = isinstance(error.__cause__, ImportError)
        if hasattr(config, "quantization_config") and not no_package:
            # Several kinds of quantised weights are only loaded where there is a GPU.
            _logger.info("quantised weights are checked when they are loaded")
            return
        if isinstance(error, InputError):
            raise
        raise unreadable(checkpoint, error) from error
    check_rows(model, tokenizer, checkpoint)
