"""What one job costs: operations, seconds, bytes on disk and bytes of GPU memory.

Every constant that is an assumption stands at the top and is printed by `plan`.
"""

import re
from collections.abc import Mapping, Sequence

from polycal.errors import InputError
from polycal.models.gpu_types import Gpu
from polycal.planning.model_sizes import Model
from polycal.planning.sizes import Questions, SftSet

# Parts of a GPU's datasheet speed that are reached: assumptions, not measured. 0.40 is
# usual for training dense models of this size; forward passes alone reach more.
TRAINING_MFU = 0.40
SCORING_MFU = 0.45
# Reached on a CPU core in float32: with it the embedded study is estimated at 0.25
# core-hours; its trainings and scorings took 0.20 on two cores.
CORE_FLOPS = 25e9
READ_SPEED = 0.4e9  # bytes/s of weights; 16 GB take 20 to 60 s
START_UP = 10.0  # seconds until the weights are asked for
SUBJECT_SIZE = 100  # questions that share their shots, about

# Bytes per parameter that is trained on one GPU: float32 weights, gradients and AdamW's
# two moments, and the bfloat16 copies that autocast keeps for the backward pass.
TRAINED_BYTES = 4 + 4 + 8
COPIED_BYTES = 2
FROZEN_BYTES = 2  # of a base model in bfloat16
# The same in 4 bits: NF4, and scales that are quantised once more take 0.127 bits
# (Dettmers et al. 2023, section 3). Embeddings and head keep bfloat16.
QUANTISED_BYTES = (4 + 0.127) / 8
# Bytes of activations per token, layer and unit of width that a backward pass keeps
# when attention is recomputed (Korthikanti et al. 2022, arXiv 2205.05198).
ACTIVATION_BYTES = 34
# The same of a layer that is computed again: its input in bfloat16.
INPUT_BYTES = 2
# Of a logit while the loss holds it: bfloat16 and float32 (`benchmarks/loss.py --dtype
# bfloat16` measures 6.0), and once more in float32 under a soft cap. The loss holds the
# logits of so many positions at a time.
LOGIT_BYTES, CAPPED_LOGIT_BYTES = 6, 10
LOGIT_POSITIONS = 256
# Measured, about, of a weight of eager attention: the capped score, the softmax in
# float32 and in bfloat16, dropout's mask.
WEIGHT_BYTES = 10

# Measured on tables with the numbers of rows of the real benchmarks: 31 bytes for 4
# options, 61 for 9.5; the store keeps the same once more.
PREDICTION_BYTES = 2 * 7.5  # per option of a question under one scoring
EXAMPLE_BYTES = 4 + 1 / 8  # per token of a tokenised set: its id, and one bit
PREPARED_BYTES = 0.5  # of a prepared table, per byte of text; assumption
TOKENIZER_BYTES = 20e6  # that a checkpoint holds beside its weights; assumption


def count_adapter(model: Model, recipe: Mapping) -> int:
    """Parameters of the study's LoRA adapter.

    Raises:
        InputError: `lora_target_modules` is not a pattern.
    """
    wanted = recipe["lora_target_modules"]  # a pattern for whole names, as in peft
    try:
        shapes = [
            shape
            for name, shape in model.linear.items()
            if wanted == "all-linear" or re.fullmatch(wanted, f"model.layers.0.{name}")
        ]
    except re.error as error:
        raise InputError(f"lora_target_modules {wanted!r}: {error}") from None
    return model.layers * recipe["lora_rank"] * sum(sum(shape) for shape in shapes)


def count_examples(entry: Mapping, size: SftSet | None) -> float | None:
    """Conversations of an SFT set under the study's cap; None if nobody knows."""
    cap = entry["max_examples"]
    if size is None:
        return cap
    return min(size.rows, cap) if cap else size.rows


