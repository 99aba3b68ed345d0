"""The questions whose confidence SFT changed most, for a reader to look at."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from polycal.calibration import probabilities
from polycal.comparing.conditions import BASE_RANK
from polycal.errors import InputError
from polycal.measuring.confidence import option_scores
from polycal.preparing.checks import keep_compared, read_check
from polycal.storage import tables
from polycal.study.grid import BASE
from polycal.study.scorings import HEADLINE, Scoring
from polycal.verb import verb

SHOWN = 2  # questions of a language; the page of 71 languages has to stay small
LONGEST = 400  # characters of a question that are kept, and of an option


@verb(makes="{out}")
def find_shifts(
    *,
    predictions: list[Path],
    questions: list[Path],
    check: Path,
    scoring: Scoring,
    out: Path,
) -> None:
    """Write the `shifts` table of one model, SFT set and task.

    Per language the `SHOWN` questions with the largest change of the confidence
    between the base model and SFT with the smallest smoothing, whatever its sign.

    Args:
        predictions: of the base model and of one run per smoothing value.
        questions: the questions tables of the task.
        check: what `polycal check_task` wrote of the task.
        scoring: letters or text, read with its headline normaliser.
        out: the Parquet file to write.

    Raises:
        InputError: a table is broken, or the predictions are not of a base model and
            of tuned ones of one SFT set.
    """
    compared = read_check(check)
    answers: dict[float, dict[tuple, np.ndarray]] = {}
    models, sets = set(), set()
    for path in predictions:
        scored = tables.where(tables.read(path, "predictions"), scoring=scoring)
        origin = tables.read_metadata(path).get("questions", {})
        scored = keep_compared(compared, scored, origin)
        models |= set(scored["model"].unique().to_pylist())
        sets |= set(scored["sft"].unique().to_pylist()) - {BASE}
        for rank, found in _read(scored, HEADLINE[scoring]):
            answers.setdefault(rank, {}).update(found)
    ranks = sorted(answers)
    if len(models) != 1 or len(sets) != 1 or len(ranks) < 2 or ranks[0] != BASE_RANK:
        raise InputError(
            "predictions of one base model and of one SFT set on it are expected; got "
            f"the models {sorted(models)} and the SFT sets {sorted(sets)}"
        )
    place = {"model": models.pop(), "sft": sets.pop(), "scoring": scoring}
    place["normaliser"] = HEADLINE[scoring]
    rows = []
    for path in questions:
        for text, change in _most_changed(path, answers, ranks[:2]):
            key = text["language"], text["question_id"]
            rows.append(
                {
                    **place,
                    **{each: text[each] for each in _KEPT},
                    "question": _cut(text["question"]),
                    "options": [_cut(each) for each in text["options"]],
                    "change": change,
                    "smoothings": ranks,
                    "probabilities": [
                        [] if key not in answers[rank] else answers[rank][key].tolist()
                        for rank in ranks
                    ],
                }
            )
    rows.sort(key=lambda row: row["language"])  # as they are within a language
    tables.write(pa.Table.from_pylist(rows, tables.SCHEMAS["shifts"]), out, "shifts")


_KEPT = ("task", "language", "question_id", "gold")


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[:LONGEST] + " […]"


def _read(scored: pa.Table, normaliser: str) -> Iterable[tuple[float, dict]]:
    """Rank -> (language, question) -> probabilities of its options."""
    for smoothing, sft in {
        (row["smoothing"], row["sft"])
        for row in scored.select(["smoothing", "sft"])
        .group_by(["smoothing", "sft"])
        .aggregate([])
        .to_pylist()
    }:
        own = tables.where(scored, smoothing=smoothing, sft=sft).combine_chunks()
        found = probabilities(option_scores(own, normaliser))
        keys = zip(
            own["language"].to_pylist(), own["question_id"].to_pylist(), strict=True
        )
        sizes = pc.list_value_length(own["logprobs"]).to_pylist()
        yield (
            BASE_RANK if sft == BASE else smoothing,
            {
                key: line[:size].astype(np.float32)
                for key, line, size in zip(keys, found, sizes, strict=True)
            },
        )


def _most_changed(
    path: Path, answers: Mapping[float, Mapping], ranks: list[float]
) -> list[tuple[dict, float]]:
    """The questions of one file that changed most, and by how much."""
    texts = tables.read(path, "questions").to_pylist()
    before, after = (answers[rank] for rank in ranks)
    found = []
    for text in texts:
        key = text["language"], text["question_id"]
        if key in before and key in after:
            found.append((text, float(after[key].max() - before[key].max())))
    found.sort(key=lambda each: (-abs(each[1]), each[0]["question_id"]))
    return found[:SHOWN]
