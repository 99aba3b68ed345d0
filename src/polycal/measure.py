"""Metrics and reliability bins of one predictions table.

A row of the metrics table is one number about one run, task, language, scoring and
normaliser. What is a number about the probabilities comes from `polycal.calibration`.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from polycal import calibration, tables
from polycal.checks import keep_compared, read_check
from polycal.confidence import option_scores

# What an option's summed log-likelihood is divided by before the softmax. Where letters
# are single tokens, dividing them by tokens would change nothing.
NORMALISERS = {"letters": ("sum",), "text": ("sum", "token")}
_MEASURED = ("gold", "logprobs", "n_tokens", "log_mass")
_ORIGIN = ("checkpoint", "questions", "dtype", "shots")  # noted of the predictions
_KEYS = ("model", "sft", "smoothing", "seed", "task", "language", "scoring")


def measure(
    *, predictions: Path, check: Path, metrics: Path, reliability: Path
) -> None:
    """Compute the metrics and the reliability bins of a predictions table.

    Args:
        predictions: the predictions table.
        check: what `polycal check_task` wrote about the task; only the languages that
            it knows and the questions that it keeps are measured.
        metrics: the metrics table that is written.
        reliability: the reliability table that is written.

    Raises:
        InputError: a file is not what it should be, or the two are about different
            questions.
    """
    scored = tables.read(predictions, "predictions")
    source = tables.read_metadata(predictions)
    compared = read_check(check)
    scored = keep_compared(compared, scored, source.get("questions", {}))
    numbers, bins = [], []
    for key, group in _groups(scored):
        gold = group["gold"].to_numpy()
        for normaliser in NORMALISERS[key["scoring"]]:
            place = {**key, "normaliser": normaliser, "calibrator": "none"}
            scores = option_scores(group, normaliser)
            found = compute_metrics(scores, gold)
            if key["scoring"] == "letters" and not group["log_mass"].null_count:
                found["log_mass"] = float(group["log_mass"].to_numpy().mean())
            numbers += [
                {**place, "metric": name, "value": value, "n_questions": len(gold)}
                for name, value in found.items()
            ]
            top = calibration.top_label(calibration.probabilities(scores), gold)
            columns = calibration.reliability_bins(*top)._asdict()
            for index in range(calibration.N_BINS):
                row = {name: column[index] for name, column in columns.items()}
                bins.append({**place, "bin": index, **row})
    facts = {name: source.get(name) for name in _ORIGIN}
    facts["compared"] = {name: compared[name] for name in ("policy", "digest")}
    for rows, path, kind in (
        (numbers, metrics, "metrics"),
        (bins, reliability, "reliability"),
    ):
        table = pa.Table.from_pylist(rows, tables.SCHEMAS[kind])
        tables.write(table, path, kind, **facts)


def _groups(scored: pa.Table) -> Iterator[tuple[dict[str, object], pa.Table]]:
    """The rows of each run, task, language and scoring, in the order of the table."""
    scored = scored.select([*_KEYS, *_MEASURED]).combine_chunks()  # or taking is slow
    rows = pa.array(range(len(scored)))
    # Threads would give the groups in any order.
    keyed = scored.select(_KEYS).append_column("row", rows).group_by(_KEYS, False)
    for group in keyed.aggregate([("row", "list")]).to_pylist():
        yield group, scored.take(pa.array(group.pop("row_list"), rows.type))


def compute_metrics(scores: np.ndarray, gold: np.ndarray) -> dict[str, float]:
    """Every metric of one set of questions, by name.

    Args:
        scores: [N, K] nats, -inf where a question has fewer than K options.
        gold: [N] index of the right option.

    Returns:
        accuracy, confidence, gap, ece, rms_ce, brier and chance as fractions; nll in
        nats. Chance is the mean of 1 / number of options.
    """
    probs = calibration.probabilities(scores)
    top = calibration.top_label(probs, gold)
    return {
        "accuracy": float(top.correct.mean()),
        "confidence": float(top.confidence.mean()),
        "gap": calibration.overconfidence(*top),
        "ece": calibration.ece(*top),
        "rms_ce": calibration.rms_ce(*top),
        "brier": calibration.brier(probs, gold),
        "nll": calibration.nll(scores, gold),
        "chance": float((1 / np.isfinite(scores).sum(axis=1)).mean()),
    }
