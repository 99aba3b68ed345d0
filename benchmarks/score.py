"""Score the same questions with polycal and its peers, in turn; print the ratios.

    python benchmarks/score.py [--questions 246] [--subjects 4] [--sample 32]
                               [--rounds 3] [--shots 0 5] [--size 23m | 50m | 8b]
                               [--device cpu | cuda]

A random-weight Llama with the embedded study's tokenizer: 23 or 50 million parameters
below the head in float32, or the shape of Llama-3.1-8B in bfloat16 (for a GPU). The
peers are lm_eval's hf backend and, where vLLM is installed, its vllm backend. All get
the same prompts and are timed from text to log-likelihoods, tokenisation included and
loading excluded.

Lengths are drawn as those of MMLU (4 options) and MMLU-Pro (10): of subjects that are
spread evenly over the benchmark's questions in the order of length (`subjects.py`).
Each has as many questions as MMLU's have on average, and shots of its own lengths.
polycal scores them all, or 96 where there are no shots to share. The peers have no use
for what questions share, so a sample is enough for them: blocks of neighbours in
length, as they would batch them among all. Their time is scaled by the tokens of their
requests.

In float32 a line is printed only after all sampled options agree to 1e-3 nats and all
answers are equal. "Ratio" is the median over rounds of the peer's time over polycal's.
"Ceiling" is the time that the needed FLOPs would take at the rate of PyTorch's matrix
product, measured in the same round, over polycal's time. Needed is each context token
once, each shared token once a subject, attention over what a token sees, and in the
last layer and the head what is scored. All run with the settings of
`polycal.environment`.
"""

import argparse
import functools
import itertools
import logging
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from peers import Lengths, Peer, ask, count_tokens, list_peers
from subjects import BENCHMARKS, write_subjects
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from polycal import environment
from polycal.miniature.facts import load_world
from polycal.miniature.model import train_tokenizer
from polycal.scoring.engine import Engine
from polycal.study.prompts import Prompt
from polycal.study.scorings import SCORINGS

