"""One language under one scoring: what is asked before, and its rows afterwards.

A part is scored in one go and stored in one entry of the store.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from polycal.errors import InputError
from polycal.storage import tables
from polycal.study.prompts import Prompt, build_prompt, pick_shots

if TYPE_CHECKING:  # it imports torch
    from polycal.scoring.engine import Scored

_COPIED = ("task", "language", "question_id", "subject", "category", "culture", "gold")
_NO_IDENTITY = dict.fromkeys(("model", "sft", "smoothing", "seed"))
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Part:
    """One language under one scoring.

    Attributes:
        path: the questions table.
        key: all that determines the scores.
        n_questions: test questions.
        fewer_shots: test questions whose subject has fewer dev questions than shots.
    """

    path: Path
    key: dict[str, object]
    n_questions: int
    fewer_shots: int

    def __str__(self) -> str:
        return "{task}, {language}, {scoring}".format_map(self.key)

    def read_questions(self) -> tuple[pa.Table, list[Prompt]]:
        """The test questions' rows, and a prompt for each."""
        table = tables.read(self.path, "questions")
        test = tables.where(table, split="test")
        dev = tables.where(table, split="dev").to_pylist()
        shots = pick_shots(dev, self.key["shots"])
        prompts = [
            build_prompt(
                self.key["scoring"],
                each["question"],
                each["options"],
                each["lead_in"],
                shots.get(each["subject"], ()),
            )
            for each in test.to_pylist()
        ]
        return test, prompts

    def make_rows(
        self, test: pa.Table, scored: Sequence["Scored"], checkpoint: Path
    ) -> pa.Table:
        """Predictions; what the checkpoint is called by is null in them.

        Args:
            test: rows of the test questions.
            scored: the scores of each.
            checkpoint: what messages name.

        Raises:
            InputError: two letters are the same tokens.
        """
        letters = self.key["scoring"] == "letters"
        n_bytes = [
            [1 if letters else len(option.strip().encode()) for option in options]
            for options in test["options"].to_pylist()
        ]
        truncated = [any(each.truncated) for each in scored]
        if any(truncated):
            _logger.warning(
                "%s: the context of %d questions was cut", self, sum(truncated)
            )
        log_mass = (
            _log_masses(scored, self, checkpoint) if letters else [None] * len(scored)
        )
        columns = {
            **{name: test[name] for name in _COPIED},
            "logprobs": [each.logprobs for each in scored],
            "n_tokens": [list(map(len, each.tokens)) for each in scored],
            "n_bytes": n_bytes,
            "log_mass": log_mass,
            "truncated": truncated,
        }
        rows = pa.table(columns)
        return tables.same(rows, scoring=self.key["scoring"], **_NO_IDENTITY)


def list_parts(
    paths: Iterable[Path], scorings: Sequence[str], settings: dict[str, object]
) -> list[Part]:
    """What the call holds, in the order in which it is written.

    Raises:
        InputError: a file does not hold test questions of one language, or a language
            comes twice.
    """
    parts: dict[tuple[str, str, str], Part] = {}
    for path in paths:
        table = tables.read(path, "questions")
        test = tables.where(table, split="test")
        names = {
            (row["task"], row["language"])
            for row in test.select(["task", "language"]).to_pylist()
        }
        if len(names) != 1:
            raise InputError(
                f"{path} must hold test questions of one language of one task; it has "
                f"{sorted(names) or 'none'}"
            )
        ((task, language),) = names
        asked = tables.digest(table)
        fewer = _count_fewer_shots(path, table, test, settings["shots"])
        for scoring in scorings:
            if (task, language, scoring) in parts:
                raise InputError(f"{path}: {task}, {language}, {scoring} comes twice")
            key = {
                **settings,
                "task": task,
                "language": language,
                "scoring": scoring,
                "questions": asked,
            }
            parts[task, language, scoring] = Part(path, key, len(test), fewer)
    return list(parts.values())


def _count_fewer_shots(path: Path, table: pa.Table, test: pa.Table, shots: int) -> int:
    """How many test questions have fewer shots than asked for.

    Raises:
        InputError: shots are asked for, and there are no dev questions at all.
    """
    dev = Counter(tables.where(table, split="dev")["subject"].to_pylist())
    if shots and not dev:
        raise InputError(
            f"{path} has no dev questions to take {shots} shots from; score without "
            "shots, or name the dev split in the task's format"
        )
    return sum(dev[subject] < shots for subject in test["subject"].to_pylist())


def _log_masses(
    scored: Sequence["Scored"], part: Part, checkpoint: Path
) -> list[float | None]:
    """Log of the probability that all letters of a question hold together, in nats.

    None for the whole language where a letter is more than one token: what such
    letters hold has no meaning next to what is left for other texts.

    Raises:
        InputError: two letters are the same tokens, so no score can tell them apart.
    """
    for each in scored:
        if len(set(each.tokens)) < len(each.tokens):
            raise InputError(
                f"{checkpoint}: the tokenizer gives two letters the same tokens "
                f"({part}: {each.tokens}); leave out the scoring `letters`"
            )
    longest = max(len(tokens) for each in scored for tokens in each.tokens)
    if longest > 1:
        _logger.warning("%s: a letter is %d tokens; log_mass is null", part, longest)
        return [None] * len(scored)
    return [np.logaddexp.reduce(each.logprobs.astype(float)) for each in scored]
