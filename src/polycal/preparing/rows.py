"""Read the rows of Parquet and JSON files, a few in memory at a time."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from polycal.errors import InputError

_BATCH = 4096  # Parquet rows that are Python objects at one time
_CHUNK = 1 << 22  # characters of JSON that are read at once
_LONGEST = 1 << 26  # characters of one JSON row; a longer one is taken as unclosed
_BETWEEN = re.compile(r"[\s,\[\]]*")  # between two rows of a JSON file


def read_rows(
    files: Iterable[Path], columns: Sequence[str], *, asked_by: str = "`format:`"
) -> Iterator[dict]:
    """Yield the named columns of every row, in source order.

    Args:
        files: Parquet, JSON lines, or JSON arrays of objects.
        columns: names; a JSON row after the first may lack one, which becomes None.
        asked_by: the study's setting that needs the columns, for the error message.

    Raises:
        InputError: a file is broken or lacks columns; the message names it.
    """
    for path in files:
        read = _parquet_rows if path.suffix == ".parquet" else _json_rows
        yield from read(path, columns, asked_by)


def _parquet_rows(path: Path, columns: Sequence[str], asked_by: str) -> Iterator[dict]:
    try:
        # Buffers that are read ahead would stay in memory until the file is closed.
        with pq.ParquetFile(path, pre_buffer=False) as file:
            _check_columns(path, columns, file.schema_arrow.names, asked_by)
            for batch in file.iter_batches(batch_size=_BATCH, columns=list(columns)):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise InputError(
            f"{path} is not complete Parquet ({error}); fetch or make it again"
        ) from error


def _json_rows(path: Path, columns: Sequence[str], asked_by: str) -> Iterator[dict]:
    """Yield the rows of JSON lines or of one array, decoded one by one.

    An array of gigabytes (OpenHermes) does not fit in memory as Python objects.
    """
    decoder, buffer, position, first, between = json.JSONDecoder(), "", 0, True, ""
    with path.open(encoding="utf-8-sig") as file:
        array = _read_chunk(file, path).lstrip()[:1] == "["
        file.seek(0)
        while True:
            start = position
            position = _BETWEEN.match(buffer, start).end()
            between += buffer[start:position]  # since the last row, over chunks
            try:
                row, position = decoder.raw_decode(buffer, position)
            except json.JSONDecodeError as error:
                chunk = _read_chunk(file, path)
                rest = buffer[position:]
                if (not chunk and rest) or len(rest) > _LONGEST:
                    raise InputError(
                        f"{path} is not complete JSON ({error})"
                    ) from error
                if not chunk:
                    break
                buffer, position = rest + chunk, 0
                continue
            if not isinstance(row, dict):
                raise InputError(f"{path}: a row is not a JSON object: {str(row)[:60]}")
            if first:
                _check_columns(path, columns, row, asked_by)
                first = False
            between = ""
            yield {column: row.get(column) for column in columns}
    if array and "]" not in between:
        raise InputError(f"{path} is not complete JSON (the array is not closed)")


def _read_chunk(file: TextIO, path: Path) -> str:
    try:
        return file.read(_CHUNK)
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text ({error})") from error


def _check_columns(
    path: Path, columns: Sequence[str], present: Iterable[str], asked_by: str
) -> None:
    missing = [column for column in columns if column not in present]
    if missing:
        raise InputError(
            f"{path} lacks the columns {', '.join(missing)} (it has: "
            f"{', '.join(present)}); is {asked_by} right?"
        )
