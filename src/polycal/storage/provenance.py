"""Provenance of a result: versions, commit, revisions, digests."""

import contextlib
import functools
import hashlib
import importlib.metadata
import json
import platform
import subprocess
from pathlib import Path
from typing import Any

import polycal
from polycal.errors import InputError
from polycal.storage.files import digest, replacing

# Files beside a checkpoint's own that are not in its digest.
_NOTES = ("provenance.json", "recipe.json", "selection.json", "training_log.parquet")
_AGAIN = "delete the folder and run again"
LIBRARIES = ("torch", "transformers", "peft", "datasets", "numpy", "pyarrow")


def provenance(**facts: object) -> dict[str, Any]:
    """Return facts about a result together with versions of the software.

    Without time and host, so the same inputs and software give the same bytes.
    """
    return {
        **facts,
        "polycal": polycal.__version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "libraries": _versions(),
    }


@functools.cache
def _versions() -> dict[str, str]:
    """Return installed versions from package metadata, without importing packages."""
    versions = {}
    for name in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


@functools.cache
def _commit() -> str | None:
    """Return the commit of the checkout with this package, if there is one."""
    folder = Path(__file__).parent
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def write_provenance(folder: Path, **facts: object) -> None:
    """Write `provenance(**facts)` as `provenance.json` into a result's folder.

    `content` is a digest of them, because later stages copy some.
    """
    written = provenance(**facts)
    written["content"] = digest_facts(written)
    text = json.dumps(written, indent=2, sort_keys=True)
    with replacing(folder / "provenance.json") as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def mark_folder(folder: Path, verb: str) -> None:
    """Make a folder, if need be, and note the verb that may replace files in it."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "provenance.json").exists():
        write_provenance(folder, verb=verb)


def digest_facts(facts: dict[str, Any]) -> str:
    """Return the SHA-256 (hex) of facts as JSON holds them, without their digest."""
    held = {key: value for key, value in facts.items() if key != "content"}
    text = json.dumps(json.loads(json.dumps(held)), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def read_provenance(folder: Path) -> dict[str, Any]:
    """Read a folder's `provenance.json`.

    Raises:
        FileNotFoundError: there is none, so polycal did not make the folder.
        InputError: it is damaged.
    """
    path = folder / "provenance.json"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error}); {_AGAIN}") from error
    if not isinstance(facts, dict):
        raise InputError(f"{path} is no list of facts; {_AGAIN}")
    if "content" in facts and facts["content"] != digest_facts(facts):
        raise InputError(f"{path} has changed since it was written; {_AGAIN}")
    return facts


def read_digest(folder: Path) -> object:
    """Return the digest that a folder's provenance states; None without one.

    Raises:
        InputError: the provenance is damaged.
    """
    try:
        return read_provenance(folder).get("digest")
    except FileNotFoundError:
        return None


def digest_notes(folder: Path) -> str:
    """Return the digest of a run's notes: selection, recipe and log."""
    notes = (folder / name for name in _NOTES if name != "provenance.json")
    return digest(path for path in notes if path.exists())


def check_notes(folder: Path) -> None:
    """Refuse a run whose selection, recipe or log has changed since it was written.

    A run without a digest of them is accepted.

    Raises:
        InputError: a file has changed or is missing.
    """
    try:
        stated = read_provenance(folder).get("notes")
    except FileNotFoundError:
        return
    if stated is not None and stated != digest_notes(folder):
        raise InputError(
            f"{folder} is damaged: its selection, recipe or log has changed since it "
            "was written; delete the folder and run again"
        )


def check_content(folder: Path) -> None:
    """Refuse a checkpoint whose files do not match its digest.

    A disk may lose a bit without an error, and damaged weights load all the same. It
    takes a second per gigabyte. A folder without a digest, which polycal did not make,
    is accepted.

    Raises:
        InputError: a file has changed or is missing, or the provenance is damaged.
    """
    stated = read_digest(folder)
    if stated is None:
        return
    files = [path for path in folder.glob("[!.]*") if path.name not in _NOTES]
    if digest(files) != stated:
        raise InputError(
            f"{folder} is damaged: its files have changed since they were written; "
            "delete it and run again"
        )
