"""Random models and made-up questions, small enough for a test."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers import models as tokenizer_models
from tokenizers.processors import TemplateProcessing
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from polycal.models.configurations import pick_attention
from polycal.storage import tables
from polycal.storage.files import digest
from polycal.storage.provenance import write_provenance
from polycal.study.prompts import LETTERS, Prompt

TOY = {"model": "toy", "sft": "none", "smoothing": 0.0, "seed": 0}  # an untuned run
VOCABULARY = 330  # at most; most of it are single bytes
WORDS = [
    "which",
    "currency",
    "Österreich",
    "uses",
    "euro",
    "krona",
    "yen",
    "रुपया",
    "フラン",
]


def make_tokenizer(*, bos: bool = True) -> PreTrainedTokenizerFast:
    bpe = Tokenizer(tokenizer_models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator([" ".join([*WORDS, *LETTERS])] * 9, trainer)
    if bos:
        bpe.post_processor = TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", 0)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token="<s>", eos_token="</s>"
    )


def make_swallowing_tokenizer() -> PreTrainedTokenizerFast:
    """One token for the lead-in's colon and the space that begins every option."""
    state = json.loads(make_tokenizer().backend_tokenizer.to_str())
    state["pre_tokenizer"] = {"type": "ByteLevel", "add_prefix_space": False}
    state["pre_tokenizer"] |= {"trim_offsets": True, "use_regex": False}
    state["model"]["vocab"][":Ġ"] = len(state["model"]["vocab"])
    state["model"]["merges"].insert(0, [":", "Ġ"])
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(state)),
        bos_token="<s>",
        eos_token="</s>",
    )


def make_model(kind: str = "llama", **changes: object) -> torch.nn.Module:
    """Random weights, large enough that every token and position matters."""
    settings = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 128,
    }
    config = AutoConfig.for_model(kind, **(settings | changes))
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(
        config, attn_implementation=pick_attention(config)
    ).eval()
    for weight in model.parameters():
        if weight.dim() == 2:
            torch.nn.init.normal_(weight, std=0.3)
    return model


def reference(model: torch.nn.Module, tokenizer, prompt: Prompt) -> list[float]:
    """The rule, literally: every option alone, full logits, float64 softmax."""
    limit = model.config.max_position_embeddings
    context = tokenizer.encode(prompt.context)
    totals = []
    for each in prompt.continuations:
        continuation = tokenizer.encode(prompt.context + each)[len(context) :]
        ids = (context + continuation)[-(limit + 1) :]
        with torch.no_grad():
            logits = model(torch.tensor([ids[:-1]]), use_cache=False).logits[0]
        logprobs = logits.double().log_softmax(-1)[-len(continuation) :]
        totals.append(logprobs.gather(1, torch.tensor(continuation)[:, None]).sum())
    return [float(total) for total in totals]


def save_checkpoint(folder: Path, model: torch.nn.Module, tokenizer=None) -> Path:
    """A checkpoint directory as polycal makes them, adapters included."""
    model.save_pretrained(folder)
    (tokenizer or make_tokenizer()).save_pretrained(folder)
    write_provenance(folder, digest=digest(folder.iterdir()))
    return folder


def save_questions(
    path: Path,
    *,
    language: str = "en",
    n: int = 6,
    n_dev: int = 1,
    n_options: int = 4,
    **changes: object,
) -> Path:
    """A questions table: `n_dev` dev rows and `n` test rows of random words.

    The seed is the path's name; `changes` replace columns of all rows, with a value or
    with what a function makes of the row's number.
    """
    random = np.random.default_rng(list(path.name.encode()))

    def some(most: int) -> str:
        return " ".join(random.choice(WORDS, random.integers(1, most)))

    rows = [
        {
            "task": "toy",
            "language": language,
            "split": "dev" if index < n_dev else "test",
            "question_id": f"{language}/{index}",
            "subject": "money",
            "category": "other",
            "culture": None,
            "question": some(12),
            "options": [some(5) for _ in range(n_options)],
            "gold": int(random.integers(n_options)),
            "lead_in": "Answer:",
            **{
                name: value(index) if callable(value) else value
                for name, value in changes.items()
            },
        }
        for index in range(n_dev + n)
    ]
    table = pa.Table.from_pylist(rows, tables.SCHEMAS["questions"])
    tables.write(table, path, "questions")
    return path
