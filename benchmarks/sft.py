"""Prepare and tokenise a large SFT set with polycal and with a peer; print the ratios.

    python benchmarks/sft.py [--conversations 1000000] [--peer 20000]

Synthetic conversations in messages form, in which words are about as frequent as in
natural text, of about 300 tokens by a tokenizer of 32,000 tokens that is trained on
them. Every step is a process of its own, timed from its start to its end; CPU seconds
are of all its threads and children, its memory is what the largest process held. The
peer is `datasets`: `load_dataset`, then `map` over `apply_chat_template` with the mask
of the assistant's tokens, on all cores, and on a file of the first conversations only,
because its time grows in proportion, but for its start. Nothing is printed unless both
give the same tokens and the same masks for all that the peer did.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from polycal.tuning.examples import FILE, Examples

MAX_LENGTH = 4096
VOCABULARY = 32_000
ROW_GROUP = 10_000
# Tulu's template with the marks that the peer needs to find the assistant's tokens.
PEER_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{- '<|' + message['role'] + '|>\n' -}}"
    "{%- if message['role'] == 'assistant' -%}"
    "{%- generation -%}{{- message['content'] + eos_token -}}{%- endgeneration -%}"
    "{%- else -%}{{- message['content'] -}}{%- endif -%}"
    "{%- if message['role'] != 'assistant' or not loop.last -%}"
    "{{- '\n' -}}{%- endif -%}{%- endfor -%}"
)
PEER = """
import os, sys
import datasets
from transformers import AutoTokenizer

source, model, template, out = sys.argv[1:]
datasets.disable_progress_bars()
tokenizer = AutoTokenizer.from_pretrained(model)

def encode(batch):
    made = tokenizer.apply_chat_template(
        batch["messages"], chat_template=template, tokenize=True, return_dict=True,
        return_assistant_tokens_mask=True,
    )
    return {"input_ids": made["input_ids"], "mask": made["assistant_masks"]}

found = datasets.load_dataset(
    "parquet", data_files=source, split="train", cache_dir=out + "/cache"
)
found.map(
    encode, batched=True, remove_columns=found.column_names, num_proc=os.cpu_count()
).to_parquet(out + "/peer.parquet")
"""


def draw_sentences(chance: random.Random) -> list[str]:
    """Sentences of made-up words that are as frequent as Zipf's law says."""
    letters = "etaoinshrdlucmfwypvbgkéñüß"
    words = [
        "".join(chance.choices(letters, k=chance.randint(1, 10))) for _ in range(60_000)
    ]
    weights = list(accumulate(1 / rank for rank in range(1, len(words) + 1)))
    return [
        " ".join(chance.choices(words, cum_weights=weights, k=chance.randint(4, 20)))
        + ". "
        for _ in range(200_000)
    ]


def draw_conversation(chance: random.Random, sentences: list[str]) -> list[dict]:
    """One to three exchanges, of about 300 tokens on average."""
    turns = []
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        for role, most in (("user", 5), ("assistant", 14)):
            text = "".join(chance.choices(sentences, k=chance.randint(1, most)))
            turns.append({"role": role, "content": text.strip()})
    return turns


def make_set(folder: Path, n: int) -> tuple[Path, Path]:
    """A data set of one Parquet file, and a directory with a tokenizer."""
    chance = random.Random(0)
    sentences = draw_sentences(chance)
    turn = pa.struct([("role", pa.string()), ("content", pa.string())])
    schema = pa.schema([("messages", pa.list_(turn)), ("source", pa.string())])
    path = folder / "set" / "train.parquet"
    path.parent.mkdir()
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for begin in range(0, n, ROW_GROUP):
            rows = [
                {"messages": draw_conversation(chance, sentences), "source": "made up"}
                for _ in range(min(ROW_GROUP, n - begin))
            ]
            writer.write_table(pa.Table.from_pylist(rows, schema))
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(sentences[:50_000], trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token="<s>", eos_token="</s>"
    )
    tokenizer.save_pretrained(folder / "model")
    return path, folder / "model"


