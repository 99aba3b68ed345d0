"""Sentences about the questions of a task: how they are asked, which are compared."""

from collections.abc import Mapping
from typing import Any

from polycal.errors import InputError
from polycal.reporting.doubts import warn_of_dtypes
from polycal.reporting.sentences import join


def describe_questions(
    task: str, checked: Mapping[str, Mapping], asked: Mapping
) -> dict[str, Any]:
    """Return what the page says of a task's questions, and doubts about them.

    Args:
        task: its name.
        checked: what `polycal check_task` wrote, by task.
        asked: how the task was asked, as `polycal aggregate` notes it.

    Raises:
        InputError: the task was not checked.
    """
    if task not in checked:
        raise InputError(f"no check of {task} was given; name its file with --checks")
    check = checked[task]
    return {
        "compared": describe_compared(check, asked) + describe_repeated(check),
        "asked": describe_asked(asked),
        "counted": describe_counted(asked),
        "doubts": warn_of_dtypes(asked),
    }


def describe_asked(asked: Mapping) -> str:
    """Say how a task was asked: shots, prompt and dtypes; empty if unknown.

    Args:
        asked: as `polycal aggregate` notes it.
    """
    parts = []
    if (shots := asked.get("shots")) is not None:
        as_turns = " as turns" if asked.get("shots_as") == "turns" else ""
        parts.append(f"{shots} shots{as_turns}")
    if asked.get("prompt") == "chat":
        parts.append(f"in each checkpoint's own chat template{_describe_turn(asked)}")
    if asked.get("dtype"):
        parts.append(f"scored in {join(asked['dtype'])}")
    return ", ".join(parts)


def _describe_turn(asked: Mapping) -> str:
    """Say where the lead-in of a chat prompt stands; empty if unknown."""
    opens = asked.get("opens_answer") or {}
    closed = sorted(name for name, is_open in opens.items() if not is_open)
    if not opens:
        return ""
    if len(closed) == len(opens):
        return " (“Answer:” ends the user's turn)"
    text = " (“Answer:” begins the assistant's turn"
    if closed:
        text += f", but ends the user's for {join(closed)}"
    return f"{text})"


_COUNTED = {
    "own_tokens": "Options that share a token with their context are scored by the "
    "tokens of their own text",
    "cut_options": "Options that share a token with their context were scored without "
    "it by lm-evaluation-harness",
    "replaced_shots": "Questions that are among their own shots get another shot",
    "truncated": "Prompts that are longer than the model reads lose their start",
}


def describe_counted(asked: Mapping) -> str:
    """Say how many options and questions were not asked as they are; empty if none.

    Args:
        asked: as `polycal aggregate` notes it.
    """
    sentences = []
    for name, what in _COUNTED.items():
        if counts := asked.get(name):
            spelt = [
                f"{n:,} of {checkpoint}" for checkpoint, n in sorted(counts.items())
            ]
            sentences.append(f"{what}: {join(spelt)}.")
    return " ".join(sentences)


def describe_compared(check: Mapping, asked: Mapping) -> str:
    """Say how many questions of a task are compared, and why others are left out.

    Args:
        check: what `polycal check_task` wrote of the task.
        asked: how the task was asked, as `polycal aggregate` notes it.
    """
    most, own = asked.get("max_questions"), check["policy"] == "own"
    counts = [
        language["n_questions"] for language in check.get("languages", {}).values()
    ]
    if most and most < max(counts):
        seed = asked["question_seed"]
        chosen = (
            f"(max_questions {most:,}, question_seed {seed}), with a share for every"
        )
        if own:
            return f"every language has its own, and is asked a part {chosen} subject."
        left_out = ""
        if check["n_common"] < check["n_all"]:
            left_out = " Those that are not alike in all languages are left out."
        return (
            f"a part of the benchmark's {check['n_all']:,} is asked {chosen} subject, "
            f"the same in every language.{left_out}"
        )
    if len(counts) == 1 and check["n_common"] == check["n_all"]:
        return "nothing is left out."
    if own:
        return "every language has its own questions; nothing is left out."
    if check["n_common"] == check["n_all"]:
        return "all languages have the same questions; nothing is left out."
    test = check["test"]
    missing = sum(len(group["questions"]) for group in test["missing"])
    reasons = [
        f"{number} {why}"
        for number, why in (
            (missing, "missing in some language"),
            (
                len(test["differing"]),
                "with another answer or number of options in some language",
            ),
        )
        if number
    ]
    n = check["n_all"] - check["n_common"]
    return (
        f"{check['n_common']} questions are compared in all languages; {n} "
        f"{'is' if n == 1 else 'are'} left out ({' and '.join(reasons)})."
    )


def describe_repeated(check: Mapping) -> str:
    """Say how many questions repeat another one under another id; empty if none does.

    The sentence begins with a space.

    Args:
        check: what `polycal check_task` wrote of the task.
    """
    counts = {
        code: n
        for code, language in check.get("languages", {}).items()
        if (n := language.get("duplicate_questions"))
    }
    if not counts:
        return ""
    code = max(counts, key=counts.__getitem__)
    where = code if len(counts) == 1 else f"{code}, most of {len(counts)} languages"
    return (
        " Questions of the benchmark that repeat the text and options of another one: "
        f"{counts[code]:,} in {where}."
    )
