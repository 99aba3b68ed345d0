"""Benchmarks: from their own columns to one questions table per language.

A benchmark is an entry in `FORMATS`: its splits, its columns, and one function from a
source row to a question. Everything after that is the same for all of them.
"""

import itertools
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from polycal import hub, tables
from polycal.errors import InputError
from polycal.files import digest, replacing
from polycal.prompts import LETTERS
from polycal.provenance import provenance
from polycal.rows import read_rows

_logger = logging.getLogger(__name__)

_CULTURES = {"CS": "CS", "CA": "CA", "-": None, None: None}
_GLOBAL_MMLU_OPTIONS = [f"option_{letter}" for letter in "abcd"]
_MMLU_PROX_OPTIONS = [f"option_{index}" for index in range(10)]
_DROPPED = ("dropped_blank_option", "dropped_blank_question", "dropped_repeated_row")
_COMPARED = ("task", "language", "split", "question_id", "gold")
_SHOWN = 5  # questions that an error message lists


def _from_global_mmlu(row: dict) -> dict:
    label = row["cultural_sensitivity_label"]
    if label not in _CULTURES:
        raise InputError(f"cultural_sensitivity_label is {label!r}, not CS, CA or -")
    return {
        "question_id": row["sample_id"],
        "subject": row["subject"],
        "category": row["subject_category"],
        "culture": _CULTURES[label],
        "question": row["question"],
        "options": [row[name] for name in _GLOBAL_MMLU_OPTIONS],
        "gold": _letter_index(row["answer"]),
    }


def _from_mmlu_prox(row: dict) -> dict:
    options = [row[name] for name in _MMLU_PROX_OPTIONS]
    while options and options[-1] is None:
        options.pop()
    if None in options:
        raise InputError(
            f"option_{options.index(None)} is null although a later one is not"
        )
    gold = _letter_index(row["answer"])
    if gold != row["answer_index"]:
        raise InputError(
            f"answer is {row['answer']!r} but answer_index is {row['answer_index']!r}"
        )
    number = row["question_id"]
    return {
        "question_id": None if number is None else str(number),
        "subject": row["category"],
        "category": row["category"],
        "culture": None,
        "question": row["question"],
        "options": options,
        "gold": gold,
    }


def _letter_index(answer: object) -> int:
    if not isinstance(answer, str) or answer not in list(LETTERS):
        raise InputError(f"answer is {answer!r}, not a letter from A to {LETTERS[-1]}")
    return LETTERS.index(answer)


@dataclass(frozen=True)
class Format:
    """How a benchmark is written.

    Attributes:
        splits: polycal's name of a split -> the benchmark's.
        columns: the columns that `read` uses.
        read: a source row -> a question without its task, language and split. Options
            may still be blank. Raises InputError without saying which row.
    """

    splits: dict[str, str]
    columns: tuple[str, ...]
    read: Callable[[dict], dict]


FORMATS = {
    "global_mmlu": Format(
        splits={"test": "test", "dev": "dev"},
        columns=(
            "sample_id",
            "subject",
            "subject_category",
            "question",
            *_GLOBAL_MMLU_OPTIONS,
            "answer",
            "cultural_sensitivity_label",
        ),
        read=_from_global_mmlu,
    ),
    "mmlu_prox": Format(
        splits={"test": "test", "dev": "validation"},
        columns=(
            "question_id",
            "question",
            *_MMLU_PROX_OPTIONS,
            "answer",
            "answer_index",
            "category",
        ),
        read=_from_mmlu_prox,
    ),
}


def prepare_task(
    *,
    repo: str,
    revision: str | None,
    format: str,
    task: str,
    language: str,
    out: Path,
) -> None:
    """Read one language of a benchmark into a questions table.

    Texts are stored as they are, with leading and trailing white space; prompts decide
    what to strip. Rows are in source order, test before dev. Rows with a blank
    question or option, and repetitions of a whole row, are dropped; how many of each,
    split by split, is logged and stored as `counts` in the file's metadata.

    Args:
        repo: a Hub id or a local directory in the Hub's layout.
        revision: the commit of a Hub id; only noted for a directory.
        format: a key of `FORMATS`.
        task: the short name that the study gives the benchmark.
        language: the config of the repository.
        out: the Parquet file that is written.

    Raises:
        InputError: the data cannot be had, or contradict themselves; the message names
            the question.
    """
    if format not in FORMATS:
        raise InputError(f"format {format!r} is not known; use {', '.join(FORMATS)}")
    source = FORMATS[format]
    found = hub.find_splits(
        repo, name=language, splits=source.splits.values(), revision=revision
    )
    rows, counts = [], {}
    for split, name in source.splits.items():
        place = f"{repo}, {language}, {name}"
        questions, counts[split] = _read_split(source, found.files[name], place)
        identity = {"task": task, "language": language, "split": split}
        rows += [identity | question for question in questions]
        _logger.info("%s: kept %d questions; %s", place, len(questions), counts[split])
    tables.write(
        pa.Table.from_pylist(rows, tables.SCHEMAS["questions"]),
        out,
        "questions",
        task=task,
        language=language,
        format=format,
        repo=repo,
        revision=found.revision,
        digest=digest(path for paths in found.files.values() for path in paths),
        counts=counts,
    )


