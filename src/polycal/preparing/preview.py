"""Print one prompt of a study exactly as a model is given it, before anything runs."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from polycal.errors import InputError, join_lines
from polycal.preparing import hub
from polycal.preparing.snapshot import VOCABULARIES, WITHOUT_WEIGHTS
from polycal.preparing.tasks import read_task
from polycal.storage import tables
from polycal.study import grid
from polycal.study.config import load_study
from polycal.study.prompts import (
    ChatPrompt,
    Prompt,
    build_asked,
    group_by_subject,
    pick_shots,
)
from polycal.study.scorings import PromptForm, Scoring, ShotsForm
from polycal.verb import verb

if TYPE_CHECKING:  # importing it takes seconds
    pass

_LINE = "-" * 8
_FILES = (VOCABULARIES, ("config.json",))  # of the tokenizer, of the configuration
_SHOWN = 5  # ids that a message lists
_TRIED = 200  # questions of which the tokens across the border are counted


@verb()
def show_prompt(
    *,
    config: Path = Path("config.yaml"),
    task: str,
    language: str,
    shots: int | None = None,
    scoring: Scoring | None = None,
    prompt: PromptForm | None = None,
    shots_as: ShotsForm | None = None,
    question: str | None = None,
    model: str | None = None,
    sft: str | None = None,
) -> None:
    """Print a prompt and its candidates, decoded from the ids that the model is given.

    A last line says how many options share a token with their context, if any do.

    Args:
        config: the study's file.
        task: short name of the benchmark.
        language: code of the language; the study need not name it.
        shots: number of answered questions; by default the task's.
        scoring: by default the study's first.
        prompt: plain or chat; by default the task's.
        shots_as: of a chat prompt, text or turns; by default the task's.
        question: id of a test question; by default the first.
        model: short name of a model; by default the study's first.
        sft: short name of its released checkpoint, whose tokenizer and chat template
            are used; by default the model's own.

    Raises:
        InputError: the study has no such task or model, or the benchmark no such
            language or question, or a directory does not exist yet, or the model has
            no chat template that supports the question.
    """
    study = load_study(config)
    task_entry = grid.entry(study["tasks"], task)
    model_name = model or study["models"][0]["name"]
    model_entry = grid.entry(study["models"], model_name)
    scoring = scoring or study["scoring"][0]
    shots = task_entry["shots"] if shots is None else shots
    sources = [model_entry]
    if sft:
        sources.insert(0, _find_checkpoint(study, model_name, sft))
    for repo in (task_entry["repo"], *(source["repo"] for source in sources)):
        _check_exists(repo)
    table, _ = read_task(
        repo=task_entry["repo"],
        revision=task_entry["revision"],
        format=task_entry["format"],
        task=task,
        language=language,
        name=task_entry["configs"].get(language),
        max_dropped=task_entry.get("max_dropped"),
    )
    row = _find_question(table, question)
    answered = _find_shots(table, row, shots)
    form = prompt or task_entry["prompt"]
    as_turns = (shots_as or task_entry["shots_as"]) == "turns"
    ask = functools.partial(
        build_asked, scoring, chat=form == "chat", as_turns=as_turns
    )
    built = ask(row, answered)
    test = tables.where(table, split="test").slice(0, _TRIED).to_pylist()
    title = f"{task}, {language}, question {row['question_id']}, {scoring}, "
    title += "chat, " * (form == "chat")
    title += f"shots: {len(answered)}, as {sft or model_name} sees it"
    if len(answered) < shots:
        title += f" ({shots} shots were asked for, its subject has no more)"
    tried = [ask(each) for each in test]
    folders = list(map(_find_folder, sources))
    tokenizer, configuration = (_pick(folders, names) for names in _FILES)
    lines = _render(built, row["gold"], tried, tokenizer, configuration)
    print("\n".join([title, *lines]))


def _check_exists(repo: str) -> None:
    if grid.is_local(repo) and not Path(repo).exists():
        raise InputError(
            f"there is no {repo}; correct `repo:`, or, if the workflow makes it, say "
            f"`snakemake {repo.removeprefix('./')}` first"
        )


def _find_question(table: pa.Table, name: str | None) -> dict:
    test = tables.where(table, split="test")
    ids = test["question_id"].to_pylist()
    if name is not None and name not in ids:
        raise InputError(
            f"there is no test question {name!r}; the first are "
            f"{', '.join(ids[:_SHOWN])}"
        )
    return test.slice(ids.index(name) if name else 0, 1).to_pylist()[0]


def _find_shots(table: pa.Table, row: Mapping, shots: int) -> Sequence[Mapping]:
    dev = tables.where(table, split="dev").to_pylist()
    if shots and not dev:
        raise InputError(
            "shots are taken from the dev split; name it in the task's `format:`"
        )
    return pick_shots(group_by_subject(dev).get(row["subject"], []), row, shots)


def _find_checkpoint(study: Mapping, model: str, sft: str) -> Mapping:
    entry = grid.entry(study["sft"], sft)
    if model not in entry.get("checkpoints", {}):
        raise InputError(
            f"the study has no released checkpoint {sft!r} of {model}; what it tunes "
            "itself is asked as its model, without --sft"
        )
    return entry["checkpoints"][model]


def _pick(folders: Sequence[Path], names: Sequence[str]) -> Path:
    """Return the first folder with one of the files; an adapter may have none."""
    found = (f for f in folders if any((f / name).exists() for name in names))
    return next(found, folders[-1])


def _find_folder(model: Mapping) -> Path:
    """Return a directory with the tokenizer and the configuration of a model."""
    if grid.is_local(model["repo"]):
        return Path(model["repo"])
    return hub.download(
        model["repo"],
        revision=model["revision"],
        repo_type="model",
        patterns=WITHOUT_WEIGHTS,
    )


def _render(
    asked: Prompt | ChatPrompt,
    gold: int,
    tried: Sequence[Prompt | ChatPrompt],  # whose shared tokens are counted
    folder: Path,  # of the tokenizer
    configuration: Path,
) -> list[str]:
    """Return the lines that show a prompt, decoded by the tokenizer in a directory."""
    from polycal.models.chat_templates import ChatWriter, RefusedError
    from polycal.models.configurations import read_config
    from polycal.models.tokens import (
        load_tokenizer,
        read_length,
        split_prompts,
        tokenize_prompts,
    )

    tokenizer = load_tokenizer(folder)
    written: list[Any] = [asked, *tried]
    if isinstance(asked, ChatPrompt):
        writer = ChatWriter(tokenizer, folder)
        try:
            written = [writer.write(each) for each in written]
        except RefusedError as error:
            raise InputError(join_lines(str(error))) from error
    prompt, *tried = written
    tokenized = tokenize_prompts(tokenizer, [prompt])
    (context,), (candidates,) = tokenized.contexts, tokenized.continuations
    longest = max(map(len, candidates))
    # The last token of a candidate is predicted, not read.
    left_out = (
        len(context) + longest - 1 - read_length(read_config(configuration), tokenizer)
    )
    kept = context[max(left_out, 0) :]
    size = f"context: {len(kept)} tokens"
    if left_out > 0:
        size += f", {left_out} more on the left are cut: the model cannot read them"
    shown = [
        f"{'*' if index == gold else ' '} {text!r}, tokens: {len(ids)} "
        f"{tokenizer.convert_ids_to_tokens(list(ids))}"
        for index, (text, ids) in enumerate(
            zip(prompt.continuations, candidates, strict=True)
        )
    ]
    crossing = len(split_prompts(tokenizer, tried).crossing)
    if crossing:
        n_options = sum(len(each.continuations) for each in tried)
        shown.append(
            f"{crossing} of {n_options} options of the first {len(tried)} questions "
            "share a token with their context; they are scored by the tokens of their "
            "own text (own_tokens)"
        )
    return [
        size,
        _LINE,
        tokenizer.decode(kept, clean_up_tokenization_spaces=False),
        _LINE,
        "candidates (* is right), each of which follows it:",
        *shown,
    ]
