"""From a question to the text that a model scores: pure strings, no tokens.

Both scorings write the harness's Global-MMLU layout: the stripped question, one line
per option, the lead-in; each candidate follows after one space (`lm_eval`,
`tasks/global_mmlu`; its option lines are not stripped, so neither are ours). Shots
stand before it in the same layout, with a blank line after each.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

LETTERS = "ABCDEFGHIJ"


@dataclass(frozen=True)
class Prompt:
    """One context and the candidate continuations whose likelihood is asked for.

    Attributes:
        context: what the model reads first.
        continuations: the candidates, each right after the context.
        shared: a beginning of the context that other prompts have, too.
    """

    context: str
    continuations: tuple[str, ...]
    shared: str = ""


def letters_prompt(question: str, options: Sequence[str], lead_in: str) -> Prompt:
    """Options are listed with letters; the candidates are the letters."""
    letters = LETTERS[: len(options)]
    listed = [
        f"{letter}. {option}" for letter, option in zip(letters, options, strict=True)
    ]
    context = "\n".join([question.strip(), *listed, lead_in])
    return Prompt(context, tuple(f" {letter}" for letter in letters))


def text_prompt(question: str, options: Sequence[str], lead_in: str) -> Prompt:
    """Options are not listed; the candidates are the options' own texts."""
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
    """The prompt of a question under `letters` or `text` scoring.

    Args:
        scoring: one of `polycal.study.scorings.SCORINGS`.
        question: its text.
        options: their texts.
        lead_in: what stands between the question and its answer.
        shots: questions with their answers, as `pick_shots` gives them.
    """
    write = _WRITERS[scoring]
    shared = ""
    for shot in shots:
        answered = write(shot["question"], shot["options"], shot["lead_in"])
        shared += f"{answered.context}{answered.continuations[shot['gold']]}\n\n"
    asked = write(question, options, lead_in)
    return Prompt(shared + asked.context, asked.continuations, shared)


def pick_shots(dev: Iterable[Mapping], shots: int) -> dict[str | None, list[Mapping]]:
    """The first `shots` dev questions of every subject, or as many as it has.

    Args:
        dev: rows of a questions table, in source order.
        shots: how many questions are answered before the one that is asked.
    """
    picked: dict[str | None, list[Mapping]] = {}
    for row in dev:
        own = picked.setdefault(row["subject"], [])
        if len(own) < shots:
            own.append(row)
    return picked