def copy_first(source: Path, target: Path, n: int) -> None:
    """The first rows of a Parquet file as a file of their own."""
    with pq.ParquetFile(source, pre_buffer=False) as file:
        batches = file.iter_batches(batch_size=n)
        with pq.ParquetWriter(target, file.schema_arrow, compression="zstd") as writer:
            while n > 0:
                batch = next(batches)[:n]
                writer.write_batch(batch)
                n -= batch.num_rows


class Cost(NamedTuple):
    """What a process took: seconds, seconds of all cores, and MiB at most."""

    wall: float
    cpu: float
    memory: float


def run(*command: object) -> Cost:
    """Run a Python process to its end.

    Raises:
        SystemExit: it failed.
    """
    begin = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *map(str, command)], stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[:3]} failed")
    return Cost(
        time.perf_counter() - begin,
        usage.ru_utime + usage.ru_stime,
        usage.ru_maxrss / 1024,
    )


def assert_same(examples: Path, peer: Path) -> int:
    """How many sequences were compared.

    Raises:
        SystemExit: two of them differ.
    """
    ours, count = Examples(examples / FILE), 0
    for theirs in _read(peer):
        mine = ours[count]
        tokens = theirs["input_ids"][:MAX_LENGTH]
        mask = [bool(each) for each in theirs["mask"][:MAX_LENGTH]]
        if mine.tokens.tolist() != tokens or mine.targets.tolist() != mask:
            raise SystemExit(f"sequence {count} differs")
        count += 1
    return count


def _read(path: Path) -> Iterator[dict]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(1000):
            yield from batch.to_pylist()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--conversations", type=int, default=1_000_000)
    parser.add_argument("--peer", type=int, default=20_000, help="that the peer does")
    options = parser.parse_args()
    n, n_peer = options.conversations, min(options.peer, options.conversations)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        source, model = make_set(folder, n)
        table, examples = folder / "set.parquet", folder / "examples"
        first = folder / "first.parquet"
        copy_first(source, first, n_peer)
        polycal = ("-m", "polycal")
        steps = {
            "prepare_sft": run(
                *(*polycal, "prepare_sft", "--repo", source, "--format", "messages"),
                *("--sft", "set", "--out", table),
            ),
            "tokenize": run(
                *(*polycal, "tokenize", "--base", model, "--conversations", table),
                *("--model", "m", "--sft", "set", "--max-length", MAX_LENGTH),
                *("--out", examples),
            ),
            "datasets": run("-c", PEER, first, model, PEER_TEMPLATE, folder),
        }
        made = json.loads((examples / "provenance.json").read_text())["counts"]
        same = assert_same(examples, folder / "peer.parquet")
        if same != n_peer:
            raise SystemExit(f"the peer gave {same} sequences instead of {n_peer}")
        size = (examples / FILE).stat().st_size / 2**20
    print(
        f"{n:,} conversations, {made['tokens'] / n:.0f} tokens each, {os.cpu_count()} "
        f"cores; {FILE} has {size:,.0f} MiB; {same:,} sequences are the same"
    )
    print("step              rows  seconds   rows/s  CPU s  peak MiB")
    for name, cost in steps.items():
        rows = n_peer if name == "datasets" else n
        print(
            f"{name:12s} {rows:10,} {cost.wall:8.1f} {rows / cost.wall:8.0f} "
            f"{cost.cpu:6.0f} {cost.memory:9.0f}"
        )
    ours = [
        sum(each) for each in zip(steps["prepare_sft"], steps["tokenize"], strict=True)
    ]
    for index, what in enumerate(("seconds", "CPU seconds")):
        ratio = (steps["datasets"][index] / n_peer) / (ours[index] / n)
        print(f"{what} a row, datasets over prepare_sft and tokenize: {ratio:.2f}")


if __name__ == "__main__":
    main()
