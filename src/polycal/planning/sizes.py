"""Sizes of everything that a study names: models, SFT sets and benchmarks.

Files on this machine are counted; the tables in `data/` list what is on the Hub. An
unknown size is None, never a guess.
"""

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median_high

import pyarrow as pa
import pyarrow.parquet as pq

from polycal.errors import InputError
from polycal.models.gpu_types import Gpu
from polycal.planning.model_sizes import Model, find_model, read_table
from polycal.storage import tables
from polycal.storage.provenance import read_provenance
from polycal.study import grid, layout
from polycal.study.repositories import find_local

BYTES_PER_TOKEN = 4  # of UTF-8 text, where only the text's length is known
UNKNOWN_TOKENS = 500  # of a conversation of an SFT set of unknown size


@dataclass(frozen=True)
class SftSet:
    """An SFT set before the study's cap."""

    rows: int  # conversations
    tokens: float  # of a conversation, mean
    download_bytes: float  # 0 for a prepared set
    prepared: bool  # the study's filter has been applied


@dataclass(frozen=True)
class Questions:
    """The test questions of one language; tokens are means per question."""

    number: int
    options: float  # mean number of options
    letters_tokens: float  # of the prompt that lists the options
    text_tokens: float  # of the prompt that does not
    option_tokens: float  # of all options' texts together
    download_bytes: float  # of the language; 0 for a prepared file


class SizedStudy:
    """A study with the sizes of the models, SFT sets and benchmarks that it names.

    Every method raises an InputError if a file that holds a size is broken.

    Attributes:
        config: the complete study.
        gpu: the type of GPU of the jobs whose model asks for one.
        resources: folder of prepared models, SFT sets and tasks; it may be absent.
        models: short name -> size, or None if unknown.
        sft: short name of a data set -> size, or None if unknown.
    """

    def __init__(self, config: Mapping, gpu: Gpu, resources: Path):
        self.config, self.gpu, self.resources = config, gpu, resources
        self.models: dict[str, Model | None] = {
            entry["name"]: find_model(entry, resources) for entry in config["models"]
        }
        self.sft: dict[str, SftSet | None] = {
            entry["name"]: self._find_sft(entry)
            for entry in grid.list_data_sets(config)
        }

    def change(self, sections: Mapping) -> "SizedStudy":
        """Return the study with other values of some sections of its config."""
        return SizedStudy({**self.config, **sections}, self.gpu, self.resources)

    def gpu_of(self, model: str) -> Gpu | None:
        """Return the GPU that a model's jobs use, or None if they use the CPU."""
        return self.gpu if grid.entry(self.config["models"], model)["gpus"] else None

    def _find_sft(self, entry: Mapping) -> SftSet | None:
        """Return the size of an SFT set: prepared, on this machine, or of the Hub."""
        path = layout.below(self.resources, layout.SFT, sft=entry["name"])
        if path.is_file() and _is_same_source(
            entry, facts := tables.read_metadata(path)
        ):
            metadata = pq.read_metadata(path)
            groups = map(metadata.row_group, range(metadata.num_row_groups))
            text_bytes = sum(
                group.column(n).total_uncompressed_size
                for group in groups
                for n in range(group.num_columns)
                if group.column(n).path_in_schema.endswith("content")
            )
            tokens = text_bytes / BYTES_PER_TOKEN / max(metadata.num_rows, 1)
            rows = metadata.num_rows + _count_left_out(facts)
            return SftSet(rows, tokens, download_bytes=0, prepared=True)
        if grid.is_local(entry["repo"]):
            return _count_local(entry["repo"])
        row = read_table("sft_sizes.csv").get(entry["repo"])
        return row and SftSet(
            row["rows"], row["tokens"], row["download_mb"] * 1e6, prepared=False
        )

    def examples(
        self, sft: str, model: str | None = None
    ) -> tuple[float | None, float]:
        """Return the conversations of an SFT set, None if unknown, and tokens of one.

        The study's cap and its `max_length` are applied. They are exact for a model
        that the set has been tokenised for as the study says.
        """
        entry, size = grid.entry(self.config["sft"], sft), self.sft[sft]
        tokenised = self._count_tokenised(entry, model) if model else None
        if tokenised:
            return tokenised
        longest = self.config["recipe"]["max_length"]
        if size is None:
            return entry["max_examples"], min(UNKNOWN_TOKENS, longest)
        rows = min(size.rows, entry["max_examples"] or size.rows)
        return rows, min(size.tokens, longest)

    def _count_tokenised(self, entry: Mapping, model: str) -> tuple[int, float] | None:
        """Return the sequences of a tokenised SFT set under the cap, and mean tokens.

        None if there is none, or if it was tokenised with other settings.
        """
        folder = layout.below(
            self.resources, layout.EXAMPLES, model=model, sft=entry["name"]
        )
        recipe = self.config["recipe"]
        try:
            facts = read_provenance(folder)
            source, rendering = facts.get("source", {}), facts.get("rendering", {})
            same_rendering = all(recipe.get(key) == rendering[key] for key in rendering)
            if not same_rendering or not _is_same_source(entry, source):
                return None
            counts = facts["counts"]
            conversations = counts["conversations"] + _count_left_out(source)
            kept = min(conversations, entry["max_examples"] or conversations)
            examples = round(counts["examples"] * kept / counts["conversations"])
            return examples, counts["tokens"] / counts["examples"]
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, ZeroDivisionError) as error:
            raise InputError(
                f"{folder}/provenance.json has no counts ({error!r}); delete the "
                "folder and run again"
            ) from None

    def questions(
        self, task: Mapping, language: str, model: str | None = None
    ) -> Questions | None:
        """Return the size of a benchmark's language; None if unknown.

        A prepared file has the exact number of questions. Tokens are those of
        benchmark_sizes.csv where it has the benchmark, because they were measured and
        a prepared file gives only bytes.

        Args:
            task: the benchmark's entry in the study.
            language: its code.
            model: whose tokens are counted; None: Llama-3's.
        """
        path = layout.below(
            self.resources, layout.QUESTIONS, task=task["name"], language=language
        )
        number = _count_questions(path, task["repo"]) if path.is_file() else None
        row = read_table("benchmark_sizes.csv").get(task["repo"])
        if row is None:
            return None if number is None else _read_questions(path)
        size = self.models[model] if model else None
        factor = find_fertility(language, size.tokenizer if size else "llama3")
        return Questions(
            row["questions"] if number is None else number,
            row["options"],
            row["letters_tokens"] * factor,
            row["text_tokens"] * factor,
            row["option_tokens"] * factor,
            row["download_mb"] * 1e6,
        )


