"""Count options that share a token with their context, before anything is scored."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polycal.errors import InputError, join_lines
from polycal.planning.sizes import SizedStudy
from polycal.storage import tables
from polycal.study import grid, layout
from polycal.study.prompts import build_asked

if TYPE_CHECKING:  # importing it takes seconds
    from transformers import PreTrainedTokenizerBase

_TRIED = 20  # questions of a language; the border is alike in all of them
_SHOWN = 5  # languages that a line names


def find_borders(study: SizedStudy) -> Iterator[str]:
    """Yield a warning per checkpoint, task and scoring where tokens cross the border.

    Tried are base models and released checkpoints that are prepared, with the prepared
    questions; what the study tunes has the tokenizer of its base model. A task that is
    asked by chat of a model without a chat template gives a warning, too.
    """
    config = study.config
    tried = {task["name"]: _read(study, task) for task in config["tasks"]}
    untuned = [run for run in grid.expand_runs(config) if run.sft == grid.BASE]
    for run in [*untuned, *grid.expand_released(config)]:
        is_base = run.sft == grid.BASE
        pattern = layout.MODEL if is_base else layout.RELEASED
        folder = layout.below(study.resources, pattern, model=run.model, sft=run.sft)
        if not folder.is_dir() or not any(tried.values()):
            continue
        from polycal.models.tokens import load_tokenizer

        tokenizer = load_tokenizer(folder)
        name = run.model if is_base else f"{run.model}/{run.sft}"
        for task in config["tasks"]:
            rows, title = tried[task["name"]], f"WARNING: {task['name']}, {name}"
            try:
                found = _count(tokenizer, folder, task, config["scoring"], rows)
            except InputError as error:
                yield f"{title}: {error}."
                continue
            for scoring, crossing in found.items():
                if crossing:
                    yield f"{title}, by {scoring}: {_describe(crossing, rows)}"


def _describe(crossing: Mapping[str, int], rows: Mapping[str, list[dict]]) -> str:
    n_options = sum(len(row["options"]) for own in rows.values() for row in own)
    names = sorted(crossing, key=lambda code: -crossing[code])
    more = f" and {len(names) - _SHOWN} more" if names[_SHOWN:] else ""
    return (
        f"{sum(crossing.values()):,} of {n_options:,} options of the first {_TRIED} "
        f"questions (in {', '.join(names[:_SHOWN])}{more}) share a token with their "
        "context; they will be scored by the tokens of their own text (own_tokens)."
    )


def _read(study: SizedStudy, task: Mapping) -> dict[str, list[dict]]:
    """Return the first test questions of a task by prepared language."""
    rows = {}
    for code in task["languages"]:
        names = {"task": task["name"], "language": code}
        path = layout.below(study.resources, layout.QUESTIONS, **names)
        if path.is_file():
            table = tables.where(tables.read(path, "questions"), split="test")
            rows[code] = table.slice(0, _TRIED).to_pylist()
    return rows


def _count(
    tokenizer: "PreTrainedTokenizerBase",
    folder: Path,
    task: Mapping,
    scorings: Sequence[str],
    rows: Mapping[str, list[dict]],
) -> dict[str, dict[str, int]]:
    """Return the options that share a token with their context.

    By scoring, and by language with any.

    Raises:
        InputError: the chat template is missing, or does not support a question.
    """
    from polycal.models.chat_templates import ChatWriter, RefusedError
    from polycal.models.tokens import split_prompts

    chat, as_turns = task["prompt"] == "chat", task["shots_as"] == "turns"
    write: Any = ChatWriter(tokenizer, folder).write if chat else lambda asked: asked
    found: dict[str, dict[str, int]] = {scoring: {} for scoring in scorings}
    for (scoring, counts), (code, own) in itertools.product(
        found.items(), rows.items()
    ):
        try:
            asked = [
                write(build_asked(scoring, row, chat=chat, as_turns=as_turns))
                for row in own
            ]
        except RefusedError as error:
            raise InputError(join_lines(str(error))) from error
        if crossing := split_prompts(tokenizer, asked).crossing:
            counts[code] = len(crossing)
    return found
