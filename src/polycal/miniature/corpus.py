"""Pre-training text of the base model: facts in 49 languages, in unequal shares."""

import random
from collections.abc import Iterator

from polycal.miniature.facts import KINDS, Fact, World, written_languages
from polycal.miniature.questions import draw_options
from polycal.study.languages import load_lead_ins
from polycal.study.prompts import build_prompt

# Unscaled share of a language: by its Joshi class, but most for English and least for
# Shona and Chichewa.
_CLASS_SHARES = {5: 4.0, 4: 2.0, 3: 1.0, 2: 0.5, 1: 0.4, 0: 0.4}
_SHARES = {"en": 30.0, "sn": 0.2, "ny": 0.2}
_FORMS = {"question": 0.6, "statement": 0.25, "letters": 0.15}
_LEAD_IN = "Answer:"


def language_shares() -> dict[str, float]:
    """Return the share of every language in the documents; the shares sum to one."""
    raw = {
        code: _SHARES.get(code, _CLASS_SHARES[language.joshi_class])
        for code, language in written_languages().items()
    }
    return {code: share / sum(raw.values()) for code, share in raw.items()}


def draw_documents(world: World, *, seed: int) -> Iterator[str]:
    """Yield documents without end, each of a random fact, language and form."""
    rng = random.Random(f"{seed}/corpus")
    shares = language_shares()
    codes, weights = list(shares), list(shares.values())
    forms, form_weights = list(_FORMS), list(_FORMS.values())
    while True:
        (language,) = rng.choices(codes, weights)
        (form,) = rng.choices(forms, form_weights)
        yield _write_document(rng.choice(world.facts), language, form, world, rng)


def _write_document(
    fact: Fact, language: str, form: str, world: World, rng: random.Random
) -> str:
    given = world.names[KINDS[fact.kind][0], fact.given][language]
    answer = world.name_answer(fact.kind, fact.answer, language)
    if form == "statement":
        return f"{given}: {answer}"
    question = world.ask(fact, language)
    # Global-MMLU asks in every language, MMLU-ProX with a lead-in of its own in some.
    lead_in = rng.choice([_LEAD_IN, load_lead_ins().get(language, _LEAD_IN)])
    if form == "question":
        prompt = build_prompt("text", question, [answer], lead_in)
        return prompt.context + prompt.continuations[0]
    options, gold = draw_options(fact, world, rng)
    names = [world.name_answer(fact.kind, code, language) for code in options]
    prompt = build_prompt("letters", question, names, lead_in)
    return prompt.context + prompt.continuations[gold]
