"""Train on the same batches with polycal and with TRL, in turn; print the ratios.

    pip install "polycal[bench]"
    python benchmarks/tune.py [--rounds 3] [--steps 4] [--sequences 64]
        [--method full] [--smoothing 0.1] [--device cpu]

On the CPU a random-weight Llama of 39 million parameters (vocabulary 32,000), float32;
on CUDA one of 8 billion (Llama-3.1-8B's shapes, vocabulary 128,256), in bfloat16, for
which `--method lora` fits one GPU. The sequences are made-up tokens with lengths about
as Alpaca's: a prompt of 40 to 150 tokens and an answer of 40 in the middle and 512 at
most, which alone is learnt. Every step sees all of them, in micro-batches of 8, so that
both sides train on the same batch in each step, in whatever order.

The peer is TRL's `SFTTrainer` with `label_smoothing_factor` as it is, but without
gradient checkpointing, which polycal does not do either here; with `--smoothing 0` TRL
takes its fused head. Where Liger is installed on CUDA, TRL uses it. Each run is a
process of its own. Seconds are those of a step, the median over all but the first;
tokens are those that are no padding; peak memory is what training added to the model.
"Of ceiling" is the time of the needed FLOPs (six per weight and token, four per frozen
weight, the head where a token is learnt) at the measured matrix product's rate, over
the time taken. The ratios are medians over the rounds. Nothing is printed unless the
losses of all steps agree.
"""

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from loss import Meter
from transformers import LlamaConfig, LlamaForCausalLM, TrainerCallback

from polycal.study.recipe import Recipe
from polycal.tuning.examples import Example
from polycal.tuning.throughput import needed_flop
from polycal.tuning.trainer import SmoothingTrainer
from polycal.tuning.training_log import TrainingLog

MICRO_BATCH = 8
RATE = 1e-4
IDENTITY = {"model": "m", "sft": "s", "smoothing": 0.1, "seed": 0, "lr": RATE}
TOLERANCE = {"cpu": 1e-4, "cuda": 2e-2}  # nats
SHAPES = {
    "cpu": {
        "vocab_size": 32_000,
        "hidden_size": 512,
        "intermediate_size": 1408,
        "num_hidden_layers": 7,
        "num_attention_heads": 8,
        "num_key_value_heads": 8,
        "tie_word_embeddings": True,
    },
    "cuda": {
        "vocab_size": 128_256,
        "hidden_size": 4096,
        "intermediate_size": 14_336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "tie_word_embeddings": False,
    },
}


def draw_examples(n: int, vocabulary: int) -> list[Example]:
    """Random tokens of about Alpaca's lengths."""
    chance = np.random.default_rng(0)
    prompts = (40 + np.minimum(chance.lognormal(2.9, 0.6, n), 110)).astype(int)
    answers = np.clip(chance.lognormal(3.7, 1.0, n), 2, 512).astype(int)
    return [
        Example(
            index,
            chance.integers(4, vocabulary, prompt + answer).astype(np.int32),
            np.arange(prompt + answer) >= prompt,
        )
        for index, (prompt, answer) in enumerate(zip(prompts, answers, strict=True))
    ]


