"""Take the candidate with the best learning rate as the run that is evaluated."""

import json
import logging
import math
from collections import defaultdict
from pathlib import Path
from statistics import fmean

from polycal import tables
from polycal.errors import InputError
from polycal.files import copy_or_link, replacing
from polycal.provenance import check_content, read_provenance, write_provenance

_SAME = ("model", "sft", "smoothing")
_logger = logging.getLogger(__name__)


def select(*, candidates: list[Path], seed: int, out: Path) -> None:
    """Link the candidate of this seed that has the best learning rate.

    The best rate has the lowest plain validation loss (nats per target token), as a
    mean over seeds; smoothed losses are not looked at, because those of different
    smoothing cannot be compared. Of equal rates the smaller one is taken. A rate with
    a loss that is not finite is out.

    Args:
        candidates: directories that `tune` wrote: one model, SFT set and smoothing,
            and every rate with the same seeds.
        seed: the seed of the run.
        out: the directory that is written: the candidate's files under further names,
            and `selection.json` with the losses of all candidates.

    Raises:
        InputError: the candidates do not belong together, none has a finite loss, or
            the chosen one is damaged.
    """
    losses: dict[float, dict[int, float]] = defaultdict(dict)
    places: dict[tuple[float, int], Path] = {}
    identities = set()
    for candidate in candidates:
        identity, lr, own_seed, nll = _read_candidate(candidate)
        if (lr, own_seed) in places:
            raise InputError(
                f"{candidate} and {places[lr, own_seed]} are one candidate"
            )
        identities.add(identity)
        places[lr, own_seed] = candidate
        losses[lr][own_seed] = nll
    if len(identities) != 1:
        raise InputError(
            f"one {', '.join(_SAME)} is expected, but the candidates are of "
            f"{sorted(identities)}"
        )
    seeds = {frozenset(found) for found in losses.values()}
    if len(seeds) != 1 or seed not in next(iter(seeds)):
        found = {lr: sorted(each) for lr, each in sorted(losses.items())}
        raise InputError(
            f"every rate must have the same seeds, {seed} too; got {found}"
        )
    means = {lr: fmean(found.values()) for lr, found in losses.items()}
    finite = {lr: mean for lr, mean in means.items() if math.isfinite(mean)}
    if not finite:
        raise InputError(
            f"no learning rate of {sorted(means)} gave a finite validation loss; add a "
            "smaller one to recipe.lr"
        )
    best = min(sorted(finite), key=finite.__getitem__)
    _logger.info("validation nll by rate: %s; selected %g", means, best)
    selection = {
        "lr": best,
        "candidates": [
            {"lr": lr, "seed": each, "nll": nll if math.isfinite(nll) else None}
            for lr, found in sorted(losses.items())
            for each, nll in sorted(found.items())
        ],
    }
    chosen = places[best, seed]
    check_content(chosen)
    made = read_provenance(chosen)
    with replacing(out) as temporary:
        temporary.mkdir()
        for path in sorted(chosen.glob("[!.]*")):  # hidden files are not tune's
            if path.name != "provenance.json":
                copy_or_link(path, temporary / path.name)
        text = json.dumps(selection, indent=2, sort_keys=True)
        (temporary / "selection.json").write_text(text + "\n")
        kept = ("model", "sft", "smoothing", "seed", "base", "conversations", "digest")
        write_provenance(temporary, lr=best, **{name: made.get(name) for name in kept})


def _read_candidate(candidate: Path) -> tuple[tuple, float, int, float]:
    """What it is of, its rate and seed, and its last plain validation loss."""
    path = candidate / "training_log.parquet"
    if not path.exists():
        raise InputError(f"{candidate} has no {path.name}; `polycal tune` makes it")
    log = tables.where(tables.read(path, "training_log"), split="validation")
    if not log.num_rows:
        raise InputError(f"{path} has no validation loss")
    last = max(log.to_pylist(), key=lambda row: row["step"])
    identity = tuple(last[name] for name in _SAME)
    return identity, last["lr"], last["seed"], last["nll"]
