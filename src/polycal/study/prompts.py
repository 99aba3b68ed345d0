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
    """A context and the candidate continuations whose likelihood is scored."""

    context: str  # text before the continuation
    continuations: tuple[str, ...]  # the candidates, each directly after the context
    shared: str = ""  # start of the context that other prompts share


@dataclass(frozen=True)
class ChatPrompt:
    """A question for a chat template, which only a checkpoint's tokenizer has."""

    # Of each answered question before it, its text, lead-in and answer.
    shots: tuple[tuple[str, str, str], ...]
    question: str  # its text, with its options where they are listed
    lead_in: str  # beginning of the answer, before the continuations
    continuations: tuple[str, ...]  # the candidates, each after one space
    # Whether shots are turns of the conversation, or part of the user's.
    as_turns: bool = False

    def messages(self, *, opens_answer: bool) -> list[dict[str, str]]:
        """Return the conversation's turns.

        Args:
            opens_answer: whether the lead-in begins the assistant's turn, which is the
                last one then, or ends the user's.
        """
        turns, before = [], ""
        for question, lead_in, answer in self.shots:
            if not self.as_turns:
                before += f"{question}\n{lead_in}{answer}\n\n"
            elif opens_answer:
                turns += [("user", question), ("assistant", f"{lead_in}{answer}")]
            else:
                turns += [("user", f"{question}\n{lead_in}")]
                turns += [("assistant", answer.removeprefix(" "))]
        if opens_answer:
            turns += [("user", before + self.question), ("assistant", self.lead_in)]
        else:
            turns += [("user", f"{before}{self.question}\n{self.lead_in}")]
        return [{"role": role, "content": text} for role, text in turns]


def _ask_letters(question: str, options: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Return the text of a question that lists its options, and their letters."""
    letters = LETTERS[: len(options)]
    listed = [
        f"{letter}. {option}" for letter, option in zip(letters, options, strict=True)
    ]
    text = "\n".join([question.strip(), *listed])
    return text, tuple(f" {letter}" for letter in letters)


def _ask_text(question: str, options: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Return the text of a question without its options, and the options' texts."""
    return question.strip(), tuple(f" {option.strip()}" for option in options)


_WRITERS = {"letters": _ask_letters, "text": _ask_text}


def build_prompt(
    scoring: str,
    question: str,
    options: Sequence[str],
    lead_in: str,
    shots: Iterable[Mapping] = (),
) -> Prompt:
    """Return the prompt of a question under `letters` or `text` scoring."""
    asked = build_chat(scoring, question, options, lead_in, shots, as_turns=False)
    # Without a chat template, what stands in the user's turn is the whole prompt.
    (turn,) = asked.messages(opens_answer=False)
    end = len(turn["content"]) - len(f"{asked.question}\n{lead_in}")
    return Prompt(turn["content"], asked.continuations, turn["content"][:end])


def build_chat(
    scoring: str,
    question: str,
    options: Sequence[str],
    lead_in: str,
    shots: Iterable[Mapping] = (),
    *,
    as_turns: bool,
) -> ChatPrompt:
    """Return a question under `letters` or `text` scoring, for a chat template.

    `as_turns` makes each shot a turn of the
    user and one of the assistant.
    """
    write = _WRITERS[scoring]
    answered = []
    for shot in shots:
        text, candidates = write(shot["question"], shot["options"])
        answered.append((text, shot["lead_in"], candidates[shot["gold"]]))
    text, candidates = write(question, options)
    return ChatPrompt(tuple(answered), text, lead_in, candidates, as_turns)


def build_asked(
    scoring: str,
    row: Mapping,
    shots: Iterable[Mapping] = (),
    *,
    chat: bool,
    as_turns: bool,
) -> Prompt | ChatPrompt:
    """Return the prompt of a row of a questions table, plain or for a chat template."""
    asked = scoring, row["question"], row["options"], row["lead_in"], shots
    return build_chat(*asked, as_turns=as_turns) if chat else build_prompt(*asked)


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
    picked: list[Mapping] = []
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
