"""The table of a study's runs: selected learning rate, validation loss, recipe."""

import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import pyarrow as pa
from tokenizers import Tokenizer

from polycal.errors import InputError
from polycal.models import ADAPTER
from polycal.models.quantisation import describe_quantisation
from polycal.storage import tables
from polycal.storage.provenance import check_notes, read_provenance
from polycal.study.grid import BASE
from polycal.verb import verb

_IDENTITY = ("model", "sft", "smoothing", "seed")
_ON = " on "  # between the digests of an adapter and of its base model
Checkpoints = Mapping[tuple[str, str, float, int], str]  # of a run, its digest


@verb(makes="{out}", without_pandas=True)
def list_runs(
    *,
    models: list[Path],
    runs: Sequence[Path] = (),
    released: Sequence[Path] = (),
    out: Path,
) -> None:
    """Write the `runs` table of a study, as Parquet and beside it as CSV.

    Args:
        models: directories of the base models, named by their short names; a name
            without a directory gives a model of unknown vocabulary.
        runs: directories that select wrote.
        released: directories that prepare_released wrote.
        out: Parquet file to write; its CSV lies beside it.

    Raises:
        InputError: a directory is not a run, or two are the same run.
    """
    sizes = {model.name: _count_tokens(model) for model in models}
    untuned = {"sft": BASE, "smoothing": 0.0, "seed": 0, "n_candidates": 0}
    rows = [{"model": model.name, **untuned, **_read_origin(model)} for model in models]
    how = {row["model"]: row.get("quantised") for row in rows}
    rows += map(_read_run, runs)
    rows += [_read_released(folder, how) for folder in released]
    rows = [{"vocabulary": sizes.get(row["model"])} | row for row in rows]
    rows.sort(key=_identity)
    for first, second in itertools.pairwise(rows):
        if _identity(first) == _identity(second):
            raise InputError(f"the run {_identity(first)} is there twice")
    table = pa.Table.from_pylist(rows, tables.SCHEMAS["runs"])
    tables.write(table, out, "runs")
    tables.write_csv(table, out.with_suffix(".csv"))


def find_checkpoints(runs: pa.Table, metrics: Path | None = None) -> Checkpoints:
    """Return the digest of every run whose checkpoint is known.

    Args:
        runs: a runs table.
        metrics: the study's metrics table, which knows what it was measured from.

    Raises:
        InputError: the metrics are of another checkpoint than a run has now.
    """
    rows = [row for row in runs.to_pylist() if row["checkpoint"]]
    known = {_identity(row): row["checkpoint"] for row in rows}
    noted = tables.read_metadata(metrics).get("checkpoints", ()) if metrics else ()
    for *identity, made in noted:
        if not _is_of(made, known.setdefault(tuple(identity), made)):
            raise InputError(
                f"{metrics} was measured from another checkpoint than the one that the "
                f"run {'/'.join(map(str, identity))} has now; run `polycal aggregate` "
                "again"
            )
    return known


def list_origins(heads: Iterable[tuple[Path, Mapping[str, Any]]]) -> list[list[Any]]:
    """Return the identity and the checkpoint's digest of every run of metrics tables.

    Those of runs whose checkpoint is not noted are left out.

    Args:
        heads: of each table, its path and any of its rows; {} of an empty one.
    """
    found = {
        (*_identity(row), made)
        for path, row in heads
        if row and (made := _read_digest(path))
    }
    return [list(origin) for origin in sorted(found)]


def check_checkpoint(
    path: Path, row: Mapping[str, Any], checkpoints: Checkpoints
) -> None:
    """Check that a table was measured from the checkpoint that its run has now.

    Raises:
        InputError: it is of another checkpoint, such as one of an earlier training.
    """
    known = checkpoints.get(_identity(row))
    if known and not _is_of(_read_digest(path), known):
        raise InputError(
            f"{path} was measured from another checkpoint than the one that its run "
            "has now; delete it and run again"
        )


def _read_digest(path: Path) -> str | None:
    """Return the digest of the checkpoint that a table was measured from."""
    facts = tables.read_metadata(path)
    return _join_digests(facts.get("checkpoint"), facts.get("base"))


def _join_digests(digest: str | None, base: str | None) -> str | None:
    return f"{digest}{_ON}{base}" if digest and base else digest


def _is_of(made: str | None, known: str) -> bool:
    """Return whether two digests are of one checkpoint; `known` may lack its base."""
    return made == known or (made or "").partition(_ON)[0] == known


