"""Load checkpoints: full models, or LoRA adapters on their base model.

Only local directories with safetensors weights are read; no code that comes with a
checkpoint is run.
"""

import os
import re
from pathlib import Path

import torch
from accelerate import init_empty_weights
from safetensors import SafetensorError
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from polycal.errors import InputError
from polycal.models.tokens import check_directory
from polycal.storage.provenance import check_content

ADAPTER = "adapter_config.json"
_ADAPTER_WEIGHTS = "adapter_model.safetensors"
_SOURCE = {"trust_remote_code": False, "local_files_only": True}
_UNREADABLE = (OSError, ValueError, SafetensorError)
_NOT_TEXT = ("pad_token", "image_token", "audio_token", "video_token")
_DTYPES = ("float32", "bfloat16", "float16")


def pick_device() -> torch.device:
    """The current CUDA device where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def pick_place() -> torch.device | None:
    """Where a model goes that is only read: None, where several GPUs may be used."""
    return None if torch.cuda.device_count() > 1 else pick_device()


def describe_device(device: torch.device) -> str:
    """The name of a GPU's model, or `cpu`: what rounding depends on."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return device.type


def pick_dtype(name: str, device: torch.device) -> torch.dtype:
    """The dtype of a name; `auto` is bfloat16 on a CUDA device, else float32.

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
    """A causal language model in evaluation mode.

    An adapter is not merged into the weights of its base model: in bfloat16 a merged
    weight would round most of a small update away.

    Args:
        checkpoint: a directory with a full model, or with a LoRA adapter.
        base: directory of the adapter's base model; not read for a full model.
        dtype: of the weights.
        device: where the weights go; None fills one GPU after the other with layers, so
            a model that fits one is not divided.
        attention_dropout: of the attention weights, when the model is set to training;
            None: what the checkpoint says.
        four_bits: whether the layers' weights are quantised to NF4, and their scales
            once more, by bitsandbytes (Dettmers et al. 2023); embeddings and head are
            not.

    Returns:
        A transformers model, or a peft model that wraps one.

    Raises:
        InputError: a directory holds no safetensors model, or a damaged one, or an
            adapter has no base; or the architecture has no attention dropout, and it
            is more than 0; or all GPUs together have too little memory.
    """
    check_directory(checkpoint)
    is_adapter = (checkpoint / ADAPTER).exists()
    if is_adapter:
        if base is None:
            raise InputError(f"{checkpoint} is an adapter; name its base model too")
        if not (checkpoint / _ADAPTER_WEIGHTS).exists():
            raise InputError(f"{checkpoint} has no {_ADAPTER_WEIGHTS}")
        check_directory(base)
        check_content(base)
    check_content(checkpoint)
    full = base if is_adapter else checkpoint
    settings = _choose_dropout(full, attention_dropout)
    place: dict[str, object] = {"device_map": "sequential"} if device is None else {}
    if four_bits:
        place = {"device_map": {"": device}, "quantization_config": _quantise(dtype)}
    model = _load_full(full, dtype, settings, place)
    for layer in model.modules() if four_bits else ():
        # Once in evaluation mode on a CPU that has it, bitsandbytes would go on with
        # a product that has no gradient, in training, too.
        if hasattr(layer, "support_avx512bf16_for_cpu"):
            layer.support_avx512bf16_for_cpu = False
    if device is None:
        _check_spread(model, full)
    if is_adapter:
        from peft import PeftModel  # takes a second to import

        try:
            model = PeftModel.from_pretrained(model, checkpoint)
        except (*_UNREADABLE, RuntimeError) as error:  # RuntimeError: another shape
            raise InputError(
                f"{checkpoint} is no adapter of {base}: {error}"
            ) from error
    placed = device is None or four_bits
    return model.eval() if placed else model.to(device).eval()


def outline_model(
    checkpoint: Path, *, dtype: torch.dtype, attention_dropout: float | None = None
) -> PreTrainedModel:
    """What `load_model` gives of a full model, on the CPU, without reading its weights.

    They are any numbers, in memory that the system provides when it is written to: for
    a process that gets its part of the weights from another one. Buffers that are in no
    file, such as the rotary embeddings' frequencies, are right. transformers' way to
    the same (`FSDP_CPU_RAM_EFFICIENT_LOADING`) leaves weights on the meta device, which
    an optimizer cannot be told apart by (huggingface/transformers issue 43749).

    Raises:
        InputError: as `load_model`, of the configuration.
    """
    config = _read_config(checkpoint, **_choose_dropout(checkpoint, attention_dropout))
    with init_empty_weights(include_buffers=False):
        model = AutoModelForCausalLM.from_config(
            config, dtype=dtype, attn_implementation=pick_attention(config)
        )
    for module in model.modules():
        for name, weight in list(module.named_parameters(recurse=False)):
            setattr(module, name, nn.Parameter(torch.empty_like(weight, device="cpu")))
    model.tie_weights()
    return model.eval()


def _choose_dropout(checkpoint: Path, wanted: float | None) -> dict[str, float]:
    """The setting of a full model's configuration, if it has one."""
    if wanted is not None and read_attention_dropout(checkpoint) is not None:
        return {"attention_dropout": wanted}
    if wanted:
        raise InputError(
            f"attention_dropout is {wanted}, but the architecture of {checkpoint} has "
            "none; set it to 0"
        )
    return {}


