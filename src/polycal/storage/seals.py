"""Digests within a Parquet file: of its content, and of the footer that says so."""

import hashlib
import os
from pathlib import Path

import pyarrow.parquet as pq

# Stands in the footer while its own digest is computed.
_UNSEALED = b'"footer": "' + 64 * b"0"


def seal_footer(path: Path) -> None:
    """Write the footer's digest into the footer."""
    start, footer = _read_footer(path)
    place = footer.index(_UNSEALED) + len(_UNSEALED) - 64
    with open(path, "r+b") as file:
        file.seek(start + place)
        file.write(hashlib.sha256(footer).hexdigest().encode())


def digest_footer(path: Path, stated: object) -> str:
    """Return the SHA-256 of a file's footer as it was before it was sealed."""
    _, footer = _read_footer(path)
    sealed = f'"footer": "{stated}'.encode()
    return hashlib.sha256(footer.replace(sealed, _UNSEALED, 1)).hexdigest()


def _read_footer(path: Path) -> tuple[int, bytes]:
    """Return where a file's footer begins, and its bytes up to the end of the file.

    The footer is the metadata, their length in 4 bytes, and "PAR1".
    """
    with open(path, "rb") as file:
        file.seek(-8, os.SEEK_END)
        length = int.from_bytes(file.read(4), "little")
        start = file.seek(-8 - length, os.SEEK_END)
        return start, file.read()


def digest_content(path: Path, metadata: pq.FileMetaData) -> str:
    """Return the SHA-256 of everything before the metadata.

    Parquet's own checksums do not cover the headers of its pages.
    """
    rest = os.path.getsize(path) - metadata.serialized_size - 8  # length and "PAR1"
    total = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(min(rest, 2**20)):
            total.update(chunk)
            rest -= len(chunk)
    return total.hexdigest()
