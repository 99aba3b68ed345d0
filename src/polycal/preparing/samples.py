"""Convert logged samples of lm-evaluation-harness to predictions, and back.

A tokenizer counts the tokens again. The probability mass of all letters and whether a
context was cut are not logged: null.
"""

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from polycal.errors import InputError
from polycal.preparing.harness import Sample, find_golds, read_samples
from polycal.storage import tables
from polycal.storage.files import replacing
from polycal.study.prompts import LETTERS, Prompt
from polycal.verb import verb

_logger = logging.getLogger(__name__)


@verb(makes="{out}")
def import_samples(
    *,
    samples: Path,
    model: str,
    sft: str,
    smoothing: float,
    seed: int,
    task: str,
    language: str,
    question_id: str = "doc_id",
    subject: str | None = None,
    tokenizer: Path | None = None,
    questions: Path,
    out: Path,
) -> None:
    """Write the questions and predictions tables of one task, language and run.

    `check_task` and `measure` take them as if polycal had scored them. Options of which
    the harness left out a token that they share with their context are counted in the
    metadata (`cut_options`). The scoring is
    `letters` if all continuations are letters, else `text`. The default of
    `question_id` is right only if all languages have the same questions in the same
    order.

    Args:
        samples: a samples_*.jsonl of the harness.
        model: short name of the base model.
        sft: short name of the SFT set; none = base model.
        smoothing: label-smoothing epsilon.
        seed: seed of the training.
        task: short name of the benchmark.
        language: code of the language.
        question_id: field of the document that names a question in every language.
        subject: field of the document with its subject.
        tokenizer: directory with the model's tokenizer; needed for texts.
        questions: questions table to write.
        out: predictions table to write.

    Raises:
        InputError: a line is not a sample of a multiple-choice task, or contradicts the
            harness's own accuracy; a field is missing; two lines are of one question;
            or texts come without a tokenizer.
    """
    lines = read_samples(samples)
    labels = [
        Label(line.name(question_id), line.name(subject) if subject else "")
        for line in lines
    ]
    write_tables(
        samples,
        lines,
        find_golds(lines),
        labels,
        identity={"model": model, "sft": sft, "smoothing": smoothing, "seed": seed},
        cell={"task": task, "language": language},
        tokenizer=tokenizer,
        questions=questions,
        out=out,
    )


class Label(NamedTuple):
    """The columns of a question that name it and its groups."""

    question_id: str
    subject: str = ""
    category: str = ""
    culture: str | None = None


def write_tables(
    samples: Path,
    lines: Sequence[Sample],
    golds: Sequence[int],
    labels: Sequence[Label],
    *,
    identity: Mapping[str, Any],
    cell: Mapping[str, str],
    tokenizer: Path | None,
    questions: Path,
    out: Path,
    **facts: object,
) -> str:
    """Write the questions and predictions tables of one language; return the scoring.

    Raises:
        InputError: two samples are of one question, or tokens cannot be counted.
    """
    _check_names(samples, [label.question_id for label in labels])
    by_letter = all(line.is_by_letter for line in lines)
    scoring = "letters" if by_letter else "text"
    n_tokens, n_cut = _count_tokens(samples, lines, by_letter, tokenizer)
    question_rows, prediction_rows = [], []
    for line, gold, label, counts in zip(lines, golds, labels, n_tokens, strict=True):
        shared = {**cell, **label._asdict(), "gold": gold}
        question = {
            "split": "test",
            "question": line.question,
            "options": line.options,
            "lead_in": "",
        }
        prediction = {
            "scoring": scoring,
            "logprobs": line.logprobs,
            "n_tokens": counts,
            "n_bytes": [len(option.encode()) for option in line.options],
            "log_mass": None,
            "truncated": None,
        }
        question_rows.append(shared | question)
        prediction_rows.append({**identity, **shared, **prediction})
    table = pa.Table.from_pylist(question_rows, tables.SCHEMAS["questions"])
    tables.write(table, questions, "questions", samples=samples.name)
    asked = {cell["language"]: tables.digest(table)}
    table = pa.Table.from_pylist(prediction_rows, tables.SCHEMAS["predictions"])
    part = f"{cell['task']}, {cell['language']}, {scoring}"
    tables.write(
        table,
        out,
        "predictions",
        samples=samples.name,
        questions=asked,
        cut_options={part: n_cut} if n_cut else {},
        **facts,
    )
    return scoring


