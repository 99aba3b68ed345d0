"""SFT sets: from their own columns to one conversations table.

A form is an entry in `FORMATS`: its columns, and one function from a source row to
turns. Everything after that is the same for all of them.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from polycal import hub, tables
from polycal.errors import InputError
from polycal.files import digest
from polycal.rows import read_rows

_BATCH = 4096  # conversations that are Python objects at one time
_logger = logging.getLogger(__name__)


def _from_alpaca(row: dict) -> list[tuple[str, str | None]]:
    parts = [row["instruction"] or ""]
    if (row["input"] or "").strip():
        parts.append(row["input"])
    return [("user", "\n\n".join(parts)), ("assistant", row["output"])]


def _from_messages(row: dict) -> list[tuple[str, str | None]]:
    return [(turn["role"], turn["content"]) for turn in row["messages"] or []]


def _from_sharegpt(row: dict) -> list[tuple[str, str | None]]:
    return [(turn["from"], turn["value"]) for turn in row["conversations"] or []]


@dataclass(frozen=True)
class Format:
    """How an SFT set is written.

    Attributes:
        columns: the columns that `read` uses.
        roles: the set's name of a role -> system, user or assistant.
        read: a source row -> its turns (the set's role, text) in order.
    """

    columns: tuple[str, ...]
    roles: dict[str, str]
    read: Callable[[dict], list[tuple[str, str | None]]]


_ROLES = {"system": "system", "user": "user", "assistant": "assistant"}
FORMATS = {
    "alpaca": Format(("instruction", "input", "output"), _ROLES, _from_alpaca),
    "messages": Format(("messages",), _ROLES, _from_messages),
    "sharegpt": Format(
        ("conversations",),
        {"system": "system", "human": "user", "gpt": "assistant"},
        _from_sharegpt,
    ),
}


def prepare_sft(
    *, repo: str, revision: str | None, format: str, sft: str, out: Path
) -> None:
    """Read an SFT set's train split into a conversations table.

    Texts are stored as they are. A row without an assistant turn, or with an empty
    one, teaches nothing and is dropped; how many is logged and stored as `counts` in
    the file's metadata. `example_id` is the row number in the source, from 0.

    Args:
        repo: a Hub id, a local directory in the Hub's layout, or a local file
            (Parquet, JSON lines, a JSON array).
        revision: the commit of a Hub id; only noted for a local path.
        format: a key of `FORMATS`.
        sft: the short name that the study gives the set.
        out: the Parquet file that is written.

    Raises:
        InputError: the data cannot be had, or have a role that is not known; the
            message names the row.
    """
    if format not in FORMATS:
        raise InputError(f"format {format!r} is not known; use {', '.join(FORMATS)}")
    found = hub.find_splits(repo, splits=["train"], revision=revision)
    table, counts = _read(FORMATS[format], found.files["train"], repo)
    if not table.num_rows:
        raise InputError(f"{repo} has no conversation with an answer ({counts})")
    _logger.info("%s: kept %d conversations; %s", repo, table.num_rows, counts)
    tables.write(
        tables.same(table, sft=sft),
        out,
        "conversations",
        sft=sft,
        format=format,
        repo=repo,
        revision=found.revision,
        digest=digest(found.files["train"]),
        counts=counts,
    )


def _read(
    source: Format, files: list[Path], place: str
) -> tuple[pa.Table, dict[str, int]]:
    """The conversations (without the column sft) and what was seen."""
    schema = tables.SCHEMAS["conversations"]
    schema = schema.remove(schema.get_field_index("sft"))
    counts = {"rows": 0, "dropped_no_answer": 0, "dropped_empty_answer": 0}
    batches, rows = [], []
    for example, row in enumerate(read_rows(files, source.columns)):
        counts["rows"] += 1
        try:
            messages = _to_messages(source, row)
        except InputError as error:
            raise InputError(f"{place}, row {example} of train: {error}") from None
        answers = [turn["content"] for turn in messages if turn["role"] == "assistant"]
        if not answers:
            counts["dropped_no_answer"] += 1
        elif not all(answer.strip() for answer in answers):
            counts["dropped_empty_answer"] += 1
        else:
            rows.append({"example_id": example, "messages": messages})
        if len(rows) == _BATCH:
            batches.append(pa.RecordBatch.from_pylist(rows, schema))
            rows = []
    batches.append(pa.RecordBatch.from_pylist(rows, schema))
    return pa.Table.from_batches(batches, schema), counts


def _to_messages(source: Format, row: dict) -> list[dict[str, str]]:
    """Turns with polycal's roles.

    Raises:
        InputError: a role is not known, or a turn is not written as one.
    """
    try:
        turns = source.read(row)
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{source.columns[0]} is not written as expected ({error!r}); is `format:` "
            "right?"
        ) from error
    for role, _ in turns:
        if role not in source.roles:
            raise InputError(f"role {role!r} is not one of {', '.join(source.roles)}")
    return [{"role": source.roles[role], "content": text or ""} for role, text in turns]
