"""Store of scored questions, addressed by everything that determines their scores.

A job that was killed, or that has more languages or questions than before, reads
finished questions here instead of scoring them again. Nothing is deleted implicitly.
"""

import hashlib
import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from polycal.errors import InputError
from polycal.storage import tables
from polycal.storage.files import exclusive


class Entry(NamedTuple):
    """Questions that were scored together: rows of predictions, and what `put` noted.

    Its facts have the provenance, too.
    """

    rows: pa.Table
    facts: dict[str, Any]


class Store:
    """A folder of predictions tables: one per key, or a folder of several parts of it.

    A key is a dictionary that JSON can hold. It has everything that determines the
    scores; the short names of model and SFT set do not belong to it. An entry has all
    questions of the key, or those that were scored together.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = Path(folder)

    def get(self, key: Mapping[str, Any]) -> list[Entry]:
        """Return the entries of a key; that of all questions is the first.

        Raises:
            InputError: an entry's file is truncated, or was made for another key; the
                message names it.
        """
        entries = []
        whole = self._path(key)
        # In a folder of their own: a store of many thousand keys is never listed.
        parts = sorted(whole.with_suffix("").glob(f"*{whole.suffix}"))
        for path in (whole, *parts):
            if not path.exists():
                continue
            rows, facts = tables.read(path, "predictions"), tables.read_metadata(path)
            if facts.get("key") != dict(key):
                raise InputError(
                    f"{path} does not belong to this store (it was made for "
                    f"{facts.get('key')}); delete it and run again"
                )
            entries.append(Entry(rows, facts))
        return entries

    def put(
        self,
        key: Mapping[str, Any],
        table: pa.Table,
        *,
        name: str = "",
        **facts: object,
    ) -> None:
        """Write an entry atomically; that of all questions has no name."""
        path = self._path(key, name)
        tables.write(table, path, "predictions", key=dict(key), **facts)

    def lock(
        self, key: Mapping[str, Any], *, wait: bool
    ) -> AbstractContextManager[bool]:
        """Return the lock of a key; see `polycal.storage.files.exclusive`."""
        return exclusive(self._path(key), wait=wait)

    def _path(self, key: Mapping[str, Any], name: str = "") -> Path:
        text = json.dumps(key, sort_keys=True, ensure_ascii=True)
        stem = hashlib.sha256(text.encode()).hexdigest()
        return self._folder / f"{stem}{name and '/'}{name}.parquet"