def _check_names(samples: Path, names: Sequence[str]) -> None:
    """Refuse two samples of one question."""
    (name, number), *_ = Counter(names).most_common(1)
    if number > 1:
        raise InputError(
            f"{samples}: {number} samples are of one question, {name}; name a field of "
            "the document that tells questions apart with --question-id"
        )


def _count_tokens(
    samples: Path, lines: Sequence[Sample], by_letter: bool, folder: Path | None
) -> tuple[list[list[int]], int]:
    """Return the tokens of each option that the harness scored, by its own rule.

    Without a tokenizer, a letter has one token. Returned, too, is the number of options
    that lost a token which they share with their context.
    """
    if folder is None and by_letter:
        return [[1] * len(line.continuations) for line in lines], 0
    if folder is None:
        raise InputError(
            f"{samples} has scores of texts; name the model's directory with "
            "--tokenizer, which has to count their tokens"
        )
    from polycal.models.tokens import load_tokenizer, split_prompts  # seconds

    asked = split_prompts(
        load_tokenizer(folder),
        [Prompt(line.context, tuple(line.continuations)) for line in lines],
    )
    if asked.crossing:
        _logger.warning(
            "%s: %d of %d options share a token with their context; the harness scored "
            "only what follows that token",
            *(samples, len(asked.crossing), sum(map(len, asked.continuations))),
        )
    counts = [list(map(len, tokens)) for tokens in asked.continuations]
    for line, numbers in zip(lines, counts, strict=True):
        if not all(numbers):
            option = line.options[numbers.index(0)]
            raise InputError(
                f"{line.where}: the option {option!r} has no token of its own after "
                f"its context; is {folder} the tokenizer of the model that was scored?"
            )
    return counts, len(asked.crossing)


@verb()
def export_samples(*, predictions: Path, questions: Path, out: Path) -> None:
    """Write predictions of a language as the harness would log them.

    Args:
        predictions: predictions table.
        questions: questions table of one of its languages.
        out: folder to write samples_TASK_LANGUAGE_SCORING.jsonl into.

    Raises:
        InputError: the predictions have no scores of these questions.
    """
    by_id = {
        row["question_id"]: row
        for row in tables.read(questions, "questions").to_pylist()
        if row["split"] == "test"
    }
    rows = tables.read(predictions, "predictions")
    language = next(iter(by_id.values()))["language"] if by_id else ""
    rows = tables.where(rows, language=language)
    if not len(rows) or not set(rows["question_id"].to_pylist()) <= set(by_id):
        raise InputError(f"{predictions} holds no scores of the questions {questions}")
    for scoring in rows["scoring"].unique().to_pylist():
        own = tables.where(rows, scoring=scoring).to_pylist()
        path = out / f"samples_{own[0]['task']}_{language}_{scoring}.jsonl"
        with (
            replacing(path) as temporary,
            temporary.open("w", encoding="utf-8") as file,
        ):
            for number, row in enumerate(own):
                sample = _make_sample(number, row, by_id[row["question_id"]])
                file.write(json.dumps(sample, ensure_ascii=False) + "\n")


def _make_sample(number: int, row: Mapping, question: Mapping) -> dict[str, Any]:
    options = question["options"]
    continuations = LETTERS[: len(options)] if row["scoring"] == "letters" else options
    best = max(range(len(options)), key=row["logprobs"].__getitem__)
    answers = [[str(value), str(k == best)] for k, value in enumerate(row["logprobs"])]
    return {
        "doc_id": number,
        "doc": {
            name: question[name]
            for name in ("question_id", "subject", "question", "options", "gold")
        },
        "target": str(row["gold"]),
        "arguments": {
            f"gen_args_{k}": {"arg_0": question["question"], "arg_1": f" {text}"}
            for k, text in enumerate(continuations)
        },
        "resps": [[answer] for answer in answers],
        "filtered_resps": answers,
        "filter": "none",
        "metrics": ["acc"],
        "acc": float(best == row["gold"]),
    }
