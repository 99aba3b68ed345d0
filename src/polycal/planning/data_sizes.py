"""Sizes of SFT sets and benchmarks that lie on this machine, prepared or not."""

import functools
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from polycal.errors import InputError
from polycal.preparing.rows import read_rows
from polycal.preparing.sft_formats import FORMATS
from polycal.storage import tables
from polycal.study.config import complete_format
from polycal.study.formats import Format, make_format, why_dropped
from polycal.study.repositories import find_local

BYTES_PER_TOKEN = 4  # of UTF-8 text, where only the text's length is known
_ROWS = 10_000  # of an SFT set, whose lengths stand for those of all rows
_QUESTIONS = 500  # of a benchmark that is not prepared; its texts stand for all


@dataclass(frozen=True)
class SftSet:
    """An SFT set before the study's cap."""

    rows: int  # conversations
    tokens: float  # of a conversation, mean
    download_bytes: float  # 0 for a prepared set
    prepared: bool  # the study's filter has been applied
    lengths: Sequence[float] = ()  # tokens of some conversations, where they are known

    def cut(self, longest: int) -> float:
        """Return the mean tokens of conversations that are cut at a length."""
        if len(self.lengths):
            return float(np.minimum(self.lengths, longest).mean())
        return min(self.tokens, longest)


@dataclass(frozen=True)
class Questions:
    """The test questions of one language; tokens are means per question."""

    number: int
    options: float  # mean number of options
    letters_tokens: float  # of the prompt that lists the options
    text_tokens: float  # of the prompt that does not
    option_tokens: float  # of all options' texts together
    download_bytes: float  # of the language; 0 for one on this machine


def measure_prepared_sft(path: Path, left_out: int) -> SftSet:
    """Return the size of a conversations table, and what a cap has left out of it."""
    rows = pq.read_metadata(path).num_rows + left_out
    return _describe_sft((path,), ("messages",), rows, prepared=True)


@functools.cache
def measure_local_sft(repo: str, format: str) -> SftSet | None:
    """Return the size of an SFT set on this machine; None if it is still to be made.

    Rows are counted before the study's filter; texts are those of the first rows.

    Raises:
        InputError: a file is broken, or lacks the format's columns.
    """
    if not Path(os.path.expanduser(repo)).exists():
        return None
    files = find_local(repo, splits=["train"]).files["train"]
    columns = FORMATS[format].columns
    rows = sum(_count_rows(path, columns) for path in files)
    return _describe_sft(tuple(files), columns, rows, prepared=False)


def _describe_sft(
    files: tuple[Path, ...], columns: tuple[str, ...], rows: int, *, prepared: bool
) -> SftSet:
    lengths = _sample_lengths(files, columns)
    tokens = sum(lengths) / max(len(lengths), 1)
    return SftSet(rows, tokens, download_bytes=0, prepared=prepared, lengths=lengths)


@functools.cache
def _sample_lengths(files: tuple[Path, ...], columns: tuple[str, ...]) -> list[float]:
    """Return the tokens of the first rows of an SFT set."""
    rows = itertools.islice(read_rows(files, columns), _ROWS)
    return [_count_bytes(row) / BYTES_PER_TOKEN for row in rows]


def _count_bytes(value: object) -> int:
    """Return the bytes of all texts in a cell, nested or not."""
    if isinstance(value, dict):
        return sum(map(_count_bytes, value.values()))
    if isinstance(value, list):
        return sum(map(_count_bytes, value))
    # A row with a lone surrogate is dropped when it is prepared, not here.
    return len(value.encode(errors="surrogatepass")) if isinstance(value, str) else 0


@functools.cache
def count_prepared_questions(path: Path, repo: str) -> int | None:
    """Return the test questions of a table; None if it is of another repository."""
    if tables.read_metadata(path).get("repo") != repo:
        return None
    splits = pq.read_table(path, columns=["split"])["split"]
    return splits.to_pylist().count("test")


@functools.cache
def measure_prepared_questions(path: Path) -> Questions:
    """Return the size of the test questions of a table."""
    test = tables.where(tables.read(path, "questions"), split="test").to_pylist()
    return _describe(test, len(test))


def measure_local_questions(task: Mapping, language: str) -> Questions | None:
    """Return the size of one language of a benchmark on this machine.

    None if the benchmark is still to be made. The number is that of its rows, of which
    preparing may drop some; texts are those of the first rows.

    Raises:
        InputError: the language or its columns are not there.
    """
    name = task.get("configs", {}).get(language, language)
    return _measure_local(task["repo"], json.dumps(task["format"]), name, language)


@functools.cache
def _measure_local(
    repo: str, format: str, name: str, language: str
) -> Questions | None:
    if not Path(os.path.expanduser(repo)).exists():
        return None
    source = make_format(complete_format(json.loads(format)))
    test = source.splits["test"]
    files = find_local(repo, name=name, splits=[test]).files[test]
    first = itertools.islice(read_rows(files, source.columns), _QUESTIONS)
    questions = list(_read_questions(source, first, language))
    number = sum(_count_rows(path, source.columns) for path in files)
    return _describe(questions, number) if questions else None


def _read_questions(
    source: Format, rows: Iterable[Mapping], language: str
) -> Iterator[dict]:
    """Yield the questions that preparing will keep."""
    for number, row in enumerate(rows):
        try:
            question = source.read(row, number, language)
        except InputError:
            continue
        if why_dropped(question) is None:
            yield question


def _count_rows(path: Path, columns: Sequence[str]) -> int:
    """Return the rows of a file; the values of Parquet and Arrow are not read."""
    try:
        if path.suffix == ".parquet":
            return pq.read_metadata(path).num_rows
        if path.suffix == ".arrow":
            with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as stream:
                return sum(batch.num_rows for batch in stream)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{path} is not complete ({error}); bring it again") from error
    if path.suffix == ".jsonl":
        with path.open("rb") as lines:
            return sum(1 for line in lines if line.strip())
    return sum(1 for _ in read_rows([path], columns))


def _describe(questions: Sequence[Mapping], number: int) -> Questions:
    """Return the means of some questions, and how many there are."""
    n = max(len(questions), 1)
    stems, options = (
        [question[name] for question in questions] for name in ("question", "options")
    )
    stem_tokens = sum(len(text.encode()) for text in stems) / n / BYTES_PER_TOKEN
    option_bytes = sum(len("".join(texts).encode()) for texts in options)
    option_tokens = option_bytes / n / BYTES_PER_TOKEN
    return Questions(
        number,
        sum(map(len, options)) / n,
        stem_tokens + option_tokens,
        stem_tokens,
        option_tokens,
        download_bytes=0,
    )
