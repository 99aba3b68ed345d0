"""Read facts about the world and their names in 49 languages from Unicode CLDR."""

import csv
import datetime
import functools
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from babel import Locale
from babel.core import get_global
from babel.languages import get_official_languages
from babel.numbers import get_territory_currencies

from polycal.study.languages import Language, load_languages

# kind of fact -> (what is given, what is asked for)
KINDS = {
    "currency_of_territory": ("territory", "currency"),
    "language_of_territory": ("territory", "language"),
    "territory_of_currency": ("currency", "territory"),
    "territory_of_language": ("language", "territory"),
}
_SECTIONS = {  # of Babel's locales
    "territory": "territories",
    "currency": "currencies",
    "language": "languages",
}
_UNNAMED = ("ny",)  # CLDR has few names in Chichewa
# The facts are those of this day, so that they do not change with the date.
_DAY = datetime.date(2026, 1, 1)
# Adopted by that day (EU Council, 8 July 2025), but unknown to the CLDR of Babel 2.18.
# With two tenders the territory is neither asked about nor a wrong option.
_NEW_TENDERS = {"BG": "EUR"}
_MOST_TERRITORIES = 8  # of one currency or language, so that none dominates


@dataclass(frozen=True)
class Fact:
    """One true answer: `kind` says what `given` and `answer` (CLDR codes) are."""

    kind: str
    given: str
    answer: str

    @property
    def pair(self) -> tuple[str, str]:
        """The territory and its currency or language, in this order."""
        if KINDS[self.kind][0] == "territory":
            return self.given, self.answer
        return self.answer, self.given


@dataclass(frozen=True)
class World:
    """Facts of CLDR, and the names and sentences that put them in words."""

    # In a fixed order; a currency or language of several territories appears with at
    # most eight of them.
    facts: tuple[Fact, ...]
    # (what, code) -> language -> name, where `what` is territory, currency or language.
    names: dict[tuple[str, str], dict[str, str]]
    # Language -> number of names that CLDR lacks and that are English.
    fallbacks: dict[str, int]
    currencies: dict[str, frozenset[str]]  # territory -> all its legal tenders
    # Territory -> all its official languages, regional ones too.
    languages: dict[str, frozenset[str]]
    regions: dict[str, str]  # territory -> part of the world, by its first time zone
    # (language, kind) -> question with a field for the given name.
    sentences: dict[tuple[str, str], str]

    def ask(self, fact: Fact, language: str) -> str:
        """Return the fact as a question."""
        given = KINDS[fact.kind][0]
        name = self.names[given, fact.given][language]
        return self.sentences[language, fact.kind].format(**{given: name})

    def name_answer(self, kind: str, code: str, language: str) -> str:
        """Return the name of an answer, right or wrong, to a question of this kind."""
        return self.names[KINDS[kind][1], code][language]

    def is_true(self, fact: Fact) -> bool:
        """Return whether CLDR supports a fact, so that it cannot be a wrong option."""
        territory, other = fact.pair
        answers = self.currencies if "currency" in fact.kind else self.languages
        return other in answers[territory]

    def list_wrong_answers(self, fact: Fact, rng: random.Random) -> list[str]:
        """Return all wrong answers of the same kind, those of the same region first."""
        what = KINDS[fact.kind][1]
        codes = [code for sort, code in self.names if sort == what]
        others = {code: Fact(fact.kind, fact.given, code) for code in codes}
        wrong = [code for code, other in others.items() if not self.is_true(other)]
        rng.shuffle(wrong)
        home = self.regions[fact.pair[0]]
        return sorted(wrong, key=lambda code: home not in self._regions_of(what, code))

    def _regions_of(self, what: str, code: str) -> set[str]:
        if what == "territory":
            return {self.regions[code]}
        codes = self.currencies if what == "currency" else self.languages
        return {self.regions[home] for home, own in codes.items() if code in own}


