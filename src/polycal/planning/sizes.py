"""How big things are: SFT sets and benchmarks.

What lies on this machine tells its own size; the tables in `data/` know what a study
names on the Hub. A size that nobody knows is None, never a guess.
"""

import csv
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from polycal.errors import InputError
from polycal.storage.provenance import read_provenance
from polycal.study import layout

BYTES_PER_TOKEN = 4  # of UTF-8 text, where only the text's length is known


@dataclass(frozen=True)
class SftSet:
    """An SFT set before the study's cap.

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


@functools.cache
def read_table(name: str) -> dict[str, dict[str, str]]:
    """The rows of a table in `data/`, by their first column."""
    with (files("polycal") / "data" / name).open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    return {next(iter(row.values())): row for row in rows}


def find_sft(entry: Mapping, resources: Path) -> SftSet | None:
    """The size of a study's SFT set; None if nobody knows it.

    A prepared table is exact; before there is one that was made as the study says, the
    table of sizes is asked.

    Args:
        entry: the set's entry in the study.
        resources: folder of prepared models, SFT sets and tasks.

    Raises:
        InputError: a prepared table is not complete.
    """
    path = layout.below(resources, layout.SFT, sft=entry["name"])
    if path.is_file():
        facts = _read_facts(path)
        if _is_of(entry, facts):
            return _read_sft(path, _count_left_out(facts))
    row = read_table("sft_sizes.csv").get(entry["repo"])
    if row is None:
        return None
    download = float(row["download_mb"]) * 1e6
    return SftSet(int(row["rows"]), float(row["tokens"]), download, prepared=False)


def _read_facts(path: Path) -> Mapping:
    """What made a prepared table."""
    import pyarrow as pa

    from polycal.storage import tables

    try:
        return tables.read_metadata(path)
    except pa.ArrowInvalid as error:
        raise InputError(
            f"{path} is not a complete Parquet file ({error}); delete it and run again"
        ) from error


def _is_of(entry: Mapping, facts: Mapping) -> bool:
    """Whether a prepared SFT set has the rows that the study asks for, but for its cap.

    A file that a changed study is going to make again tells the size of the old one.
    """
    keys = ("repo", "format", "filter")
    return all(facts.get(key) == entry[key] for key in keys)


def _count_left_out(facts: Mapping) -> int:
    """Conversations that would be in a prepared table if there had been no cap."""
    return facts.get("counts", {}).get("dropped_by_max_examples", 0)


def _read_sft(path: Path, left_out: int) -> SftSet:
    import pyarrow.parquet as pq

    held = pq.read_metadata(path)
    groups = [held.row_group(index) for index in range(held.num_row_groups)]
    columns = [group.column(n) for group in groups for n in range(group.num_columns)]
    text = sum(
        each.total_uncompressed_size
        for each in columns
        if each.path_in_schema.endswith("content")
    )
    tokens = text / BYTES_PER_TOKEN / max(held.num_rows, 1)
    return SftSet(held.num_rows + left_out, tokens, download_bytes=0, prepared=True)


def find_examples(
    model: str, entry: Mapping, recipe: Mapping, resources: Path
) -> tuple[int, float] | None:
    """Sequences of a tokenised SFT set under the study's cap, and mean tokens of one.

    Args:
        model: short name of the model whose tokens they are.
        entry: the set's entry in the study.
        recipe: the study's; it says how conversations are rendered.
        resources: folder of prepared models, SFT sets and tasks.

    Returns:
        None if the set is not tokenised, or was not as the study says now.

    Raises:
        InputError: nothing tells what has been tokenised.
    """
    folder = layout.below(resources, layout.EXAMPLES, model=model, sft=entry["name"])
    try:
        made = read_provenance(folder)
        source, rendering = made.get("source", {}), made.get("rendering", {})
        same = all(recipe.get(key) == value for key, value in rendering.items())
        if not same or not _is_of(entry, source):
            return None
        counts, whole = made["counts"], made["counts"]["conversations"]
        whole += _count_left_out(source)
        wanted = min(whole, entry["max_examples"] or whole)
        examples = round(counts["examples"] * wanted / counts["conversations"])
        return examples, counts["tokens"] / counts["examples"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, ZeroDivisionError) as error:
        raise InputError(
            f"{folder}/provenance.json has no counts ({error!r}); delete the folder "
            "and run again"
        ) from None


def find_questions(
    task: Mapping, language: str, tokenizer: str, resources: Path
) -> Questions | None:
    """The size of one language of a benchmark; None if nobody knows it.

    A prepared file has the exact number of questions. Tokens are the table's where it
    knows the benchmark: they were measured, and a file tells only bytes.

    Args:
        task: the benchmark's entry in the study.
        language: its code.
        tokenizer: column of the table of fertilities.
        resources: folder of prepared models, SFT sets and tasks.

    Raises:
        InputError: a prepared file is not complete.
    """
    path = layout.below(
        resources, layout.QUESTIONS, task=task["name"], language=language
    )
    number = _count_questions(path, task["repo"]) if path.is_file() else None
    row = read_table("benchmark_sizes.csv").get(task["repo"])
    if row is None:
        return None if number is None else _read_questions(path)
    factor = find_fertility(language, tokenizer)
    return Questions(
        int(row["questions"]) if number is None else number,
        float(row["options"]),
        float(row["letters_tokens"]) * factor,
        float(row["text_tokens"]) * factor,
        float(row["option_tokens"]) * factor,
        float(row["download_mb"]) * 1e6,
    )


@functools.cache
def _count_questions(path: Path, repo: str) -> int | None:
    """Test questions of a prepared file; None if it was made of another repository."""
    import pyarrow.parquet as pq

    if _read_facts(path).get("repo") != repo:
        return None
    splits = pq.read_table(path, columns=["split"])["split"]
    return splits.to_pylist().count("test")


@functools.cache
def _read_questions(path: Path) -> Questions:
    from polycal.storage import tables

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
    table = read_table("fertility.csv")
    if language in table:
        return float(table[language][tokenizer])
    factors = sorted(float(row[tokenizer]) for row in table.values())
    return factors[len(factors) // 2]


def find_lite(repo: str) -> str | None:
    """The repository of a benchmark's small version, if it has one."""
    return read_table("benchmark_sizes.csv").get(repo, {}).get("lite") or None
