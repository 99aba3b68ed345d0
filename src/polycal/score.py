"""Score every option of every test question of some languages with one checkpoint.

A language that is finished goes into the store at once. What is in the store is never
scored again, and if everything is there, neither torch nor the model is loaded.
"""

import logging
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from polycal import tables
from polycal.errors import InputError
from polycal.prompts import build_prompt, pick_shots
from polycal.provenance import read_digest
from polycal.store import Store

if TYPE_CHECKING:  # it imports torch
    from polycal.engine import Engine, Scored

_ADAPTER = "adapter_config.json"  # as in models.py, which imports torch
_COPIED = ("task", "language", "question_id", "subject", "category", "culture", "gold")
_NO_IDENTITY = dict.fromkeys(("model", "sft", "smoothing", "seed"))
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Part:
    """One language under one scoring: scored in one go and stored in one entry.

    Attributes:
        path: the questions table.
        key: all that determines the scores.
        fewer_shots: test questions whose subject has fewer dev questions than shots.
    """

    path: Path
    key: dict[str, object]
    fewer_shots: int

    def __str__(self) -> str:
        return "{task}, {language}, {scoring}".format_map(self.key)


def score(
    *,
    checkpoint: Path,
    base: Path | None,
    questions: list[Path],
    scoring: list[str],
    shots: int = 0,
    model: str,
    sft: str,
    smoothing: float,
    seed: int,
    dtype: str = "auto",
    stage: int = 1,
    store: Path,
    out: Path,
) -> None:
    """Score the test questions of some languages; write one predictions table.

    Rows are in the order of the files, then of the scorings, then of the questions.
    Batches are formed within a language, so its scores do not depend on what else is
    in the call.

    Args:
        checkpoint: directory of a model or an adapter, with its `provenance.json`.
        base: directory of the base model; read for an adapter only.
        questions: questions tables, one language each.
        scoring: names of `polycal.prompts.SCORINGS`.
        shots: answered questions before each question: the first of its subject in
            the dev split. A subject that has fewer gives what it has; a warning and
            the metadata's `fewer_shots` say for how many questions, by language.
        model: short name of the base model; this and the next three are written into
            every row and play no part in the scores.
        sft: short name of the SFT set.
        smoothing: label-smoothing epsilon of the training.
        seed: seed of the training.
        dtype: of the weights; `auto` is bfloat16 on a GPU, else float32.
        stage: version of the scoring stage; another one finds nothing in the store.
        store: directory of finished languages, shared by any number of runs.
        out: the Parquet file that is written.

    Raises:
        InputError: a file or directory is not what it should be, or the checkpoint
            gives no finite score for a question.
    """
    if not (checkpoint / _ADAPTER).exists():
        base = None
    elif base is None:
        raise InputError(f"{checkpoint} is an adapter; name its base model with --base")
    settings = {
        "checkpoint": _need_digest(checkpoint),
        "base": base and _need_digest(base),
        "dtype": dtype,
        "stage": stage,
        "shots": shots,
    }
    parts = _list_parts(questions, scoring, settings)
    finished = Store(store)
    missing = [part for part in parts if finished.get(part.key) is None]
    _logger.info(
        "%d of %d parts are in the store", len(parts) - len(missing), len(parts)
    )
    if missing:
        with finished.lock(settings["checkpoint"]):
            _score_missing(missing, finished, checkpoint, base, dtype)
    scored = [finished.get(part.key) for part in parts]
    used = {
        name: sorted({finished.facts(part.key)[name] for part in parts})
        for name in ("device", "dtype")
    }
    if len(used["dtype"]) > 1:
        _logger.warning("%s mixes %s; name one with --dtype", out, used["dtype"])
    fewer = {
        part.key["language"]: part.fewer_shots for part in parts if part.fewer_shots
    }
    if fewer:
        _logger.warning("questions with fewer than %d shots: %s", shots, fewer)
    identity = {"model": model, "sft": sft, "smoothing": smoothing, "seed": seed}
    table = pa.concat_tables(scored).drop_columns(list(identity))
    tables.write(
        tables.same(table, **identity),
        out,
        "predictions",
        **(settings | used),
        fewer_shots=fewer,
        questions={part.key["language"]: part.key["questions"] for part in parts},
    )


