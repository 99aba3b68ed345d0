"""Convert logged samples of lm-evaluation-harness to predictions, and back.

With `--log_samples` the harness writes a JSON line per question: the document, every
request and the log-likelihood of every option. A tokenizer counts the tokens again. The
probability mass of all letters and whether a context was cut are not logged: null.
"""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
from tokenizers import Tokenizer

from polycal.errors import InputError
from polycal.storage import tables
from polycal.storage.files import replacing
from polycal.study.prompts import LETTERS
from polycal.verb import verb

# (context, continuations) -> number of tokens of each continuation.
Counter = Callable[[str, list[str]], list[int]]


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

    `check_task` and `measure` take them as if polycal had scored them. Continuations
    that are letters become the scoring `letters`, others `text`. The default of
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
        tokenizer: directory with the model's tokenizer.json; needed for texts.
        questions: questions table to write.
        out: predictions table to write.

    Raises:
        InputError: a line is not a sample of a multiple-choice task, a field is
            missing, or texts come without a tokenizer.
    """
    count_tokens = _make_counter(tokenizer)
    identity = {"model": model, "sft": sft, "smoothing": smoothing, "seed": seed}
    cell = {"task": task, "language": language}
    question_rows, prediction_rows = [], []
    with samples.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                question, prediction = _read_sample(
                    json.loads(line), question_id, subject, count_tokens
                )
            except (ValueError, KeyError, TypeError, IndexError) as error:
                raise InputError(
                    f"{samples}, line {number} is no sample of a multiple-choice task "
                    f"that can be read ({error}); lm_eval --log_samples writes them"
                ) from error
            question_rows.append({**cell, **question})
            prediction_rows.append({**identity, **cell, **prediction})
    table = pa.Table.from_pylist(question_rows, tables.SCHEMAS["questions"])
    tables.write(table, questions, "questions", samples=samples.name)
    facts = {"samples": samples.name, "questions": {language: tables.digest(table)}}
    table = pa.Table.from_pylist(prediction_rows, tables.SCHEMAS["predictions"])
    tables.write(table, out, "predictions", **facts)


def _read_sample(
    sample: Mapping, question_id: str, subject: str | None, count_tokens: Counter | None
) -> tuple[dict, dict]:
    """Return a sample's row in both tables, without the columns that all rows share."""
    requests = list(sample["arguments"].values())
    contexts = {request["arg_0"] for request in requests}
    if len(contexts) != 1:
        raise ValueError("its options have different contexts")
    (context,) = contexts
    continuations = [request["arg_1"] for request in requests]
    options = [text.strip() for text in continuations]
    by_letter = options == list(LETTERS[: len(options)])
    if not by_letter and count_tokens is None:
        raise ValueError("it scores texts, whose tokens --tokenizer has to count")
    logprobs = [float(answer[0]) for answer in sample["filtered_resps"]]
    if len(logprobs) != len(options):
        raise ValueError(f"it has {len(logprobs)} scores of {len(options)} options")
    if not all(-math.inf < logprob <= 0 for logprob in logprobs):
        raise ValueError(f"its scores are no log-likelihoods: {logprobs}")
    gold = _find_gold(sample["target"], options)
    if sample.get("acc", 0.0) and logprobs[gold] < max(logprobs):
        raise ValueError("its target is not the option that its accuracy counted")
    doc = {"doc_id": sample["doc_id"], **sample["doc"]}
    shared = {
        "question_id": str(doc[question_id]),
        "subject": str(doc[subject]) if subject else "",
        "category": "",
        "culture": None,
        "gold": gold,
    }
    prediction = {
        "scoring": "letters" if by_letter else "text",
        "logprobs": logprobs,
        "n_tokens": [1] * len(options)
        if by_letter
        else count_tokens(context, continuations),
        "n_bytes": [len(option.encode()) for option in options],
        "log_mass": None,
        "truncated": None,
    }
    question = {"split": "test", "question": context, "options": options, "lead_in": ""}
    return {**shared, **question}, {**shared, **prediction}


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


def _make_sample(number: int, row: Mapping, question: Mapping) -> dict[str, object]:
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


def _find_gold(target: object, options: list[str]) -> int:
    """Return the index of the right option, logged as index, text or letter."""
    text = str(target).strip()
    if text.isdigit() and int(text) < len(options):
        return int(text)
    return options.index(text) if text in options else LETTERS.index(text)


def _make_counter(folder: Path | None) -> Counter | None:
    """Return a function that counts tokens as the harness does; None: no tokenizer."""
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
