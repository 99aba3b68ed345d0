"""Cost of one job: FLOP, seconds, bytes on disk and bytes of GPU memory.

A training that does not fit into GPU memory is a misfit, with what would fit. Every
constant that is an assumption stands at the top and is printed by `plan`.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence

from polycal.errors import InputError
from polycal.models.gpu_types import Gpu, list_gpus
from polycal.planning.data_sizes import Questions
from polycal.planning.model_sizes import Model
from polycal.planning.sizes import SizedStudy
from polycal.study import grid

# Parts of a GPU's datasheet speed that are reached: assumptions, not measured. 0.40 is
# usual for training dense models of this size; forward passes alone reach more.
TRAINING_MFU = 0.40
SCORING_MFU = 0.45
# Reached on a CPU core in float32: with it the embedded study is estimated at 0.43
# core-hours; its trainings and scorings took 0.24 on two cores.
CORE_FLOPS = 25e9
READ_SPEED = 0.4e9  # bytes/s of weights; 16 GB take 20 to 60 s
START_UP = 10.0  # seconds until the weights are asked for
SUBJECT_SIZE = 100  # questions that share their shots, about
# Of a chat template around a question; assumption: Gemma's has about 10, Qwen's 30 and
# Llama-3.1's, which names two dates, 45.
TEMPLATE_TOKENS = 40
# Of a GPU's memory that scoring needs beside the weights: CUDA's own, and the smallest
# passes; assumption.
SCORING_ROOM = 2e9

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
# logits of this many positions at a time.
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

_PER_NODE = 8  # GPUs of one machine, at most, about


def count_adapter(model: Model, recipe: Mapping) -> int:
    """Return the number of parameters of the study's LoRA adapter.

    Raises:
        InputError: `lora_target_modules` is not a pattern.
    """
    pattern = recipe["lora_target_modules"]  # matches whole names, as in peft
    try:
        shapes = [
            shape
            for name, shape in model.linear.items()
            if pattern == "all-linear"
            or re.fullmatch(pattern, f"model.layers.0.{name}")
        ]
    except re.error as error:
        raise InputError(f"lora_target_modules {pattern!r}: {error}") from None
    return model.layers * recipe["lora_rank"] * sum(sum(shape) for shape in shapes)


def training_flop(
    model: Model, recipe: Mapping, examples: float, tokens: float
) -> float:
    """Return the operations of one training and its validation.

    6 per parameter and token where all are trained. Under an adapter the base model's
    weights have no gradients: 4, and 6 per parameter of the adapter. Gradient
    checkpointing adds 2. Attention's own products are left out, and logits are counted
    at every token. Held-out examples count, too; `tokens` is the mean of an example.
    """
    length = min(tokens, recipe["max_length"])
    validated = recipe["validation_fraction"] * examples
    trained = recipe["epochs"] * (examples - validated)
    if recipe["max_steps"]:
        trained = recipe["max_steps"] * recipe["batch_size"]
    base = model.body + model.head
    per_token, adapter = 6 * base, 0
    if recipe["method"] == "lora":
        adapter = count_adapter(model, recipe)
        per_token = 4 * base + 6 * adapter
    if recipe["gradient_checkpointing"]:
        per_token += 2 * (model.body + adapter)
    return length * (trained * per_token + validated * 2 * (base + adapter))


def scoring_flop(
    model: Model, questions: Questions, scorings: Sequence[str], task: Mapping
) -> float:
    """Return the operations of scoring one language.

    2 per parameter and needed token: the context once, of every option all tokens but
    the last, and shots once for all questions of a subject.
    """
    total, shots = 0.0, task["shots"]
    template = TEMPLATE_TOKENS if task["prompt"] == "chat" else 0
    for scoring in scorings:
        if scoring == "letters":
            context, shot = questions.letters_tokens, questions.letters_tokens + 1
            branches, scored = 0.0, 1.0
        else:
            context = questions.text_tokens
            shot = context + questions.option_tokens / questions.options
            branches = max(questions.option_tokens - questions.options, 0)
            scored = branches + 1
        needed = shots * shot / SUBJECT_SIZE + template + context + branches
        total += 2 * (model.body * needed + model.head * scored)
    return questions.number * total


def job_seconds(
    moved_bytes: float, flop: float | None, gpu: Gpu | None, mfu: float, gpus: int = 1
) -> tuple[float, float | None]:
    """Return the seconds of overhead of a job, and of the whole job.

    Args:
        moved_bytes: of weights that are read and written, while all GPUs wait.
        flop: operations that the job's GPUs share; None if unknown.
        gpu: the type of GPU; None: the job has one CPU core.
        mfu: part of the GPU's speed that is reached.
        gpus: how many of them share the operations.
    """
    overhead = START_UP + moved_bytes / READ_SPEED
    speed = gpu.flops * mfu * gpus if gpu else CORE_FLOPS
    return overhead, None if flop is None else overhead + flop / speed


def checkpoint_bytes(model: Model, recipe: Mapping, *, on_gpu: bool) -> float:
    """Return the disk space of one candidate; a run links to its candidate's files."""
    if recipe["method"] == "lora":
        return 4 * count_adapter(model, recipe) + TOKENIZER_BYTES
    return weight_bytes(recipe["dtype"], on_gpu) * model.parameters + TOKENIZER_BYTES


