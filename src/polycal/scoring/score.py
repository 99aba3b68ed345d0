"""Score every option of every test question of some languages with one checkpoint.

A question is stored with its language at once and never scored again. If all are
stored, neither torch nor the model is loaded.
"""

import contextlib
import functools
import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from polycal.errors import InputError
from polycal.models import ADAPTER
from polycal.scoring.parts import Part, list_parts
from polycal.scoring.progress import Progress, Work
from polycal.scoring.store import Store
from polycal.scoring.subsets import ask_all, ask_some
from polycal.storage import tables
from polycal.storage.provenance import read_digest, read_provenance
from polycal.study.scorings import SCORINGS, PromptForm, Scoring, ShotsForm
from polycal.verb import verb

if TYPE_CHECKING:  # they import torch
    from polycal.models.tokens import Tokenized
    from polycal.scoring.engine import Engine

_logger = logging.getLogger(__name__)


@verb(makes="{out}", without_pandas=True)
def score(
    *,
    checkpoint: Path,
    base: Path | None = None,
    questions: list[Path],
    scoring: Sequence[Scoring] = SCORINGS,
    shots: int = 0,
    prompt: PromptForm = "plain",
    shots_as: ShotsForm = "text",
    max_questions: int | None = None,
    question_seed: int = 0,
    reference: Path | None = None,
    model: str,
    sft: str,
    smoothing: float,
    seed: int,
    dtype: str = "auto",
    max_tokens: int | None = None,
    stage: int = 1,
    store: Path,
    timing: Path | None = None,
    out: Path,
) -> None:
    """Score the test questions of some languages; write one predictions table.

    Rows are in the order of the files, then of the scorings, then of the questions.
    With `max_questions`, a part of them is asked, stratified by subject; a smaller part
    is in every larger one, so that raising it scores only what is new. Batches are
    formed within a language, so its scores do not depend on other languages in the
    call. A subject that has fewer dev questions than shots gives all it has; a warning
    and the metadata's `fewer_shots` count its questions by language. A question that is
    among its own shots gets another shot (`replaced_shots`). An option that shares a
    token with its context is scored by the tokens of its own text; a warning and the
    metadata's `own_tokens` count such options by part. `model`, `sft`, `smoothing` and
    `seed` are written into every row and do not change the scores.

    Args:
        checkpoint: directory of a model or an adapter, with its provenance.json
        base: directory of the base model; read for an adapter only
        questions: questions tables, one language each
        scoring: how options are scored
        shots: answered questions before each question, from its subject's dev split
        prompt: plain text, or the checkpoint's own chat template around each question
        shots_as: in a chat prompt, text within the user's turn, or turns of their own
        max_questions: asks at most so many questions of a language (default: all)
        question_seed: another number asks other questions, where not all are asked
        reference: questions table in which max_questions chooses for every language
            (default: each language's own)
        model: short name of the base model
        sft: short name of the SFT set; none = base model
        smoothing: label-smoothing epsilon of the training
        seed: seed of the training
        dtype: of the weights; auto: bfloat16 on a GPU, else float32
        max_tokens: tokens of a forward pass (default: what fits the GPU's free memory)
        stage: version of the scoring stage; another version ignores the store's entries
        store: directory of scored questions, shared by any number of runs
        timing: table to write with the questions scored and the seconds (default: none)
        out: Parquet file to write

    Raises:
        InputError: an input cannot be used, or the checkpoint gives no finite score for
            a question.
    """
    if not (checkpoint / ADAPTER).exists():
        base = None
    elif base is None:
        raise InputError(f"{checkpoint} is an adapter; give its base model with --base")
    settings = {
        "checkpoint": _need_digest(checkpoint),
        "base": base and _need_base(base, checkpoint),
        "dtype": dtype,
        "stage": stage,
        "shots": shots,
    }
    if prompt == "chat":  # scores of plain prompts are stored without these keys
        settings |= {"prompt": prompt, "shots_as": shots_as if shots else None}
    ask = ask_all
    if max_questions:
        ask = ask_some(max_questions, question_seed, reference)
    parts = list_parts(questions, scoring, settings, ask)
    finished = Store(store)
    left = [part.leave_out(finished.get(part.key)) for part in parts]
    missing = [part for part in left if part.names]
    _logger.info(
        "%d of %d parts are in the store", len(parts) - len(missing), len(parts)
    )
    work = Work()
    if missing:
        work = _score_missing(missing, finished, checkpoint, base, dtype, max_tokens)
    picked = [part.pick(finished.get(part.key)) for part in parts]
    noted = ["device", "dtype", *(["opens_answer"] if prompt == "chat" else [])]
    used = {
        name: sorted({facts[name] for _, entries in picked for facts in entries})
        for name in noted
    }
    if len(used["dtype"]) > 1:
        _logger.warning(
            "%s mixes dtypes %s; choose one with --dtype", out, used["dtype"]
        )
    fewer, replaced = (
        {part.key["language"]: n for part in parts if (n := getattr(part, name))}
        for name in ("fewer_shots", "replaced_shots")
    )
    if fewer:
        _logger.warning("questions with fewer than %d shots: %s", shots, fewer)
    if replaced:
        _logger.warning(
            "questions that are among their own shots, and get another one: %s",
            replaced,
        )
    counts = {
        str(part): sum(map(part.count_own_tokens, entries))
        for part, (_, entries) in zip(parts, picked, strict=True)
    }
    own_tokens = {name: count for name, count in counts.items() if count}
    identity = {"model": model, "sft": sft, "smoothing": smoothing, "seed": seed}
    table = pa.concat_tables(rows for rows, _ in picked).drop_columns(list(identity))
    tables.write(
        tables.same(table, **identity),
        out,
        "predictions",
        **(settings | used),
        fewer_shots=fewer,
        replaced_shots=replaced,
        max_questions=max_questions,
        question_seed=question_seed,
        questions={part.key["language"]: part.key["questions"] for part in parts},
        own_tokens=own_tokens,
    )
    if timing:  # written last, because it marks the job as done
        work.write(timing)


