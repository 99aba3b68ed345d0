"""Formats: a benchmark's own columns, described as data, and the reader of its rows.

Known formats are YAML files in `data/formats`, in the form that a study may write
itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from polycal.errors import InputError
from polycal.study.cells import (
    GOLD_FORMS,
    HINT,
    is_blank,
    read_label,
    read_list,
    read_text,
    show,
    spell,
)
from polycal.study.languages import OWN_LEAD_IN, find_lead_in, get_study_lead_in
from polycal.study.prompts import LETTERS
from polycal.study.reading import load_yaml

BLANK_OPTION, BLANK_QUESTION = "dropped_blank_option", "dropped_blank_question"

_CULTURES = {"CS": "CS", "CA": "CA", "-": None, None: None}


def load_known(name: str) -> dict:
    """Return the description of a known format.

    Raises:
        InputError: the name is not known.
    """
    folder = files("polycal") / "data" / "formats"
    names = sorted(path.name.removesuffix(".yaml") for path in folder.iterdir())
    if name not in names:
        raise InputError(
            f"format {name!r} is not known; use {', '.join(names)}, or describe the "
            "benchmark's columns (docs/benchmarks.md)"
        )
    return load_yaml((folder / f"{name}.yaml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Format:
    """How a benchmark writes its rows."""

    splits: dict[str, str]  # polycal's name of a split -> the benchmark's
    # Columns that identify a question; empty: its row number.
    question_id: tuple[str, ...]
    subject: str | None  # column of the subject, if there is one
    # Column of the category; without it the subject is the category.
    category: str | None
    culture: str | None  # column of Global-MMLU's culture label, if there is one
    question: tuple[str, ...]  # columns that the question's text consists of
    optional: tuple[str, ...]  # those of them that may be blank
    options: tuple[str, ...]  # one column per option, or one column with a list
    # `drop`, or `shorten`: nulls and empty texts at the end are no options.
    missing_options: str
    gold: dict[str, str]  # column -> how it names the right option
    lead_in: str  # text before the answer, or `own`

    @property
    def columns(self) -> list[str]:
        """Return every column that is read, once."""
        single = [self.subject, self.category, self.culture]
        named = [*self.question_id, *self.question, *self.options, *self.gold, *single]
        return [column for column in dict.fromkeys(named) if column is not None]

    def name_row(self, row: Mapping, number: int) -> str:
        """Return the question id of a source row; without id columns, its number."""
        parts = [spell(row[column]) for column in self.question_id]
        return "/".join(parts) if parts else str(number)

    def read(self, row: Mapping, number: int, language: str) -> dict:
        """Return a source row as a question, without its task, language and split.

        `number` is the row's in its split, from 0. Texts stay as they are, including
        white space and the option "None". The answer of a question that `why_dropped`
        refuses is not read.

        Raises:
            InputError: the row contradicts itself or the format; the message does not
                name the row.
        """
        subject = read_label(row, self.subject)
        question: dict[str, Any] = {
            "question_id": self.name_row(row, number),
            "subject": subject,
            "category": read_label(row, self.category) if self.category else subject,
            "culture": self._read_culture(row),
            "question": self._read_question(row),
            "options": self._read_options(row),
            "gold": None,
            "lead_in": find_lead_in(self.lead_in, language),
        }
        for column in self.question_id:
            read_label(row, column)
        if why_dropped(question) is None:
            question["gold"] = self._read_gold(row, question["options"])
        return question

    def _read_culture(self, row: Mapping) -> str | None:
        label = row[self.culture] if self.culture else None
        if isinstance(label, list | dict) or label not in _CULTURES:
            raise InputError(f"{self.culture} is {show(label)}, not CS, CA or -")
        return _CULTURES[label]

    def _read_question(self, row: Mapping) -> str | None:
        """Return the question's text; None if a part that it needs is blank."""
        parts = {column: read_text(row[column], column) for column in self.question}
        blank = {column for column, part in parts.items() if is_blank(part)}
        if blank - set(self.optional) or len(blank) == len(parts):
            return None
        return "\n".join(part for part in parts.values() if part and not is_blank(part))

    def _read_options(self, row: Mapping) -> list[str | None]:
        if len(self.options) == 1:
            (column,) = self.options
            listed = read_list(row[column])
            if not isinstance(listed, list):
                raise InputError(f"{column} is {show(listed)}, not a list; {HINT}")
            names = [f"option {index} of {column}" for index in range(len(listed))]
        else:
            listed = [row[column] for column in self.options]
            names = list(self.options)
        options = [read_text(*pair) for pair in zip(listed, names, strict=True)]
        if self.missing_options == "shorten":
            while options and not options[-1]:
                options.pop()
            if None in options:
                raise InputError(
                    f"{names[options.index(None)]} is null although a later one is not"
                )
        if not 2 <= len(options) <= len(LETTERS):
            raise InputError(
                f"there are {len(options)} options; a question has 2 to {len(LETTERS)}"
            )
        return options

    def _read_gold(self, row: Mapping, options: list[str]) -> int:
        indices = {}
        for column, form in self.gold.items():
            index = GOLD_FORMS[form](row[column], column, options)
            if not 0 <= index < len(options):
                raise InputError(
                    f"{column} is {show(row[column])}, but there are only "
                    f"{len(options)} options; {HINT}"
                )
            indices[column] = index
        if len(set(indices.values())) > 1:
            raise InputError(
                " but ".join(f"{column} is {show(row[column])}" for column in indices)
            )
        return next(iter(indices.values()))