def _count_tokens(model: Path) -> int | None:
    """Return the vocabulary size of a model's config, or else of its tokenizer."""
    if not (model / "config.json").exists():
        return None
    config = _read_json(model, "config")
    for settings in (config, config.get("text_config") or {}):
        if "vocab_size" in settings:
            return settings["vocab_size"]
    path = model / "tokenizer.json"
    if not path.exists():
        return None
    return Tokenizer.from_file(str(path)).get_vocab_size()


def _read_origin(folder: Path) -> dict[str, Any]:
    """Return the repository and its commit; nothing where nobody noted them."""
    try:
        facts = read_provenance(folder)
    except FileNotFoundError:
        return {}
    origin = {name: facts.get(name) for name in ("repo", "revision")}
    return origin | {
        "checkpoint": _digest_checkpoint(folder, facts),
        "quantised": describe_quantisation(folder),
        "tokenizer": _digest_splitting(folder),
    }


def _digest_checkpoint(folder: Path, facts: Mapping[str, Any]) -> str | None:
    """Return the digest of a checkpoint; an adapter's names its base model's, too.

    Args:
        folder: of the checkpoint.
        facts: its provenance.
    """
    is_adapter = (folder / ADAPTER).exists()  # of full weights `base` tells the origin
    return _join_digests(facts.get("digest"), facts.get("base") if is_adapter else None)


def _digest_splitting(folder: Path) -> str | None:
    """Return a digest of what splits an ordinary text into tokens; None if unknown.

    `polycal.models.tokens.digest_tokenizer` without loading the tokenizer, so that
    other files may give other digests of equal tokenizers, but never the reverse.
    """
    if not (folder / "tokenizer.json").exists():
        return None
    state = _read_json(folder, "tokenizer")
    facts = [state.get(name) for name in ("normalizer", "pre_tokenizer", "model")]
    facts += [
        token["content"]
        for token in state.get("added_tokens", ())
        if not token["special"]
    ]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _read_released(folder: Path, quantised: Mapping[str, str | None]) -> dict[str, Any]:
    """Return the row of a released checkpoint.

    Args:
        folder: of the checkpoint.
        quantised: how the weights of each base model are, which an adapter changes.
    """
    try:
        facts = read_provenance(folder)
        row = {name: facts[name] for name in ("model", "sft", "shares_tokenizer")}
    except (FileNotFoundError, KeyError) as error:
        raise InputError(
            f"{folder} is not a checkpoint that `polycal prepare_released` wrote "
            f"({error!r}); delete it and run again"
        ) from error
    row |= {"smoothing": 0.0, "seed": 0, "n_candidates": 0, **_read_origin(folder)}
    if (folder / ADAPTER).exists():
        named = _read_json(folder, "adapter_config").get("base_model_name_or_path")
        row["made_for"] = named if isinstance(named, str) else None
        row["quantised"] = quantised.get(row["model"])
    size = _count_tokens(folder)  # an adapter has the size of its base model
    return row if size is None else row | {"vocabulary": size}


def _identity(row: Mapping) -> tuple:
    return tuple(row[name] for name in _IDENTITY)


def _read_run(run: Path) -> dict[str, Any]:
    """Return the row of one run; its rate was selected by this mean loss."""
    selection, recipe = _read_json(run, "selection"), _read_json(run, "recipe")
    check_notes(run)
    try:
        facts = read_provenance(run)
    except FileNotFoundError:
        facts = {}
    try:
        identity = {name: recipe.pop(name) for name in _IDENTITY}
        del recipe["lr"]  # the selected one, which has a column
        losses, untuned = _losses(selection, "nll"), _losses(selection, "untuned_nll")
        return {
            **identity,
            "lr": selection["lr"],
            "validation_nll": fmean(losses),
            "untuned_nll": fmean(untuned) if None not in untuned else None,
            "n_candidates": len(selection["candidates"]),
            "recipe": json.dumps(recipe, sort_keys=True),
            "checkpoint": _digest_checkpoint(run, facts),
        }
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{run} is not a run that `polycal select` wrote ({error!r}); delete it "
            "and select again"
        ) from error


def _losses(selection: dict, name: str) -> list[Any]:
    """Return a plain validation loss of the selected rate, one per seed."""
    return [
        candidate.get(name)
        for candidate in selection["candidates"]
        if candidate["lr"] == selection["lr"]
    ]


def _read_json(run: Path, name: str) -> dict:
    path = run / f"{name}.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(
            f"{run} has no {path.name}; name a directory that `polycal select` wrote"
        ) from error
    except ValueError as error:  # or it is not UTF-8
        raise InputError(
            f"{path} is not JSON ({error}); delete {run} and select again"
        ) from error
