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
    second compares the questions that the SFT set teaches with the others, in every
    scoring, where all languages share them.

    Args:
        predictions: predictions of the base model and of its runs with the SFT set.
        questions: questions tables of the task.
        check: JSON file that check_task wrote of the task.
        scoring: scoring of the shifts, with its headline normaliser.
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
    tops: dict[Scoring, list[pd.DataFrame]] = {}
    models, sets = set(), set()
    known = find_checkpoints(tables.read(runs, "runs")) if runs else {}
    for path in predictions:
        scored = tables.read(path, "predictions")
        for first in scored.slice(0, 1).to_pylist():
            check_checkpoint(path, first, known)
            seed = first["seed"]
        origin = tables.read_metadata(path).get("questions", {})
        scored = keep_compared(compared, scored, origin)
        models |= set(scored["model"].unique().to_pylist())
        sets |= set(scored["sft"].unique().to_pylist()) - {BASE}
        for name, order, read, n_tokens, top in _read(scored, scoring):
            by_question = top.groupby(["condition", "question_id"], as_index=False)
            tops.setdefault(name, []).append(by_question.sum())
            if name != scoring or seeds.setdefault(order, seed) != seed:
                continue
            answers.setdefault(order, {}).update(read)
            counts.setdefault(order, {}).update(n_tokens)
    orders = sorted(answers)
    if len(models) != 1 or len(sets) != 1 or len(orders) < 2 or orders[0] != BASE_RANK:
        raise InputError(
            "predictions of one base model and of one SFT set on it are expected; got "
            f"the models {sorted(models)} and the SFT sets {sorted(sets)}"
        )
    facet = {"model": models.pop(), "sft": sets.pop()}
    shared = facet | {"scoring": scoring, "normaliser": HEADLINE[scoring]}
    # An id is one question only where all languages share them.
    known_ids = find_taught(sft, [] if compared["policy"] == "own" else questions)
    split = pa.Table.from_pylist(
        [
            facet
            | {"task": compared["task"], "scoring": name, "normaliser": HEADLINE[name]}
            | row
            for name, own in sorted(tops.items())
            for row in split_taught(pd.concat(own), known_ids, confidence)
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
    scored: pa.Table, scoring: Scoring
) -> Iterable[tuple[Scoring, float, dict, dict, pd.DataFrame]]:
    """Yield each scoring and condition's order, its numbers by question, its answers.

    The first numbers by (language, question) are the options' probabilities under the
    headline normaliser, the second their tokens; none of another scoring.
    """
    names = ["scoring", "smoothing", "sft"]
    for condition in scored.select(names).group_by(names).aggregate([]).to_pylist():
        own = tables.where(scored, **condition).combine_chunks()
        normaliser = HEADLINE[condition["scoring"]]
        given = answer(option_scores(own, normaliser), own["gold"])
        order = BASE_RANK if condition["sft"] == BASE else condition["smoothing"]
        ids = own["question_id"].to_pylist()
        probabilities, n_tokens = {}, {}
        if condition["scoring"] == scoring:
            keys = list(zip(own["language"].to_pylist(), ids, strict=True))
            sizes = pc.list_value_length(own["logprobs"]).to_pylist()
            probabilities = {
                key: line[:size].astype(np.float32)
                for key, line, size in zip(keys, given.probs, sizes, strict=True)
            }
            n_tokens = dict(zip(keys, own["n_tokens"].to_pylist(), strict=True))
        yield (
            condition["scoring"],
            order,
            probabilities,
            n_tokens,
            pd.DataFrame(
                {
                    **{"condition": order, "question_id": ids},
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
