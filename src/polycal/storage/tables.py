"""Write and read the Parquet tables of a study; nothing else does.

A table on disk is complete or absent. Its metadata has its kind, its provenance and a
digest of its content, so a foreign or damaged file is refused by name.
"""

import contextlib
import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

from polycal.errors import InputError, summarise
from polycal.storage.files import replacing
from polycal.storage.provenance import provenance
from polycal.storage.schemas import SCHEMAS
from polycal.storage.seals import digest_content, digest_footer, seal_footer

SCHEMA_VERSION = 3
FORMULA = r"\A([=+\-@\t\r\n])"  # how a formula begins in a spreadsheet


class _Hashed(io.FileIO):
    """A new file that hashes (SHA-256) what is written to it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w")
        self.content = hashlib.sha256()

    def write(self, data: bytes) -> int:
        """Write all of the data, or raise."""
        self.content.update(data)
        rest = memoryview(data)
        while rest:
            rest = rest[super().write(rest) :]
        return len(data)


class Writer:
    """Writes a table piece by piece; every call of `add` is a row group."""

    def __init__(self, sink: pq.ParquetWriter, kind: str) -> None:
        """Append to an open file; `writing` makes one."""
        self._sink, self._kind = sink, kind
        self.num_rows = 0
        self.facts: dict[str, Any] = {}  # stored at the end, when counts are known

    def add(self, table: pa.Table) -> None:
        """Append rows.

        Args:
            table: columns in any order; types that cast safely to the schema's.

        Raises:
            ValueError: a column is missing, superfluous or of another type (a defect).
        """
        schema = SCHEMAS[self._kind]
        if set(table.column_names) != set(schema.names):
            missing = sorted(set(schema.names) - set(table.column_names))
            extra = sorted(set(table.column_names) - set(schema.names))
            raise ValueError(
                f"{self._kind}: missing columns {missing}, unknown columns {extra}"
            )
        self._sink.write_table(table.select(schema.names).cast(schema))
        self.num_rows += table.num_rows


@contextlib.contextmanager
def writing(path: Path, kind: str) -> Iterator[Writer]:
    """Context manager: write a table of the given kind piece by piece, atomically.

    Yields:
        A writer of the rows, with the facts for the file's metadata.
    """
    with replacing(path) as temporary:
        with (
            _Hashed(temporary) as file,
            pq.ParquetWriter(file, SCHEMAS[kind], compression="zstd") as sink,
        ):
            writer = Writer(sink, kind)
            yield writer
            made_by = {
                "kind": kind,
                "schema_version": SCHEMA_VERSION,
                "content": file.content.hexdigest(),  # of all before the metadata
                "footer": 64 * "0",
                "rows": writer.num_rows,
                **provenance(**writer.facts),
            }
            metadata = json.dumps(made_by, sort_keys=True)
            sink.add_key_value_metadata({"polycal": metadata})
        seal_footer(temporary)
        if pq.read_metadata(temporary).num_rows != writer.num_rows:
            raise OSError(f"{path}: rows were lost while writing")


def write(table: pa.Table, path: Path, kind: str, **facts: object) -> None:
    """Write a whole table of the given kind atomically.

    Args:
        table: as `Writer.add` takes it.
        path: the final name.
        kind: a key of `SCHEMAS`.
        **facts: about the origin (study, revision, ...).

    Raises:
        ValueError: a column is missing, superfluous or of another type (a defect).
        OSError: the folder cannot be written or the disk is full.
    """
    with writing(path, kind) as writer:
        writer.facts.update(facts)
        writer.add(table)


def write_study(table: pa.Table, folder: Path, kind: str, **facts: object) -> None:
    """Write a table of the whole study as Parquet and CSV, each atomically."""
    write(table, folder / f"{kind}.parquet", kind, **facts)
    write_csv(table.select(SCHEMAS[kind].names), folder / f"{kind}.csv")


def write_csv(table: pa.Table, path: Path) -> None:
    """Write a table as CSV, atomically.

    A list becomes JSON text. A text that a spreadsheet would compute, such as a
    subject `=1+1` of somebody's benchmark, gets an apostrophe in front.
    """
    for index, field in enumerate(table.schema):
        column = table[index]
        if pa.types.is_list(field.type):
            cells = [
                None if value is None else json.dumps(value)
                for value in column.to_pylist()
            ]
            table = table.set_column(index, field.name, pa.array(cells, pa.string()))
        elif pa.types.is_string(field.type):
            column = pc.replace_substring_regex(column, FORMULA, r"'\1")
            table = table.set_column(index, field.name, column)
    with replacing(path) as temporary:
        csv.write_csv(table, temporary)


def read(path: Path, kind: str) -> pa.Table:
    """Read a whole table of the given kind.

    Raises:
        InputError: the file is not complete Parquet, or not a table of this kind; the
            message names the file and says what to do.
        FileNotFoundError: there is no such file.
    """
    with _opened(path, kind) as file:
        return file.read().cast(SCHEMAS[kind])


def stream(path: Path, kind: str, *, rows: int) -> Iterator[pa.RecordBatch]:
    """Yield a table of the given kind piece by piece; few rows are in memory.

    Raises:
        InputError: as `read`.
        FileNotFoundError: there is no such file.
    """
    with _opened(path, kind) as file:
        yield from file.iter_batches(batch_size=rows)


def read_first(path: Path, kind: str) -> dict[str, Any] | None:
    """Return a table's first row; None if it is empty. Raises as `stream` does."""
    for first in stream(path, kind, rows=1):
        return first.to_pylist()[0]
    return None


