"""Read single cells of a benchmark's rows: texts, lists, labels and answers."""

import ast
import json
import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

from polycal.errors import InputError
from polycal.study.prompts import LETTERS

HINT = "is `format:` right?"
_SHOWN = 80  # characters of a cell that a message shows

_SURROGATE = re.compile("[\ud800-\udfff]")
# Unicode's categories of white space, of control and of formatting characters.
_INVISIBLE = {"Zs", "Zl", "Zp", "Cc", "Cf"}


def show(value: object) -> str:
    """Return a cell as a message shows it: as Python spells it, and not too long."""
    spelt = repr(value)
    return spelt if len(spelt) <= _SHOWN else f"{spelt[:_SHOWN]}..."


def is_blank(text: str | None) -> bool:
    """Return whether a text shows nothing: white space, or characters of no width."""
    if text is None:
        return True
    return all(unicodedata.category(letter) in _INVISIBLE for letter in text)


def is_missing(value: object) -> bool:
    """Return whether a cell is null; NaN is how pandas writes a null among numbers."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def spell(value: object) -> str:
    """Return a cell as text. A column of whole numbers with a null holds 1.0 for 1."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def read_text(value: object, column: str) -> str | None:
    """Return a cell that holds a text or a number; None if it is missing."""
    if is_missing(value):
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InputError(f"{column} is {show(value)}, not a text; {HINT}")
    text = value if isinstance(value, str) else spell(value)
    if not _SURROGATE.search(text):
        return text
    raise InputError(f"{column} is {show(value)}, which has half of a character")


def read_list(value: object) -> object:
    """Return a cell that may hold the text of a list, as AfriMMLU's does."""
    if not isinstance(value, str) or not value.lstrip().startswith("["):
        return value
    for read in (json.loads, ast.literal_eval):
        try:
            return read(value.strip())
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
    return value


def read_label(row: Mapping, column: str | None) -> str | None:
    """Return a cell that names something; None if there is no such column."""
    if column is None:
        return None
    value = row[column]
    if isinstance(value, list | dict):
        raise InputError(f"{column} is {show(value)}, which names nothing; {HINT}")
    label = None if is_missing(value) else spell(value)
    if is_blank(label):
        raise InputError(f"{column} is empty")
    return read_text(label, column)


def _from_letter(answer: Any, column: str, _: list[str]) -> int:
    letter = answer.strip().upper() if isinstance(answer, str) else answer
    if letter not in list(LETTERS):
        raise InputError(
            f"{column} is {show(answer)}, not a letter from A to {LETTERS[-1]}; {HINT}"
        )
    return LETTERS.index(letter)


def _from_label(answer: Any, column: str, options: list[str]) -> int:
    is_letter = isinstance(answer, str) and answer.strip().isalpha()
    return (_from_letter if is_letter else _from_number)(answer, column, options)


def _from_index(answer: Any, column: str, _: list[str]) -> int:
    try:
        whole = int(answer)
        if isinstance(answer, bool) or float(answer) != whole:
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise InputError(
            f"{column} is {show(answer)}, not a whole number; {HINT}"
        ) from None
    return whole


def _from_number(answer: Any, column: str, options: list[str]) -> int:
    return _from_index(answer, column, options) - 1


def _from_text(answer: Any, column: str, options: list[str]) -> int:
    text = read_text(answer, column)
    if text is None or options.count(text) != 1:
        many = "none" if text not in options else "more than one"
        raise InputError(
            f"{column} is {show(text)}, which is {many} of the options; {HINT}"
        )
    return options.index(text)


# How a column tells the right option -> (cell, column, options) -> index.
GOLD_FORMS: dict[str, Callable[[Any, str, list[str]], int]] = {
    "letter": _from_letter,
    "index": _from_index,
    "number": _from_number,
    "label": _from_label,
    "text": _from_text,
}