def _need_digest(checkpoint: Path) -> object:
    stated = read_digest(checkpoint)
    if stated is None:
        raise InputError(
            f"{checkpoint} has no provenance.json with a digest; make the directory "
            "with `polycal prepare_model` or `polycal select`"
        )
    return stated


def _need_base(base: Path, adapter: Path) -> object:
    """Return the digest of the base model that an adapter was trained or checked on."""
    stated = _need_digest(base)
    if read_provenance(adapter).get("base") not in (None, stated):
        raise InputError(
            f"{adapter} is an adapter of other weights than those in {base}; give the "
            "base model that it was made for, or make the adapter again"
        )
    return stated


def _score_missing(
    missing: Sequence[Part],
    store: Store,
    checkpoint: Path,
    base: Path | None,
    dtype: str,
    max_tokens: int | None,
) -> Work:
    """Score parts and store each at once.

    Parts that another job is scoring come last: that job may finish them meanwhile. So
    two jobs never score the same part, and never wait while they have other parts to
    score.
    """
    begin = time.perf_counter()
    prompt = missing[0].key.get("prompt", "plain")
    engine, facts = _load(checkpoint, base, prompt, dtype, max_tokens)
    work = Work(loading=time.perf_counter() - begin)
    _logger.info("start-up took %.1f s", work.loading)
    progress = Progress(sum(len(part.names) for part in missing))
    for wait in (False, True):
        taken = []  # parts that another job is scoring
        for part, test, asked in _read_ahead(missing, engine, checkpoint):
            with store.lock(part.key, wait=wait) as mine:
                if not mine:
                    taken.append(part)
                elif not part.leave_out(store.get(part.key)).names:
                    progress.skip(len(part.names))
                else:
                    begin = time.perf_counter()
                    follow = functools.partial(
                        progress.follow, n_questions=len(part.names)
                    )
                    with _naming(part, test, checkpoint):
                        scored = engine.score_tokens(asked, follow)
                    table = part.make_rows(test, scored, checkpoint)
                    names = test["question_id"].to_pylist()
                    crossing = Counter(names[index] for index, _ in asked.crossing)
                    noted = facts | {"own_tokens": dict(crossing)}
                    store.put(part.key, table, name=part.entry, **noted)
                    work.add(len(part.names), time.perf_counter() - begin, part)
        missing = taken
    return work


def _load(
    checkpoint: Path,
    base: Path | None,
    prompt: str,
    dtype: str,
    max_tokens: int | None,
) -> tuple["Engine", dict[str, Any]]:
    """Return an engine, and facts for the store: device, dtype, form of the prompt."""
    begin = time.perf_counter()
    from polycal.models import loading as models  # torch and transformers: seconds
    from polycal.models.chat_templates import ChatWriter
    from polycal.models.tokens import load_tokenizer
    from polycal.scoring.engine import Engine

    imported = time.perf_counter() - begin
    tokenizer = load_tokenizer(checkpoint)
    chat = ChatWriter(tokenizer, checkpoint) if prompt == "chat" else None
    device = models.pick_device()
    picked = models.pick_dtype(dtype, device)
    network = models.load_model(
        checkpoint, base=base, dtype=picked, device=models.pick_placement()
    )
    models.check_rows(network, tokenizer, checkpoint)
    engine = Engine(network, tokenizer, chat=chat, max_tokens=max_tokens)
    facts: dict[str, Any] = {
        "device": models.describe_device(device),
        "dtype": str(picked).removeprefix("torch."),
    }
    if chat:
        facts["opens_answer"] = chat.opens_answer
    _logger.info(
        "imports took %.1f s: %s in %s on %s, %d tokens per pass",
        *(imported, checkpoint, facts["dtype"], facts["device"], engine.max_tokens),
    )
    return engine, facts


def _read_ahead(
    parts: Sequence[Part], engine: "Engine", checkpoint: Path
) -> Iterator[tuple[Part, pa.Table, "Tokenized"]]:
    """Yield parts with their questions' rows and tokens.

    The next part is read and tokenised while one is scored: tokenizers in Rust need
    neither the device nor Python's lock.
    """

    def read(part: Part) -> tuple[Part, pa.Table, "Tokenized"]:
        test, prompts = part.read_questions()
        with _naming(part, test, checkpoint):
            asked = engine.tokenize(prompts)
        if asked.crossing:
            _logger.warning(
                "%s: %d of %d options share a token with their context; they are "
                "scored by the tokens of their own text",
                *(part, len(asked.crossing), sum(map(len, asked.continuations))),
            )
        return part, test, asked

    with ThreadPoolExecutor(max_workers=1) as thread:
        waiting = [thread.submit(read, part) for part in parts[:1]]
        for following in parts[1:]:
            ready = waiting.pop().result()
            waiting.append(thread.submit(read, following))
            yield ready
        for last in waiting:
            yield last.result()


@contextlib.contextmanager
def _naming(part: Part, test: pa.Table, checkpoint: Path) -> Iterator[None]:
    """Context manager: turn an error of the engine into one that names the question."""
    from polycal.scoring.engine import UnscorableError

    try:
        yield
    except UnscorableError as error:
        name = test["question_id"][error.index]
        raise InputError(
            f"{checkpoint} cannot score question {name} ({part}): {error.reason}"
        ) from error
