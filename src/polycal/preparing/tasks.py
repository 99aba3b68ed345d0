"""Read a benchmark in its own columns into one questions table per language."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa

from polycal.errors import InputError
from polycal.preparing import hub
from polycal.preparing.rows import read_rows
from polycal.storage import tables
from polycal.storage.files import digest
from polycal.study.completeness import (
    FAULTY,
    MOST_DROPPED,
    MOST_FAULTY,
    check_dropped,
    check_size,
    list_faults,
)
from polycal.study.config import complete_format
from polycal.study.formats import (
    BLANK_OPTION,
    BLANK_QUESTION,
    Format,
    make_format,
    why_dropped,
)
from polycal.study.grid import is_local
from polycal.verb import verb

_logger = logging.getLogger(__name__)

_REPEATED = "dropped_repeated_row"
_ALLOW = ", or allow it with `max_dropped`"
_LIMITS = {
    BLANK_OPTION: (
        MOST_DROPPED,
        f"say `missing_options: shorten` if blanks at the end are no options{_ALLOW}",
    ),
    BLANK_QUESTION: (
        MOST_DROPPED,
        f"name columns that may be blank as `optional` in `format:`{_ALLOW}",
    ),
    FAULTY: (MOST_FAULTY, f"correct `format:` or the rows{_ALLOW}"),
    _REPEATED: (MOST_DROPPED, f"look for files that are there twice{_ALLOW}"),
}


@verb(makes="{out}", without_pandas=True)
def prepare_task(
    *,
    repo: str,
    revision: str | None = None,
    format: str,
    task: str,
    language: str,
    name: str | None = None,
    max_dropped: float | None = None,
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
        max_dropped: share of the rows that may be dropped for one reason; by default
            1 % of faulty rows, 10 % for any other reason.
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
        max_dropped=max_dropped,
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
    max_dropped: float | None = None,
) -> tuple[pa.Table, dict[str, Any]]:
    """Read one language of a benchmark.

    Texts keep their leading and trailing white space, which prompts strip. Rows are in
    source order, test before dev. Without files of the dev split there are no rows of
    it. Rows with a blank question or option, repeated rows and faulty rows (two
    answers, an id with two texts) are dropped up to a limit; their counts by split and
    reason are logged and returned as `counts` among the facts.

    The arguments are those of `prepare_task`; a format may be a description, too.

    Returns:
        A questions table, and the facts of its origin.

    Raises:
        InputError: the data are not available or not complete, or many rows would be
            dropped; the message names the rows.
    """
    description = complete_format(format)
    source = make_format(description)
    name = name or language
    test, dev = source.splits["test"], source.splits.get("dev")
    data = hub.find_splits(
        repo, name=name, splits=[test], optional=[dev] if dev else [], revision=revision
    )
    if dev and dev not in data.files:
        _logger.warning("%s, %s has no split %s to take shots from", repo, name, dev)
    rows, counts = [], {}
    for split, own_name in (("test", test), ("dev", dev)):
        if own_name not in data.files:
            continue
        title = f"{repo}, {name}, {own_name}"
        questions, counts[split] = _read_split(
            source, data.files[own_name], language, title, max_dropped
        )
        n_rows, stated = counts[split]["rows"], data.sizes.get(own_name)
        check_size(title, n_rows, stated, is_local=is_local(repo))
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
    source: Format,
    files: Iterable[Path],
    language: str,
    title: str,
    max_dropped: float | None,
) -> tuple[list[dict], dict[str, int]]:
    """Read the questions of one split.

    Returns:
        Questions in source order, and counts: rows in the source, rows dropped by
        reason, questions that are kept although two of their options are equal, and
        questions that are kept although another id has the same text and options.
    """
    kept: dict[str, dict] = {}
    counted = ("rows", *_LIMITS, "duplicate_options", "duplicate_questions")
    counts = dict.fromkeys(counted, 0)
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
    counts[FAULTY] = len(faults) + len(ambiguous)
    questions = [kept[name] for name in kept if name not in ambiguous]
    shown = list_faults(faults, len(faults))
    if not questions:
        seen = f"{title} holds no question that can be used ({counts})"
        raise InputError(f"{seen}; {shown}" if faults else seen)
    # Two rows of one id are one fault.
    check_dropped(title, counts | {FAULTY: len(faults)}, _LIMITS, max_dropped, shown)
    if faults:
        _logger.warning("%s: a faulty row is dropped: %s", title, shown)
    counts["duplicate_options"] = sum(
        len(set(one["options"])) < len(one["options"]) for one in questions
    )
    texts = {(one["question"].strip(), *one["options"]) for one in questions}
    counts["duplicate_questions"] = len(questions) - len(texts)
    if counts["duplicate_questions"]:
        _logger.warning(
            "%s: %d questions have the text and options of another one",
            *(title, counts["duplicate_questions"]),
        )
    return questions, counts
