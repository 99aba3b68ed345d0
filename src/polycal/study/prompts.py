"""From a question to the text that a model scores: strings, no tokens.

The layout is that of Global-MMLU in `lm_eval` (`tasks/global_mmlu`): the stripped
question, one line per option (not stripped), the lead-in; candidates follow after one
space. Shots come first, each with a blank line after it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

LETTERS = "ABCDEFGHIJ"


@dataclass(frozen=True)
class Prompt:
    """A context and the candidate continuations whose likelihood is scored.

    Attributes:
        context: text before the continuation.
        continuations: the candidates, each directly after the context.
        shared: start of the context that other prompts share.
    """

    context: str
    continuations: tuple[str, ...]
    shared: str = ""


def letters_prompt(question: str, options: Sequence[str], lead_in: str) -> Prompt:
    """Return a prompt that lists the options; its candidates are their letters."""
    letters = LETTERS[: len(options)]
    listed = [
        f"{letter}. {option}" for letter, option in zip(letters, options, strict=True)
    ]
    context = "\n".join([question.strip(), *listed, lead_in])
    return Prompt(context, tuple(f" {letter}" for letter in letters))


def text_prompt(question: str, options: Sequence[str], lead_in: str) -> Prompt:
    """Return a prompt without the options; its candidates are the options' texts."""
    context = f"{question.strip()}\n{lead_in}"
    return Prompt(context, tuple(f" {option.strip()}" for option in options))


_WRITERS = {"letters": letters_prompt, "text": text_prompt}


def build_prompt(
    scoring: str,
    question: str,
    options: Sequence[str],
    lead_in: str,
    shots: Iterable[Mapping] = (),
) -> Prompt:
    """Return the prompt of a question under `letters` or `text` scoring.

    Args:
        scoring: one of `polycal.study.scorings.SCORINGS`.
        question: its text.
        options: their texts.
        lead_in: text between the question and its answer.
        shots: questions with their answers, as `pick_shots` returns them.
    """
    write = _WRITERS[scoring]
    shared = ""
    for shot in shots:
        answered = write(shot["question"], shot["options"], shot["lead_in"])
        shared += f"{answered.context}{answered.continuations[shot['gold']]}\n\n"
    asked = write(question, options, lead_in)
    return Prompt(shared + asked.context, asked.continuations, shared)


def group_by_subject(rows: Iterable[Mapping]) -> dict[str | None, list[Mapping]]:
    """Return the rows of a questions table by subject, in their order."""
    groups: dict[str | None, list[Mapping]] = {}
    for row in rows:
        groups.setdefault(row["subject"], []).append(row)
    return groups


def pick_shots(dev: Sequence[Mapping], row: Mapping, shots: int) -> list[Mapping]:
    """Return the first `shots` dev questions that are not the one that is asked.

    A benchmark may hold a question in both splits; as a shot it would tell its answer.

    Args:
        dev: rows of a questions table, of the subject of `row`, in source order.
        row: the question that is asked.
        shots: number of answered questions before it; there may be fewer.
    """
    picked = []
    for candidate in dev:
        if len(picked) == shots:
            break
        if not is_same_question(candidate, row):
            picked.append(candidate)
    return picked


def is_same_question(first: Mapping, second: Mapping) -> bool:
    """Return whether two rows of a questions table ask the same with equal options."""
    texts = [row["question"].strip() for row in (first, second)]
    return texts[0] == texts[1] and first["options"] == second["options"]
