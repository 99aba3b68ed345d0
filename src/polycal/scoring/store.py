"""Store of finished languages, addressed by everything that determines their scores.

A job that was killed, or that has one language more than before, reads finished
languages here instead of scoring them again. Nothing is deleted implicitly.
"""

import hashlib
import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import pyarrow as pa

from polycal.errors import InputError
from polycal.storage import tables
from polycal.storage.files import exclusive


class Store:
    """A folder of predictions tables, one per key.

    A key is a dictionary that JSON can hold. It has everything that determines the
    scores; the short names of model and SFT set do not belong to it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = Path(folder)

    def get(self, key: Mapping[str, object]) -> pa.Table | None:
        """Return the entry of a key; None if there is none.

        Raises:
            InputError: the entry's file is truncated, or was made for another key; the
                message names it.
        """
        if not self._path(key).exists():
            return None
        table = tables.read(self._path(key), "predictions")
        self.facts(key)
        return table

    def facts(self, key: Mapping[str, object]) -> dict[str, object]:
        """Return the facts that `put` stored with an entry, and its provenance.

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
        """Write an entry atomically.

        Args:
            key: the entry's key.
            table: rows of the "predictions" schema.
            **facts: further facts about how it was made.
        """
        path = self._path(key)
        tables.write(table, path, "predictions", key=dict(key), **facts)

    def lock(
        self, key: Mapping[str, object], *, wait: bool
    ) -> AbstractContextManager[bool]:
        """Return the lock of one entry; see `polycal.storage.files.exclusive`."""
        return exclusive(self._path(key), wait=wait)

    def _path(self, key: Mapping[str, object]) -> Path:
        text = json.dumps(key, sort_keys=True, ensure_ascii=True)
        name = hashlib.sha256(text.encode()).hexdigest()
        return self._folder / f"{name}.parquet"