@functools.cache
def written_languages() -> Mapping[str, Language]:
    """Return the languages that have sentences, by code, read-only.

    A new row in polycal's table of languages needs no sentences and does not change
    what is made from a seed.
    """
    codes = {code for code, _ in _read_sentences()}
    languages = load_languages().items()
    return MappingProxyType({code: row for code, row in languages if code in codes})


def load_world(*, seed: int) -> World:
    """Read CLDR and choose unambiguous facts.

    A territory is used when it has one legal tender (or one official language), and
    when CLDR names it, and the currency (language), in 48 languages; Chichewa falls
    back to English for what it lacks.
    """
    locales = {code: Locale.parse(code) for code in written_languages()}
    zones = get_global("zone_territories")
    regions: dict[str, str] = {}
    for zone, territory in zones.items():
        regions.setdefault(territory, zone.split("/")[0])
    population = get_global("territory_languages")
    territories = [
        code
        for code in sorted(regions.keys() & population.keys())
        if _is_named(locales, code, "territory")
    ]
    currencies = {
        code: frozenset(get_territory_currencies(code, _DAY, tender=True))
        | ({_NEW_TENDERS[code]} if code in _NEW_TENDERS else set())
        for code in territories
    }
    languages = {
        code: frozenset(
            name.split("_")[0]
            for name, status in population[code].items()
            if status["official_status"]
        )
        for code in territories
    }
    single = {
        "currency": {code: own for code, own in currencies.items() if len(own) == 1},
        "language": {
            code: own
            for code in territories
            if len(own := get_official_languages(code)) == 1
        },
    }
    rng = random.Random(f"{seed}/facts")
    pairs = {
        what: list(_choose_pairs(what, codes, locales, rng))
        for what, codes in single.items()
    }
    facts = [
        Fact(kind, *((home, other) if given == "territory" else (other, home)))
        for kind, (given, asked) in KINDS.items()
        for home, other in pairs[asked if given == "territory" else given]
    ]
    used = sorted(
        {(KINDS[fact.kind][0], fact.given) for fact in facts}
        | {(KINDS[fact.kind][1], fact.answer) for fact in facts}
    )
    names: dict[tuple[str, str], dict[str, Any]] = {}
    fallbacks = dict.fromkeys(locales, 0)
    for what, code in used:
        names[what, code] = {}
        for language, locale in locales.items():
            name = _find_name(locale, code, what)
            fallbacks[language] += name is None
            names[what, code][language] = name or _find_name(locales["en"], code, what)
    return World(
        tuple(facts),
        names,
        fallbacks,
        currencies,
        languages,
        regions,
        _read_sentences(),
    )


def _choose_pairs(
    what: str, single: dict, locales: dict[str, Locale], rng: random.Random
) -> Iterator[tuple[str, str]]:
    """Yield pairs of a territory and its only currency or language."""
    members: dict[str, list[str]] = {}
    for territory, (code,) in single.items():
        if _is_named(locales, code, what):
            members.setdefault(code, []).append(territory)
    for code in sorted(members):
        rng.shuffle(members[code])
        for territory in sorted(members[code][:_MOST_TERRITORIES]):
            yield territory, code


def _is_named(locales: dict[str, Locale], code: str, what: str) -> bool:
    return all(
        _find_name(locale, code, what)
        for language, locale in locales.items()
        if language not in _UNNAMED
    )


def _find_name(locale: Locale, code: str, what: str) -> str | None:
    """Return CLDR's name with plain spaces, or None if it has none."""
    name = getattr(locale, _SECTIONS[what]).get(code)
    return None if name in (None, code) else " ".join(name.split())


def _read_sentences() -> dict[tuple[str, str], str]:
    table = files("polycal.miniature") / "sentences.csv"
    lines = table.read_text(encoding="utf-8").split("\n")
    return {(row["language"], row["key"]): row["text"] for row in csv.DictReader(lines)}
