"""Time work of two threads under settings of OpenMP, alone and beside a busy neighbour.

    python benchmarks/threads.py [--steps 30] [--rounds 3]

Pre-training steps of the embedded study's model and the scoring of its questions, in a
process of their own for each setting, with two threads. The neighbour is two processes
that count as fast as they can. Printed are tokens a second, medians over the rounds,
and their ratios to libgomp's default, the peer. Settings take turns in each round.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time

from polycal import environment

SETTINGS = {
    "unset": {},
    "spin 50,000": {"GOMP_SPINCOUNT": "50000"},
    "spin 10,000": {"GOMP_SPINCOUNT": "10000"},
    "spin 1,000": {"GOMP_SPINCOUNT": "1000"},
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
}
SPIN = "while True: pass"


def train(steps: int) -> float:
    """Tokens a second of pre-training, the first steps left out."""
    from polycal.miniature.facts import load_world
    from polycal.miniature.model import pretrain, train_tokenizer

    world = load_world(seed=0)
    tokenizer = train_tokenizer(world, seed=0)
    pretrain(tokenizer, world, seed=0, steps=2)
    begin = time.perf_counter()
    pretrain(tokenizer, world, seed=0, steps=steps)
    return 8 * 256 * steps / (time.perf_counter() - begin)


def score(steps: int) -> float:
    """Tokens a second of scoring, as many questions as pre-training has rows."""
    import torch

    from polycal.miniature.facts import load_world
    from polycal.miniature.model import build_model, train_tokenizer
    from polycal.scoring.engine import Engine
    from polycal.study.prompts import build_prompt

    torch.set_num_threads(2)
    world = load_world(seed=0)
    tokenizer = train_tokenizer(world, seed=0)
    engine = Engine(build_model(tokenizer).eval(), tokenizer)
    texts = [world.ask(fact, "en") for fact in world.facts]
    asked = (texts * (1 + 16 * steps // len(texts)))[: 16 * steps]
    options = ["Paris", "London", "Rome", "Berlin"]
    prompts = [build_prompt("letters", each, options, "Answer:") for each in asked]
    tokens = engine.tokenize(prompts)
    engine.score_tokens(engine.tokenize(prompts[:16]))
    begin = time.perf_counter()
    engine.score_tokens(tokens)
    return sum(map(len, tokens.contexts)) / (time.perf_counter() - begin)


def run_apart(work: str, settings: dict[str, str], steps: int) -> float:
    """One measurement in a process of its own."""
    clean = {k: v for k, v in os.environ.items() if k != "GOMP_SPINCOUNT"}
    clean |= environment.ON_A_CPU
    command = [sys.executable, __file__, "--work", work, "--steps", str(steps)]
    done = subprocess.run(
        command, env=clean | settings, check=True, capture_output=True, text=True
    )
    return float(done.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", choices=("train", "score"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        print({"train": train, "score": score}[options.work](options.steps))
        return
    print(f"{'work':8}{'setting':14}{'quiet':>8}{'ratio':>7}{'busy':>8}{'ratio':>7}")
    for work in ("train", "score"):
        found = {name: ([], []) for name in SETTINGS}
        for busy in (False, True):
            for _ in range(options.rounds):
                for name, settings in SETTINGS.items():
                    spinning = [
                        subprocess.Popen([sys.executable, "-c", SPIN])
                        for _ in range(2 * busy)
                    ]
                    try:
                        speed = run_apart(work, settings, options.steps)
                    finally:
                        for process in spinning:
                            process.kill()
                            process.wait()
                    found[name][busy].append(speed)
        first = [statistics.median(each) for each in found["unset"]]
        for name, speeds in found.items():
            quiet, busy = map(statistics.median, speeds)
            print(
                f"{work:8}{name:14}{quiet:8.0f}{quiet / first[0]:7.2f}"
                f"{busy:8.0f}{busy / first[1]:7.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