def training_flop(
    model: Model, recipe: Mapping, examples: float, tokens: float
) -> float:
    """Operations of one training and its validation.

    6 per parameter and token where all are trained. Under an adapter the base model's
    weights have no gradients: 4, and 6 per parameter of the adapter. Layers that are
    computed again cost 2 more. Attention's own products are left out, and logits are
    counted at every token.

    Args:
        model: its sizes.
        recipe: the study's.
        examples: conversations, held-out ones included.
        tokens: of a conversation, mean.
    """
    length = min(tokens, recipe["max_length"])
    held = recipe["validation_fraction"] * examples
    seen = recipe["epochs"] * (examples - held)
    if recipe["max_steps"]:
        seen = recipe["max_steps"] * recipe["batch_size"]
    used = model.body + model.head
    per_token, adapter = 6 * used, 0
    if recipe["method"] == "lora":
        adapter = count_adapter(model, recipe)
        per_token = 4 * used + 6 * adapter
    if recipe["gradient_checkpointing"]:
        per_token += 2 * (model.body + adapter)
    return length * (seen * per_token + held * 2 * (used + adapter))


def scoring_flop(
    model: Model, questions: Questions, scorings: Sequence[str], shots: int
) -> float:
    """Operations of scoring one language.

    2 per parameter and needed token: the context once, and of every option all tokens
    but the last, and shots once for all questions of a subject.
    """
    total = 0.0
    for scoring in scorings:
        if scoring == "letters":
            context, shot = questions.letters_tokens, questions.letters_tokens + 1
            branches, scored = 0.0, 1.0
        else:
            context = questions.text_tokens
            shot = context + questions.option_tokens / questions.options
            branches = max(questions.option_tokens - questions.options, 0)
            scored = branches + 1
        needed = shots * shot / SUBJECT_SIZE + context + branches
        total += 2 * (model.body * needed + model.head * scored)
    return questions.number * total


def seconds(flop: float, gpu: Gpu | None, mfu: float) -> float:
    """Time of so many operations on a GPU, or on one CPU core."""
    return flop / (gpu.flops * mfu if gpu else CORE_FLOPS)


def loading_seconds(size: float) -> float:
    """Time until a job has started and read so many bytes of weights."""
    return START_UP + size / READ_SPEED


def checkpoint_bytes(model: Model, recipe: Mapping, *, on_gpu: bool) -> float:
    """Disk space of one candidate; a run's files are links to its candidate's."""
    if recipe["method"] == "lora":
        return 4 * count_adapter(model, recipe) + TOKENIZER_BYTES
    return weight_bytes(recipe["dtype"], on_gpu) * model.parameters + TOKENIZER_BYTES


def weight_bytes(dtype: str, on_gpu: bool) -> int:
    """Bytes of one weight in the dtype of the arithmetic."""
    picked = ("bfloat16" if on_gpu else "float32") if dtype == "auto" else dtype
    return 4 if picked == "float32" else 2


def fixed_memory(model: Model, recipe: Mapping) -> float:
    """Bytes of GPU memory that a training needs whatever its micro-batch."""
    copied = 0 if recipe["dtype"] == "float32" else COPIED_BYTES
    if recipe["method"] == "lora":
        frozen = 4 if recipe["dtype"] == "float32" else FROZEN_BYTES
        adapter = count_adapter(model, recipe)
        weights = frozen * model.parameters
        if recipe["load_in_4bit"]:
            weights -= (frozen - QUANTISED_BYTES) * model.body
        return weights + (TRAINED_BYTES + copied) * adapter
    return (TRAINED_BYTES + copied) * model.parameters


def activation_memory(model: Model, recipe: Mapping) -> dict[str, float]:
    """Bytes of GPU memory of a micro-batch in which every sequence has full length.

    A model with a soft cap is trained with eager attention, which keeps every weight of
    every head. With gradient checkpointing that is so for one layer at a time. Logits
    are those of all tokens: there are no more targets than that.

    Returns:
        What takes them -> bytes.
    """
    length = recipe["max_length"]
    tokens = recipe["micro_batch_size"] * length
    kept = 1 if recipe["gradient_checkpointing"] else model.layers
    activations = ACTIVATION_BYTES * tokens * model.hidden * kept
    if recipe["gradient_checkpointing"]:
        activations += INPUT_BYTES * tokens * model.hidden * model.layers
    parts = {
        "activations": activations,
        "logits": (CAPPED_LOGIT_BYTES if model.soft_cap else LOGIT_BYTES)
        * min(tokens, LOGIT_POSITIONS)
        * model.vocabulary,
    }
    if model.soft_cap:
        weights = tokens * length * model.heads * kept
        parts["eager attention"] = WEIGHT_BYTES * weights
    return parts