def weight_bytes(dtype: str, on_gpu: bool) -> int:
    """Return the bytes of one weight in the dtype of the arithmetic."""
    if dtype == "auto":
        return 2 if on_gpu else 4
    return 4 if dtype == "float32" else 2


def fixed_memory(model: Model, recipe: Mapping) -> float:
    """Return the bytes of GPU memory that a training needs whatever its micro-batch."""
    copied = 0 if recipe["dtype"] == "float32" else COPIED_BYTES
    if recipe["method"] == "full":
        return (TRAINED_BYTES + copied) * model.parameters
    frozen = 4 if recipe["dtype"] == "float32" else FROZEN_BYTES
    weights = frozen * model.parameters
    if recipe["load_in_4bit"]:
        weights -= (frozen - QUANTISED_BYTES) * model.body
    return weights + (TRAINED_BYTES + copied) * count_adapter(model, recipe)


def activation_memory(model: Model, recipe: Mapping) -> dict[str, float]:
    """Return the bytes of GPU memory of a micro-batch of sequences of full length.

    A model with a soft cap is trained with eager attention, which keeps every weight of
    every head. Gradient checkpointing keeps one layer at a time. Every token is counted
    as a target, which is the most that there can be.

    Returns:
        What takes the memory -> bytes.
    """
    length = recipe["max_length"]
    tokens = recipe["micro_batch_size"] * length
    kept_layers = 1 if recipe["gradient_checkpointing"] else model.layers
    activations = ACTIVATION_BYTES * tokens * model.hidden * kept_layers
    if recipe["gradient_checkpointing"]:
        activations += INPUT_BYTES * tokens * model.hidden * model.layers
    logit_bytes = CAPPED_LOGIT_BYTES if model.soft_cap else LOGIT_BYTES
    logits = logit_bytes * min(tokens, LOGIT_POSITIONS) * model.vocabulary
    parts = {"activations": activations, "logits": logits}
    if model.soft_cap:
        weights = tokens * length * model.heads * kept_layers
        parts["eager attention"] = WEIGHT_BYTES * weights
    return parts


def training_memory(model: Model, recipe: Mapping, gpus: int) -> float:
    """Return the bytes of memory that a training needs on each of its GPUs.

    Weights, gradients and AdamW's moments are sharded; every GPU has a micro-batch.
    """
    activations = sum(activation_memory(model, recipe).values())
    return fixed_memory(model, recipe) / gpus + activations