UNSHARED = 96  # questions without shots: enough for the passes to be full
TOLERANCE = 1e-3  # nats per option, float32 sums over some 20 tokens
SIZES = {
    "23m": {"hidden_size": 512, "intermediate_size": 1408, "num_hidden_layers": 7},
    "50m": {"hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 7},
    "8b": {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32},
}
HEADS = {
    "23m": {"num_attention_heads": 8, "num_key_value_heads": 8},
    "50m": {"num_attention_heads": 12, "num_key_value_heads": 12},
    "8b": {"num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256},
}


def make_model(size: str, vocabulary: int, device: str) -> LlamaForCausalLM:
    """Random weights: what they are does not change the time."""
    torch.manual_seed(0)
    settings = {"vocab_size": vocabulary} | SIZES[size] | HEADS[size]
    config = LlamaConfig(max_position_embeddings=8192, **settings)
    dtype = torch.bfloat16 if size == "8b" else torch.float32
    with torch.device(device):
        return LlamaForCausalLM(config).to(dtype).eval()


def pick_sample(lengths: Lengths, n: int, block: int) -> list[int]:
    """Indices of some prompts: blocks of neighbours in length, evenly spread."""
    order = sorted(range(len(lengths.contexts)), key=lengths.read_by_hf)
    blocks = [order[start : start + block] for start in range(0, len(order), block)]
    n_blocks = max(1, min(n // block, len(blocks)))
    step = len(blocks) / n_blocks
    return [i for b in range(n_blocks) for i in blocks[int((b + 0.5) * step)]]


def count_flops(lengths: Lengths, model: LlamaForCausalLM) -> float:
    """What has to be computed: see above; norms and the softmax left out."""
    config = model.config
    layers, hidden = config.num_hidden_layers, config.hidden_size
    layer = model.model.layers[-1]
    whole = sum(weight.numel() for weight in layer.parameters())
    narrow = sum(
        weight.numel()
        for module in (layer.mlp, layer.self_attn.o_proj, layer.self_attn.q_proj)
        for weight in module.parameters()
    )
    read, scored = sum(lengths.blocks), 0
    # Keys, summed over queries.
    seen, seen_by_scored = sum(n * (n + 1) / 2 for n in lengths.blocks), 0.0
    for shared, context, options in zip(
        lengths.shared, lengths.contexts, lengths.options, strict=True
    ):
        own, branches = context - shared, [each - 1 for each in options]
        last = context + sum(b * context + b * (b + 1) / 2 for b in branches)
        read += own + sum(branches)
        scored += 1 + sum(branches)
        seen += own * shared + own * (own + 1) / 2 + last - context
        seen_by_scored += last
    multiplied = read * (layers * whole - narrow) + scored * narrow
    multiplied += 2 * hidden * ((layers - 1) * seen + seen_by_scored)
    return 2.0 * (multiplied + scored * model.lm_head.weight.numel())


def measure_ceiling(model: LlamaForCausalLM) -> float:
    """FLOP/s of a matrix product of the body's shapes; the best of ten."""
    weight = model.model.layers[0].mlp.gate_proj.weight
    left = torch.randn(4096, weight.shape[1]).to(weight)
    flops = 2.0 * left.numel() * len(weight)
    multiply = functools.partial(torch.nn.functional.linear, left, weight)
    return flops / min(timed(multiply)[0] for _ in range(10))


@torch.inference_mode()
def timed(run: Callable[[], object]) -> tuple[float, object]:
    """Seconds, and what the call returned."""
    begin = time.perf_counter()
    result = run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - begin, result


def check(found: list[np.ndarray], expected: list[np.ndarray], strict: bool) -> float:
    """The largest difference in nats.

    Raises:
        SystemExit: in float32, if the two do not agree.
    """
    pairs = list(zip(found, expected, strict=True))
    worst = max(abs(one - other).max() for one, other in pairs)
    same = all(one.argmax() == other.argmax() for one, other in pairs)
    if strict and (worst > TOLERANCE or not same):
        raise SystemExit(f"the two differ by {worst:.1e} nats; same answers: {same}")
    return worst


def compare(
    prompts: Sequence[Prompt],
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerBase,
    peers: Sequence[Peer],
    *,
    rounds: int,
    sample: int,
    block: int,
) -> str:
    """One line of the table.

    Raises:
        SystemExit: polycal and a peer do not agree.
    """
    engine = Engine(model, tokenizer)
    lengths = count_tokens(tokenizer, prompts)
    chosen = pick_sample(lengths, sample, block)
    asked = [prompts[index] for index in chosen]
    scales = {
        peer.name: sum(peer.reads(lengths, i) for i in range(len(prompts)))
        / sum(peer.reads(lengths, i) for i in chosen)
        for peer in peers
    }
    flops = count_flops(lengths, model)
    engine.score(asked)  # the self-check, which a job pays once
    ours, shares = [], []
    ratios: dict[str, list[float]] = {peer.name: [] for peer in peers}
    answers = {}
    for _ in range(rounds):
        rate = measure_ceiling(model)
        own, scored = timed(lambda: engine.score(prompts))
        ours.append(own)
        shares.append(100 * flops / rate / own)
        for peer in peers:
            seconds, answers[peer.name] = timed(lambda by=peer: ask(by.harness, asked))
            ratios[peer.name].append(seconds * scales[peer.name] / own)
    found = [scored[index].logprobs for index in chosen]
    own = statistics.median(ours)
    tokens = sum(map(sum, lengths.options)) / sum(map(len, lengths.options))
    line = (
        f"{statistics.mean(lengths.contexts):7.0f} {tokens:6.1f} "
        f"{len(prompts) / own:11.1f} {statistics.median(shares):7.0f}%"
    )
    for name, expected in answers.items():
        ratio = statistics.median(ratios[name])
        worst = check(found, expected, strict=model.dtype == torch.float32)
        line += f" {len(prompts) / own / ratio:11.2f} {ratio:6.2f} {worst:10.1e}"
    return line


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--questions", type=int, default=246, help="of a subject")
    parser.add_argument("--subjects", type=int, default=4)
    parser.add_argument("--sample", type=int, default=32, help="of all, for peers")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shots", type=int, nargs="+", default=[0, 5])
    parser.add_argument(
        "--options", type=int, nargs="+", default=list(BENCHMARKS), choices=BENCHMARKS
    )
    parser.add_argument("--batch-size", type=int, default=8, help="of lm_eval")
    parser.add_argument("--size", default="23m", choices=SIZES, help="of the model")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    options = parser.parse_args()
    logging.getLogger("lm_eval").setLevel(logging.ERROR)  # that it got a model object
    tokenizer = train_tokenizer(load_world(seed=0), seed=0)
    model = make_model(options.size, len(tokenizer), options.device)
    print(f"{options.device}, {torch.get_num_threads()} threads, {options}")
    peers = list_peers(model, tokenizer, options.batch_size)
    print(
        "options scoring shots context option polycal q/s  ceiling",
        *(f"{peer.name + ' q/s':>11s}  ratio difference" for peer in peers),
    )
    for shots, n_options, scoring in itertools.product(
        options.shots, options.options, SCORINGS
    ):
        n = options.questions
        if not shots:
            n = min(n, UNSHARED // options.subjects)
        written = write_subjects(
            scoring, options=n_options, shots=shots, n=n, subjects=options.subjects
        )
        line = compare(
            list(itertools.chain(*written)),
            model,
            tokenizer,
            peers,
            rounds=options.rounds,
            sample=options.sample,
            block=options.batch_size,
        )
        print(f"{n_options:7d} {scoring:8s}{shots:5d} {line}", flush=True)


if __name__ == "__main__":
    environment.restart_with_settings(but="PYTHONSAFEPATH")  # lm_eval profits, too
    main()