def _count_local(repo: str) -> SftSet | None:
    """Return the size of an SFT set on this machine; None if its rows are not counted.

    Rows are those of Parquet's footers, or the lines of JSON lines; a filter of the
    study is not applied.
    """
    if not Path(os.path.expanduser(repo)).exists():
        return None
    files = find_local(repo, splits=["train"]).files["train"]
    if {path.suffix for path in files} - {".parquet", ".jsonl"}:
        return None
    n_rows, n_bytes = 0, 0
    for path in files:
        if path.suffix == ".parquet":
            metadata = _read_footer(path)
            n_rows += metadata.num_rows
            groups = map(metadata.row_group, range(metadata.num_row_groups))
            n_bytes += sum(group.total_byte_size for group in groups)
        else:
            with path.open("rb") as lines:
                n_rows += sum(1 for line in lines if line.strip())
            n_bytes += path.stat().st_size
    tokens = n_bytes / BYTES_PER_TOKEN / max(n_rows, 1)
    return SftSet(n_rows, tokens, download_bytes=0, prepared=False)


def _read_footer(path: Path) -> pq.FileMetaData:
    try:
        return pq.read_metadata(path)
    except pa.ArrowInvalid as error:
        raise InputError(
            f"{path} is not a complete Parquet file ({error}); bring it here again"
        ) from error


def _is_same_source(entry: Mapping, facts: Mapping) -> bool:
    """Return whether a prepared SFT set has the study's rows, but for the cap."""
    return all(facts.get(key) == entry[key] for key in ("repo", "format", "filter"))


def _count_left_out(facts: Mapping) -> int:
    """Return the conversations that the cap of a prepared SFT set left out."""
    return facts.get("counts", {}).get("dropped_by_max_examples", 0)


@functools.cache
def _count_questions(path: Path, repo: str) -> int | None:
    """Return the test questions of a file; None if it is of another repository."""
    if tables.read_metadata(path).get("repo") != repo:
        return None
    splits = pq.read_table(path, columns=["split"])["split"]
    return splits.to_pylist().count("test")


@functools.cache
def _read_questions(path: Path) -> Questions:
    test = tables.where(tables.read(path, "questions"), split="test")
    stems, options = test["question"].to_pylist(), test["options"].to_pylist()
    n = max(len(stems), 1)
    stem_tokens = sum(len(text.encode()) for text in stems) / n / BYTES_PER_TOKEN
    option_bytes = sum(len("".join(texts).encode()) for texts in options)
    option_tokens = option_bytes / n / BYTES_PER_TOKEN
    return Questions(
        len(stems),
        sum(map(len, options)) / n,
        stem_tokens + option_tokens,
        stem_tokens,
        option_tokens,
        download_bytes=0,
    )


def find_fertility(language: str, tokenizer: str) -> float:
    """Return the tokens of a text in a language per token of Llama-3 in English.

    Measured on the Universal Declaration of Human Rights; the median of all languages
    for one that is not in the table.
    """
    table = read_table("fertility.csv")
    factors = [row[tokenizer] for row in table.values()]
    return table[language][tokenizer] if language in table else median_high(factors)
