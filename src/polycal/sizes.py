"""How big things are: models, SFT sets, benchmarks, GPUs.

What lies on this machine tells its own size; the tables in `data/` know what a study
names on the Hub. A size that nobody knows is None, never a guess.
"""

import csv
import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from polycal.errors import InputError
from polycal.grid import is_local

BYTES_PER_TOKEN = 4  # of UTF-8 text, where only the text's length is known
_TIED = ("gemma", "gemma2", "gemma3_text")  # model types that tie unless told not to


@dataclass(frozen=True)
class Model:
    """The matrices of a decoder with gated feed-forward layers (Llama's family).

    Norms and biases are left out: they are less than a thousandth.

    Attributes:
        layers: number of them.
        hidden: width of the residual stream.
        intermediate: width of the feed-forward layer.
        query: width of all query heads together.
        kv: width of all key heads together.
        vocabulary: rows of the embedding table.
        tied: whether the head is the embedding table.
        stored_bytes: per parameter in the repository; 0: nothing is downloaded.
        tokenizer: column of the table of fertilities.
    """

    layers: int
    hidden: int
    intermediate: int
    query: int
    kv: int
    vocabulary: int
    tied: bool
    stored_bytes: int
    tokenizer: str

    @property
    def linear(self) -> dict[str, tuple[int, int]]:
        """A layer's linear maps, by transformers' names: (inputs, outputs)."""
        return {
            "self_attn.q_proj": (self.hidden, self.query),
            "self_attn.k_proj": (self.hidden, self.kv),
            "self_attn.v_proj": (self.hidden, self.kv),
            "self_attn.o_proj": (self.query, self.hidden),
            "mlp.gate_proj": (self.hidden, self.intermediate),
            "mlp.up_proj": (self.hidden, self.intermediate),
            "mlp.down_proj": (self.intermediate, self.hidden),
        }

    @property
    def body(self) -> int:
        """Parameters that every token is multiplied by."""
        return self.layers * sum(rows * width for rows, width in self.linear.values())

    @property
    def head(self) -> int:
        """Parameters that a token is multiplied by where its logits are needed."""
        return self.vocabulary * self.hidden

    @property
    def parameters(self) -> int:
        """All of them; the embedding table counts once where it is the head."""
        return self.body + self.head * (1 if self.tied else 2)


@dataclass(frozen=True)
class SftSet:
    """An SFT set as it is read, before filters and caps.

    Attributes:
        rows: conversations.
        tokens: of a conversation, mean.
        download_bytes: of the repository; 0 for what is here.
        prepared: whether these are the rows that are left after the study's filter.
    """

    rows: int
    tokens: float
    download_bytes: float
    prepared: bool


@dataclass(frozen=True)
class Questions:
    """The test questions of one language; tokens are means per question.

    Attributes:
        number: of questions.
        options: mean number of options.
        letters_tokens: of the prompt that lists the options.
        text_tokens: of the prompt that does not.
        option_tokens: of all options' texts together.
        download_bytes: of the language; 0 for what is here.
    """

    number: int
    options: float
    letters_tokens: float
    text_tokens: float
    option_tokens: float
    download_bytes: float


@dataclass(frozen=True)
class Gpu:
    """A type of GPU.

    Attributes:
        name: as the command line spells it.
        flops: dense bfloat16 operations per second, by the datasheet.
        memory: bytes.
    """

    name: str
    flops: float
    memory: float


@functools.cache
def _table(name: str) -> dict[str, dict[str, str]]:
    """The rows of a table in `data/`, by their first column."""
    with (files("polycal") / "data" / name).open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    return {next(iter(row.values())): row for row in rows}


def list_gpus() -> dict[str, Gpu]:
    """The known types of GPU by name, the table's order kept."""
    return {
        name: Gpu(name, float(row["tflops"]) * 1e12, float(row["memory_gb"]) * 1e9)
        for name, row in _table("gpus.csv").items()
    }


def find_gpu(name: str) -> Gpu:
    """A type of GPU by its name.

    Raises:
        InputError: the table has none of this name.
    """
    known = list_gpus()
    if name.lower() not in known:
        raise InputError(f"no GPU {name!r} is known; known are {', '.join(known)}")
    return known[name.lower()]


def find_model(entry: Mapping, resources: Path) -> Model | None:
    """The sizes of a study's model; None if nobody knows them.

    Args:
        entry: the model's entry in the study.
        resources: folder of prepared models, SFT sets and tasks.

    Raises:
        InputError: a config.json is not JSON.
    """
    row = _table("model_sizes.csv").get(entry["repo"])
    if row:
        numbers = {
            name: int(row[name])
            for name in Model.__dataclass_fields__
            if name not in ("tied", "tokenizer")
        }
        return Model(**numbers, tied=row["tied"] == "yes", tokenizer=row["tokenizer"])
    folders = [Path(entry["repo"])] if is_local(entry["repo"]) else []
    for folder in [*folders, resources / "models" / entry["name"]]:
        if (folder / "config.json").is_file():
            return _read_model(folder / "config.json")
    return None


