"""Read an SFT set in its own columns into a conversations table."""

import itertools
import logging
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from polycal.errors import InputError
from polycal.preparing import hub
from polycal.preparing.filters import Filter
from polycal.preparing.rows import read_rows
from polycal.preparing.sft_formats import (
    DROP,
    FORMATS,
    ROLES,
    Format,
    read_content,
    to_messages,
)
from polycal.storage import tables
from polycal.storage.files import digest
from polycal.study.completeness import (
    FAULTY,
    MOST_DROPPED,
    MOST_FAULTY,
    SHOWN,
    check_dropped,
    check_size,
    list_faults,
)
from polycal.study.grid import is_local
from polycal.verb import verb

_BATCH = 4096  # conversations that are Python objects at one time
_logger = logging.getLogger(__name__)

_ADVICE = "correct `format:` or the rows, or allow it with `max_dropped`"
_LIMITS = {
    "dropped_no_answer": (MOST_DROPPED, _ADVICE),
    "dropped_no_question": (MOST_DROPPED, _ADVICE),
    "dropped_empty_answer": (MOST_DROPPED, _ADVICE),
    FAULTY: (MOST_FAULTY, _ADVICE),
}


@verb(makes="{out}", without_pandas=True)
def prepare_sft(
    *,
    repo: str,
    revision: str | None = None,
    format: str,
    sft: str,
    out: Path,
    filter: Mapping | None = None,
    roles: Mapping | None = None,
    max_dropped: float | None = None,
    max_examples: int | None = None,
) -> None:
    """Read an SFT set's train split into a conversations table.

    Texts are stored unchanged. A row without an assistant turn, with an empty one,
    without a text that it answers, or with a fault (a role that is not known, a content
    that is not a text) is dropped, up to a limit. Counts of dropped rows are logged and
    stored as `counts` in the file's metadata. `example_id` is the row number in the
    source, from 0. Few rows are in memory at a time. The subset of `max_examples` is
    the same in every call; a smaller one is part of a larger one.

    Args:
        repo: Hub id (owner/name), or a local directory or file.
        revision: commit of the Hub repository.
        format: alpaca, messages or sharegpt.
        sft: short name of the SFT set.
        out: Parquet file to write.
        filter: rows to read: {"column": NAME, "keep": [VALUE, ...]}, or drop.
        roles: the set's names of roles that its format does not know, as JSON:
            {NAME: user, assistant, system, or drop}.
        max_dropped: share of the rows that may be dropped for one reason; by default
            1 % of faulty rows, 10 % for any other reason.
        max_examples: random subset of this size; default: all conversations.

    Raises:
        InputError: the data are not available or not complete, many rows would be
            dropped (the message names faulty ones), the filter does not fit the data,
            or no conversation is left.
    """
    if format not in FORMATS:
        raise InputError(f"format {format!r} is not known; use {', '.join(FORMATS)}")
    unknown = set(map(str, (roles or {}).values())) - {*ROLES, DROP}
    if unknown:
        raise InputError(
            f"roles: {', '.join(sorted(unknown))} is none of {', '.join(ROLES)} and "
            f"{DROP}"
        )
    data = hub.find_splits(repo, splits=["train"], revision=revision)
    files = data.files["train"]

    source = FORMATS[format]
    source = replace(source, roles={**source.roles, **(roles or {})})

    def read() -> _Conversations:
        row_filter = Filter.from_settings(filter) if filter else None
        return _Conversations(source, files, repo, row_filter, max_dropped)

    threshold = 1.0
    if max_examples is not None:
        kept = sum(1 for _ in read())
        threshold = _find_threshold(kept, max_examples)
    rows = read()
    with tables.writing(out, "conversations") as writer:
        drawn = itertools.compress(
            rows, (number <= threshold for number in _random_numbers())
        )
        while batch := list(itertools.islice(drawn, _BATCH)):
            own = [{"sft": sft, **row} for row in batch]
            writer.add(pa.Table.from_pylist(own, tables.SCHEMAS["conversations"]))
        counts = dict(rows.counts)
        counts["dropped_by_max_examples"] = rows.kept - writer.num_rows
        if not writer.num_rows:
            raise InputError(
                f"{repo} has no conversation with an answer ({counts}) "
                f"{rows.describe_faults()}".rstrip()
            )
        check_size(
            f"{repo}, train",
            counts["rows"],
            data.sizes.get("train"),
            is_local=is_local(repo),
        )
        writer.facts.update(
            sft=sft,
            format=format,
            repo=repo,
            revision=data.revision,
            filter=filter,
            max_examples=max_examples,
            digest=digest(files),
            counts=counts,
        )
        if roles:
            writer.facts.update(roles=dict(roles))
    if rows.faults:
        _logger.warning("%s: faulty rows are dropped: %s", repo, rows.describe_faults())
    _logger.info("%s: kept %d conversations; %s", repo, writer.num_rows, counts)


