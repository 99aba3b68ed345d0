"""Pre-training text of the base model: facts and names in 49 languages.

The shares of the languages are unequal, as on the web. Most documents state facts; some
hold only names, so that the spelling of a language is known better than its facts. A
fifth of the facts is in no document, so that even in English there is something to
learn from SFT.
"""

import dataclasses
import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

from polycal.miniature.facts import KINDS, Fact, World, written_languages
from polycal.miniature.questions import draw_options
from polycal.study.languages import load_lead_ins
from polycal.study.prompts import LETTERS, build_prompt

# Unscaled share of a language: by its Joshi class, but most for English and least for
# Shona and Chichewa.
_CLASS_SHARES = {5: 4.0, 4: 2.0, 3: 1.0, 2: 0.5, 1: 0.4, 0: 0.4}
_SHARES = {"en": 30.0, "sn": 0.2, "ny": 0.2}
_UNSTATED = 0.2  # part of the facts that no document holds
_LEAD_IN = "Answer:"
_WHATS = ("territory", "currency", "language")
_NAMES = 5  # of one document
_MOST_PAIRED = 6  # names that a document pairs with letters


class Document(NamedTuple):
    """A document in three parts; the model does not learn to predict the second."""

    start: str
    listed: str = ""  # options, which are random
    end: str = ""

    @property
    def text(self) -> str:
        """The whole document."""
        return "".join(self)


def language_shares() -> dict[str, float]:
    """Return the share of every language in the documents; the shares sum to one."""
    raw = {
        code: _SHARES.get(code, _CLASS_SHARES[language.joshi_class])
        for code, language in written_languages().items()
    }
    return {code: share / sum(raw.values()) for code, share in raw.items()}


def stated_facts(world: World) -> list[Fact]:
    """Return the facts that documents hold, in order: four fifths of each kind.

    What is unstated is so from both sides: neither the currency of a territory nor a
    territory of the currency. The choice depends on the facts alone, and not on the
    seed of the documents.
    """
    unstated: set[tuple[str, str]] = set()
    for kind, (given, _) in KINDS.items():
        if given == "territory":
            pairs = [fact.pair for fact in world.facts if fact.kind == kind]
            rng = random.Random(f"unstated/{kind}")
            unstated.update(rng.sample(pairs, round(_UNSTATED * len(pairs))))
    return [fact for fact in world.facts if fact.pair not in unstated]


def draw_documents(world: World, *, seed: int) -> Iterator[Document]:
    """Yield documents without end, each of a random form and language.

    Languages of documents with facts are drawn by their shares, those of documents with
    names by the square root of their shares.
    """
    rng = random.Random(f"{seed}/corpus")
    world = dataclasses.replace(world, facts=tuple(stated_facts(world)))
    shares = language_shares()
    codes = list(shares)
    fact_weights = list(shares.values())
    name_weights = [share**0.5 for share in fact_weights]
    forms = [form for form, *_ in _FORMS]
    form_weights = [share for _, share, _ in _FORMS]
    while True:
        (form,) = rng.choices(range(len(forms)), form_weights)
        holds_fact = _FORMS[form][2]
        weights = fact_weights if holds_fact else name_weights
        (language,) = rng.choices(codes, weights)
        yield forms[form](language, world, rng)


def _write_statement(language: str, world: World, rng: random.Random) -> Document:
    fact = rng.choice(world.facts)
    given = world.names[KINDS[fact.kind][0], fact.given][language]
    return Document(f"{given}: {world.name_answer(fact.kind, fact.answer, language)}")


def _write_question(language: str, world: World, rng: random.Random) -> Document:
    fact = rng.choice(world.facts)
    answer = world.name_answer(fact.kind, fact.answer, language)
    question = world.ask(fact, language)
    prompt = build_prompt("text", question, [answer], _draw_lead_in(language, rng))
    return Document(prompt.context + prompt.continuations[0])


def _write_choice(language: str, world: World, rng: random.Random) -> Document:
    """Write a question with options that is answered by a letter."""
    fact = rng.choice(world.facts)
    options, gold = draw_options(fact, world, rng)
    names = [world.name_answer(fact.kind, code, language) for code in options]
    question = world.ask(fact, language)
    prompt = build_prompt("letters", question, names, _draw_lead_in(language, rng))
    asked, *listed, lead_in = prompt.context.split("\n")
    return Document(
        f"{asked}\n",
        "".join(f"{line}\n" for line in listed),
        lead_in + prompt.continuations[gold],
    )


def _write_letters(language: str, world: World, rng: random.Random) -> Document:
    """Write names with letters, then the letter of each name again, in random order."""
    what = rng.choice(_WHATS)
    names = _draw_names(what, rng.randint(2, _MOST_PAIRED), language, world, rng)
    listed = [f"{letter}. {name}" for letter, name in zip(LETTERS, names, strict=False)]
    asked = list(zip(names, LETTERS, strict=False))
    rng.shuffle(asked)
    return Document(
        "",
        "".join(f"{line}\n" for line in listed),
        "\n".join(f"{name}: {letter}" for name, letter in asked),
    )


def _write_names(language: str, world: World, rng: random.Random) -> Document:
    what = rng.choice(_WHATS)
    return Document(", ".join(_draw_names(what, _NAMES, language, world, rng)))


def _write_translation(language: str, world: World, rng: random.Random) -> Document:
    """Write one name in two languages; one of them is English half of the time."""
    names = world.names[rng.choice(list(world.names))]
    other = "en" if rng.random() < 0.5 else rng.choice(list(names))
    pair = [names[language], names[other]]
    rng.shuffle(pair)
    return Document(" = ".join(pair))


def _draw_names(
    what: str, count: int, language: str, world: World, rng: random.Random
) -> list[str]:
    names = [own[language] for (kind, _), own in world.names.items() if kind == what]
    return rng.sample(names, count)


def _draw_lead_in(language: str, rng: random.Random) -> str:
    """Return Global-MMLU's lead-in, or MMLU-ProX's, which some languages have."""
    return rng.choice([_LEAD_IN, load_lead_ins().get(language, _LEAD_IN)])


_Writer = Callable[[str, World, random.Random], Document]
# (writer, share of the documents, whether a document holds a fact)
_FORMS: tuple[tuple[_Writer, float, bool], ...] = (
    (_write_statement, 0.36, True),
    (_write_question, 0.12, True),
    (_write_choice, 0.15, True),
    (_write_letters, 0.05, False),
    (_write_names, 0.15, False),
    (_write_translation, 0.17, False),
)
