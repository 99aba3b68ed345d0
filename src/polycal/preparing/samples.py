"""Samples that lm-evaluation-harness has logged, as predictions, and the way back.

With `--log_samples` the harness writes a JSON line per question: the document, the
arguments of every request, and the log-likelihood of every option (`resps`). That is
what predictions hold, but for the number of tokens, which a tokenizer tells again.
Nobody has kept the mass that all letters hold together, nor whether a context was cut:
these columns are null.
"""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from tokenizers import Tokenizer

from polycal.errors import InputError
from polycal.storage import tables
from polycal.storage.files import replacing
from polycal.study.prompts import LETTERS
from polycal.verb import verb

# Tokens of each continuation behind a context.
Counter = Callable[[str, list[str]], list[int]]


class _Fields(NamedTuple):
    """Where a document says what a table holds.

    Attributes:
        question_id: names a question in every language.
        subject: its subject; None: there is none.
    """

    question_id: str
    subject: str | None


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

    `check_task` and `measure` take them as if polycal had scored them. Options whose
    continuations are letters are read as the scoring `letters`, others as `text`.

    Args:
        samples: a `samples_*.jsonl` of a multiple-choice task.
        model: short name of the base model; with the next five, what the rows are of.
        sft: short name of the SFT set.
        smoothing: label-smoothing epsilon.
        seed: of the training.
        task: short name of the benchmark.
        language: its code.
        question_id: field of the document that names a question in every language; the
            number in the file is right only if all languages have the same questions
            in the same order.
        subject: field of the document with its subject.
        tokenizer: directory with the `tokenizer.json` of the model; needed for texts.
        questions: the questions table to write.
        out: the predictions table to write.

    Raises:
        InputError: a line is not a sample of a multiple-choice task, a field is
            missing, or texts come without a tokenizer.
    """
    fields, count = _Fields(question_id, subject), _counter(tokenizer)
    identity = {"model": model, "sft": sft, "smoothing": smoothing, "seed": seed}
    place = {"task": task, "language": language}
    asked, scored = [], []
    with samples.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                question, answer = _read(json.loads(line), fields, count)
            except (ValueError, KeyError, TypeError, IndexError) as error:
                raise InputError(
                    f"{samples}, line {number} is no sample of a multiple-choice task "
                    f"that can be read ({error}); lm_eval --log_samples writes them"
                ) from error
            asked.append({**place, **question})
            scored.append({**identity, **place, **answer})
    table = pa.Table.from_pylist(asked, tables.SCHEMAS["questions"])
    tables.write(table, questions, "questions", samples=samples.name)
    facts = {"samples": samples.name, "questions": {language: tables.digest(table)}}
    table = pa.Table.from_pylist(scored, tables.SCHEMAS["predictions"])
    tables.write(table, out, "predictions", **facts)


def _read(sample: Mapping, fields: _Fields, count: Counter | None) -> tuple[dict, dict]:
    """The rows of a sample in both tables, without what all rows share."""
    contexts = {each["arg_0"] for each in sample["arguments"].values()}
    if len(contexts) != 1:
        raise ValueError("its options have different contexts")
    (context,) = contexts
    parts = [each["arg_1"] for each in sample["arguments"].values()]
    options = [each.strip() for each in parts]
    by_letter = options == list(LETTERS[: len(options)])
    if not by_letter and count is None:
        raise ValueError("it scores texts, whose tokens --tokenizer has to count")
    logprobs = [float(answer[0]) for answer in sample["filtered_resps"]]
    if len(logprobs) != len(options):
        raise ValueError(f"it has {len(logprobs)} scores of {len(options)} options")
    if not all(-math.inf < each <= 0 for each in logprobs):
        raise ValueError(f"its scores are no log-likelihoods: {logprobs}")
    gold = _gold(sample["target"], options)
    if sample.get("acc", 0.0) and logprobs[gold] < max(logprobs):
        raise ValueError("its target is not the option that its accuracy counted")
    doc = {"doc_id": sample["doc_id"], **sample["doc"]}
    about = {
        "question_id": str(doc[fields.question_id]),
        "subject": str(doc[fields.subject]) if fields.subject else "",
        "category": "",
        "culture": None,
        "gold": gold,
    }
    answer = {
        "scoring": "letters" if by_letter else "text",
        "logprobs": logprobs,
        "n_tokens": [1] * len(parts) if by_letter else count(context, parts),
        "n_bytes": [len(each.encode()) for each in options],
        "log_mass": None,
        "truncated": None,
    }
    question = {"split": "test", "question": context, "options": options, "lead_in": ""}
    return {**about, **question}, {**about, **answer}


@verb()
def export_samples(*, predictions: Path, questions: Path, out: Path) -> None:
    """Write predictions of a language as the harness would log them.

    Args:
        predictions: a predictions table.
        questions: the questions table of one of its languages.
        out: the folder to write `samples_{task}_{language}_{scoring}.jsonl` into.

    Raises:
        InputError: the predictions hold nothing about these questions.
    """
    asked = {
        row["question_id"]: row
        for row in tables.read(questions, "questions").to_pylist()
        if row["split"] == "test"
    }
    rows = tables.read(predictions, "predictions")
    language = next(iter(asked.values()))["language"] if asked else ""
    rows = tables.where(rows, language=language)
    if not len(rows) or not set(rows["question_id"].to_pylist()) <= set(asked):
        raise InputError(f"{predictions} holds no scores of the questions {questions}")
    for scoring in rows["scoring"].unique().to_pylist():
        own = tables.where(rows, scoring=scoring).to_pylist()
        path = out / f"samples_{own[0]['task']}_{language}_{scoring}.jsonl"
        with (
            replacing(path) as temporary,
            temporary.open("w", encoding="utf-8") as file,
        ):
            for number, row in enumerate(own):
                sample = _sample(number, row, asked[row["question_id"]])
                file.write(json.dumps(sample, ensure_ascii=False) + "\n")


def _sample(number: int, row: Mapping, asked: Mapping) -> dict[str, object]:
    options = asked["options"]
    shown = LETTERS[: len(options)] if row["scoring"] == "letters" else options
    best = max(range(len(options)), key=row["logprobs"].__getitem__)
    answers = [[str(value), str(k == best)] for k, value in enumerate(row["logprobs"])]
    return {
        "doc_id": number,
        "doc": {
            name: asked[name]
            for name in ("question_id", "subject", "question", "options", "gold")
        },
        "target": str(row["gold"]),
        "arguments": {
            f"gen_args_{k}": {"arg_0": asked["question"], "arg_1": f" {each}"}
            for k, each in enumerate(shown)
        },
        "resps": [[each] for each in answers],
        "filtered_resps": answers,
        "filter": "none",
        "metrics": ["acc"],
        "acc": float(best == row["gold"]),
    }


def _gold(target: object, options: list[str]) -> int:
    """The index of the right option: logged as such, or as its text or letter."""
    text = str(target).strip()
    if text.isdigit() and int(text) < len(options):
        return int(text)
    return options.index(text) if text in options else LETTERS.index(text)


def _counter(folder: Path | None) -> Counter | None:
    """Tokens of a continuation behind a context, as the harness counts them."""
    if folder is None:
        return None
    path = folder / "tokenizer.json"
    if not path.exists():
        raise InputError(f"{folder} has no tokenizer.json")
    encode = Tokenizer.from_file(str(path)).encode

    def count(context: str, continuations: list[str]) -> list[int]:
        before = len(encode(context, add_special_tokens=False))
        wholes = [encode(context + c, add_special_tokens=False) for c in continuations]
        return [len(whole) - before for whole in wholes]

    return count
