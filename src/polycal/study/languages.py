"""The languages of the benchmarks, from a checked table, and their lead-ins.

Standard library only, because the workflow imports it at every start.
"""

import csv
import difflib
import functools
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from polycal.errors import InputError

TABLE = "src/polycal/data/languages.csv"
_OF_STUDY = "POLYCAL_LANGUAGES"  # environment variable; JSON
OWN_LEAD_IN = "own"  # a format's name for the language's own lead-in

LEVELS = ("high", "mid", "low")  # of resources
ALL = "all"  # the level that holds every language, the subset of every question
_LEVEL_OF_CLASS = {0: "low", 1: "low", 2: "low", 3: "mid", 4: "high", 5: "high"}


@dataclass(frozen=True)
class Language:
    """One language of a benchmark.

    Attributes:
        code: as the benchmarks spell it.
        name: in English.
        script: of Global-MMLU, else the most common one; in English. MMLU-ProX seems to
            write Serbian in Latin.
        family: top-level family, by Glottolog's name.
        joshi_class: 0 (least resources) to 5, by Joshi et al. 2020.
        level: high (classes 4 and 5), mid (3) or low (0 to 2). The Global-MMLU paper's
            table agrees, except for Korean, which it counts as mid.
        in_global_mmlu: whether Global-MMLU has it.
        in_global_mmlu_lite: whether Global-MMLU-Lite has it: 23 languages since version
            3.0 (May 2026), 18 in 2.0 and 15 in 1.0.
        in_mmlu_prox: whether MMLU-ProX has it. MMLU-ProX-Lite has the same 29.
        in_belebele: whether Belebele has it in this script.
        in_include: whether INCLUDE (base 44) has it.
        in_xcopa: whether XCOPA has it; its Quechua is that of Eastern Apurímac.
        translation: who translated Global-MMLU, or its Lite where only that has the
            language: professional, community (a part, the rest is machine's), machine,
            human (people, of unknown training), original (English), or unknown where
            neither has it.
        script_source: source of `script`.
        family_source: source of `family`.
        joshi_source: source of `joshi_class`.
        translation_source: source of `translation`.
    """

    code: str
    name: str
    script: str
    family: str
    joshi_class: int
    level: str
    in_global_mmlu: bool
    in_global_mmlu_lite: bool
    in_mmlu_prox: bool
    in_belebele: bool
    in_include: bool
    in_xcopa: bool
    translation: str
    script_source: str
    family_source: str
    joshi_source: str
    translation_source: str


COLUMNS = tuple(field.name for field in fields(Language))

_FLAGS = [field.name for field in fields(Language) if field.type is bool]
_ALLOWED = {
    "joshi_class": tuple(map(str, _LEVEL_OF_CLASS)),
    "level": ("low", "mid", "high"),
    "translation": (
        "professional",
        "community",
        "machine",
        "human",
        "original",
        "unknown",
    ),
    **dict.fromkeys(_FLAGS, ("yes", "no")),
}


def load_languages() -> Mapping[str, Language]:
    """Return all languages by code, in the table's order, then those of the study.

    They are cached and read-only.

    Raises:
        InputError: a row of the table, or one of the study, is wrong.
    """
    return _load_languages(os.environ.get(_OF_STUDY, "[]"))


@functools.cache
def _load_languages(of_study: str) -> Mapping[str, Language]:
    table = files("polycal") / "data" / "languages.csv"
    # Spreadsheets write a byte order mark at the start of a file.
    languages = read_languages(table.read_text(encoding="utf-8-sig").split("\n"))
    described: set[str] = set()
    for entry in json.loads(of_study):
        code = entry["code"]
        if code in described:
            raise InputError(f"languages.{code}: an earlier entry has it; remove one")
        described.add(code)
        _check_lead_in(entry)
        if code not in languages:
            languages[code] = _read_entry(entry)
        elif entry.keys() != {"code", "lead_in"}:
            raise InputError(
                f"languages.{code}: polycal's table of languages has it already; "
                "remove this entry, or leave `code` and `lead_in` alone in it"
            )
    return MappingProxyType(languages)


def use_languages(entries: Sequence[Mapping]) -> None:
    """Add the languages of a study, for this process and those that it starts.

    Args:
        entries: `languages` of its config; none forgets those of another study.

    Raises:
        InputError: an entry is wrong.
    """
    os.environ.pop(_OF_STUDY, None)
    if entries:
        text = json.dumps(list(entries), sort_keys=True)
        _load_languages(text)
        os.environ[_OF_STUDY] = text


def _check_lead_in(entry: Mapping) -> None:
    lead_in = entry.get("lead_in", "")
    if lead_in != lead_in.strip():
        raise InputError(
            f"languages.{entry['code']}.lead_in: {lead_in!r} begins or ends with white "
            "space; remove it"
        )


