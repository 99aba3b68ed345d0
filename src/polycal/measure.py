"""Metrics and reliability bins of one run and task, all languages together.

A row of the metrics table is one number about one run, task, language, scoring and
normaliser. What is a number about the probabilities comes from `polycal.calibration`.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from polycal import calibration, tables
from polycal.checks import keep_compared, read_check
from polycal.confidence import option_scores
from polycal.errors import InputError

# What an option's summed log-likelihood is divided by before the softmax. Where letters
# are single tokens, dividing them by tokens would change nothing.
NORMALISERS = {"letters": ("sum",), "text": ("sum", "token")}
_MEASURED = ("question_id", "culture", "gold")
_MEASURED += ("logprobs", "n_tokens", "n_bytes", "log_mass")
_SHARED = ("checkpoint", "shots")  # by all predictions of a run and task
CULTURES = ("CS", "CA")  # subsets that a benchmark may annotate
_RUN = ("model", "sft", "smoothing", "seed", "task")
_KEYS = (*_RUN, "language", "scoring")


def measure(
    *, predictions: list[Path], check: Path, metrics: Path, reliability: Path
) -> None:
    """Compute the metrics and the reliability bins of a run's answers to a benchmark.

    Args:
        predictions: the run's predictions tables of the benchmark.
        check: what `polycal check_task` wrote about the task; only the languages that
            it knows and the questions that it keeps are measured.
        metrics: the metrics table that is written.
        reliability: the reliability table that is written.

    Raises:
        InputError: a file is not what it should be; the predictions are of several
            runs, checkpoints or ways of scoring; or they are about other questions
            than the check.
    """
    compared = read_check(check)
    scored, facts = _read(predictions, compared)
    facts["compared"] = {name: compared[name] for name in ("policy", "digest")}
    numbers, bins = [], []
    for key, group in _groups(scored):
        for normaliser in NORMALISERS[key["scoring"]]:
            place = {**key, "normaliser": normaliser, "calibrator": "none"}
            scores, gold = option_scores(group, normaliser), group["gold"].to_numpy()
            for subset, rows in _subsets(group):
                found = compute_metrics(scores[rows], gold[rows])
                if key["scoring"] == "letters" and not group["log_mass"].null_count:
                    mass = group["log_mass"].to_numpy()[rows]
                    found["log_mass"] = float(mass.mean())
                more = {"subset": subset, "n_questions": int(rows.sum())}
                numbers += [
                    {**place, **more, "metric": name, "value": value}
                    for name, value in found.items()
                ]
            top = calibration.top_label(calibration.probabilities(scores), gold)
            columns = calibration.reliability_bins(*top)._asdict()
            for index in range(calibration.N_BINS):
                row = {name: column[index] for name, column in columns.items()}
                bins.append({**place, "bin": index, **row})
    for rows, path, kind in (
        (numbers, metrics, "metrics"),
        (bins, reliability, "reliability"),
    ):
        table = pa.Table.from_pylist(rows, tables.SCHEMAS[kind])
        tables.write(table, path, kind, **facts)


def _read(paths: Sequence[Path], compared: Mapping) -> tuple[pa.Table, dict]:
    """The rows that a check keeps, and what is to be noted of their origin.

    Raises:
        InputError: as `measure`.
    """
    pieces, sources, seen = [], [], set()
    for path in paths:
        scored, source = tables.read(path, "predictions"), tables.read_metadata(path)
        languages = set(scored["language"].unique().to_pylist())
        if languages & seen:
            raise InputError(
                f"{path}: {'+'.join(sorted(languages & seen))} is in another file, too"
            )
        seen |= languages
        sources.append(source)
        pieces.append(keep_compared(compared, scored, source.get("questions", {})))
    facts = {
        "dtype": sorted({each for own in sources for each in own.get("dtype", ())})
    }
    for name in _SHARED:
        facts[name] = sources[0].get(name)
        for path, source in zip(paths, sources, strict=True):
            if source.get(name) != facts[name]:
                raise InputError(
                    f"{path} and {paths[0]} differ in {name}; score one of them again"
                )
    scored = pa.concat_tables(pieces)
    if len(scored.select(list(_RUN)).group_by(_RUN).aggregate([])) > 1:
        raise InputError("the predictions are of several runs; measure each by itself")
    return scored, facts


def _subsets(rows: pa.Table) -> Iterator[tuple[str, np.ndarray]]:
    """Names of the subsets that have a question, and which rows [N] they hold."""
    yield "all", np.ones(len(rows), bool)
    cultures = np.array(rows["culture"].to_pylist(), object)
    for name in CULTURES:
        if (cultures == name).any():
            yield name, cultures == name


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
