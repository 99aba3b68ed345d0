"""Score every option of every test question of some languages with one checkpoint.

A language that is finished goes into the store at once. What is in the store is never
scored again, and if everything is there, neither torch nor the model is loaded.
"""

import contextlib
import functools
import logging
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from polycal.errors import InputError
from polycal.scoring.parts import Part, list_parts
from polycal.scoring.progress import Progress, Work
from polycal.scoring.store import Store
from polycal.storage import tables
from polycal.storage.provenance import read_digest
from polycal.study.scorings import SCORINGS, Scoring
from polycal.verb import verb

if TYPE_CHECKING:  # it imports torch
    from polycal.models.tokens import Tokenized
    from polycal.scoring.engine import Engine

_ADAPTER = "adapter_config.json"  # as in models.py, which imports torch
_logger = logging.getLogger(__name__)


@verb(makes="{out}")
def score(
    *,
    checkpoint: Path,
    base: Path | None = None,
    questions: list[Path],
    scoring: Sequence[Scoring] = SCORINGS,
    shots: int = 0,
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
    Batches are formed within a language, so its scores do not depend on what else is
    in the call.

    Args:
        checkpoint: directory of a model or an adapter, with its `provenance.json`.
        base: directory of the base model; read for an adapter only.
        questions: questions tables, one language each.
        scoring: names of `polycal.study.prompts.SCORINGS`.
        shots: answered questions before each question: the first of its subject in
            the dev split. A subject that has fewer gives what it has; a warning and
            the metadata's `fewer_shots` say for how many questions, by language.
        model: short name of the base model; this and the next three are written into
            every row and play no part in the scores.
        sft: short name of the SFT set.
        smoothing: label-smoothing epsilon of the training.
        seed: seed of the training.
        dtype: of the weights; `auto` is bfloat16 on a GPU, else float32.
        max_tokens: of a forward pass; by default what fits the free memory of a GPU.
            Scores depend on it by rounding only.
        stage: version of the scoring stage; another one finds nothing in the store.
        store: directory of finished languages, shared by any number of runs.
        timing: the table that is written of what was scored and how long it took;
            None: no table.
        out: the Parquet file that is written.

    Raises:
        InputError: a file or directory is not what it should be, or the checkpoint
            gives no finite score for a question.
    """
    if max_tokens is not None and max_tokens < 1:
        raise InputError(f"--max-tokens is {max_tokens}; give 1 or more, or leave it")
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
    parts = list_parts(questions, scoring, settings)
    finished = Store(store)
    missing = [part for part in parts if finished.get(part.key) is None]
    _logger.info(
        "%d of %d parts are in the store", len(parts) - len(missing), len(parts)
    )
    work = Work()
    if missing:
        work = _score_missing(missing, finished, checkpoint, base, dtype, max_tokens)
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
    if timing:  # last: it says that the job is done
        work.write(timing)


def _need_digest(checkpoint: Path) -> object:
    found = read_digest(checkpoint)
    if found is None:
        raise InputError(
            f"{checkpoint} has no provenance.json with a digest; make the directory "
            "with `polycal prepare_model` or `polycal select`"
        )
    return found


def _score_missing(
    missing: Sequence[Part],
    store: Store,
    checkpoint: Path,
    base: Path | None,
    dtype: str,
    max_tokens: int | None,
) -> Work:
    """Score parts and store each at once.

    A part that another job is scoring comes last, and is left to that job if it ends
    well: two jobs never score the same, and never wait while they have something to do.
    """
    begin = time.perf_counter()
    engine, facts = _load(checkpoint, base, dtype, max_tokens)
    work = Work(loading=time.perf_counter() - begin)
    _logger.info("start-up took %.1f s", work.loading)
    progress = Progress(sum(part.n_questions for part in missing))
    for wait in (False, True):
        taken = []  # by another job
        for part, test, asked in _read_ahead(missing, engine, checkpoint):
            with store.lock(part.key, wait=wait) as mine:
                if not mine:
                    taken.append(part)
                elif store.get(part.key) is not None:
                    progress.skip(part.n_questions)
                else:
                    begin = time.perf_counter()
                    follow = functools.partial(
                        progress.follow, n_questions=part.n_questions
                    )
                    with _naming(part, test, checkpoint):
                        scored = engine.score_tokens(asked, follow)
                    table = part.make_rows(test, scored, checkpoint)
                    store.put(part.key, table, **facts)
                    work.add(part.n_questions, time.perf_counter() - begin, part)
        missing = taken
    return work


def _load(
    checkpoint: Path, base: Path | None, dtype: str, max_tokens: int | None
) -> tuple["Engine", dict[str, str]]:
    """An engine, and what the store notes of how it scores."""
    begin = time.perf_counter()
    from polycal.models import loading as models  # torch and transformers: seconds
    from polycal.models.tokens import load_tokenizer
    from polycal.scoring.engine import Engine

    imported = time.perf_counter() - begin
    device = models.pick_device()
    picked = models.pick_dtype(dtype, device)
    place = models.pick_place()
    network = models.load_model(checkpoint, base=base, dtype=picked, device=place)
    tokenizer = load_tokenizer(checkpoint)
    models.check_rows(network, tokenizer, checkpoint)
    engine = Engine(network, tokenizer, max_tokens=max_tokens)
    facts = {
        "device": models.describe_device(device),
        "dtype": str(picked).removeprefix("torch."),
    }
    _logger.info(
        "imports took %.1f s: %s in %s on %s, %d tokens a pass",
        *(imported, checkpoint, facts["dtype"], facts["device"], engine.max_tokens),
    )
    return engine, facts


def _read_ahead(
    parts: Sequence[Part], engine: "Engine", checkpoint: Path
) -> Iterator[tuple[Part, pa.Table, "Tokenized"]]:
    """Parts with their questions' rows and tokens.

    While one is scored, the next is read and tokenised: by tokenizers in Rust, which
    need neither the device nor Python's lock.

    Raises:
        InputError: a question cannot be scored.
    """

    def read(part: Part) -> tuple[Part, pa.Table, "Tokenized"]:
        test, prompts = part.read_questions()
        with _naming(part, test, checkpoint):
            return part, test, engine.tokenize(prompts)

    with ThreadPoolExecutor(max_workers=1) as thread:
        waiting = [thread.submit(read, part) for part in parts[:1]]
        for following in parts[1:]:
            found = waiting.pop().result()
            waiting.append(thread.submit(read, following))
            yield found
        for last in waiting:
            yield last.result()


@contextlib.contextmanager
def _naming(part: Part, test: pa.Table, checkpoint: Path) -> Iterator[None]:
    """Inside, an error of the engine becomes one that names the question.

    Raises:
        InputError: a question cannot be scored.
    """
    from polycal.scoring.engine import UnscorableError

    try:
        yield
    except UnscorableError as error:
        name = test["question_id"][error.index]
        raise InputError(
            f"{checkpoint} cannot score question {name} ({part}): {error.reason}"
        ) from error
