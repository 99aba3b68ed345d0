"""Finished languages on disk, addressed by everything that determines their scores.

A job that was killed, or that holds one language more than an earlier one, finds here
what need not be scored again. Nothing is ever deleted from a store implicitly.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa

from polycal.errors import InputError
from polycal.storage import tables
from polycal.storage.files import exclusive


class Store:
    """A folder of predictions tables, one per key.

    A key is a dictionary that JSON can hold; it names all that determines the scores
    of an entry. Who the checkpoint is called by does not belong to it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = Path(folder)

    def get(self, key: Mapping[str, object]) -> pa.Table | None:
        """The entry of a key; None if there is none.

        Raises:
            InputError: a file with the entry's name is truncated, or is not the entry
                of this key; the message names it.
        """
        if not self._path(key).exists():
            return None
        table = tables.read(self._path(key), "predictions")
        self.facts(key)
        return table

    def facts(self, key: Mapping[str, object]) -> dict[str, object]:
        """What `put` noted of an entry, and provenance.

        Raises:
            InputError: as `get`.
            FileNotFoundError: there is no entry.
        """
        facts = tables.read_metadata(self._path(key))
        if facts.get("key") != dict(key):
            raise InputError(
                f"{self._path(key)} does not belong to this store (it was made for "
                f"{facts.get('key')}); delete it and run again"
            )
        return facts

    def put(self, key: Mapping[str, object], table: pa.Table, **facts: object) -> None:
        """Write an entry at once and whole.

        Args:
            key: the entry's key.
            table: rows of the "predictions" schema.
            **facts: what else is known of how it was made.
        """
        path = self._path(key)
        tables.write(table, path, "predictions", key=dict(key), **facts)

    @contextlib.contextmanager
    def lock(self, key: Mapping[str, object], *, wait: bool) -> Iterator[bool]:
        """Hold the lock of one entry, so that one process makes it at a time.

        Args:
            key: the entry's key.
            wait: for another process that holds the lock; False yields at once.

        Yields:
            Whether this process holds the lock.
        """
        with exclusive(self._path(key), wait=wait) as mine:
            yield mine

    def _path(self, key: Mapping[str, object]) -> Path:
        text = json.dumps(key, sort_keys=True, ensure_ascii=True)
        name = hashlib.sha256(text.encode()).hexdigest()
        return self._folder / f"{name}.parquet"
