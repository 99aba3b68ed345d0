"""The languages of the benchmarks, from a checked table, and their lead-ins.

Standard library only, because the workflow imports it at every start.
"""

import csv
import difflib
import functools
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType

from polycal.errors import InputError

_OF_STUDY = "POLYCAL_LANGUAGES"  # environment variable; JSON
OWN_LEAD_IN = "own"  # a format's name for the language's own lead-in

LEVELS = ("high", "mid", "low")  # of resources
ALL = "all"  # the level that holds every language, the subset of every question
_LEVEL_OF_CLASS = {0: "low", 1: "low", 2: "low", 3: "mid", 4: "high", 5: "high"}


@dataclass(frozen=True)
class Language:
    """One language of a benchmark; `data/languages.csv` has more facts, and sources.

    Attributes:
        code: as the benchmarks spell it.
        name: in English.
        joshi_class: 0 (least resources) to 5, by Joshi et al. 2020.
        in_global_mmlu: whether Global-MMLU has it.
        in_mmlu_prox: whether MMLU-ProX has it. MMLU-ProX-Lite has the same 29.
    """

    code: str
    name: str
    joshi_class: int
    in_global_mmlu: bool = False
    in_mmlu_prox: bool = False

    @property
    def level(self) -> str:
        """Return the level: high (classes 4 and 5), mid (3) or low (0 to 2).

        The Global-MMLU paper's table agrees, except for Korean, which it counts as mid.
        """
        return _LEVEL_OF_CLASS[self.joshi_class]


def load_languages() -> Mapping[str, Language]:
    """Return all languages by code, in the table's order, then those of the study.

    They are cached and read-only.

    Raises:
        InputError: a language of the study is wrong.
    """
    return _load_languages(os.environ.get(_OF_STUDY, "[]"))


@functools.cache
def _load_languages(of_study: str) -> Mapping[str, Language]:
    table = files("polycal") / "data" / "languages.csv"
    languages = {
        row["code"]: Language(
            row["code"],
            row["name"],
            int(row["joshi_class"]),
            in_global_mmlu=row["in_global_mmlu"] == "yes",
            in_mmlu_prox=row["in_mmlu_prox"] == "yes",
        )
        for row in csv.DictReader(table.read_text(encoding="utf-8").split("\n"))
    }
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
    """Return the language that a study describes."""
    needed = ("name", "script", "class", "source")
    if missing := [key for key in needed if key not in entry]:
        raise InputError(
            f"languages.{entry['code']}: polycal's table of languages lacks it, so the "
            f"entry needs {', '.join(missing)}, too"
        )
    language = Language(entry["code"], entry["name"], entry["class"])
    if entry.get("level", language.level) != language.level:
        raise InputError(
            f"languages.{language.code}.level: Joshi class {language.joshi_class} is "
            f"{language.level}, not {entry['level']}"
        )
    return language


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
