"""Read a benchmark in its own columns into one questions table per language."""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa

from polycal.errors import InputError
from polycal.preparing import hub
from polycal.preparing.rows import read_rows
from polycal.storage import tables
from polycal.storage.files import digest
from polycal.study.config import complete_format
from polycal.study.formats import (
    BLANK_OPTION,
    BLANK_QUESTION,
    Format,
    make_format,
    why_dropped,
)
from polycal.verb import verb

_SHOWN = 3  # faulty rows that a message lists
_logger = logging.getLogger(__name__)

_FAULTY, _REPEATED = "dropped_faulty", "dropped_repeated_row"
_DROPPED = (BLANK_OPTION, BLANK_QUESTION, _FAULTY, _REPEATED)
_MOST_FAULTY = 0.01  # part of the rows; more faults mean a wrong format


@verb(makes="{out}", without_pandas=True)
def prepare_task(
    *,
    repo: str,
    revision: str | None = None,
    format: str,
    task: str,
    language: str,
    name: str | None = None,
    out: Path,
) -> None:
    """Read one language of a benchmark into a questions table on disk.

    Args:
        repo: Hub id (owner/name) or a local directory.
        revision: commit of the Hub repository.
        format: global_mmlu, mmlu_prox, or a description as JSON.
        task: short name of the benchmark.
        language: its code.
        name: the language's config, where it is not the code.
        out: Parquet file to write.

    Raises:
        InputError: as `read_task`.
    """
    table, facts = read_task(
        repo=repo,
        revision=revision,
        format=format,
        task=task,
        language=language,
        name=name,
    )
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

    Texts keep their leading and trailing white space, which prompts strip. Rows are in
    source order, test before dev. Rows with a blank question or option, repeated rows
    and a few faulty rows (two answers, an id with two texts) are dropped; their counts
    by split and reason are logged and returned as `counts` among the facts.

    Args:
        repo: a Hub id or a local directory in the Hub's layout.
        revision: the commit of a Hub id; only noted for a directory.
        format: the name of a known format, or a description (also as JSON).
        task: the short name that the study gives the benchmark.
        language: its code.
        name: the language's config in the repository; by default the code.

    Returns:
        A questions table, and the facts of its origin.

    Raises:
        InputError: the data are not available, or many rows are faulty; the message
            names the rows.
    """
    description = complete_format(format)
    source = make_format(description)
    name = name or language
    data = hub.find_splits(
        repo, name=name, splits=source.splits.values(), revision=revision
    )
    rows, counts = [], {}
    for split in sorted(source.splits, key=("test", "dev").index):
        files = data.files[source.splits[split]]
        title = f"{repo}, {name}, {source.splits[split]}"
        questions, counts[split] = _read_split(source, files, language, title)
        identity = {"task": task, "language": language, "split": split}
        rows += [identity | question for question in questions]
        _logger.info("%s: kept %d questions; %s", title, len(questions), counts[split])
    facts = {
        "task": task,
        "language": language,
        "name": name,
        "format": description,
        "repo": repo,
        "revision": data.revision,
        "digest": digest(path for paths in data.files.values() for path in paths),
        "counts": counts,
    }
    return pa.Table.from_pylist(rows, tables.SCHEMAS["questions"]), facts


def _read_split(
    source: Format, files: Iterable[Path], language: str, title: str
) -> tuple[list[dict], dict[str, int]]:
    """Read the questions of one split.

    Args:
        source: how the benchmark is written.
        files: of the split.
        language: its code.
        title: name of the split in messages.

    Returns:
        Questions in source order, and counts: rows in the source, rows dropped by
        reason, and questions that are kept although two of their options are equal.
    """
    kept: dict[str, dict] = {}
    counts = dict.fromkeys(("rows", *_DROPPED, "duplicate_options"), 0)
    faults: list[str] = []
    ambiguous = set()
    for number, row in enumerate(read_rows(files, source.columns)):
        counts["rows"] += 1
        where = f"row {number + 1} ({source.name_row(row, number)})"
        try:
            question = source.read(row, number, language)
        except InputError as error:
            faults.append(f"{where}: {error}")
            continue
        name = question["question_id"]
        reason = why_dropped(question)
        if reason:
            counts[reason] += 1
        elif name not in kept:
            kept[name] = question
        elif question == kept[name]:
            counts[_REPEATED] += 1
        else:
            differ = [key for key in question if question[key] != kept[name][key]]
            faults.append(
                f"{where}: an earlier row has this id but differs in "
                f"{', '.join(differ)}; are the columns of `question_id` right?"
            )
            ambiguous.add(name)
    counts[_FAULTY] = len(faults) + len(ambiguous)
    questions = [kept[name] for name in kept if name not in ambiguous]
    _report_faults(faults, questions, counts, title)
    counts["duplicate_options"] = sum(
        len(set(one["options"])) < len(one["options"]) for one in questions
    )
    return questions, counts


def _report_faults(
    faults: Sequence[str],
    questions: Sequence[dict],
    counts: dict[str, int],
    title: str,
) -> None:
    """Log faulty rows. A few are dropped, since a pinned revision cannot be corrected.

    Raises:
        InputError: there are many of them, or no question is left.
    """
    shown = "; ".join(faults[:_SHOWN]) + "; ..." * (len(faults) > _SHOWN)
    if len(faults) > max(1, _MOST_FAULTY * counts["rows"]):
        raise InputError(
            f"{title}: {len(faults)} of {counts['rows']} rows are faulty: {shown}"
        )
    if not questions:
        seen = f"{title} holds no question that can be used ({counts})"
        raise InputError(f"{seen}; {shown}" if faults else seen)
    if faults:
        _logger.warning("%s: a faulty row is dropped: %s", title, shown)