def write_out_lead_in(format: str | Mapping, language: str) -> str | Mapping:
    """Return a format with the word that the study itself gives a language.

    Then another word prepares the language's questions again, and only these. A format
    that takes no such word is returned as it is.
    """
    lead_in = get_study_lead_in(language)
    description = load_known(format) if isinstance(format, str) else format
    if lead_in is None or description.get("lead_in") != OWN_LEAD_IN:
        return format
    return {**description, "lead_in": lead_in}


def make_format(description: Mapping) -> Format:
    """Return the reader for a complete description.

    Raises:
        InputError: the description has no meaning, whatever the data.
    """
    many = {
        name: _columns(description.get(name))
        for name in ("question_id", "question", "optional", "options")
    }
    for name, columns in many.items():
        for column in columns:
            if columns.count(column) > 1:
                raise InputError(
                    f"format.{name}: {column!r} is listed twice; remove one"
                )
    if len(many["options"]) > len(LETTERS):
        raise InputError(f"format.options: there can be at most {len(LETTERS)} options")
    for column in many["optional"]:
        if column not in many["question"]:
            raise InputError(
                f"format.optional: {column!r} is not among the columns of `question`"
            )
    if set(many["optional"]) == set(many["question"]):
        raise InputError(
            "format.optional: every column of `question` is listed; leave one out, "
            "because a question without any text cannot be asked"
        )
    splits = dict(description["splits"])
    if splits.get("dev") == splits["test"]:
        raise InputError(
            f"format.splits: test and dev are both {splits['test']!r}; choose another "
            "dev split, because shots must not be test questions"
        )
    lead_in = description["lead_in"]
    if lead_in != lead_in.strip():
        raise InputError(
            f"format.lead_in: {lead_in!r} begins or ends with white space; remove it, "
            "because candidates begin with a space of their own"
        )
    return Format(
        splits=splits,
        culture=description.get("culture"),
        missing_options=description["missing_options"],
        gold=dict(description["gold"]),
        lead_in=lead_in,
        subject=description.get("subject"),
        category=description.get("category"),
        **many,
    )


def _columns(value: str | list[str] | None) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


def why_dropped(question: Mapping) -> str | None:
    """Return why a question cannot be asked, as a count's name; None if it can."""
    if any(map(is_blank, question["options"])):
        return BLANK_OPTION
    return BLANK_QUESTION if is_blank(question["question"]) else None
