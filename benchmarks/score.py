"""Score the same questions with polycal and with lm_eval, in turn; print the ratios.

    python benchmarks/score.py [--questions 64] [--rounds 5] [--shots 0 5] [--device D]

A random-weight Llama with the embedded study's tokenizer, float32. Both sides get the
same prompts and are timed from text to log-likelihoods, tokenisation included and
loading excluded. A line is printed only after all options agree to 1e-3 nats and all
answers are equal. The ratio is the median over rounds of lm_eval's time over
polycal's; "of ceiling" is the time that the needed FLOPs (every context token once,
every scored position through the head once) would take at the measured matrix
product's rate, over polycal's time. The answered questions before a question (shots)
are those of its subject.
"""

import argparse
import itertools
import logging
import random
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from polycal.engine import Engine
from polycal.miniature.corpus import draw_documents
from polycal.miniature.facts import load_world, written_languages
from polycal.miniature.model import train_tokenizer
from polycal.prompts import SCORINGS, Prompt, build_prompt

OPTIONS = (4, 10)
SUBJECT = 32  # questions that have the same shots; Global-MMLU has 246 on average
TOLERANCE = 1e-3  # nats per option, float32 sums over some 20 tokens


def make_prompts(scoring: str, n_options: int, shots: int, n: int) -> list[Prompt]:
    """Questions of about the benchmarks' length, in all languages."""
    world = load_world(seed=0)
    documents = draw_documents(world, seed=0)
    chance = random.Random(0)
    codes = list(written_languages())

    def words(count: int) -> str:
        text = " ".join(itertools.islice(documents, count))
        return " ".join(text.split())

    def option() -> str:
        language = chance.choice(codes)
        names = [each[language] for each in world.names.values()]
        return ", ".join(chance.sample(names, chance.randint(2, 5)))

    def prompt() -> Prompt:
        options = [option() for _ in range(n_options)]
        return build_prompt(scoring, words(chance.randint(2, 5)), options, "Answer:")

    prompts = []
    for _ in range(0, n, SUBJECT):
        answered = [prompt() for _ in range(shots)]
        shared = "".join(f"{p.context}{p.continuations[0]}\n\n" for p in answered)
        prompts += [
            Prompt(shared + each.context, each.continuations, shared)
            for each in (prompt() for _ in range(SUBJECT))
        ]
    return prompts[:n]


def make_model(vocabulary: int, device: str) -> LlamaForCausalLM:
    """About 23 million parameters below the head."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=512,
        intermediate_size=1408,
        num_hidden_layers=7,
        num_attention_heads=8,
        num_key_value_heads=8,
        max_position_embeddings=4096,
    )
    return LlamaForCausalLM(config).to(device).eval()


def ask_lm_eval(harness: HFLM, prompts: Sequence[Prompt]) -> list[np.ndarray]:
    """Log-likelihoods of all options by the harness."""
    requests = [
        Instance("loglikelihood", {}, (prompt.context, each), index)
        for prompt in prompts
        for index, each in enumerate(prompt.continuations)
    ]
    found = iter(harness.loglikelihood(requests, disable_tqdm=True))
    return [np.array([next(found)[0] for _ in p.continuations]) for p in prompts]


def count_flops(
    prompts: Sequence[Prompt], model: LlamaForCausalLM, tokens: Callable[[str], list]
) -> float:
    """What has to be computed, attention scores left out; what is shared, once."""
    body = sum(weight.numel() for weight in model.model.layers.parameters())
    shared = {each.shared: len(tokens(each.shared)) for each in prompts if each.shared}
    read = sum(shared.values())
    scored = 0
    for prompt in prompts:
        context = len(tokens(prompt.context))
        lengths = [
            len(tokens(prompt.context + each)) - context
            for each in prompt.continuations
        ]
        branches = sum(length - 1 for length in lengths)
        read += context - shared.get(prompt.shared, 0) + branches
        scored += 1 + branches
    return 2.0 * (read * body + scored * model.lm_head.weight.numel())


def measure_ceiling(device: str) -> float:
    """FLOP/s of a float32 matrix product of the body's shapes; the best of ten."""
    left, right = (
        torch.randn(shape, device=device) for shape in ((4096, 512), (512, 1408))
    )
    best = min(timed(lambda: left @ right, device)[0] for _ in range(10))
    return 2.0 * left.numel() * right.shape[1] / best


def timed(run: Callable[[], object], device: str) -> tuple[float, object]:
    """Seconds, and what the call returned."""
    begin = time.perf_counter()
    result = run()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begin, result


def compare(
    prompts: Sequence[Prompt],
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerBase,
    *,
    rounds: int,
    batch_size: int,
    device: str,
) -> str:
    """One line of the table.

    Raises:
        SystemExit: the two do not agree.
    """
    engine = Engine(model, tokenizer)
    harness = HFLM(
        pretrained=model,
        tokenizer=tokenizer,
        batch_size=batch_size,
        softmax_dtype=torch.float32,
    )
    ours, theirs, ceilings = [], [], []
    for _ in range(rounds):
        ceilings.append(measure_ceiling(device))
        seconds, scored = timed(lambda: engine.score(prompts), device)
        ours.append(seconds)
        seconds, expected = timed(lambda: ask_lm_eval(harness, prompts), device)
        theirs.append(seconds)
    found = [each.logprobs for each in scored]
    pairs = list(zip(found, expected, strict=True))
    worst = max(abs(one - other).max() for one, other in pairs)
    same = all(one.argmax() == other.argmax() for one, other in pairs)
    if worst > TOLERANCE or not same:
        raise SystemExit(f"the two differ by {worst:.1e} nats; same answers: {same}")
    ratio = statistics.median(
        peer / own for own, peer in zip(ours, theirs, strict=True)
    )
    own = statistics.median(ours)
    flops = count_flops(prompts, model, lambda text: tokenizer(text)["input_ids"])
    share = flops / statistics.median(ceilings) / own
    return (
        f"{len(prompts) / own:11.1f} {len(prompts) / statistics.median(theirs):11.1f} "
        f"{ratio:6.2f} {100 * share:10.0f}% {worst:10.1e}"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--questions", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shots", type=int, nargs="+", default=[0, 5])
    parser.add_argument("--batch-size", type=int, default=8, help="of lm_eval")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    options = parser.parse_args()
    logging.getLogger("lm_eval").setLevel(logging.ERROR)  # that it got a model object
    tokenizer = train_tokenizer(load_world(seed=0), seed=0)
    model = make_model(len(tokenizer), options.device)
    print(f"{options.device}, {torch.get_num_threads()} threads, {options}")
    print("options scoring shots polycal q/s lm_eval q/s  ratio of ceiling difference")
    for shots, n_options, scoring in itertools.product(
        options.shots, OPTIONS, SCORINGS
    ):
        line = compare(
            make_prompts(scoring, n_options, shots, options.questions),
            model,
            tokenizer,
            rounds=options.rounds,
            batch_size=options.batch_size,
            device=options.device,
        )
        print(f"{n_options:7d} {scoring:8s}{shots:5d} {line}", flush=True)


if __name__ == "__main__":
    main()
