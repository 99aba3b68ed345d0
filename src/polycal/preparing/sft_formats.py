"""Formats of SFT sets: their columns and roles, and the reader of a row's turns."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from polycal.errors import InputError
from polycal.study.cells import is_missing, read_text, show

DROP = "drop"  # a role whose turns are left out


def _from_alpaca(row: dict) -> list[tuple[object, object]]:
    return [("user", row["instruction"]), ("assistant", row["output"])]


def _from_messages(row: dict) -> list[tuple[object, object]]:
    return [(turn["role"], turn["content"]) for turn in row["messages"] or []]


def _from_sharegpt(row: dict) -> list[tuple[object, object]]:
    return [(turn["from"], turn["value"]) for turn in row["conversations"] or []]


@dataclass(frozen=True)
class Format:
    """How an SFT set is written."""

    columns: tuple[str, ...]  # that `read` uses
    roles: Mapping[str, str]  # the set's name of a role -> polycal's, or drop
    read: Callable[[dict], list[tuple[object, object]]]  # row -> (set's role, text)
    input: str | None = None  # column with a second text of the first user turn


ROLES = {"system": "system", "user": "user", "assistant": "assistant"}
FORMATS = {
    "alpaca": Format(
        ("instruction", "input", "output"), ROLES, _from_alpaca, input="input"
    ),
    "messages": Format(("messages",), ROLES, _from_messages),
    "sharegpt": Format(
        ("conversations",),
        {"system": "system", "human": "user", "gpt": "assistant"},
        _from_sharegpt,
    ),
}


def to_messages(source: Format, row: dict) -> list[dict[str, str]]:
    """Return the turns of a row with polycal's roles.

    Raises:
        InputError: a role is not known, or a turn is not written as one.
    """
    try:
        turns = source.read(row)
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{source.columns[0]} is not written as expected ({error!r}); is `format:` "
            "right?"
        ) from error
    messages = []
    for role, content in turns:
        if not isinstance(role, str) or role not in source.roles:
            raise InputError(
                f"role {show(role)} is not one of {', '.join(source.roles)}; name it "
                "in `roles:`"
            )
        text = read_content(content)
        if source.roles[role] != DROP:
            messages.append({"role": source.roles[role], "content": text})
    return messages


def read_content(content: object) -> str:
    """Return the text of a turn; empty if it is missing.

    Raises:
        InputError: it is not a text.
    """
    if is_missing(content):
        return ""
    if not isinstance(content, str):
        raise InputError(f"its content is {show(content)}, not a text")
    return read_text(content, "its content") or ""
