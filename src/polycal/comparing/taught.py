"""Answers to questions that are in the SFT data, beside the others."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from scipy.special import stdtrit

from polycal.storage import tables

METRICS = ["accuracy", "confidence", "gap"]


def find_taught(sft: Sequence[Path], questions: Sequence[Path]) -> set[str]:
    """Return the ids of the questions whose text, in some language, SFT teaches.

    Args:
        sft: conversations; they teach a text that is a turn of the user or its line.
        questions: questions tables of one task.
    """
    known: dict[str, set[str]] = {}  # text -> ids
    for path in questions if sft else ():
        table = tables.read(path, "questions").select(["question_id", "question"])
        for row in table.to_pylist():
            known.setdefault(row["question"].strip(), set()).add(row["question_id"])
    taught: set[str] = set()
    for path in sft if known else ():
        for text in _read_user_texts(path):
            taught |= known.get(text, set())
    return taught


def _read_user_texts(path: Path) -> Iterator[str]:
    """Yield the user's turns and their lines; a set may hold a million of them."""
    for batch in tables.stream(path, "conversations", rows=10_000):
        for messages in batch["messages"].to_pylist():
            for turn in messages:
                if turn["role"] == "user":
                    texts = turn["content"], *turn["content"].splitlines()
                    yield from (text.strip() for text in texts)


def split_taught(
    answers: pd.DataFrame, taught: Collection[str], confidence: float
) -> list[dict[str, Any]]:
    """Return a row per condition, metric and part: the taught questions, the others.

    Args:
        answers: `condition`, `question_id`, and sums of `confidence` and `accuracy`
            over `n` answers, which are of one question in any language and seed.
        taught: ids of the taught questions.
        confidence: of the intervals, which hold the noise of questions (Student's t
            over the questions' means over languages and seeds).

    Returns:
        Rows of a taught table without its identity; none if a part has fewer than two
        questions.
    """
    keys = ["condition", "taught"]
    answers = answers.assign(taught=answers["question_id"].isin(taught))
    sums = answers.groupby([*keys, "question_id"]).sum()
    means = sums[["confidence", "accuracy"]].div(sums["n"], axis=0)
    means["gap"] = means["confidence"] - means["accuracy"]
    if answers["taught"].nunique() < 2 or means.groupby(keys).size().min() < 2:
        return []
    rows = []
    for key, own in means.groupby(keys):
        n = len(own)
        for metric in METRICS:
            estimate, se = own[metric].mean(), own[metric].sem()
            half = stdtrit(n - 1, (1 + confidence) / 2) * se
            rows.append(
                {
                    **dict(zip(keys, key, strict=True)),
                    **{"metric": metric, "estimate": estimate, "se": se},
                    **{"ci_low": estimate - half, "ci_high": estimate + half},
                    "n_questions": n,
                }
            )
    return rows