def _random_numbers() -> Iterator[float]:
    """Yield a number below 1 for every conversation in turn, the same in every pass."""
    rng = random.Random(0)
    while True:
        yield rng.random()


def _find_threshold(n: int, size: int) -> float:
    """Return the number up to which `size` of `n` conversations are taken."""
    numbers = sorted(itertools.islice(_random_numbers(), n))
    return numbers[size - 1] if size < n else 1.0


class _Conversations:
    """One pass over the source: the rows of a conversations table without `sft`.

    Attributes:
        counts: rows that were read, and rows that were dropped by reason.
        kept: number of conversations that were yielded.
        faults: the first faulty rows, as messages name them.
    """

    def __init__(
        self,
        source: Format,
        files: Sequence[Path],
        repo: str,
        row_filter: Filter | None,
        max_dropped: float | None,
    ) -> None:
        names = ("rows", "dropped_by_filter", *_LIMITS)
        self.counts = Counter(dict.fromkeys(names, 0))
        self.kept = 0
        self.faults: list[str] = []
        self._max_dropped = max_dropped
        self._source, self._files, self._repo = source, files, repo
        self._filter = row_filter

    def __iter__(self) -> Iterator[dict]:
        source, columns, asked_by = self._source, self._source.columns, "`format:`"
        if self._filter:
            columns = tuple(dict.fromkeys([*columns, self._filter.column]))
            asked_by = "`format:` or `filter:`"
        for example, row in enumerate(
            read_rows(self._files, columns, asked_by=asked_by)
        ):
            self.counts["rows"] += 1
            where = f"row {example} of train"
            try:
                is_out = self._filter and not self._filter.admits(row)
            except InputError as error:
                raise InputError(f"{self._repo}, {where}: {error}") from None
            if is_out:
                self.counts["dropped_by_filter"] += 1
                continue
            try:
                messages = to_messages(source, row)
                second = read_content(row[source.input]) if source.input else ""
            except InputError as error:
                self.counts[FAULTY] += 1
                if len(self.faults) < SHOWN:
                    self.faults.append(f"{where}: {error}")
                continue
            answers: list[str] = []
            asked = [second]
            for turn in messages:
                is_answer = turn["role"] == "assistant"
                (answers if is_answer else asked).append(turn["content"])
            if not answers:
                self.counts["dropped_no_answer"] += 1
            elif not any(text.strip() for text in asked):
                self.counts["dropped_no_question"] += 1
            elif not all(answer.strip() for answer in answers):
                self.counts["dropped_empty_answer"] += 1
            else:
                self.kept += 1
                yield {
                    "example_id": example,
                    "input": second if second.strip() else None,
                    "messages": messages,
                }
        if self._filter:
            self._filter.check()
        rows = self.counts["rows"] - self.counts["dropped_by_filter"]
        check_dropped(
            f"{self._repo}, train",
            {**self.counts, "rows": rows},
            _LIMITS,
            self._max_dropped,
            self.describe_faults(),
        )

    def describe_faults(self) -> str:
        """Return the first faulty rows as a part of a message."""
        return list_faults(self.faults, self.counts[FAULTY])