def _read_split(
    source: Format, files: Iterable[Path], place: str
) -> tuple[list[dict], dict[str, int]]:
    """The questions of one split, and what was seen.

    Returns:
        Questions in source order, and counts: rows in the source, rows dropped by
        reason, and questions that are kept although two of their options are equal.
    """
    kept: dict[str, dict] = {}
    counts = dict.fromkeys(("rows", *_DROPPED, "duplicate_options"), 0)
    for row in read_rows(files, source.columns):
        counts["rows"] += 1
        try:
            question = source.read(row)
            _check(question)
        except InputError as error:
            where = f"row {counts['rows']} ({row[source.columns[0]]})"
            raise InputError(f"{place}, {where}: {error}") from None
        name = question["question_id"]
        if any(_is_blank(text) for text in question["options"]):
            counts["dropped_blank_option"] += 1
        elif _is_blank(question["question"]):
            counts["dropped_blank_question"] += 1
        elif name not in kept:
            kept[name] = question
            counts["duplicate_options"] += _has_equal_options(question)
        elif question == kept[name]:
            counts["dropped_repeated_row"] += 1
        else:
            differ = [key for key in question if question[key] != kept[name][key]]
            raise InputError(
                f"{place}: two rows have the id {name} but differ in "
                f"{', '.join(differ)}; take a revision without the contradiction"
            )
    if not kept:
        raise InputError(f"{place} holds no question that can be used ({counts})")
    return list(kept.values()), counts


def _check(question: dict) -> None:
    """Refuse what cannot be scored or joined, whatever the benchmark."""
    for name in ("question_id", "subject", "category"):
        if _is_blank(question[name]):
            raise InputError(f"{name} is empty")
    if question["gold"] >= len(question["options"]):
        raise InputError(
            f"the answer is {LETTERS[question['gold']]}, but there are only "
            f"{len(question['options'])} options"
        )


def _is_blank(text: str | None) -> bool:
    return text is None or not text.strip()


def _has_equal_options(question: dict) -> bool:
    return len(set(question["options"])) < len(question["options"])


def check_task(*, questions: list[Path], out: Path) -> None:
    """Check that a benchmark's languages ask the same questions; write what was seen.

    Args:
        questions: questions tables of one benchmark, one per language.
        out: the JSON file that is written: what `check_parallel` returns, and
            provenance.

    Raises:
        InputError: as `check_parallel`.
    """
    facts = provenance(**check_parallel(questions))
    with replacing(out) as temporary:
        temporary.write_text(json.dumps(facts, indent=2, sort_keys=True) + "\n")


def check_parallel(paths: Sequence[Path]) -> dict[str, object]:
    """Check that a question has the same answer and options in every language.

    A question that some languages lack (its row was dropped) is no contradiction; it
    is counted and logged.

    Args:
        paths: questions tables of one benchmark, one per language.

    Returns:
        task; n_questions of the test split, by language; n_all, the test questions of
        any language; n_common, those that all languages have.

    Raises:
        InputError: a question's gold index or number of options differ between
            languages; the message lists the first few.
    """
    seen: dict[tuple[str, str], dict[tuple[int, int], list[str]]] = {}
    tasks, sizes = set(), Counter()
    for path in paths:
        table = tables.read(path, "questions")
        columns = [table[name].to_pylist() for name in _COMPARED]
        n_options = pc.list_value_length(table["options"]).to_pylist()
        for task, language, split, name, *answer in zip(
            *columns, n_options, strict=True
        ):
            tasks.add(task)
            sizes[language] += split == "test"
            found = seen.setdefault((split, name), {})
            found.setdefault(tuple(answer), []).append(language)
    if len(tasks) != 1:
        raise InputError(f"one benchmark is expected, found {sorted(tasks) or 'none'}")
    differ = {key: found for key, found in seen.items() if len(found) > 1}
    if differ:
        shown = itertools.islice(differ.items(), _SHOWN)
        raise InputError(
            f"{len(differ)} questions differ between languages; leave a language out "
            f"or take another revision: {'; '.join(map(_describe, shown))}"
        )
    held = [
        len(languages)
        for (split, _), found in seen.items()
        for languages in found.values()
        if split == "test"
    ]
    facts = {
        "task": tasks.pop(),
        "n_questions": dict(sizes),
        "n_all": len(held),
        "n_common": held.count(len(sizes)),
    }
    _logger.info("%s", facts)
    return facts


def _describe(difference: tuple[tuple[str, str], dict]) -> str:
    (split, name), found = difference
    versions = (
        f"{LETTERS[gold]} of {n_options} options in {'+'.join(languages)}"
        for (gold, n_options), languages in found.items()
    )
    return f"{name} ({split}) is {' but '.join(versions)}"
