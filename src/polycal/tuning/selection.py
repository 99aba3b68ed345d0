"""Select the candidate with the best learning rate as the run to evaluate."""

import json
import logging
import math
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from polycal.errors import InputError
from polycal.storage import tables
from polycal.storage.files import copy_or_link, replacing_folder
from polycal.storage.provenance import (
    check_content,
    digest_notes,
    read_provenance,
    write_provenance,
)
from polycal.verb import verb

_SAME = ("model", "sft", "smoothing")
_logger = logging.getLogger(__name__)


class Candidate(NamedTuple):
    """A training that was tried."""

    folder: Path  # that tune wrote
    identity: tuple  # model, SFT set and smoothing
    lr: float  # peak learning rate
    seed: int  # of the training
    nll: float  # last plain validation loss; infinite if it diverged
    diverged: str | None  # why, or None
    # Plain validation loss before the first step; None: not noted.
    untuned_nll: float | None
    settings: Mapping[str, Any]  # that all candidates share


@verb(makes="{out}/", without_pandas=True)
def select(*, candidates: list[Path], seed: int, out: Path) -> None:
    """Link this seed's candidate of the best learning rate as the run.

    The best rate has the lowest plain validation loss (nats per target token), averaged
    over seeds; smoothed losses of different smoothing are not comparable. Of equal
    rates the smaller one wins. A rate with a candidate that diverged, or whose loss is
    not finite, is out. All candidates have one model, SFT set and recipe, and every
    rate has the same seeds. The candidates of one smoothing value may come with those
    of smoothing 0, whose losses then select the rate.

    `out` gets the candidate's files as hard links or copies, and `selection.json` with
    the losses of all candidates of its smoothing, and of those that selected.

    Args:
        candidates: directories that tune wrote, one per learning rate and seed
        seed: seed of the run
        out: directory to write

    Raises:
        InputError: the candidates do not belong together, none has a finite loss, or
            the selected one is damaged or diverged.
    """
    by_condition = _group([_read_candidate(candidate) for candidate in candidates])
    own, plain = by_condition[max(by_condition)], by_condition[min(by_condition)]
    for tried in (own, plain):
        seed_sets: dict[float, set[int]] = defaultdict(set)
        for candidate in tried:
            seed_sets[candidate.lr].add(candidate.seed)
        seeds = {lr: sorted(found) for lr, found in sorted(seed_sets.items())}
        if len({*map(tuple, seeds.values())}) != 1 or any(
            seed not in found for found in seeds.values()
        ):
            raise InputError(
                f"every rate must have the same seeds, among them {seed}; they have "
                f"{seeds}"
            )
    best = _best_rate(plain)
    chosen = {(c.lr, c.seed): c for c in own}.get((best, seed))
    if chosen is None or not math.isfinite(chosen.nll):
        why = "is missing" if chosen is None else f"failed: {chosen.diverged}"
        raise InputError(
            f"the learning rate {best:g} that smoothing 0 selects {why} with smoothing "
            f"{max(by_condition):g} (seed {seed}); change recipe.lr, or set "
            "recipe.select to each"
        )
    selection = {"lr": best, "candidates": [*map(_note, _in_order(own))]}
    if own is not plain:
        selection["selected_by"] = [*map(_note, _in_order(plain))]
    check_content(chosen.folder)
    made = read_provenance(chosen.folder)
    with replacing_folder(out) as temporary:
        for path in sorted(chosen.folder.glob("[!.]*")):  # tune writes no hidden files
            if path.name != "provenance.json":
                copy_or_link(path, temporary / path.name)
        text = json.dumps(selection, indent=2, sort_keys=True)
        (temporary / "selection.json").write_text(text + "\n", encoding="utf-8")
        kept = ("model", "sft", "smoothing", "seed", "base", "conversations", "digest")
        origin = {name: made.get(name) for name in kept}
        write_provenance(temporary, lr=best, **origin, notes=digest_notes(temporary))


