"""Make the embedded study: model, SFT set and tasks."""

from pathlib import Path

from polycal.errors import InputError
from polycal.miniature.facts import load_world
from polycal.miniature.instructions import make_instructions
from polycal.miniature.questions import make_questions
from polycal.miniature.write import (
    copy_base,
    write_global_mmlu,
    write_mmlu_prox,
    write_sft,
)
from polycal.storage.files import check_folder
from polycal.verb import verb


@verb(makes="{model}/", without_pandas=True)
def make_miniature(
    *,
    seed: int = 0,
    pretrain_steps: int | None = None,
    model: Path,
    sft: Path,
    global_mmlu: Path,
    mmlu_prox: Path,
) -> None:
    """Write the embedded study's model, SFT set and two benchmarks.

    The data are a function of `seed`. The model is the one that polycal ships, or one
    that is trained here; on one machine its files are the same to the bit.

    Args:
        seed: seed of the facts, questions, options, SFT set and initial weights.
        pretrain_steps: train a base model with this many optimiser steps; default: the
            shipped one, which knows the facts of seed 0.
        model: directory to write a Llama with its tokenizer and chat template into.
        sft: directory to write an English SFT set in Alpaca's columns into.
        global_mmlu: directory to write a benchmark in Global-MMLU's columns into.
        mmlu_prox: directory to write a benchmark in MMLU-ProX's columns into.

    Raises:
        InputError: `seed` is not 0 for the shipped model, or a folder holds files that
            polycal did not make.
        OSError: a folder cannot be written or the disk is full.
    """
    if seed and pretrain_steps is None:
        raise InputError(
            f"seed is {seed}, but the shipped base model was trained on the facts of "
            "seed 0; give pretrain_steps, too"
        )
    for folder in (model, sft, global_mmlu, mmlu_prox):
        check_folder(folder)
    world = load_world(seed=seed)
    questions = make_questions(world, seed=seed)
    write_sft(make_instructions(world, seed=seed), sft)
    write_global_mmlu(questions["global_mmlu"], world, global_mmlu)
    write_mmlu_prox(questions["mmlu_prox"], world, mmlu_prox)
    if pretrain_steps is None:
        copy_base(model)
    else:  # the shipped model needs no torch, whose import takes most of this job
        from polycal.miniature.model import write_model

        write_model(world, seed=seed, steps=pretrain_steps, out=model)
