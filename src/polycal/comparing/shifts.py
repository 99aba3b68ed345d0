"""The questions whose confidence SFT changed most, as examples for the page."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from polycal.calibration import answer
from polycal.comparing.conditions import BASE_RANK
from polycal.comparing.runs import check_checkpoint, find_checkpoints
from polycal.comparing.taught import find_taught, split_taught
from polycal.errors import InputError
from polycal.measuring.confidence import option_scores
from polycal.preparing.checks import keep_compared, read_check
from polycal.storage import tables
from polycal.study.grid import BASE
from polycal.study.scorings import COUNT_TOKENS, HEADLINE, Scoring
from polycal.verb import verb

SHOWN = 2  # questions of a language; the page of 71 languages has to stay small
LONGEST = 400  # characters of a question or an option; longer texts are cut


@verb(makes="{out}")
def find_shifts(
    *,
    predictions: list[Path],
    questions: list[Path],
    check: Path,
    scoring: Scoring,
    runs: Path | None = None,
    sft: Sequence[Path] = (),
    confidence: float,
    out: Path,
    taught: Path,
) -> None:
    """Write the `shifts` and `taught` tables of one model, SFT set and task.

    The first has the `SHOWN` questions per language with the largest change of
    confidence, of either sign, from the base model to SFT with the smallest smoothing,
    in the first seed. Where a normaliser counts tokens, questions whose options have
    another number of tokens in the other checkpoint's tokenizer are left out. The
    second compares the questions that the SFT set teaches with the others, where all
    languages share them.

    Args:
        predictions: predictions of the base model and of its runs with the SFT set.
        questions: questions tables of the task.
        check: JSON file that check_task wrote of the task.
        scoring: scoring to read, with its headline normaliser.
        runs: the study's runs table; predictions of other checkpoints are refused.
        sft: conversations of the SFT set; none if others trained on it.
        confidence: confidence level of the intervals.
        out: Parquet file of the shifts to write.
        taught: Parquet file of the comparison to write.

    Raises:
        InputError: a table is broken or of another checkpoint, or the predictions are
            not of a base model and of tuned ones of one SFT set.
    """
    compared = read_check(check)
    # Condition order -> (language, question) -> probabilities of its options.
    answers: dict[float, dict[tuple, np.ndarray]] = {}
    seeds: dict[float, int] = {}  # the first one of each condition
    # Condition order -> (language, question) -> tokens of its options.
    counts: dict[float, dict[tuple, list[int]]] = {}
    tops: list[pd.DataFrame] = []
    models, sets = set(), set()
    known = find_checkpoints(tables.read(runs, "runs")) if runs else {}
    for path in predictions:
        scored = tables.read(path, "predictions")
        for first in scored.slice(0, 1).to_pylist():
            check_checkpoint(path, first, known)
            seed = first["seed"]
        scored = tables.where(scored, scoring=scoring)
        origin = tables.read_metadata(path).get("questions", {})
        scored = keep_compared(compared, scored, origin)
        models |= set(scored["model"].unique().to_pylist())
        sets |= set(scored["sft"].unique().to_pylist()) - {BASE}
        for order, read, n_tokens, top in _read(scored, HEADLINE[scoring]):
            by_question = top.groupby(["condition", "question_id"], as_index=False)
            tops.append(by_question.sum())
            if seeds.setdefault(order, seed) != seed:
                continue
            answers.setdefault(order, {}).update(read)
            counts.setdefault(order, {}).update(n_tokens)
    orders = sorted(answers)
    if len(models) != 1 or len(sets) != 1 or len(orders) < 2 or orders[0] != BASE_RANK:
        raise InputError(
            "predictions of one base model and of one SFT set on it are expected; got "
            f"the models {sorted(models)} and the SFT sets {sorted(sets)}"
        )
    shared = {"model": models.pop(), "sft": sets.pop(), "scoring": scoring}
    shared |= {"normaliser": HEADLINE[scoring]}
    # An id is one question only where all languages share them.
    known_ids = find_taught(sft, [] if compared["policy"] == "own" else questions)
    split = pa.Table.from_pylist(
        [
            shared | {"task": compared["task"]} | row
            for row in split_taught(pd.concat(tops), known_ids, confidence)
        ],
        tables.SCHEMAS["taught"],
    )
    tables.write(split, taught, "taught")
    base, tuned, *_ = (answers[order] for order in orders)
    if HEADLINE[scoring] in COUNT_TOKENS:
        before, after, *_ = (counts[order] for order in orders)
        alike = {key for key, n in after.items() if n == before.get(key)}
        tuned = {key: tuned[key] for key in alike}
    rows = []
    for path in questions:
        for question, change in _most_changed(path, base, tuned):
            key = question["language"], question["question_id"]
            by_order = [answers[order].get(key) for order in orders]
            rows.append(
                shared
                | {"smoothings": orders}
                | {name: question[name] for name in _KEPT}
                | {
                    "question": _cut(question["question"]),
                    "options": [_cut(option) for option in question["options"]],
                    "change": change,
                    "probabilities": [
                        [] if probs is None else probs.tolist() for probs in by_order
                    ],
                }
            )
    rows.sort(key=lambda row: row["language"])  # stable: largest change first
    tables.write(pa.Table.from_pylist(rows, tables.SCHEMAS["shifts"]), out, "shifts")


_KEPT = ("task", "language", "question_id", "gold")


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[:LONGEST] + " […]"


def _read(
    scored: pa.Table, normaliser: str
) -> Iterable[tuple[float, dict, dict, pd.DataFrame]]:
    """Yield each condition's order, by (language, question) its numbers, its answers.

    The first numbers are the options' probabilities, the second their tokens.
    """
    conditions = scored.select(["smoothing", "sft"]).group_by(["smoothing", "sft"])
    for condition in conditions.aggregate([]).to_pylist():
        own = tables.where(scored, **condition).combine_chunks()
        given = answer(option_scores(own, normaliser), own["gold"])
        order = BASE_RANK if condition["sft"] == BASE else condition["smoothing"]
        codes, names = own["language"].to_pylist(), own["question_id"].to_pylist()
        keys = list(zip(codes, names, strict=True))
        sizes = pc.list_value_length(own["logprobs"]).to_pylist()
        yield (
            order,
            {
                key: line[:size].astype(np.float32)
                for key, line, size in zip(keys, given.probs, sizes, strict=True)
            },
            dict(zip(keys, own["n_tokens"].to_pylist(), strict=True)),
            pd.DataFrame(
                {
                    **{"condition": order, "question_id": names},
                    **{"confidence": given.top.confidence},
                    **{"accuracy": given.top.correct, "n": 1},
                }
            ),
        )


def _most_changed(
    path: Path, base: Mapping[tuple, np.ndarray], tuned: Mapping[tuple, np.ndarray]
) -> list[tuple[dict, float]]:
    """Return the questions of a file whose confidence changed most, with the change."""
    changes = []
    for question in tables.read(path, "questions").to_pylist():
        key = question["language"], question["question_id"]
        if key in base and key in tuned:
            change = float(tuned[key].max() - base[key].max())
            changes.append((question, change))
    changes.sort(key=lambda pair: (-abs(pair[1]), pair[0]["question_id"]))
    return changes[:SHOWN]
