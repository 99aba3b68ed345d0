"""Every Parquet table of a study: its columns, and the only way to write or read one.

A table on disk is complete or absent. It carries its kind and what made it in the
file's metadata, so a foreign or a truncated file is refused by name.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from polycal.errors import InputError
from polycal.files import replacing
from polycal.provenance import provenance

SCHEMA_VERSION = 1

_RUN = [
    ("model", pa.string()),  # short name of the base model
    ("sft", pa.string()),  # short name of the SFT set; "none" = the base model itself
    ("smoothing", pa.float64()),  # label-smoothing epsilon, 0 for the base model
    ("seed", pa.int32()),
]
_MEASURED = [
    *_RUN,
    ("task", pa.string()),
    ("language", pa.string()),  # as the benchmark spells it
    ("scoring", pa.string()),  # letters | text
    ("normaliser", pa.string()),  # sum | token: what the option's score is divided by
    ("calibrator", pa.string()),  # none: the probabilities as the model gives them
]

SCHEMAS: dict[str, pa.Schema] = {
    # One benchmark question in one language.
    "questions": pa.schema(
        [
            ("task", pa.string()),
            ("language", pa.string()),
            ("split", pa.string()),  # test | dev
            ("question_id", pa.string()),  # the same in every language
            ("subject", pa.string()),
            ("category", pa.string()),
            ("culture", pa.string()),  # CS | CA | null (not annotated)
            ("question", pa.string()),
            ("options", pa.list_(pa.string())),  # the valid ones, in original order
            ("gold", pa.int8()),  # index into options
            ("lead_in", pa.string()),  # stands between the question and its answer
        ]
    ),
    # One SFT conversation.
    "conversations": pa.schema(
        [
            ("sft", pa.string()),
            ("example_id", pa.int64()),  # row number in the source
            ("input", pa.string()),  # Alpaca's own: more of the first user turn
            (
                "messages",
                pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())])),
            ),
        ]
    ),
    # Raw scores of one question under one scoring; nothing derived in it.
    "predictions": pa.schema(
        [
            *_RUN,
            ("task", pa.string()),
            ("language", pa.string()),
            ("scoring", pa.string()),
            ("question_id", pa.string()),
            ("subject", pa.string()),
            ("category", pa.string()),
            ("culture", pa.string()),
            ("gold", pa.int8()),
            (
                "logprobs",
                pa.list_(pa.float32()),
            ),  # nats, summed over tokens, per option
            ("n_tokens", pa.list_(pa.int32())),  # tokens that were summed, per option
            ("n_bytes", pa.list_(pa.int32())),  # UTF-8 bytes of the option's text
            ("log_mass", pa.float32()),  # nats, all letters together; null for text
            ("truncated", pa.bool_()),  # the context was cut on the left
        ]
    ),
    # One line of a training run.
    "training_log": pa.schema(
        [
            *_RUN,
            ("lr", pa.float64()),  # the candidate's peak learning rate
            ("step", pa.int32()),
            ("split", pa.string()),  # train | validation
            ("loss", pa.float64()),  # smoothed loss, nats per target token
            ("nll", pa.float64()),  # plain negative log-likelihood, same unit
            ("learning_rate", pa.float64()),  # at this step; null for validation
            ("grad_norm", pa.float64()),  # before clipping; null for validation
            ("tokens", pa.int64()),  # target tokens behind this line
            ("tokens_per_second", pa.float64()),  # null for validation
        ]
    ),
    # One number about one (run, task, language, scoring).
    "metrics": pa.schema(
        [
            *_MEASURED,
            ("metric", pa.string()),
            ("value", pa.float64()),  # fraction; nats for nll and log_mass
            ("n_questions", pa.int32()),
        ]
    ),
    # One bin of a reliability diagram.
    "reliability": pa.schema(
        [
            *_MEASURED,
            ("bin", pa.int8()),
            ("lo", pa.float64()),
            ("hi", pa.float64()),
            ("n", pa.int32()),
            ("sum_confidence", pa.float64()),
            ("sum_correct", pa.float64()),
        ]
    ),
    # One number about one condition (a run without its seed) and a group of languages.
    "summary": pa.schema(
        [
            ("model", pa.string()),
            ("sft", pa.string()),
            ("smoothing", pa.float64()),
            ("task", pa.string()),
            ("level", pa.string()),  # high | mid | low | all, or a single language
            ("scoring", pa.string()),
            ("normaliser", pa.string()),
            ("calibrator", pa.string()),
            ("metric", pa.string()),
            ("value", pa.float64()),  # mean over languages of the mean over seeds
            ("sd_seeds", pa.float64()),  # of the languages' mean; null for one seed
            ("n_seeds", pa.int32()),
            ("n_languages", pa.int32()),
        ]
    ),
}


class Writer:
    """A table on its way to disk; every call of `add` is a row group."""

    def __init__(self, sink: pq.ParquetWriter, kind: str) -> None:
        """Append to an open file; `writing` makes one."""
        self._sink, self._kind = sink, kind
        self.num_rows = 0
        self.facts: dict[str, object] = {}  # stored at the end, when counts are known

    def add(self, table: pa.Table) -> None:
        """Append rows.

        Args:
            table: columns in any order; types that cast safely to the schema's.

        Raises:
            ValueError: a column is missing, superfluous or of another type (a defect).
            OSError: the disk is full.
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
    """Write a table of the given kind piece by piece, atomically.

    Args:
        path: the final name; it appears when the body has ended without an error.
        kind: a key of `SCHEMAS`.

    Yields:
        What takes the rows, and the facts that become the file's metadata.

    Raises:
        OSError: the folder cannot be written or the disk is full.
    """
    with replacing(path) as temporary:
        with pq.ParquetWriter(temporary, SCHEMAS[kind], compression="zstd") as sink:
            writer = Writer(sink, kind)
            yield writer
            made_by = {
                "kind": kind,
                "schema_version": SCHEMA_VERSION,
                **provenance(**writer.facts),
            }
            metadata = json.dumps(made_by, sort_keys=True)
            sink.add_key_value_metadata({"polycal": metadata})
        if pq.read_metadata(temporary).num_rows != writer.num_rows:
            raise OSError(f"{path}: rows were lost while writing")


