"""Read the rows of Parquet, Arrow, JSON and CSV files, a few in memory at a time."""

import contextlib
import csv
import json
import re
from collections.abc import (
    Callable,
    Collection,
    Container,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from pathlib import Path
from typing import TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from polycal.errors import InputError

_BATCH = 4096  # Parquet rows that are Python objects at one time
_CHUNK = 1 << 22  # characters of JSON that are read at once
_LONGEST = 1 << 26  # characters of one JSON row; a longer one is taken as unclosed
_END = b"\xff\xff\xff\xff\0\0\0\0"  # of an Arrow stream
# Names of columns, and the batches of some of them.
_Batches = tuple[list[str], Callable[[list[str]], Iterator[pa.RecordBatch]]]
_BETWEEN = re.compile(r"[\s,\[\]]*")  # between two rows of a JSON file


def read_rows(
    files: Iterable[Path], columns: Sequence[str], *, asked_by: str = "`format:`"
) -> Iterator[dict]:
    """Yield the named columns of every row, in source order.

    A name such as `question.stem` is a column of that name, else the key `stem` of what
    the column `question` holds; of a list, it is the list of its members' values.
    An empty cell of a CSV file is None; every other cell is a text as it is written.

    Args:
        files: Parquet, Arrow streams (what `save_to_disk` of the `datasets` library
            writes), JSON lines, JSON arrays of objects, or CSV.
        columns: names; a row of JSON may lack some, which become None, as long as
            another row of the file has them.
        asked_by: the study's setting that needs the columns, for the error message.

    Raises:
        InputError: a file is broken or lacks columns; the message names it.
    """
    readers = {".parquet": _arrow_rows, ".arrow": _arrow_rows, ".csv": _csv_rows}
    for path in files:
        read = readers.get(path.suffix, _json_rows)
        try:
            yield from read(path, columns, asked_by)
        except RecursionError:
            raise InputError(f"{path} is nested too deeply to be data") from None


def _arrow_rows(path: Path, columns: Sequence[str], asked_by: str) -> Iterator[dict]:
    is_stream = path.suffix == ".arrow"
    form = "Arrow" if is_stream else "Parquet"
    try:
        with _open_stream(path) if is_stream else _open_parquet(path) as batches:
            names, read_batches = batches
            _check_columns(path, columns, names, asked_by)
            read = list(dict.fromkeys(_find_column(name, names) for name in columns))
            for batch in read_batches(read):
                for row in batch.to_pylist():
                    yield {name: _pick(row, name) for name in columns}
    except InputError:
        raise
    # ValueError and OverflowError: values that Python cannot hold, such as a date.
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{path} is not complete {form} ({reason}); fetch or make it again"
        ) from error


@contextlib.contextmanager
def _open_parquet(path: Path) -> Iterator[_Batches]:
    # Buffers that are read ahead would stay in memory until the file is closed.
    with pq.ParquetFile(path, pre_buffer=False) as file:
        yield (
            file.schema_arrow.names,
            lambda names: file.iter_batches(batch_size=_BATCH, columns=names),
        )


@contextlib.contextmanager
def _open_stream(path: Path) -> Iterator[_Batches]:
    with pa.OSFile(str(path)) as file:
        file.seek(max(file.size() - len(_END), 0))
        if file.read() != _END:  # of a stream without it, pyarrow reads what is there
            raise pa.ArrowInvalid("its end is missing")
        file.seek(0)
        with pa.ipc.open_stream(file) as stream:
            yield (
                stream.schema.names,
                lambda names: (_validate(batch.select(names)) for batch in stream),
            )


def _validate(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a batch whose offsets lead into its buffers, which a reader trusts."""
    batch.validate(full=True)
    return batch


def _csv_rows(path: Path, columns: Sequence[str], asked_by: str) -> Iterator[dict]:
    csv.field_size_limit(_LONGEST)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        try:
            names = reader.fieldnames or []
            _check_columns(path, columns, names, asked_by)
            for row in reader:
                if None in row:
                    raise InputError(
                        f"{path}, line {reader.line_num} has more cells than the "
                        "header; quote a cell that has a comma"
                    )
                yield {name: row[name] or None for name in columns}
        except (csv.Error, UnicodeDecodeError) as error:
            raise InputError(
                f"{path}, line {reader.line_num} is not CSV in UTF-8 ({error})"
            ) from error


def _json_rows(path: Path, columns: Sequence[str], asked_by: str) -> Iterator[dict]:
    """Yield the rows of JSON lines or of one array, decoded one by one.

    An array of gigabytes (OpenHermes) does not fit in memory as Python objects.
    """
    decoder, buffer, position, between = json.JSONDecoder(), "", 0, ""
    has_rows = False
    names: dict[str, None] = {}  # keys of all rows, in order
    with path.open(encoding="utf-8-sig") as file:
        array = _read_chunk(file, path).lstrip()[:1] == "["
        file.seek(0)
        while True:
            start = position
            gap = _BETWEEN.match(buffer, start)
            position = gap.end() if gap else start
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
            except ValueError as error:  # a number of thousands of digits
                raise InputError(f"{path} is not JSON ({error})") from error
            if not isinstance(row, dict):
                raise InputError(f"{path}: a row is not a JSON object: {str(row)[:60]}")
            names.update(dict.fromkeys(row))
            has_rows, between = True, ""
            yield {name: _pick(row, name) for name in columns}
    if array and "]" not in between:
        raise InputError(f"{path} is not complete JSON (the array is not closed)")
    if has_rows:  # checked here, because any row may have a key that the first lacks
        _check_columns(path, columns, names, asked_by)


def _read_chunk(file: TextIO, path: Path) -> str:
    try:
        return file.read(_CHUNK)
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text ({error})") from error


def _find_column(name: str, present: Container[str]) -> str:
    """Return the column that holds what a name means."""
    return name if name in present else name.split(".")[0]


def _pick(row: Mapping, name: str) -> object:
    """Return what a name means in a row; None if it is not there."""
    if name in row or "." not in name:
        return row.get(name)
    column, *keys = name.split(".")
    value = row.get(column)
    for key in keys:
        value = _enter(value, key)
    return value


def _enter(value: object, key: str) -> object:
    if isinstance(value, list):
        return [_enter(member, key) for member in value]
    return value.get(key) if isinstance(value, dict) else None


def _check_columns(
    path: Path, columns: Sequence[str], present: Collection[str], asked_by: str
) -> None:
    missing = [name for name in columns if _find_column(name, present) not in present]
    if missing:
        raise InputError(
            f"{path} lacks the columns {', '.join(missing)} (it has: "
            f"{', '.join(present)}); is {asked_by} right?"
        )