def _read_entry(entry: Mapping) -> Language:
    """Return the language that a study describes; it is checked as a table's row is."""
    needed = ("name", "script", "class", "source")
    if missing := [key for key in needed if key not in entry]:
        raise InputError(
            f"languages.{entry['code']}: polycal's table of languages lacks it, so the "
            f"entry needs {', '.join(missing)}, too"
        )
    joshi_class, source = entry["class"], entry["source"]
    sources = [column for column in COLUMNS if column.endswith("_source")]
    row = {
        **{key: entry[key] for key in ("code", "name", "script")},
        "family": entry.get("family", "unknown"),
        "joshi_class": str(joshi_class),
        "level": entry.get("level", _LEVEL_OF_CLASS[joshi_class]),
        "translation": "unknown",
        **dict.fromkeys(_FLAGS, "no"),
        **dict.fromkeys(sources, source),
    }

    def fault(column: str, text: str) -> InputError:
        return InputError(f"languages.{entry['code']}.{column}: {text}")

    return _parse(row, fault)


def read_languages(lines: Iterable[str]) -> dict[str, Language]:
    """Read a table with the columns `COLUMNS`, in any order; return languages by code.

    Raises:
        InputError: one line that names the file, the line and the column.
    """
    reader = csv.DictReader(lines)
    header = reader.fieldnames or []
    for column in COLUMNS:
        if header.count(column) != 1:
            raise _fault(1, column, f"the header must have it once, not {header}")
    for column in header:
        if column not in COLUMNS:
            raise _fault(1, column, "polycal has no such column")
    languages: dict[str, Language] = {}
    seen: dict[str, int] = {}
    for row in reader:
        line = reader.line_num
        if None in row:
            text = "there are too many cells; quote a cell that has a comma"
            raise _fault(line, header[-1], text)
        language = _parse(row, functools.partial(_fault, line))
        if language.code in seen:
            text = f"{language.code!r} is on line {seen[language.code]} already"
            raise _fault(line, "code", text)
        seen[language.code] = line
        languages[language.code] = language
    return languages


def _parse(
    row: Mapping[str, str | None], fault: Callable[[str, str], InputError]
) -> Language:
    cells = {column: (row[column] or "").strip() for column in COLUMNS}
    for column, cell in cells.items():
        if not cell:
            raise fault(column, "it is empty; every column needs a value")
        if cell not in _ALLOWED.get(column, (cell,)):
            text = f"{cell!r} is none of {', '.join(_ALLOWED[column])}"
            raise fault(column, text)
    joshi_class = int(cells["joshi_class"])
    if cells["level"] != _LEVEL_OF_CLASS[joshi_class]:
        text = f"Joshi class {joshi_class} is {_LEVEL_OF_CLASS[joshi_class]}, not "
        raise fault("level", text + cells["level"])
    flags = {column: cells[column] == "yes" for column in _FLAGS}
    fields: dict[str, Any] = cells | flags | {"joshi_class": joshi_class}
    return Language(**fields)


def _fault(line: int, column: str, text: str) -> InputError:
    return InputError(f"{TABLE}, line {line}, column {column}: {text}")


def explain_unknown(code: str) -> str:
    """Return one line about an unknown language: a near spelling, and what to do.

    Args:
        code: as a user wrote it, perhaps another code or the name of a language.
    """
    near = _find_near(code)
    hint = f"did you mean {near.code!r} ({near.name})? If not, " if near else ""
    return (
        f"{code!r} is not in polycal's table of languages; {hint}describe it in the "
        "study's `languages:` (code, name, script, class, source)"
    )


def _find_near(code: str) -> Language | None:
    known = load_languages()
    spelt = code.lower().replace("_", "-")
    base = spelt.split("-")[0]
    if base in known:
        return known[base]
    # Codes are so short that others would be near by chance; compare the first letter.
    spellings = {
        spelling: language
        for language in known.values()
        for spelling in (language.code, language.name.lower())
        if spelling[:1] == spelt[:1]
    }
    near = difflib.get_close_matches(spelt, spellings, n=1)
    return spellings[near[0]] if near else None


@functools.cache
def load_lead_ins() -> Mapping[str, str]:
    """Return language -> lead-in, such as `Antwort:`; cached and read-only.

    They are the words of MMLU-ProX's tasks in `lm_eval`, without the request to think
    step by step that follows them there.
    """
    table = files("polycal") / "data" / "lead_ins.csv"
    rows = list(csv.DictReader(table.read_text(encoding="utf-8-sig").split("\n")))
    return MappingProxyType({row["language"]: row["lead_in"] for row in rows})


def get_study_lead_in(language: str) -> str | None:
    """Return the lead-in that the study's `languages:` gives a language, if any."""
    entries = json.loads(os.environ.get(_OF_STUDY, "[]"))
    given = {entry["code"]: entry.get("lead_in") for entry in entries}
    return given.get(language)


def find_lead_in(lead_in: str, language: str) -> str:
    """Return a format's `lead_in` in a language: its text, or the language's own.

    Raises:
        InputError: the language has no lead-in of its own.
    """
    if lead_in != OWN_LEAD_IN:
        return lead_in
    own = get_study_lead_in(language) or load_lead_ins().get(language)
    if own is None:
        raise InputError(
            f"{language!r} has no lead-in of its own (its word for `Answer:`); give it "
            "as `lead_in` of the language in the study's `languages:`, or write "
            "`lead_in:` out in the task's format"
        )
    return own