def _need_digest(checkpoint: Path) -> object:
    found = read_digest(checkpoint)
    if found is None:
        raise InputError(
            f"{checkpoint} has no provenance.json with a digest; make the directory "
            "with `polycal prepare_model` or `polycal select`"
        )
    return found


def _list_parts(
    paths: Iterable[Path], scorings: Sequence[str], settings: dict[str, object]
) -> list[_Part]:
    """What the call holds, in the order in which it is written.

    Raises:
        InputError: a file does not hold test questions of one language, or a language
            comes twice.
    """
    parts: dict[tuple[str, str, str], _Part] = {}
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
            parts[task, language, scoring] = _Part(path, key, fewer)
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


def _score_missing(
    missing: Sequence[_Part],
    store: Store,
    checkpoint: Path,
    base: Path | None,
    dtype: str,
) -> None:
    """Score what nobody else has scored since; each part is stored at once."""
    missing = [part for part in missing if store.get(part.key) is None]
    if not missing:
        return
    begin = time.perf_counter()
    from polycal import models  # torch and transformers: seconds
    from polycal.checkpoints import load_tokenizer
    from polycal.engine import Engine

    device = models.pick_device()
    picked = models.pick_dtype(dtype, device)
    network = models.load_model(checkpoint, base=base, dtype=picked, device=device)
    tokenizer = load_tokenizer(checkpoint)
    models.check_rows(network, tokenizer, checkpoint)
    engine = Engine(network, tokenizer)
    facts = {
        "device": models.describe_device(device),
        "dtype": str(picked).removeprefix("torch."),
    }
    _logger.info(
        "start-up took %.1f s: %s in %s on %s",
        *(time.perf_counter() - begin, checkpoint, facts["dtype"], facts["device"]),
    )
    for part in missing:
        begin = time.perf_counter()
        table = _score_part(part, engine, checkpoint)
        store.put(part.key, table, **facts)
        seconds = time.perf_counter() - begin
        _logger.info(
            "%s: %d questions in %.1f s, %.1f questions/s",
            *(part, len(table), seconds, len(table) / seconds),
        )


def _score_part(part: _Part, engine: "Engine", checkpoint: Path) -> pa.Table:
    """The rows of one part; what the checkpoint is called by is null in them.

    Raises:
        InputError: a question has no finite score.
    """
    from polycal.engine import UnscorableError

    scoring = part.key["scoring"]
    table = tables.read(part.path, "questions")
    test = tables.where(table, split="test")
    questions = test.to_pylist()
    shots = pick_shots(tables.where(table, split="dev").to_pylist(), part.key["shots"])
    prompts = [
        build_prompt(
            scoring,
            each["question"],
            each["options"],
            each["lead_in"],
            shots.get(each["subject"], ()),
        )
        for each in questions
    ]
    try:
        scored = engine.score(prompts)
    except UnscorableError as error:
        name = test["question_id"][error.index]
        raise InputError(
            f"{checkpoint} cannot score question {name} ({part}): {error.reason}"
        ) from error
    letters = scoring == "letters"
    if letters:
        n_bytes = [[1] * len(each["options"]) for each in questions]
    else:
        n_bytes = [
            [len(o.strip().encode()) for o in each["options"]] for each in questions
        ]
    n_truncated = sum(any(each.truncated) for each in scored)
    if n_truncated:
        _logger.warning("%s: the context of %d questions was cut", part, n_truncated)
    columns = {
        **{name: test[name] for name in _COPIED},
        "logprobs": [each.logprobs for each in scored],
        "n_tokens": [list(map(len, each.tokens)) for each in scored],
        "n_bytes": n_bytes,
        "log_mass": _log_masses(scored, part, checkpoint)
        if letters
        else [None] * len(scored),
        "truncated": [any(each.truncated) for each in scored],
    }
    return tables.same(pa.table(columns), scoring=scoring, **_NO_IDENTITY)


def _log_masses(
    scored: Sequence["Scored"], part: _Part, checkpoint: Path
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