def write(table: pa.Table, path: Path, kind: str, **facts: object) -> None:
    """Write a whole table of the given kind atomically.

    Args:
        table: as `Writer.add` takes it.
        path: the final name.
        kind: a key of `SCHEMAS`.
        **facts: what the caller knows of the origin (study, revision, ...).

    Raises:
        ValueError: a column is missing, superfluous or of another type (a defect).
        OSError: the folder cannot be written or the disk is full.
    """
    with writing(path, kind) as writer:
        writer.facts.update(facts)
        writer.add(table)


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
    """Read a table of the given kind piece by piece.

    Args:
        path: the file.
        kind: a key of `SCHEMAS`.
        rows: of a piece, at most.

    Yields:
        Its rows in order; few of them are in memory at a time.

    Raises:
        InputError: as `read`.
        FileNotFoundError: there is no such file.
    """
    with _opened(path, kind) as file:
        yield from file.iter_batches(batch_size=rows)


@contextlib.contextmanager
def _opened(path: Path, kind: str) -> Iterator[pq.ParquetFile]:
    try:
        # Buffers that are read ahead would stay in memory until the file is closed.
        with pq.ParquetFile(path, pre_buffer=False) as file:
            found = _made_by(file.metadata).get("kind")
            if found != kind or file.schema_arrow.names != SCHEMAS[kind].names:
                raise InputError(
                    f"{path} is not a polycal table of kind {kind!r} (found "
                    f"{found!r}); delete it, or name the right file, and run again"
                )
            yield file
    except (pa.ArrowInvalid, OSError) as error:
        if isinstance(error, FileNotFoundError | PermissionError):
            raise
        raise InputError(
            f"{path} is not a complete Parquet file ({error}); delete it and run again"
        ) from error


def read_metadata(path: Path) -> dict[str, object]:
    """What made a table: its kind and the facts of its writer; empty if foreign."""
    return _made_by(pq.read_metadata(path))


def _made_by(metadata: pq.FileMetaData) -> dict[str, object]:
    return json.loads((metadata.metadata or {}).get(b"polycal", b"{}"))


def read_many(paths: Iterable[Path], kind: str) -> pa.Table:
    """All rows of several tables of one kind, in the order of the paths.

    Raises:
        InputError: as `read`, or no path was given.
    """
    tables = [read(path, kind) for path in paths]
    if not tables:
        raise InputError(f"no tables of kind {kind!r} were given")
    return pa.concat_tables(tables)


def digest(table: pa.Table) -> str:
    """SHA-256 (hex) over the rows of a table, whatever made its file.

    A file's bytes hold the commit and the libraries that wrote it, too.
    """
    total = hashlib.sha256()
    for batch in table.to_batches():
        for row in batch.to_pylist():
            total.update(json.dumps(row, ensure_ascii=False).encode() + b"\n")
    return total.hexdigest()


def same(table: pa.Table, **values: object) -> pa.Table:
    """The table with columns that hold one value in every row, put in front."""
    for name, value in reversed(values.items()):
        column = pa.repeat(pa.scalar(value), table.num_rows)
        table = table.add_column(0, name, column)
    return table


def where(table: pa.Table, **values: object) -> pa.Table:
    """The rows in which every named column equals the given value."""
    for name, value in values.items():
        table = table.filter(pc.equal(table[name], value))
    return table
