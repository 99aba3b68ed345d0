"""A part: the questions of one language under one scoring that are asked together.

Reads a questions table into prompts; makes rows of a predictions table from their
scores.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from polycal.errors import InputError
from polycal.scoring.store import Entry
from polycal.scoring.subsets import ask_all, name_entry, select
from polycal.storage import tables
from polycal.study.prompts import (
    ChatPrompt,
    Prompt,
    build_asked,
    group_by_subject,
    is_same_question,
    pick_shots,
)

if TYPE_CHECKING:  # the engine imports torch
    from polycal.scoring.engine import PromptScores

_COPIED = ("task", "language", "question_id", "subject", "category", "culture", "gold")
_NO_IDENTITY = dict.fromkeys(("model", "sft", "smoothing", "seed"))
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Part:
    """Questions of one language under one scoring."""

    path: Path  # the questions table
    key: dict[str, Any]  # everything that determines the scores; the store's key
    # Ids of the test questions that are asked, in the order of the table.
    names: tuple[str, ...]
    entry: str  # name of the store's entry for them; empty if they are all of the table
    # Number of asked questions whose subject has fewer dev questions than shots.
    fewer_shots: int
    # Number of asked questions that are among the shots of their subject, and get
    # another one instead.
    replaced_shots: int

    def __str__(self) -> str:
        return "{task}, {language}, {scoring}".format_map(self.key)

    def leave_out(self, entries: Iterable[Entry]) -> "Part":
        """Return the part without the questions that some entry of the store has."""
        known = {
            name for entry in entries for name in entry.rows["question_id"].to_pylist()
        }
        names = tuple(name for name in self.names if name not in known)
        if len(names) == len(self.names):
            return self
        return replace(self, names=names, entry=name_entry(names))

    def pick(self, entries: Iterable[Entry]) -> tuple[pa.Table, list[dict]]:
        """Return the asked questions' rows in order, and facts; entries have all."""
        pieces, facts, left = [], [], set(self.names)
        for entry in entries:
            rows = select(entry.rows, left)
            if len(rows):
                pieces.append(rows)
                facts.append(entry.facts)
                left.difference_update(rows["question_id"].to_pylist())
        rows = pa.concat_tables(pieces).combine_chunks()
        asked = pa.array(self.names, pa.string())
        names = rows["question_id"].combine_chunks()
        rows = rows.take(pc.index_in(asked, value_set=names))
        if 0 < rows["log_mass"].null_count < len(rows):
            # A letter of questions that were scored at another time has several tokens.
            at, column = rows.column_names.index("log_mass"), rows.field("log_mass")
            rows = rows.set_column(at, column, pa.nulls(len(rows), column.type))
        return rows, facts

    def count_own_tokens(self, facts: Mapping[str, Any]) -> int:
        """Return how many options of asked questions are scored by their own tokens."""
        noted = facts.get("own_tokens", 0)
        if isinstance(noted, int):  # an old entry's, of all its questions together
            return noted
        return sum(noted.get(name, 0) for name in self.names)

    def read_questions(self) -> tuple[pa.Table, list[Prompt | ChatPrompt]]:
        """Return the asked questions' rows, and a prompt for each."""
        table = tables.read(self.path, "questions")
        test = select(tables.where(table, split="test"), self.names)
        dev = group_by_subject(tables.where(table, split="dev").to_pylist())
        prompts = [
            build_asked(
                self.key["scoring"],
                row,
                pick_shots(dev.get(row["subject"], ()), row, self.key["shots"]),
                chat=self.key.get("prompt") == "chat",
                as_turns=self.key.get("shots_as") == "turns",
            )
            for row in test.to_pylist()
        ]
        return test, prompts

    def make_rows(
        self, test: pa.Table, scored: Sequence["PromptScores"], checkpoint: Path
    ) -> pa.Table:
        """Return rows of a predictions table; columns that name the run are null.

        Raises:
            InputError: two letters have the same tokens.
        """
        letters = self.key["scoring"] == "letters"
        n_bytes = [
            [1 if letters else len(option.strip().encode()) for option in options]
            for options in test["options"].to_pylist()
        ]
        truncated = [any(scores.truncated) for scores in scored]
        if any(truncated):
            _logger.warning(
                "%s: %d questions exceed the model's context; their start is cut",
                self,
                sum(truncated),
            )
        log_mass = (
            _log_masses(scored, self, checkpoint) if letters else [None] * len(scored)
        )
        columns = {
            **{name: test[name] for name in _COPIED},
            "logprobs": [scores.logprobs for scores in scored],
            "n_tokens": [list(map(len, scores.tokens)) for scores in scored],
            "n_bytes": n_bytes,
            "log_mass": log_mass,
            "truncated": truncated,
        }
        rows = pa.table(columns)
        return tables.same(rows, scoring=self.key["scoring"], **_NO_IDENTITY)


def list_parts(
    paths: Iterable[Path],
    scorings: Sequence[str],
    settings: dict[str, Any],
    ask: Callable[[pa.Table], list[str]] = ask_all,
) -> list[Part]:
    """Return the parts of some questions tables, in the order of the output.

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
        questions, asked = tables.digest(table), tuple(ask(test))
        if not asked:
            raise InputError(
                f"{path} has none of the questions that max_questions chose in another "
                "language; is `question_id` in the task's format right?"
            )
        entry = "" if len(asked) == len(test) else name_entry(asked)
        dev, test = tables.where(table, split="dev"), select(test, asked)
        fewer, replaced = _count_shots(path, dev, test, settings["shots"])
        for scoring in scorings:
            if (task, language, scoring) in parts:
                raise InputError(
                    f"{path}: {task}, {language}, {scoring} is given twice"
                )
            key = {
                **settings,
                "task": task,
                "language": language,
                "scoring": scoring,
                "questions": questions,
            }
            part = Part(path, key, asked, entry, fewer, replaced)
            parts[task, language, scoring] = part
    return list(parts.values())


def _count_shots(
    path: Path, dev_rows: pa.Table, test: pa.Table, shots: int
) -> tuple[int, int]:
    """Return how many test questions have fewer shots than asked for, or other ones."""
    if not shots:
        return 0, 0
    dev = group_by_subject(dev_rows.to_pylist())
    if not dev:
        raise InputError(
            f"{path} has no dev questions to take {shots} shots from; score without "
            "shots, or name the dev split in the task's format"
        )
    fewer, replaced = 0, 0
    for row in test.select(["subject", "question", "options"]).to_pylist():
        own = dev.get(row["subject"], [])
        fewer += len(pick_shots(own, row, shots)) < shots
        replaced += any(is_same_question(shot, row) for shot in own[:shots])
    return fewer, replaced


def _log_masses(
    scored: Sequence["PromptScores"], part: Part, checkpoint: Path
) -> list[float | None]:
    """Return the log-probability (nats) that all letters of a question hold together.

    None for the whole language where a letter has more than one token: the mass of such
    letters is not comparable with that of other texts.
    """
    for scores in scored:
        if len(set(scores.tokens)) < len(scores.tokens):
            raise InputError(
                f"{checkpoint}: the tokenizer gives two letters the same tokens "
                f"({part}: {scores.tokens}); remove the scoring `letters`"
            )
    longest = max(len(tokens) for scores in scored for tokens in scores.tokens)
    if longest > 1:
        _logger.warning("%s: a letter has %d tokens; log_mass is null", part, longest)
        return [None] * len(scored)
    return [np.logaddexp.reduce(scores.logprobs.astype(float)) for scores in scored]
