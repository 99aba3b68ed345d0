"""A random Llama with a chat template, and conversations to tune it on."""

import random
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import torch
from toys import VOCABULARY, make_tokenizer, save_checkpoint
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from polycal.storage import tables
from polycal.study.recipe import Recipe, Rendering
from polycal.tuning.tokenize import tokenize
from polycal.tuning.tune import tune

WORDS = ["what", "is", "the", "colour", "of", "a", "red", "blue", "stone", "in", "?"]
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "<|{{ message['role'] }}|>\n{{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def make_tiny_tokenizer(
    *, chat_template: str | None = CHAT_TEMPLATE
) -> PreTrainedTokenizerFast:
    """Any text can be written in it; BOS comes from the template only."""
    tokenizer = make_tokenizer(bos=False)
    tokenizer.chat_template = chat_template
    return tokenizer


def make_tiny_model(
    path: Path, *, chat_template: str | None = CHAT_TEMPLATE, width: int = 16
) -> Path:
    """A model directory as `prepare_model` leaves it, with random weights."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=256,
        bos_token_id=0,
        eos_token_id=1,
    )
    tokenizer = make_tiny_tokenizer(chat_template=chat_template)
    return save_checkpoint(path, LlamaForCausalLM(config), tokenizer)


def make_tiny_conversations(path: Path, *, n: int = 40, seed: int = 0) -> Path:
    """A conversations table of one-turn exchanges of different lengths."""
    chance = random.Random(seed)

    def text(most: int) -> str:
        return " ".join(chance.choices(WORDS, k=chance.randint(1, most)))

    rows = [
        {
            "sft": "toy",
            "example_id": number,
            "messages": [
                {"role": "user", "content": text(9)},
                {"role": "assistant", "content": text(5)},
            ],
        }
        for number in range(n)
    ]
    table = pa.Table.from_pylist(rows, tables.SCHEMAS["conversations"])
    tables.write(
        table, path, "conversations", sft="toy", repo="./toy", format="messages"
    )
    return path


def tune_tiny(
    out: Path,
    recipe: Mapping[str, object],
    *,
    base: Path,
    examples: Path,
    smoothing: float = 0.1,
    seed: int = 0,
    **options: object,
) -> Path:
    """Tune a tiny model on tiny examples, and return the candidate's directory."""
    tune(
        base=base,
        examples=examples,
        model="tiny",
        sft="toy",
        smoothing=smoothing,
        seed=seed,
        recipe=Recipe(**recipe),
        out=out,
        **options,
    )
    return out


def make_tiny_examples(
    path: Path, *, base: Path, conversations: Path, **rendering: object
) -> Path:
    """The conversations as the model's tokenizer writes them."""
    tokenize(
        base=base,
        conversations=conversations,
        model="tiny",
        sft="toy",
        rendering=Rendering(**rendering),
        out=path,
    )
    return path
