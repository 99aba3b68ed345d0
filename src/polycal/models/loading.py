"""Load checkpoints: full models, or LoRA adapters on their base model.

Reads local directories with safetensors weights only, and never runs code that comes
with a checkpoint.
"""

import contextlib
import errno
import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from polycal.errors import InputError
from polycal.models import ADAPTER
from polycal.models.adapters import check_adapter, load_adapter
from polycal.models.configurations import (
    SOURCE,
    UNREADABLE,
    choose_dropout,
    pick_attention,
    read_config,
    unreadable,
)
from polycal.models.quantisation import describe_quantisation
from polycal.models.tokens import check_directory
from polycal.storage.provenance import check_content

_SHOWN = 3  # weights that a message names
# Masks and positions, which old checkpoints hold and models compute.
_BUFFERS = re.compile(
    r"\.(attn|attention)\.(bias|masked_bias)$|\.rotary_emb\.inv_freq$"
)
_NOT_TEXT = ("pad_token", "image_token", "audio_token", "video_token")
_DTYPES = ("float32", "bfloat16", "float16")


def pick_device() -> torch.device:
    """Return the current CUDA device where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def pick_placement() -> torch.device | None:
    """Return the device for inference; None: spread the model over several GPUs."""
    return None if torch.cuda.device_count() > 1 else pick_device()


def describe_device(device: torch.device) -> str:
    """Return the GPU's model name, or `cpu`; rounding depends on it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return device.type


def pick_dtype(name: str, device: torch.device) -> torch.dtype:
    """Return the dtype of a name; `auto` is bfloat16 on a CUDA device, else float32.

    Raises:
        InputError: the name is not known.
    """
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    if name not in _DTYPES:
        raise InputError(f"dtype {name!r} is not known; use auto, {', '.join(_DTYPES)}")
    return getattr(torch, name)


