"""A random Llama with a chat template, and conversations to tune it on."""

import random
from pathlib import Path

import pyarrow as pa
import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers.models import BPE
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from polycal import tables
from polycal.files import digest
from polycal.provenance import write_provenance

WORDS = ["what", "is", "the", "colour", "of", "a", "red", "blue", "stone", "in", "?"]
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "<|{{ message['role'] }}|>\n{{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def make_tiny_tokenizer(
    *, vocab: int = 320, chat_template: str | None = CHAT_TEMPLATE
) -> PreTrainedTokenizerFast:
    """A byte-level BPE, so any text can be written in it; `vocab` is an upper limit."""
    bpe = Tokenizer(BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator([" ".join(WORDS)] * 9, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token="<s>", eos_token="</s>"
    )
    tokenizer.chat_template = chat_template
    return tokenizer


def make_tiny_model(
    path: Path,
    *,
    vocab: int = 320,
    hidden: int = 16,
    layers: int = 2,
    seed: int = 0,
    chat_template: str | None = CHAT_TEMPLATE,
) -> Path:
    """A model directory as `prepare_model` leaves it, with random weights.

    The embedding has `vocab` rows whatever the tokenizer uses of them.
    """
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocab,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=2,
        max_position_embeddings=256,
        bos_token_id=0,
        eos_token_id=1,
    )
    LlamaForCausalLM(config).save_pretrained(path)
    tokenizer = make_tiny_tokenizer(vocab=vocab, chat_template=chat_template)
    tokenizer.save_pretrained(path)
    made = digest(each for each in path.iterdir() if each.name != "provenance.json")
    write_provenance(path, model="tiny", repo="./tiny", revision=None, digest=made)
    return path


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
    tables.write(table, path, "conversations", sft="toy")
    return path
