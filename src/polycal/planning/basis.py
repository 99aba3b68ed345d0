"""What the numbers of a plan rest on: assumptions, measurements and tables."""

from collections.abc import Mapping, Sequence

from polycal.models.gpu_types import Gpu
from polycal.planning import costs
from polycal.planning.jobs import Job
from polycal.planning.sizes import BYTES_PER_TOKEN


def list_facts(study: Mapping, jobs: Sequence[Job], gpu: Gpu) -> list[str]:
    """What a plan's numbers are made of, as whole sentences.

    Args:
        study: a complete study.
        jobs: its trainings and scoring jobs.
        gpu: what they run on, those that use one.
    """
    facts = []
    if any(job.on_gpu for job in jobs):
        facts.append(
            f"{gpu.name}: {gpu.flops / 1e12:,.0f} TFLOP/s in bfloat16 by its "
            f"datasheet. Assumed, not measured: training reaches "
            f"{costs.TRAINING_MFU:.2f} of it (usual for dense models of this size), "
            f"scoring {costs.SCORING_MFU:.2f} (forward passes only)."
        )
    if not all(job.on_gpu for job in jobs):
        facts.append(
            f"CPU: a job has one core, which is taken to reach "
            f"{costs.CORE_FLOPS / 1e9:.0f} GFLOP/s."
        )
    trained = "6 FLOP per parameter and token"
    if study["recipe"]["method"] == "lora":
        trained = "4 FLOP per parameter and token, and 6 per parameter of the adapter"
    if study["sft"] and any(job.on_gpu for job in jobs):
        per_parameter = costs.TRAINED_BYTES + costs.COPIED_BYTES
        facts.append(
            f"GPU memory of a training: {per_parameter} bytes per parameter that is "
            f"trained; in a micro-batch {costs.ACTIVATION_BYTES} per token, layer and "
            f"unit of width, {costs.LOGIT_BYTES} per logit of the "
            f"{costs.LOGIT_POSITIONS} positions that the loss holds at a time, and "
            f"{costs.WEIGHT_BYTES} per attention weight where a soft cap asks for "
            "eager attention (Gemma-2)."
        )
    facts += [
        f"Training: {trained}; padding and attention's products are left out. Tokens "
        f"of a conversation: sft_sizes.csv; {BYTES_PER_TOKEN} bytes each in a prepared "
        "table; exact where a set is tokenised.",
        "Scoring: 2 FLOP per parameter and needed token, the context once, each option "
        f"once, shots once for {costs.SUBJECT_SIZE} questions. Questions: of a "
        "prepared table, else benchmark_sizes.csv. Tokens of a question: "
        "benchmark_sizes.csv, times the language's factor of fertility.csv (measured "
        "on the Universal Declaration of Human Rights: too high where a question is "
        f"formulas or names), or {BYTES_PER_TOKEN} bytes each in a prepared table of "
        "another benchmark.",
        f"Every job takes {costs.START_UP:.0f} s to start, and reads or writes weights "
        f"at {costs.READ_SPEED / 1e9:.1f} GB/s (assumed).",
        f"Disk: {costs.PREDICTION_BYTES:.0f} bytes per option in predictions and store "
        f"(measured), {costs.EXAMPLE_BYTES:.1f} per token of a tokenised set.",
        "A job is done when its timing is there; after a change of the recipe, "
        "`snakemake -n` tells what is made again. The tables lie in src/polycal/data/.",
    ]
    return facts