def _quantise(dtype: torch.dtype) -> BitsAndBytesConfig:
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def _check_spread(model: PreTrainedModel, checkpoint: Path) -> None:
    """Refuse weights that wait in main memory or on disk for their turn on a GPU."""
    # A model that has come to lie on one device has no map.
    places = {str(each) for each in getattr(model, "hf_device_map", {}).values()}
    if "disk" in places or ("cpu" in places and len(places) > 1):
        raise InputError(
            f"{checkpoint} does not fit on {torch.cuda.device_count()} GPUs; let the "
            "job see more of them (CUDA_VISIBLE_DEVICES)"
        )


def read_attention_dropout(checkpoint: Path) -> float | None:
    """The attention dropout in a full model's configuration; None if it has no such.

    Raises:
        InputError: the directory holds no readable configuration.
    """
    return getattr(_read_config(checkpoint), "attention_dropout", None)


def _read_config(checkpoint: Path, **settings: float) -> PreTrainedConfig:
    """A full model's configuration, some settings of it replaced."""
    try:
        return AutoConfig.from_pretrained(checkpoint, **_SOURCE, **settings)
    except _UNREADABLE as error:
        raise InputError(f"{checkpoint} has no readable model: {error}") from error


def _load_full(
    checkpoint: Path,
    dtype: torch.dtype,
    settings: dict[str, float],
    place: dict[str, object],
) -> PreTrainedModel:
    config = _read_config(checkpoint, **settings)
    try:
        model, loading = AutoModelForCausalLM.from_pretrained(
            checkpoint,
            config=config,
            dtype=dtype,
            attn_implementation=pick_attention(config),
            use_safetensors=True,
            output_loading_info=True,
            **_SOURCE,
            **place,
        )
    except _UNREADABLE as error:
        raise InputError(f"{checkpoint} has no readable model: {error}") from error
    if loading["missing_keys"]:  # transformers would go on with random numbers
        missing = ", ".join(sorted(loading["missing_keys"]))
        raise InputError(f"{checkpoint} lacks the weights {missing}")
    return model


def pick_attention(config: PreTrainedConfig) -> str | None:
    """The name of an attention implementation; None is transformers' default.

    PyTorch's fused attention (sdpa) has no soft cap. Before 5.21 transformers takes it
    for Gemma-2 all the same and leaves the cap out without a word. What a config.json
    asks for is not read: it can be a kernel that is not installed, or one that does
    not take the masks of scoring.
    """
    cap = getattr(config.get_text_config(), "attn_logit_softcapping", None)
    return None if cap is None else "eager"


def check_rows(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, checkpoint: Path
) -> None:
    """Refuse a tokenizer with ids that the model has no row of its embeddings for.

    Padding and the placeholders of images and sounds may lie outside, because polycal
    reads text only and pads with any token: Gemma-3's smallest models have no row for
    the image token of their tokenizer.

    Args:
        model: a causal language model, adapters included.
        tokenizer: its tokenizer.
        checkpoint: what the message names.

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
            "transformers and save it again, or put back the tokenizer that belongs "
            "to it"
        )


def save(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path
) -> None:
    """Write a model, or an adapter, and its tokenizer as `load_model` reads them.

    Raises:
        OSError: the folder cannot be written or the disk is full.
    """
    try:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        (folder / "README.md").unlink(missing_ok=True)  # peft's form, not filled in
    except Exception as error:  # the writers in Rust have no common type
        found = re.search(r"os error (\d+)", str(error))
        if not found:
            raise
        number = int(found[1])
        raise OSError(number, os.strerror(number), str(folder)) from error
