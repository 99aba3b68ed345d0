"""Benchmarks: from their own columns to one questions table per language."""

import logging
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from polycal import hub, tables
from polycal.errors import InputError
from polycal.files import digest
from polycal.formats import (
    BLANK_OPTION,
    BLANK_QUESTION,
    CONTRADICTION,
    Format,
    make_format,
    why_dropped,
)
from polycal.rows import read_rows
from polycal.study import complete_format

_logger = logging.getLogger(__name__)

_DROPPED = (BLANK_OPTION, BLANK_QUESTION, CONTRADICTION, "dropped_repeated_row")
_CONTRADICTORY = 0.01  # part of the rows; if there are more, the format is wrong


def prepare_task(*, out: Path, **source: object) -> None:
    """Read one language of a benchmark into a questions table on disk.

    Args:
        out: the Parquet file that is written.
        **source: what `read_task` takes.

    Raises:
        InputError: as `read_task`.
    """
    table, facts = read_task(**source)
    tables.write(table, out, "questions", **facts)


def read_task(
    *,
    repo: str,
    revision: str | None,
    format: str | dict,
    task: str,
    language: str,
    name: str | None = None,
) -> tuple[pa.Table, dict[str, object]]:
    """Read one language of a benchmark.

    Texts stay as they are, with leading and trailing white space; prompts decide what
    to strip. Rows are in source order, test before dev. Rows with a blank question or
    option or with columns that tell different answers, and repetitions of a whole row,
    are dropped; how many of each, split by split, is logged and among the facts as
    `counts`.

    Args:
        repo: a Hub id or a local directory in the Hub's layout.
        revision: the commit of a Hub id; only noted for a directory.
        format: the name of a known format, or a description (also as JSON).
        task: the short name that the study gives the benchmark.
        language: its code.
        name: the language's config in the repository; by default the code.

    Returns:
        A questions table, and what is known of its origin.

    Raises:
        InputError: the data cannot be had, or contradict themselves; the message names
            the question.
    """
    description = complete_format(format)
    source = make_format(description)
    name = name or language
    found = hub.find_splits(
        repo, name=name, splits=source.splits.values(), revision=revision
    )
    rows, counts = [], {}
    for split in sorted(source.splits, key=("test", "dev").index):
        files = found.files[source.splits[split]]
        place = f"{repo}, {name}, {source.splits[split]}"
        questions, counts[split] = _read_split(source, files, language, place)
        identity = {"task": task, "language": language, "split": split}
        rows += [identity | question for question in questions]
        _logger.info("%s: kept %d questions; %s", place, len(questions), counts[split])
    facts = {
        "task": task,
        "language": language,
        "name": name,
        "format": description,
        "repo": repo,
        "revision": found.revision,
        "digest": digest(path for paths in found.files.values() for path in paths),
        "counts": counts,
    }
    return pa.Table.from_pylist(rows, tables.SCHEMAS["questions"]), facts


def _read_split(
    source: Format, files: Iterable[Path], language: str, place: str
) -> tuple[list[dict], dict[str, int]]:
    """The questions of one split, and what was seen.

    Returns:
        Questions in source order, and counts: rows in the source, rows dropped by
        reason, and questions that are kept although two of their options are equal.
    """
    kept: dict[str, dict] = {}
    counts = dict.fromkeys(("rows", *_DROPPED, "duplicate_options"), 0)
    for number, row in enumerate(read_rows(files, source.columns)):
        counts["rows"] += 1
        try:
            question = source.read(row, number, language)
        except InputError as error:
            where = f"row {number + 1} ({source.name_row(row, number)})"
            raise InputError(f"{place}, {where}: {error}") from None
        name = question["question_id"]
        reason = why_dropped(question)
        if reason:
            counts[reason] += 1
        elif name not in kept:
            kept[name] = question
            options = question["options"]
            counts["duplicate_options"] += len(set(options)) < len(options)
        elif question == kept[name]:
            counts["dropped_repeated_row"] += 1
        else:
            differ = [key for key in question if question[key] != kept[name][key]]
            raise InputError(
                f"{place}: two rows have the id {name} but differ in "
                f"{', '.join(differ)}; take a revision without the contradiction, or "
                "columns that name a question in `question_id`"
            )
    if counts[CONTRADICTION] > max(1, _CONTRADICTORY * counts["rows"]):
        raise InputError(
            f"{place}: {' and '.join(source.gold)} tell different answers in "
            f"{counts[CONTRADICTION]} of {counts['rows']} rows; is `gold` right?"
        )
    if not kept:
        raise InputError(f"{place} holds no question that can be used ({counts})")
    return list(kept.values()), counts