@contextlib.contextmanager
def _opened(path: Path, kind: str) -> Iterator[pq.ParquetFile]:
    # pre_buffer would keep what it reads ahead in memory until the file is closed.
    with _explained(path), pq.ParquetFile(path, pre_buffer=False) as file:
        made_by = _made_by(file.metadata)
        stored_kind = made_by.get("kind")
        if stored_kind != kind or not file.schema_arrow.equals(SCHEMAS[kind]):
            raise InputError(
                f"{path} is not a polycal table of kind {kind!r} (found "
                f"{stored_kind!r}); delete it or name the right file, and run again"
            )
        groups = map(file.metadata.row_group, range(file.num_row_groups))
        actual = {
            "content": digest_content(path, file.metadata),
            "rows": sum(group.num_rows for group in groups),
        }
        # Tables of schema version 2 have no digest of the footer.
        if made_by.get("schema_version") != 2 or "footer" in made_by:
            actual["footer"] = digest_footer(path, made_by.get("footer"))
        if any(made_by.get(name) != value for name, value in actual.items()):
            raise InputError(f"{path} is damaged; delete it and run again")
        yield file


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Context manager: name the file in what pyarrow raises about it."""
    try:
        yield
    except InputError:
        raise
    except (FileNotFoundError, PermissionError) as error:
        if error.filename is None and error.errno:  # pyarrow's names no file
            error.filename, error.strerror = str(path), os.strerror(error.errno)
        raise
    # ValueError: text that is not UTF-8, or metadata that is not JSON.
    except (pa.ArrowException, ValueError, OSError) as error:
        raise InputError(
            f"{path} is not a complete Parquet file ({summarise(error)}); delete it "
            "and run again"
        ) from error


def read_metadata(path: Path) -> dict[str, Any]:
    """Return a table's kind and its writer's facts; empty for a foreign file.

    Raises:
        InputError: the file is not complete Parquet.
        FileNotFoundError: there is no such file.
    """
    with _explained(path):
        return _made_by(pq.read_metadata(path))


def _made_by(metadata: pq.FileMetaData) -> dict[str, Any]:
    facts = json.loads((metadata.metadata or {}).get(b"polycal", b"{}"))
    if not isinstance(facts, dict):
        raise ValueError("its metadata is no list of facts")
    return facts


def read_many(paths: Iterable[Path], kind: str) -> pa.Table:
    """Read all rows of several tables of one kind, in the order of the paths.

    Raises:
        InputError: as `read`, or no path was given.
    """
    tables = [read(path, kind) for path in paths]
    if not tables:
        raise InputError(f"no tables of kind {kind!r} were given")
    return pa.concat_tables(tables)


def digest(table: pa.Table) -> str:
    """Return the SHA-256 (hex) of a table's rows.

    Unlike the file's bytes, it does not depend on the commit and libraries that wrote
    it.
    """
    total = hashlib.sha256()
    for batch in table.to_batches():
        for row in batch.to_pylist():
            total.update(json.dumps(row, ensure_ascii=False).encode() + b"\n")
    return total.hexdigest()


def same(table: pa.Table, **values: object) -> pa.Table:
    """Prepend constant columns."""
    for name, value in reversed(values.items()):
        column = pa.repeat(pa.scalar(value), table.num_rows)
        table = table.add_column(0, name, column)
    return table


def where(table: pa.Table, **values: object) -> pa.Table:
    """Return the rows in which every named column equals the given value."""
    for name, value in values.items():
        table = table.filter(pc.equal(table[name], value))
    return table
