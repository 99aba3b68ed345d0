"""How far polycal's and lm_eval's scores are from plain float32 arithmetic.

    python benchmarks/equality.py [--questions 4] [--subjects 4]

For every architecture whose questions are packed: a random model with windows shorter
than most prompts and with soft caps where there are such, whose weights fit bfloat16
exactly, so that all differences come from the arithmetic. Option by option, the scores
of polycal and of lm_eval (hf backend, float32 softmax) are compared with the reference:
one forward pass per option by transformers' eager attention in float32, and a float64
softmax. Both scorings, 4 options, with and without 5 shots, together. Printed are the
largest and the mean difference in nats, of a model in float32 and of one in bfloat16,
and by how much lm_eval's mean is the larger one, with two standard errors over prompts.
"""

import argparse
import copy
import logging
from collections.abc import Sequence

import numpy as np
import torch
from peers import ask, load_hf
from subjects import write_subjects
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer

from polycal.miniature.facts import load_world
from polycal.miniature.model import train_tokenizer
from polycal.models.passes import PACKED_TYPES
from polycal.models.tokens import tokenize_prompts
from polycal.scoring.engine import Engine
from polycal.study.prompts import Prompt
from polycal.study.scorings import SCORINGS

WINDOW = {"sliding_window": 48}
SETTINGS = {
    "mistral": WINDOW,
    "qwen2": WINDOW | {"use_sliding_window": True, "max_window_layers": 2},
    "gemma2": WINDOW
    | {"attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0},
    "gemma3_text": WINDOW,
}


def make_model(kind: str, vocabulary: int) -> PreTrainedModel:
    """Four layers of 256; logits as far apart as those of trained models."""
    config = AutoConfig.for_model(
        kind,
        vocab_size=vocabulary,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        max_position_embeddings=4096,
        tie_word_embeddings=False,
        **SETTINGS.get(kind, {}),
    )
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    for weight in model.parameters():
        if weight.dim() == 2:
            torch.nn.init.normal_(weight, std=weight.shape[1] ** -0.5)
    torch.nn.init.normal_(model.get_output_embeddings().weight, std=0.2)
    return model.to(torch.bfloat16).float().eval()


def ask_plainly(
    model: PreTrainedModel, tokenizer: Tokenizer, prompts: Sequence[Prompt]
) -> list[np.ndarray]:
    """The reference."""
    found = []
    asked = tokenize_prompts(tokenizer, prompts)
    for context, options in zip(asked.contexts, asked.continuations, strict=True):
        totals = []
        for tokens in options:
            ids = torch.tensor([[*context, *tokens]])
            with torch.inference_mode():
                logits = model(ids[:, :-1], use_cache=False).logits[0]
            logprobs = logits[-len(tokens) :].double().log_softmax(-1)
            totals.append(float(logprobs[range(len(tokens)), tokens].sum()))
        found.append(np.array(totals))
    return found


def ask_polycal(
    model: PreTrainedModel, tokenizer: Tokenizer, prompts: Sequence[Prompt]
) -> list[np.ndarray]:
    """Packed, all in one call."""
    return [each.logprobs for each in Engine(model, tokenizer).score(prompts)]


def ask_harness(
    model: PreTrainedModel, tokenizer: Tokenizer, prompts: Sequence[Prompt]
) -> list[np.ndarray]:
    """The peer."""
    return ask(load_hf(model, tokenizer, batch_size=8), prompts)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--questions", type=int, default=4, help="of a subject")
    parser.add_argument("--subjects", type=int, default=4)
    options = parser.parse_args()
    logging.getLogger("lm_eval").setLevel(logging.ERROR)  # that it got a model object
    tokenizer = train_tokenizer(load_world(seed=0), seed=0)
    prompts = [
        prompt
        for shots in (0, 5)
        for scoring in SCORINGS
        for written in write_subjects(
            scoring,
            options=4,
            shots=shots,
            n=options.questions,
            subjects=options.subjects,
        )
        for prompt in written
    ]
    print("largest (mean) difference to the float32 reference, nats per option")
    print(
        "architecture dtype     polycal              lm_eval              lm_eval more"
    )
    for kind in PACKED_TYPES:
        model = make_model(kind, len(tokenizer))
        expected = ask_plainly(model, tokenizer, prompts)
        for dtype in (torch.float32, torch.bfloat16):
            rounded = copy.deepcopy(model).to(dtype)
            columns, means = [], []
            for way in (ask_polycal, ask_harness):
                found = way(rounded, tokenizer, prompts)
                away = [abs(a - b) for a, b in zip(found, expected, strict=True)]
                means.append(np.array([each.mean() for each in away]))
                columns.append(f"{np.max(away):.1e} ({means[-1].mean():.1e})")
            more = means[1] - means[0]
            error = 2 * more.std(ddof=1) / len(more) ** 0.5
            columns.append(f"{more.mean():+.1e} ± {error:.1e}")
            name = str(dtype).removeprefix("torch.")
            print(f"{kind:12s} {name:9s} {'    '.join(columns)}", flush=True)


if __name__ == "__main__":
    main()
