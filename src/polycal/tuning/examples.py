"""A tokenised SFT set on disk: write it, and read examples from it on demand."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from polycal.errors import InputError

FILE = "examples.arrow"
_BATCH = 1024  # examples in a record batch; all but the last have as many
_SCHEMA = pa.schema(
    [
        ("example_id", pa.int64()),
        ("tokens", pa.list_(pa.int32())),
        ("targets", pa.list_(pa.bool_())),
    ]
)


@dataclass(frozen=True)
class Example:
    """One conversation, or its part up to one turn, as token ids.

    Attributes:
        example_id: the conversation's row number in the SFT set's source; of a copy,
            that of the first one.
        tokens: [n] token ids, int32.
        targets: [n] whether the token has a loss, bool. The first one never has,
            because nothing predicts it.
    """

    example_id: int
    tokens: np.ndarray
    targets: np.ndarray

    @property
    def n_targets(self) -> int:
        """Return the number of tokens that have a loss."""
        return int(np.count_nonzero(self.targets))


def write_examples(examples: Iterable[Example], path: Path) -> int:
    """Write examples into an Arrow file as they come; return their number."""
    rest, n_examples = iter(examples), 0
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, _SCHEMA) as writer:
        while batch := list(itertools.islice(rest, _BATCH)):
            lengths = [len(example.tokens) for example in batch]
            ends = np.cumsum([0, *lengths], dtype=np.int32)
            tokens = np.concatenate([example.tokens for example in batch])
            targets = np.concatenate([example.targets for example in batch])
            columns = [
                pa.array([example.example_id for example in batch], pa.int64()),
                pa.ListArray.from_arrays(ends, tokens),
                pa.ListArray.from_arrays(ends, targets),
            ]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=_SCHEMA))
            n_examples += len(batch)
    return n_examples


class Examples(Sequence[Example]):
    """The examples of a file, read from disk one at a time."""

    def __init__(self, path: Path) -> None:
        """Map the file into memory; only its list of batches is read.

        Raises:
            InputError: the file does not exist, or holds no examples.
        """
        try:
            with pa.ipc.open_file(pa.memory_map(str(path))) as reader:
                if reader.schema != _SCHEMA:
                    raise InputError(
                        f"{path} holds {reader.schema.names}, no examples; delete its "
                        "folder and run again"
                    )
                count = reader.num_record_batches
                self._batches = [reader.get_batch(index) for index in range(count)]
        except FileNotFoundError:
            raise InputError(
                f"there is no {path}; `polycal tokenize` makes it"
            ) from None
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(
                f"{path} is not a complete Arrow file ({error}); delete its folder and "
                "run again"
            ) from error
        self._length = sum(batch.num_rows for batch in self._batches)

    def read_ids(self) -> np.ndarray:
        """Return the `example_id` of every example, in order."""
        ids = [batch.column(0).to_numpy() for batch in self._batches]
        return np.concatenate(ids) if ids else np.array([], np.int64)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Example:
        batch, row = divmod(range(self._length)[index], _BATCH)
        example, tokens, targets = self._batches[batch].columns
        return Example(
            example[row].as_py(),
            tokens[row].values.to_numpy(),
            targets[row].values.to_numpy(zero_copy_only=False),
        )
