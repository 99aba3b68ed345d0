"""Write the SFT set: English questions and answers about a part of the facts."""

import random

from polycal.miniature.facts import KINDS, World
from polycal.miniature.questions import draw_options
from polycal.study.prompts import LETTERS

# Written by hand. (instruction, input) of each kind; the benchmark's own sentence is
# added to them.
_PHRASES = {
    "currency_of_territory": (
        ("Name the currency of this place.", "{name}"),
        ("People in {name} pay with which currency?", ""),
        ("Tell me the currency of {name}.", ""),
    ),
    "language_of_territory": (
        ("Name the official language of this place.", "{name}"),
        ("The official language of {name} is which one?", ""),
        ("Tell me the official language of {name}.", ""),
    ),
    "territory_of_currency": (
        ("Name a place where this currency is used.", "{name}"),
        ("The {name} is the currency of which place?", ""),
        ("Tell me a place that uses the {name}.", ""),
    ),
    "territory_of_language": (
        ("Name a place where this language is official.", "{name}"),
        ("{name} is the official language of which place?", ""),
        ("Tell me a place with {name} as its official language.", ""),
    ),
}
_TAUGHT = 0.5  # part of the facts that the SFT set holds
_LISTED = 2  # rows per fact that list options and are answered with a letter


def make_instructions(world: World, *, seed: int) -> list[dict[str, str]]:
    """Return rows in Alpaca's columns about half of the facts, in random order.

    About half of the benchmarks' facts are among them. Options and their order are
    drawn independently of the benchmarks'.
    """
    rng = random.Random(f"{seed}/instructions")
    rows = []
    for kind, (given, _) in KINDS.items():
        facts = [fact for fact in world.facts if fact.kind == kind]
        for fact in rng.sample(facts, round(_TAUGHT * len(facts))):
            name = world.names[given, fact.given]["en"]
            answer = world.name_answer(kind, fact.answer, "en")
            question = world.ask(fact, "en")
            for instruction, given_input in (*_PHRASES[kind], (question, "")):
                rows.append(
                    {
                        "instruction": instruction.format(name=name),
                        "input": given_input.format(name=name),
                        "output": answer,
                    }
                )
            for _ in range(_LISTED):
                options, gold = draw_options(fact, world, rng)
                listed = [
                    f"{letter}. {world.name_answer(kind, code, 'en')}"
                    for letter, code in zip(LETTERS, options, strict=False)
                ]
                rows.append(
                    {
                        "instruction": question,
                        "input": "\n".join(listed),
                        "output": LETTERS[gold],
                    }
                )
    rng.shuffle(rows)
    return rows
