"""Take the candidate with the best learning rate as the run that is evaluated."""

import json
import logging
import math
from collections import defaultdict
from pathlib import Path
from statistics import fmean

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


@verb(makes="{out}/", without_pandas=True)
def select(*, candidates: list[Path], seed: int, out: Path) -> None:
    """Link the candidate of this seed that has the best learning rate.

    The best rate has the lowest plain validation loss (nats per target token), as a
    mean over seeds; smoothed losses are not looked at, because those of different
    smoothing cannot be compared. Of equal rates the smaller one is taken. A rate is out
    if one of its candidates diverged or has a loss that is not finite.

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
    reasons: dict[tuple[float, int], str | None] = {}
    identities = set()
    for candidate in candidates:
        identity, lr, own_seed, nll, diverged = _read_candidate(candidate)
        if (lr, own_seed) in places:
            raise InputError(
                f"{candidate} and {places[lr, own_seed]} are one candidate"
            )
        identities.add(identity)
        places[lr, own_seed] = candidate
        losses[lr][own_seed] = nll
        reasons[lr, own_seed] = diverged
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
        spelt = "; ".join(
            f"{lr:g} (seed {each}): {reason or 'no finite validation loss'}"
            for (lr, each), reason in sorted(reasons.items())
            if not math.isfinite(losses[lr][each])
        )
        raise InputError(
            f"all learning rates, {sorted(means)}, diverged; add a smaller one to "
            f"recipe.lr. {spelt}"
        )
    best = min(sorted(finite), key=finite.__getitem__)
    _logger.info("validation nll by rate: %s; selected %g", means, best)
    selection = {
        "lr": best,
        "candidates": [
            {
                "lr": lr,
                "seed": each,
                "nll": nll if math.isfinite(nll) else None,
                "diverged": reasons[lr, each],
            }
            for lr, found in sorted(losses.items())
            for each, nll in sorted(found.items())
        ],
    }
    chosen = places[best, seed]
    check_content(chosen)
    made = read_provenance(chosen)
    with replacing_folder(out) as temporary:
        for path in sorted(chosen.glob("[!.]*")):  # hidden files are not tune's
            if path.name != "provenance.json":
                copy_or_link(path, temporary / path.name)
        text = json.dumps(selection, indent=2, sort_keys=True)
        (temporary / "selection.json").write_text(text + "\n")
        kept = ("model", "sft", "smoothing", "seed", "base", "conversations", "digest")
        origin = {name: made.get(name) for name in kept}
        write_provenance(temporary, lr=best, **origin, notes=digest_notes(temporary))


def _read_candidate(candidate: Path) -> tuple[tuple, float, int, float, str | None]:
    """What it is of, its rate, seed and last plain validation loss, and why it ended.

    The loss of a candidate that diverged is infinite.
    """
    path = candidate / "training_log.parquet"
    if not path.exists():
        raise InputError(f"{candidate} has no {path.name}; `polycal tune` makes it")
    diverged = read_provenance(candidate).get("diverged")
    log = tables.read(path, "training_log")
    lines = log if diverged else tables.where(log, split="validation")
    if not lines.num_rows:
        raise InputError(f"{path} has no validation loss")
    last = max(lines.to_pylist(), key=lambda row: row["step"])
    identity = tuple(last[name] for name in _SAME)
    nll = math.inf if diverged else last["nll"]
    return identity, last["lr"], last["seed"], nll, diverged