def find_misfits(study: SizedStudy) -> Iterator[str]:
    """Yield a warning per model that does not, or may not, fit when it is trained."""
    recipe = study.config["recipe"]
    for entry in study.config["models"] if study.sft else ():
        name, gpus = entry["name"], grid.count_gpus(entry)
        model, gpu = study.models[name], study.gpu_of(name)
        if model and gpu and training_memory(model, recipe, gpus) > gpu.memory:
            fixed = fixed_memory(model, recipe) / gpus
            parts = activation_memory(model, recipe)
            spelt = ", ".join(f"{n / 1e9:.0f} of {part}" for part, n in parts.items())
            yield (
                f"WARNING: {name} {'does' if fixed > gpu.memory else 'may'} not fit on "
                f"{'one' if gpus == 1 else gpus} {gpu.name}: training it takes "
                f"{fixed / 1e9:.0f} GB for weights, gradients and AdamW, and up to "
                f"about {sum(parts.values()) / 1e9:.0f} GB for a micro-batch of "
                f"{recipe['micro_batch_size']} x {recipe['max_length']} tokens "
                f"({spelt}); the GPU has {gpu.memory / 1e9:.0f} GB. What would fit: "
                f"{', '.join(_list_remedies(model, recipe, gpu, gpus))}."
            )


def _list_remedies(model: Model, recipe: Mapping, gpu: Gpu, gpus: int) -> Iterator[str]:
    smaller = {"micro_batch_size": 1, "gradient_checkpointing": True, "method": "lora"}
    for key, value in smaller.items():
        changed = {**recipe, key: value}
        if recipe[key] != value and training_memory(model, changed, gpus) <= gpu.memory:
            yield f"{key}: {str(value).lower()}"
    needed = training_memory(model, recipe, gpus)
    larger = [other for other in list_gpus().values() if other.memory >= needed]
    if larger:
        smallest = min(larger, key=lambda other: other.memory)
        yield f"a GPU like {smallest.name} ({smallest.memory / 1e9:.0f} GB)"
    micro_batches = recipe["batch_size"] // recipe["micro_batch_size"]
    numbers = (n for n in (gpus * 2**k for k in range(1, 7)) if micro_batches % n == 0)
    fitting = (n for n in numbers if training_memory(model, recipe, n) <= gpu.memory)
    if more := next(fitting, 0):
        nodes = more // _PER_NODE
        yield f"gpus: {_PER_NODE} on nodes: {nodes}" if nodes > 1 else f"gpus: {more}"
    yield "a smaller model"


def find_unscorable(study: SizedStudy) -> Iterator[str]:
    """Yield a warning per model with a checkpoint that does not fit on a job's GPUs.

    The warning is about the largest; quantised weights, whose size is not known, are
    left out.
    """
    width = weight_bytes(study.config["scoring_dtype"], on_gpu=True)
    for entry in study.config["models"]:
        # A job holds the GPUs of one node, and fills one after the other.
        gpu, gpus = study.gpu_of(entry["name"]), entry["gpus"]
        runs = [r for r in grid.expand_runs(study.config) if r.model == entry["name"]]
        sizes = {run: study.size_of(run) for run in runs}
        needs = {
            run: width * size.parameters + SCORING_ROOM
            for run, size in sizes.items()
            if size and not size.quantised
        }
        run = max(needs, key=lambda one: needs[one], default=None)
        if not gpu or run is None or needs[run] <= gpus * gpu.memory:
            continue
        remedies = ["scoring_dtype: bfloat16"] * (width == 4)
        remedies += [f"gpus: {math.ceil(needs[run] / gpu.memory)}", "a smaller model"]
        name = run.model if run.sft == grid.BASE else f"{run.model}, {run.sft},"
        yield (
            f"WARNING: {name} does not fit on {'one' if gpus == 1 else gpus} "
            f"{gpu.name}: scoring it takes {needs[run] / 1e9:.0f} GB, of which "
            f"{SCORING_ROOM / 1e9:.0f} are not weights; the GPU has "
            f"{gpu.memory / 1e9:.0f} GB. What would fit: {', '.join(remedies)}."
        )