def load_model(
    checkpoint: Path,
    *,
    base: Path | None = None,
    dtype: torch.dtype,
    device: torch.device | None,
    attention_dropout: float | None = None,
    four_bits: bool = False,
) -> PreTrainedModel:
    """Load a causal language model in evaluation mode.

    An adapter is not merged into the weights of its base model: a merged bfloat16
    weight would round most of a small update away.

    Args:
        checkpoint: a directory with a full model, or with a LoRA adapter.
        base: directory of the adapter's base model; not read for a full model.
        dtype: of the weights.
        device: of the weights; None fills one GPU after the other with layers, so that
            a model that fits one GPU is not split.
        attention_dropout: of the attention weights in training mode; None: the
            checkpoint's own.
        four_bits: whether bitsandbytes quantises the layers' weights to NF4, and their
            scales once more (Dettmers et al. 2023); embeddings and head are not
            quantised.

    Returns:
        A transformers model, or a peft model that wraps one.

    Raises:
        InputError: a directory holds no safetensors model, or a damaged one; an adapter
            has no base; the architecture lacks the attention dropout that is asked for;
            or all GPUs together have too little memory.
    """
    check_directory(checkpoint)
    full, is_adapter = checkpoint, (checkpoint / ADAPTER).exists()
    if is_adapter:
        if base is None:
            raise InputError(f"{checkpoint} is an adapter; give its base model, too")
        check_adapter(checkpoint)
        check_directory(base)
        check_content(base)
        full = base
    check_content(checkpoint)
    settings = choose_dropout(full, attention_dropout)
    placement: dict[str, Any] = {}
    if four_bits:
        placement["device_map"] = {"": device}
        placement["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
    elif device is None:
        placement["device_map"] = "sequential"
    elif describe_quantisation(full):
        # Once loaded, many of them cannot be moved to another device.
        placement["device_map"] = {"": device}
    model = load_full(full, dtype, settings, placement)
    for layer in model.modules() if four_bits else ():
        # After evaluation mode on a CPU with AVX-512 bfloat16, bitsandbytes would keep
        # using a product without a gradient, even in training.
        if hasattr(layer, "support_avx512bf16_for_cpu"):
            layer.support_avx512bf16_for_cpu = False
    if device is None:
        _check_spread(model, full)
    if is_adapter:
        model = load_adapter(model, checkpoint, full)
    return model.eval() if placement else model.to(device).eval()


def outline_model(
    checkpoint: Path, *, dtype: torch.dtype, attention_dropout: float | None = None
) -> PreTrainedModel:
    """Make what `load_model` returns for a full model, on the CPU, without its weights.

    For a process that receives its part of the weights from another process. The
    weights are uninitialised memory; buffers that no file holds, such as the rotary
    embeddings' frequencies, are right. transformers' own way
    (`FSDP_CPU_RAM_EFFICIENT_LOADING`) leaves weights on the meta device, which an
    optimizer cannot tell apart (huggingface/transformers issue 43749).

    Raises:
        InputError: as `load_model`, about the configuration.
    """
    config = read_config(checkpoint, **choose_dropout(checkpoint, attention_dropout))
    with init_empty_weights(include_buffers=False):
        model = AutoModelForCausalLM.from_config(
            config, dtype=dtype, attn_implementation=pick_attention(config)
        )
    for module in model.modules():
        for name, weight in list(module.named_parameters(recurse=False)):
            setattr(module, name, nn.Parameter(torch.empty_like(weight, device="cpu")))
    model.tie_weights()
    return model.eval()


def _check_spread(model: PreTrainedModel, checkpoint: Path) -> None:
    """Refuse a model with weights in main memory or on disk beside those on GPUs."""
    # A model on a single device has no map.
    device_map = getattr(model, "hf_device_map", {})
    devices = {str(device) for device in device_map.values()}
    if "disk" in devices or ("cpu" in devices and len(devices) > 1):
        raise InputError(
            f"{checkpoint} does not fit on {torch.cuda.device_count()} GPUs; give "
            "the job more of them (CUDA_VISIBLE_DEVICES)"
        )


def load_full(
    checkpoint: Path,
    dtype: torch.dtype,
    settings: dict[str, float],
    placement: dict[str, Any],
) -> PreTrainedModel:
    """Load a full model whose weights are those of its architecture.

    `placement` has further arguments for transformers: devices and quantisation.

    Raises:
        InputError: the model cannot be loaded; or a weight is missing, superfluous or
            of another shape.
    """
    config = read_config(checkpoint, **settings)
    try:
        model, report = AutoModelForCausalLM.from_pretrained(
            checkpoint,
            config=config,
            dtype=dtype,
            attn_implementation=pick_attention(config),
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused below, by name
            **SOURCE,
            **placement,
        )
    except UNREADABLE as error:
        raise unreadable(checkpoint, error) from error
    except RuntimeError as error:
        is_full = isinstance(error, torch.OutOfMemoryError)
        if is_full or not describe_quantisation(checkpoint):
            raise
        # Some quantised weights need a GPU.
        raise unreadable(checkpoint, error) from error
    # transformers would use random weights in place of the missing ones.
    _refuse_weights(checkpoint, "lacks the weights", report["missing_keys"])
    _refuse_weights(
        checkpoint,
        "has weights that its architecture does not know:",
        {name for name in report["unexpected_keys"] if not _BUFFERS.search(name)},
    )
    shapes = {
        f"{name} ({list(actual)} instead of {list(expected)})"
        for name, actual, expected in report["mismatched_keys"]
    }
    _refuse_weights(checkpoint, "has weights of another shape:", shapes)
    return model


def _refuse_weights(checkpoint: Path, problem: str, names: Collection[str]) -> None:
    """Refuse a checkpoint if there are weights with a problem."""
    if names:
        shown = ", ".join(sorted(names)[:_SHOWN])
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        raise InputError(
            f"{checkpoint} {problem} {shown}{more}; its config.json and its weights "
            "are not of one model, bring both here again"
        )


def check_rows(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, checkpoint: Path
) -> None:
    """Refuse a tokenizer whose ids exceed the rows of the model's embeddings.

    Padding and the placeholders of images and sounds may exceed them, because polycal
    reads text only and pads with any token: Gemma-3's smallest models have no row for
    their tokenizer's image token.

    Raises:
        InputError: there are too few rows.
    """
    layers = (model.get_input_embeddings(), model.get_output_embeddings())
    rows = min(len(layer.weight) for layer in layers)
    named = tokenizer.special_tokens_map
    unread = {named.get(name) for name in _NOT_TEXT}
    unread -= {named.get(name) for name in ("bos_token", "eos_token", "unk_token")}
    vocabulary = tokenizer.get_vocab().items()
    needed = 1 + max(index for token, index in vocabulary if token not in unread)
    if needed > rows:
        raise InputError(
            f"{checkpoint}: the tokenizer's ids need {needed} rows of the embeddings, "
            f"the model has {rows}; call its resize_token_embeddings({needed}) in "
            "transformers and save it again, or restore the tokenizer that belongs "
            "to it"
        )


def save(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path
) -> None:
    """Write a model or adapter, and its tokenizer, as `load_model` reads them."""
    with named_disk_errors(folder):
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        (folder / "README.md").unlink(missing_ok=True)  # peft's empty model card


@contextlib.contextmanager
def named_disk_errors(folder: Path) -> Iterator[None]:
    """Context manager: writers in Rust and C++ raise an OSError on a full disk, too.

    Raises:
        OSError: the folder cannot be written or the disk is full.
    """
    try:
        yield
    except Exception as error:  # they have no common error type
        stated = re.search(r"os error (\d+)", str(error))
        if not stated and not re.search(
            r"PytorchStreamWriter|unexpected pos", str(error)
        ):
            raise
        number = int(stated[1]) if stated else errno.ENOSPC
        raise OSError(number, os.strerror(number), str(folder)) from error
