"""From a question to the text that a model scores: pure strings, no tokens.

Both scorings write the harness's Global-MMLU layout: the stripped question, one line
per option, `Answer:`; each candidate follows after one space (`lm_eval`,
`tasks/global_mmlu`; its option lines are not stripped, so neither are ours).
"""

from collections.abc import Sequence
from dataclasses import dataclass

LETTERS = "ABCDEFGHIJ"
SCORINGS = ("letters", "text")


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


def letters_prompt(question: str, options: Sequence[str]) -> Prompt:
    """Options are listed with letters; the candidates are the letters."""
    letters = LETTERS[: len(options)]
    listed = [
        f"{letter}. {option}" for letter, option in zip(letters, options, strict=True)
    ]
    context = "\n".join([question.strip(), *listed, "Answer:"])
    return Prompt(context, tuple(f" {letter}" for letter in letters))


def text_prompt(question: str, options: Sequence[str]) -> Prompt:
    """Options are not listed; the candidates are the options' own texts."""
    context = f"{question.strip()}\nAnswer:"
    return Prompt(context, tuple(f" {option.strip()}" for option in options))


def build_prompt(scoring: str, question: str, options: Sequence[str]) -> Prompt:
    """The prompt of a question under `letters` or `text` scoring."""
    return {"letters": letters_prompt, "text": text_prompt}[scoring](question, options)
