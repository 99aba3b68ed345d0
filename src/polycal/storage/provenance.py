"""What made a result: versions, commit, revisions."""

import functools
import importlib.metadata
import json
import platform
import subprocess
from pathlib import Path

import polycal
from polycal.errors import InputError
from polycal.storage.files import digest

# What lies beside a checkpoint's own files and is not in its digest.
_NOTES = ("provenance.json", "recipe.json", "selection.json", "training_log.parquet")
LIBRARIES = ("torch", "transformers", "peft", "datasets", "numpy", "pyarrow")


def provenance(**facts: object) -> dict[str, object]:
    """Facts about a result together with what is known of the software.

    There is no time and no host in it: the same inputs and software give the same
    bytes.

    Args:
        **facts: what the caller knows: study, repository, revision, digest, ...

    Returns:
        A dictionary that JSON can hold.
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
    """Installed versions, read from package metadata so that nothing is imported."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


@functools.cache
def _commit() -> str | None:
    """The commit of the checkout that holds the package, if it is one."""
    folder = Path(__file__).parent
    try:
        done = subprocess.run(
            [
                "git",
                "-C",
                str(folder),
                "describe",
                "--always",
                "--dirty",
                "--abbrev=40",
            ],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def write_provenance(folder: Path, **facts: object) -> None:
    """Write `provenance(**facts)` as `provenance.json` into a result's folder."""
    text = json.dumps(provenance(**facts), indent=2, sort_keys=True)
    (folder / "provenance.json").write_text(text + "\n")


def read_provenance(folder: Path) -> dict[str, object]:
    """Read back what `write_provenance` wrote.

    Raises:
        FileNotFoundError: the folder holds none, so polycal did not make it.
    """
    return json.loads((folder / "provenance.json").read_text())


def read_digest(folder: Path) -> object:
    """The digest that a result's folder states; None if polycal did not make it."""
    try:
        return read_provenance(folder)["digest"]
    except (OSError, KeyError, ValueError):
        return None


def digest_notes(folder: Path) -> str:
    """Digest of what lies beside a checkpoint's own files, `provenance.json` left out.

    Args:
        folder: of a run; its files are complete.
    """
    notes = (folder / name for name in _NOTES if name != "provenance.json")
    return digest(path for path in notes if path.exists())


def check_notes(folder: Path) -> None:
    """Refuse a run whose selection, recipe or log is not the one that was written.

    Args:
        folder: of a run; what states no digest of them is taken as it is.

    Raises:
        InputError: a file is another one than was written, or is missing.
    """
    try:
        stated = read_provenance(folder).get("notes")
    except FileNotFoundError:
        return
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(
            f"{folder} has no readable provenance.json ({error}); delete the folder "
            "and run again"
        ) from error
    if stated is not None and stated != digest_notes(folder):
        raise InputError(
            f"{folder} is damaged: its selection, recipe or log is not the one that "
            "was written; delete the folder and run again"
        )


def check_content(folder: Path) -> None:
    """Refuse a checkpoint whose files are not the ones that its digest was made of.

    A disk may lose a bit without an error, and weights load all the same. It costs a
    second for each gigabyte. What polycal did not make has no digest and is taken as
    it is.

    Args:
        folder: of a base model, a candidate or a run.

    Raises:
        InputError: a file is another one than was written, or is missing.
        OSError: a file cannot be read.
    """
    stated = read_digest(folder)
    if stated is None:
        return
    files = [path for path in folder.glob("[!.]*") if path.name not in _NOTES]
    if digest(files) != stated:
        raise InputError(
            f"{folder} is damaged: its files are not those that were written; delete "
            "it and run again"
        )
