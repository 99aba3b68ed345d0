"""Train the embedded study's base model from nothing and write its model card.

    python benchmarks/base.py [--steps 5000] [--study build/base] [--card-only]

`make base` runs it. The model is written to src/polycal/miniature/base, which polycal
ships. Its numbers are the workflow's own: the embedded study of --study measures the
base model and nothing else. On one machine the weights are the same to the bit.
"""

import argparse
import csv
import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
from safetensors import safe_open

from polycal.miniature.corpus import language_shares, stated_facts
from polycal.miniature.facts import load_world
from polycal.study.languages import LEVELS, load_languages
from polycal.study.layout import measured

ROOT = Path(__file__).parents[1]
BASE = ROOT / "src/polycal/miniature/base"
TASKS = {"global_mmlu": "4 options", "mmlu_prox": "4 to 10 options"}
SCORINGS = ("text", "letters")
ORDER = {level: index for index, level in enumerate(LEVELS)}
SHOWN = ("accuracy", "confidence", "ece")
CARD = """---
license: apache-2.0
language: [{codes}]
pipeline_tag: text-generation
---

# polycal-miniature-base

A Llama of {parameters:.1f} million parameters for polycal's embedded study: {width}
wide, {layers} layers, {heads} heads, {vocabulary:,} BPE tokens, tied embeddings,
bfloat16. It knows facts about currencies and official languages: by text, nearly all
that it read in languages with many resources, and fewer in the others, but for names
that are spelt as in English. It is a test object for calibration, no source of facts.

- **Text**: `polycal.miniature.corpus` makes it from Unicode CLDR (package Babel):
  statements, questions, questions with lettered options, lists of names and
  translations of names, in {n_languages} languages. English has {english:.0%} of the
  documents with facts. Of the {n_facts} facts, {n_stated} are in the text; the others
  are in none of its languages, so that SFT has something to add in English, too. Lists
  of options are random; the model is not trained to predict them.
- **Training**: {steps:,} steps of {tokens_per_step:,} tokens, {tokens:.1f} million in
  all; AdamW at 3e-3 (betas 0.9, 0.98; weight decay 0.01), 100 steps of warm-up, then
  constant, falling to 0 in the last fifth; seed 0, float32, two CPU threads. The loss
  goes from {first_loss:.2f} to {last_loss:.2f} nats per token (`pretraining.csv`).
- **Made again** by `make base`: training twice on one machine gives the same weights.
- **Licence** of the weights: Apache-2.0. Names are CLDR's (Unicode licence).

## Accuracy / mean confidence / ECE (15 bins)

Zero-shot, 100 test questions a task, by polycal's own workflow; texts by their summed
log-probability. `global_mmlu` and `mmlu_prox` are the embedded study's tasks in the
layout of these benchmarks. Chichewa's names are mostly the English ones. Chance is an
accuracy of 0.25 and 0.11; 100 questions tell an accuracy to 0.06 to 0.10.

By letters the model is at chance, and a few points more confident than that: it does
not learn to bind letters to options, although 15 % of the documents are questions that
a letter answers and 5 % list names with letters and ask for the letter of each. It
gives mostly one letter. A model of six layers did not learn it either, with 27 and 10 %
of the documents. Nor did models of four and six layers, 128 to 192 wide, that saw
nothing but lists with letters, of names, of English questions or of single words, some
among repeated words, in 300 to 1,000 steps.

{table}
"""


def write_card(folder: Path, metrics: dict[str, Path]) -> None:
    """Write README.md from the pre-training's log and the measured numbers."""
    config = json.loads((folder / "config.json").read_text())
    with (folder / "pretraining.csv").open(newline="") as handle:
        log = list(csv.DictReader(handle))
    numbers = {
        (row["language"], task, row["scoring"], row["metric"]): row["value"]
        for task, path in metrics.items()
        for row in pq.read_table(path).to_pylist()
        if row["subset"] == "all"
        and row["calibrator"] == "none"
        and row["normaliser"] == "sum"
        and row["metric"] in SHOWN
    }
    languages = load_languages()
    codes = sorted({code for code, *_ in numbers})
    header = ["language", "resources"]
    header += [f"{task}, {scoring}" for task in metrics for scoring in SCORINGS]
    lines = [header, ["---"] * len(header)]
    lines += [
        [f"{languages[code].name} ({code})", languages[code].level]
        + [
            " / ".join(f"{numbers[code, task, scoring, name]:.2f}" for name in SHOWN)
            if (code, task, scoring, SHOWN[0]) in numbers
            else ""
            for task in metrics
            for scoring in SCORINGS
        ]
        for code in sorted(codes, key=lambda code: (ORDER[languages[code].level], code))
    ]
    shares = language_shares()
    world = load_world(seed=0)
    tokens = int(log[-1]["tokens"])
    with safe_open(folder / "model.safetensors", "pt") as weights:
        parameters = sum(weights.get_tensor(name).numel() for name in weights.keys())  # noqa: SIM118
    card = CARD.format(
        codes=", ".join(f"'{code}'" for code in sorted(shares)),
        parameters=parameters / 1e6,
        width=config["hidden_size"],
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        vocabulary=config["vocab_size"],
        n_languages=len(shares),
        english=shares["en"],
        n_facts=len(world.facts),
        n_stated=len(stated_facts(world)),
        steps=int(log[-1]["step"]),
        tokens_per_step=tokens // int(log[-1]["step"]),
        tokens=tokens / 1e6,
        first_loss=float(log[0]["loss"]),
        last_loss=float(log[-1]["loss"]),
        table="\n".join("| " + " | ".join(line) + " |" for line in lines),
    )
    (folder / "README.md").write_text(card)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--study", type=Path, default=ROOT / "build/base")
    parser.add_argument("--card-only", action="store_true")
    options = parser.parse_args()
    if not options.card_only:
        steps = ["--pretrain-steps", str(options.steps)]
        folders = {"--model": BASE} | {
            f"--{part}": options.study / part
            for part in ("sft", "global-mmlu", "mmlu-prox")
        }
        subprocess.run(
            [sys.executable, "-m", "polycal", "make_miniature", *steps]
            + [str(word) for pair in folders.items() for word in pair],
            check=True,
        )
    tail = {"model": "miniature", "sft": "none", "smoothing": "0", "seed": 0}
    targets = {task: measured("metrics").format(**tail, task=task) for task in TASKS}
    snakemake = [sys.executable, "-m", "snakemake", "--cores", "all"]
    options.study.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [*snakemake, "--directory", options.study, *targets.values()],
        cwd=ROOT,
        check=True,
    )
    write_card(BASE, {task: options.study / path for task, path in targets.items()})


if __name__ == "__main__":
    main()