def make_model(device: str, method: str) -> torch.nn.Module:
    """The same weights every time; an adapter without dropout, if it is one."""
    torch.manual_seed(0)
    config = LlamaConfig(max_position_embeddings=4096, **SHAPES[device])
    dtype = torch.bfloat16 if device == "cuda" and method == "lora" else torch.float32
    with torch.device(device):
        model = LlamaForCausalLM(config).to(dtype)
    if method == "full":
        return model
    from peft import LoraConfig, get_peft_model

    adapter = LoraConfig(
        r=64, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    return get_peft_model(model, adapter)


class Clock(TrainerCallback):
    """Seconds of each step."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_step_begin(self, *_: object, **__: object) -> None:
        self.begin = time.perf_counter()

    def on_step_end(self, *_: object, **__: object) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds.append(time.perf_counter() - self.begin)


def make_polycal(
    model, examples, folder: str, case: dict, clock: Clock
) -> SmoothingTrainer:
    """polycal's trainer."""
    recipe = Recipe(
        lr=RATE,
        method=case["method"],
        max_steps=case["steps"],
        batch_size=len(examples),
        micro_batch_size=MICRO_BATCH,
        warmup_ratio=0,
    )
    return SmoothingTrainer(
        model,
        examples,
        recipe=recipe,
        smoothing=case["smoothing"],
        bfloat16=case["device"] == "cuda",
        seed=0,
        log=TrainingLog(Path(folder, "log.parquet"), IDENTITY),
        callback=clock,
        folder=Path(folder),
    )


def make_trl(model, examples, folder: str, case: dict, clock: Clock) -> object:
    """TRL's trainer, of tokenised data."""
    from datasets import Dataset
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast
    from trl import SFTConfig, SFTTrainer

    on_gpu = case["device"] == "cuda"
    config = SFTConfig(
        output_dir=folder,
        max_steps=case["steps"],
        per_device_train_batch_size=MICRO_BATCH,
        gradient_accumulation_steps=len(examples) // MICRO_BATCH,
        learning_rate=RATE,
        lr_scheduler_type="linear",
        weight_decay=0.0,
        max_grad_norm=1.0,
        optim="adamw_torch",
        label_smoothing_factor=case["smoothing"],
        completion_only_loss=True,
        max_length=None,
        gradient_checkpointing=False,
        bf16=on_gpu,
        use_cpu=not on_gpu,
        use_liger_kernel=on_gpu and bool(importlib.util.find_spec("liger_kernel")),
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=on_gpu,
    )
    rows = [
        {
            "input_ids": each.tokens.tolist(),
            "completion_mask": each.targets.astype(int).tolist(),
        }
        for each in examples
    ]
    words = Tokenizer(models.WordLevel({"<s>": 0, "</s>": 1}, unk_token="<s>"))
    return SFTTrainer(
        model,
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=PreTrainedTokenizerFast(
            tokenizer_object=words, eos_token="</s>", pad_token="</s>"
        ),
        callbacks=[clock],
    )


def measure(side: str, case: dict) -> dict:
    """One run, in this process."""
    examples = draw_examples(case["sequences"], SHAPES[case["device"]]["vocab_size"])
    tokens = sum(len(each.tokens) for each in examples)
    model, clock = make_model(case["device"], case["method"]), Clock()
    with tempfile.TemporaryDirectory() as folder:
        make = {"polycal": make_polycal, "trl": make_trl}[side]
        trainer = make(model, examples, folder, case, clock)
        with Meter(case["device"]) as meter:
            trainer.train()
    lines = (
        trainer.training_log.lines if side == "polycal" else trainer.state.log_history
    )
    return {
        "seconds": statistics.median(clock.seconds[1:]),
        "mib": meter.mib,
        "losses": [line["loss"] for line in lines if "loss" in line],
        "flops": needed_flop(model, tokens, sum(each.n_targets for each in examples)),
        "rate": measure_rate(case["device"]),
        "tokens": tokens,
    }


def measure_rate(device: str) -> float:
    """FLOP/s of a matrix product of the body's shapes; the best of ten."""
    shape = SHAPES[device]
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    sizes = ((4096, shape["hidden_size"]), (shape["hidden_size"], 4096))
    left, right = (torch.randn(size, device=device, dtype=dtype) for size in sizes)
    seconds = []
    for _ in range(10):
        with Meter(device) as meter:
            left @ right
        seconds.append(meter.seconds)
    return 2.0 * left.numel() * 4096 / min(seconds)


def measure_apart(side: str, case: dict) -> dict:
    """One run, in a process of its own."""
    command = [sys.executable, __file__, "--measure", json.dumps([side, case])]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Print the table, or make the one run that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--sequences", type=int, default=64, help="of a step")
    parser.add_argument("--method", choices=("full", "lora"), default="full")
    parser.add_argument("--smoothing", type=float, default=0.1)
    parser.add_argument("--device", default="cpu", choices=tuple(SHAPES))
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(*json.loads(options.measure))))
        return
    case = {key: value for key, value in vars(options).items() if key != "measure"}
    sides = ("polycal", "trl")
    rounds = [
        {side: measure_apart(side, case) for side in sides}
        for _ in range(case.pop("rounds"))
    ]
    worst = max(
        abs(one - other)
        for each in rounds
        for one, other in zip(*(each[side]["losses"] for side in sides), strict=True)
    )
    if not worst < TOLERANCE[options.device]:
        raise SystemExit(f"the losses differ by {worst:.1e} nats")
    print(f"{options}, {torch.get_num_threads()} threads; losses differ by {worst:.1e}")
    print("           tokens/s of ceiling  peak MiB")
    for side in sides:
        found = [each[side] for each in rounds]
        speed, share, mib = (
            statistics.median(values)
            for values in (
                [each["tokens"] / each["seconds"] for each in found],
                [each["flops"] / each["rate"] / each["seconds"] for each in found],
                [each["mib"] for each in found],
            )
        )
        print(f"{side:9s} {speed:9.0f} {100 * share:9.0f}% {mib:9.0f}")
    for key in ("seconds", "mib"):
        ratio = statistics.median(e["trl"][key] / e["polycal"][key] for e in rounds)
        print(f"TRL's {key} over polycal's: {ratio:.2f}")


if __name__ == "__main__":
    main()
