"""Read a run's predictions of one task, and check every score in them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from polycal.errors import InputError
from polycal.preparing.checks import keep_compared
from polycal.storage import tables
from polycal.storage.provenance import read_provenance
from polycal.study.scorings import SCORINGS

RUN = ("model", "sft", "smoothing", "seed", "task")
ASKED = ("shots", "prompt", "shots_as", "max_questions", "question_seed")
# Options that share a token with their context: they were scored by the tokens of their
# own text, or lost that token (lm_eval). By part: task, language, scoring.
_BORDERS = ("own_tokens", "cut_options")
COUNTED = (*_BORDERS, "replaced_shots", "truncated")  # what a reader has to know of
_SHARED = ("checkpoint", "base", *ASKED)  # by all predictions of a run and task
# What a benchmark may lack, and what is not known of imported scores.
_MAY_BE_NULL = {"subject", "category", "culture", "log_mass", "truncated"}
_ROUNDING = 1e-3  # nats that a log-likelihood of float32 may lie above 0


def read_predictions(
    paths: Sequence[Path], compared: Mapping, checkpoint: Path | None
) -> tuple[pa.Table, dict]:
    """Return the rows that a check keeps, and facts about their origin.

    Args:
        paths: predictions tables of one run and task, each with other languages.
        compared: the check.
        checkpoint: directory of the run; predictions of another one are refused.

    Raises:
        InputError: as `measure`.
    """
    pieces, sources = [], []
    seen: set[tuple] = set()
    for path in paths:
        scored, source = tables.read(path, "predictions"), tables.read_metadata(path)
        languages = set(scored["language"].unique().to_pylist())
        if languages & seen:
            raise InputError(
                f"{path}: {'+'.join(sorted(languages & seen))} is in another file, too"
            )
        seen |= languages
        sources.append(source)
        origin = source.get("questions")
        origin = origin if isinstance(origin, dict) else {}
        kept = keep_compared(compared, scored, origin)
        _check_scores(kept, path)
        pieces.append(kept)
    facts: dict[str, Any] = {
        name: sorted({value for source in sources for value in source.get(name, ())})
        for name in ("dtype", "opens_answer")
    }
    languages = set(compared["languages"])
    for name in _BORDERS:
        counts = (source.get(name) or {} for source in sources)
        facts[name] = sum(
            count
            for own in counts
            for part, count in own.items()
            if part.rsplit(", ", 2)[1] in languages
        )
    facts["replaced_shots"] = sum(
        count
        for source in sources
        for language, count in (source.get("replaced_shots") or {}).items()
        if language in languages
    )
    for name in _SHARED:
        facts[name] = sources[0].get(name)
        for path, source in zip(paths, sources, strict=True):
            if source.get(name) != facts[name]:
                raise InputError(
                    f"{path} and {paths[0]} differ in {name}; score one of them again"
                )
    if checkpoint:
        _check_origin(paths[0], facts, checkpoint)
    scored = pa.concat_tables(pieces)
    facts["truncated"] = pc.sum(scored["truncated"]).as_py() or 0
    if len(scored.select(list(RUN)).group_by(RUN).aggregate([])) > 1:
        raise InputError("the predictions are of several runs; measure each by itself")
    return scored, facts


def _check_origin(path: Path, facts: Mapping, checkpoint: Path) -> None:
    """Refuse scores of another checkpoint, or of an adapter on another base model."""
    try:
        known = read_provenance(checkpoint)
    except FileNotFoundError:
        known = {}
    of_base = facts["base"] and known.get("base") not in (None, facts["base"])
    if facts["checkpoint"] != known.get("digest") or of_base:
        raise InputError(
            f"{path} holds scores of another checkpoint than {checkpoint}"
            + (" on its base model" if of_base else "")
            + "; delete it and run again"
        )


def _check_scores(rows: pa.Table, path: Path) -> None:
    """Check that every option has a log-likelihood and counts, and gold is an option.

    Raises:
        InputError: the first row that is not so, by file, language and question.
    """
    n_options = _count(rows, "logprobs")
    lists = {name: _count(rows, name) for name in ("n_tokens", "n_bytes")}
    gold = rows["gold"].fill_null(-1).to_numpy()
    mass = rows["log_mass"].fill_null(0).to_numpy()
    unknown = pc.is_in(rows["scoring"], pa.array(SCORINGS)).to_numpy()
    problems = (
        *(
            (rows[name].is_null().to_numpy(), f"it has no {name}")
            for name in rows.column_names
            if name not in _MAY_BE_NULL
        ),
        (~unknown, f"its scoring is none of {', '.join(SCORINGS)}"),
        (
            _owns(rows, "logprobs", lambda v: ~np.isfinite(v) | (v > _ROUNDING)),
            "its scores {logprobs} are not finite log-likelihoods up to 0",
        ),
        (
            ~np.isfinite(mass) | (mass > _ROUNDING),
            "its log_mass {log_mass} is no finite log-probability up to 0",
        ),
        (
            (gold < 0) | (gold >= n_options),
            "the right option is number {gold} of {n_options}, from 0",
        ),
        *(
            (
                (lengths != n_options) | _owns(rows, name, lambda v: ~(v >= 1)),
                f"its {name} {{{name}}} are no counts of {{n_options}} options",
            )
            for name, lengths in lists.items()
        ),
    )
    any_bad = np.any([is_bad for is_bad, _ in problems], axis=0)
    if not any_bad.any():
        return
    first = int(np.argmax(any_bad))
    what = next(text for is_bad, text in problems if is_bad[first])
    (row,) = rows.slice(first, 1).to_pylist()
    raise InputError(
        f"{path}: {row['language']}, question {row['question_id']} ({row['scoring']}): "
        f"{what.format(**row, n_options=n_options[first])}; delete the file and score "
        "again"
    )


def _count(rows: pa.Table, name: str) -> np.ndarray:
    """Return the length [N] of a column's lists; 0 where there is none."""
    return pc.list_value_length(rows[name]).fill_null(0).to_numpy()


def _owns(
    rows: pa.Table, name: str, is_bad: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Return which rows [N] have a bad value in a column of lists; null is NaN."""
    owner = np.repeat(np.arange(len(rows)), _count(rows, name))
    bad = is_bad(pc.list_flatten(rows[name]).to_numpy().astype(float))
    return np.isin(np.arange(len(rows)), owner[bad])