def _read_model(path: Path) -> Model | None:
    """The sizes that a config.json tells; None for an architecture of another kind."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error})") from None
    if any("expert" in key for key in config):
        return None  # not every parameter is used for every token
    try:
        heads = config["num_attention_heads"]
        width = config.get("head_dim") or config["hidden_size"] // heads
        return Model(
            layers=config["num_hidden_layers"],
            hidden=config["hidden_size"],
            intermediate=config["intermediate_size"],
            query=heads * width,
            kv=(config.get("num_key_value_heads") or heads) * width,
            vocabulary=config["vocab_size"],
            tied=config.get("tie_word_embeddings", config["model_type"] in _TIED),
            stored_bytes=0,
            tokenizer="llama3",
        )
    except KeyError:
        return None


def find_sft(entry: Mapping, resources: Path) -> SftSet | None:
    """The size of a study's SFT set; None if nobody knows it.

    A prepared table is exact; before there is one, the table of sizes is asked.

    Args:
        entry: the set's entry in the study.
        resources: folder of prepared models, SFT sets and tasks.
    """
    path = resources / "sft" / f"{entry['name']}.parquet"
    if path.is_file():
        return _read_sft(path)
    row = _table("sft_sizes.csv").get(entry["repo"])
    if row is None:
        return None
    download = float(row["download_mb"]) * 1e6
    return SftSet(int(row["rows"]), float(row["tokens"]), download, prepared=False)


def _read_sft(path: Path) -> SftSet:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        held = pq.read_metadata(path)
    except pa.ArrowInvalid as error:
        raise InputError(
            f"{path} is not a complete Parquet file ({error}); delete it and run again"
        ) from error
    groups = [held.row_group(index) for index in range(held.num_row_groups)]
    columns = [group.column(n) for group in groups for n in range(group.num_columns)]
    text = sum(
        each.total_uncompressed_size
        for each in columns
        if each.path_in_schema.endswith("content")
    )
    tokens = text / BYTES_PER_TOKEN / max(held.num_rows, 1)
    return SftSet(held.num_rows, tokens, download_bytes=0, prepared=True)


def find_questions(
    task: Mapping, language: str, tokenizer: str, resources: Path
) -> Questions | None:
    """The size of one language of a benchmark; None if nobody knows it.

    Args:
        task: the benchmark's entry in the study.
        language: its code.
        tokenizer: column of the table of fertilities.
        resources: folder of prepared models, SFT sets and tasks.
    """
    row = _table("benchmark_sizes.csv").get(task["repo"])
    if row is not None:
        factor = find_fertility(language, tokenizer)
        return Questions(
            int(row["questions"]),
            float(row["options"]),
            float(row["letters_tokens"]) * factor,
            float(row["text_tokens"]) * factor,
            float(row["option_tokens"]) * factor,
            float(row["download_mb"]) * 1e6,
        )
    path = resources / "tasks" / task["name"] / f"{language}.parquet"
    return _read_questions(path) if path.is_file() else None


@functools.cache
def _read_questions(path: Path) -> Questions:
    from polycal import tables

    test = tables.where(tables.read(path, "questions"), split="test")
    questions = test.select(["question", "options"]).to_pylist()
    n = max(len(questions), 1)
    stem = sum(len(each["question"].encode()) for each in questions) / n
    options = sum(len("".join(each["options"]).encode()) for each in questions) / n
    return Questions(
        len(questions),
        sum(len(each["options"]) for each in questions) / n,
        (stem + options) / BYTES_PER_TOKEN,
        stem / BYTES_PER_TOKEN,
        options / BYTES_PER_TOKEN,
        download_bytes=0,
    )


def find_fertility(language: str, tokenizer: str) -> float:
    """Tokens of a text in a language, over Llama-3's tokens of it in English.

    Measured on the Universal Declaration of Human Rights. A language that the table
    lacks gets the median of all.
    """
    table = _table("fertility.csv")
    if language in table:
        return float(table[language][tokenizer])
    factors = sorted(float(row[tokenizer]) for row in table.values())
    return factors[len(factors) // 2]


def find_lite(repo: str) -> str | None:
    """The repository of a benchmark's small version, if it has one."""
    return _table("benchmark_sizes.csv").get(repo, {}).get("lite") or None
