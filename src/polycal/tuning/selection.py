"""Select the candidate with the best learning rate as the run to evaluate."""

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
    """Link this seed's candidate of the best learning rate as the run.

    The best rate has the lowest plain validation loss (nats per target token), averaged
    over seeds; smoothed losses of different smoothing are not comparable. Of equal
    rates the smaller one wins. A rate with a candidate that diverged, or whose loss is
    not finite, is out. All candidates have one model, SFT set and smoothing, and every
    rate has the same seeds.

    `out` gets the candidate's files as hard links or copies, and `selection.json` with
    the losses of all candidates.

    Args:
        candidates: directories that tune wrote, one per learning rate and seed
        seed: seed of the run
        out: directory to write

    Raises:
        InputError: the candidates do not belong together, none has a finite loss, or
            the selected one is damaged.
    """
    losses: dict[float, dict[int, float]] = defaultdict(dict)
    folders: dict[tuple[float, int], Path] = {}
    reasons: dict[tuple[float, int], str | None] = {}
    identities = set()
    for candidate in candidates:
        identity, lr, own_seed, nll, diverged = _read_candidate(candidate)
        if (lr, own_seed) in folders:
            raise InputError(
                f"{candidate} and {folders[lr, own_seed]} are the same candidate"
            )
        identities.add(identity)
        folders[lr, own_seed] = candidate
        losses[lr][own_seed] = nll
        reasons[lr, own_seed] = diverged
    if len(identities) != 1:
        raise InputError(
            f"the candidates must have one {', '.join(_SAME)}, but they have "
            f"{sorted(identities)}"
        )
    seed_sets = {frozenset(by_seed) for by_seed in losses.values()}
    if len(seed_sets) != 1 or seed not in next(iter(seed_sets)):
        seeds = {lr: sorted(by_seed) for lr, by_seed in sorted(losses.items())}
        raise InputError(
            f"every rate must have the same seeds, among them {seed}; they have {seeds}"
        )
    means = {lr: fmean(by_seed.values()) for lr, by_seed in losses.items()}
    finite = {lr: mean for lr, mean in means.items() if math.isfinite(mean)}
    if not finite:
        details = "; ".join(
            f"{lr:g} (seed {own_seed}): {reason or 'no finite validation loss'}"
            for (lr, own_seed), reason in sorted(reasons.items())
            if not math.isfinite(losses[lr][own_seed])
        )
        raise InputError(
            f"all learning rates, {sorted(means)}, diverged; add a smaller one to "
            f"recipe.lr. {details}"
        )
    best = min(sorted(finite), key=finite.__getitem__)
    _logger.info("validation nll by rate: %s; selected %g", means, best)
    selection = {
        "lr": best,
        "candidates": [
            {
                "lr": lr,
                "seed": own_seed,
                "nll": nll if math.isfinite(nll) else None,
                "diverged": reasons[lr, own_seed],
            }
            for lr, by_seed in sorted(losses.items())
            for own_seed, nll in sorted(by_seed.items())
        ],
    }
    chosen = folders[best, seed]
    check_content(chosen)
    made = read_provenance(chosen)
    with replacing_folder(out) as temporary:
        for path in sorted(chosen.glob("[!.]*")):  # tune writes no hidden files
            if path.name != "provenance.json":
                copy_or_link(path, temporary / path.name)
        text = json.dumps(selection, indent=2, sort_keys=True)
        (temporary / "selection.json").write_text(text + "\n")
        kept = ("model", "sft", "smoothing", "seed", "base", "conversations", "digest")
        origin = {name: made.get(name) for name in kept}
        write_provenance(temporary, lr=best, **origin, notes=digest_notes(temporary))


def _read_candidate(candidate: Path) -> tuple[tuple, float, int, float, str | None]:
    """Return a candidate's identity, rate, seed, last validation loss and divergence.

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