def _group(candidates: list[Candidate]) -> dict[float, list[Candidate]]:
    """Return the candidates by smoothing: one value, or another one and 0."""
    known: dict[tuple, Candidate] = {}
    for candidate in candidates:
        key = candidate.identity, candidate.lr, candidate.seed
        if key in known:
            raise InputError(
                f"{candidate.folder} and {known[key].folder} are the same candidate"
            )
        known[key] = candidate
    identities = {candidate.identity for candidate in candidates}
    smoothings = {smoothing for *_, smoothing in identities}
    several = len(smoothings) > 1 and (len(smoothings) > 2 or 0 not in smoothings)
    if several or len({identity[:2] for identity in identities}) != 1:
        raise InputError(
            f"the candidates must have one {', '.join(_SAME)} (or another smoothing "
            f"and 0), but they have {sorted(identities)}"
        )
    _check_alike(candidates)
    return {
        smoothing: [c for c in candidates if c.identity[2] == smoothing]
        for smoothing in smoothings
    }


def _check_alike(candidates: list[Candidate]) -> None:
    """Refuse candidates whose losses another setting, or other examples, sets apart."""
    first, *others = candidates
    for other in others:
        # One that an older version trained may lack a setting.
        for name in sorted(first.settings.keys() & other.settings.keys()):
            values = first.settings[name], other.settings[name]
            if values[0] != values[1]:
                raise InputError(
                    f"{first.folder} and {other.folder} were trained with different "
                    f"{name} ({values[0]} and {values[1]}), so their losses do not "
                    "select a rate; delete the one that is not wanted and run again"
                )


def _best_rate(candidates: list[Candidate]) -> float:
    """Return the rate with the lowest mean loss over seeds."""
    losses: dict[float, list[float]] = defaultdict(list)
    for candidate in candidates:
        losses[candidate.lr].append(candidate.nll)
    means = {lr: fmean(of_rate) for lr, of_rate in losses.items()}
    finite = {lr: mean for lr, mean in means.items() if math.isfinite(mean)}
    if not finite:
        details = "; ".join(
            f"{c.lr:g} (seed {c.seed}): {c.diverged or 'no finite validation loss'}"
            for c in _in_order(candidates)
            if not math.isfinite(c.nll)
        )
        raise InputError(
            f"all learning rates, {sorted(means)}, diverged; add a smaller one to "
            f"recipe.lr. {details}"
        )
    best = min(sorted(finite), key=finite.__getitem__)
    _logger.info("validation nll by rate: %s; selected %g", means, best)
    return best


def _in_order(candidates: list[Candidate]) -> list[Candidate]:
    return sorted(candidates, key=lambda candidate: (candidate.lr, candidate.seed))


def _note(candidate: Candidate) -> dict[str, Any]:
    """Return what selection.json keeps of a candidate."""
    note = {
        "lr": candidate.lr,
        "seed": candidate.seed,
        "nll": candidate.nll if math.isfinite(candidate.nll) else None,
        "diverged": candidate.diverged,
    }
    if candidate.untuned_nll is not None:
        note["untuned_nll"] = candidate.untuned_nll
    return note


def _read_candidate(candidate: Path) -> Candidate:
    """Return a candidate by its training log."""
    path = candidate / "training_log.parquet"
    if not path.exists():
        raise InputError(f"{candidate} has no {path.name}; `polycal tune` makes it")
    facts = read_provenance(candidate)
    diverged = facts.get("diverged")
    log = tables.read(path, "training_log")
    lines = log if diverged else tables.where(log, split="validation")
    if not lines.num_rows:
        raise InputError(f"{path} has no validation loss")
    last = max(lines.to_pylist(), key=lambda row: row["step"])
    first = tables.where(log, split="validation", step=0).to_pylist()
    untuned = first[0]["nll"] if first else None
    identity = tuple(last[name] for name in _SAME)
    nll = math.inf if diverged else last["nll"]
    found = candidate, identity, last["lr"], last["seed"]
    settings = _read_recipe(candidate) | {"examples": facts.get("examples")}
    return Candidate(*found, nll, diverged, untuned, settings)


def _read_recipe(candidate: Path) -> dict[str, Any]:
    """Return the settings that candidates of one selection share."""
    path = candidate / "recipe.json"
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise InputError(
            f"{path} is not JSON ({error}); delete {candidate} and run again"
        ) from error
    own = ("lr", "seed", "smoothing")
    return {name: value for name, value in settings.items() if name not in own}
