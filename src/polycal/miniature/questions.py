"""Make multiple-choice questions of facts, the same in every language."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from polycal.miniature.facts import KINDS, Fact, World, written_languages

_TEST, _DEV = 25, 5  # questions of every kind
_FEWER = 5  # every fifth question of MMLU-ProX has fewer than ten options
_FEWEST, _MOST = 4, 10  # options of a question in the SFT set and the corpus


@dataclass(frozen=True)
class Question:
    """One question as CLDR codes, the same in every language."""

    fact: Fact  # `fact.answer` is the right option
    split: str  # test or dev
    number: int  # from 0 within its kind and split
    options: tuple[str, ...]  # CLDR codes in the order in which they are shown

    @property
    def gold(self) -> int:
        """Index of the right option."""
        return self.options.index(self.fact.answer)


def make_questions(world: World, *, seed: int) -> dict[str, list[Question]]:
    """Return the questions of both tasks; no fact is asked twice in them.

    A territory and its currency (language) may be asked from either side, but never
    from one side in dev and from the other in test.

    Returns:
        Task -> questions, test before dev: 25 test and 5 dev questions of every kind.
        `global_mmlu` has four options; `mmlu_prox` ten, or four to nine in one
        question of five. Among questions with the same number of options the right
        positions are balanced, up to one.
    """
    rng = random.Random(f"{seed}/questions")
    asked: dict[str, list[tuple[Fact, str, int]]] = {"global_mmlu": [], "mmlu_prox": []}
    of_dev: set[tuple[str, str]] = set()
    for kind, (given, _) in KINDS.items():
        facts = [fact for fact in world.facts if fact.kind == kind]
        rng.shuffle(facts)
        if given == "territory":  # comes before the kind that asks for the territory
            of_dev |= {fact.pair for fact in facts[: _DEV * len(asked)]}
        pools = {
            "test": [fact for fact in facts if fact.pair not in of_dev],
            "dev": [fact for fact in facts if fact.pair in of_dev],
        }
        for chosen in asked.values():
            for split, count in (("test", _TEST), ("dev", _DEV)):
                chosen += [(pools[split].pop(), split, index) for index in range(count)]
    return {
        task: _add_options(chosen, _draw_sizes(task, len(chosen), rng), world, rng)
        for task, chosen in asked.items()
    }


def _draw_sizes(task: str, count: int, rng: random.Random) -> list[int]:
    """Return the number of options of every question."""
    if task == "global_mmlu":
        return [4] * count
    fewer = count // _FEWER
    sizes = [4 + index % 6 for index in range(fewer)] + [10] * (count - fewer)
    rng.shuffle(sizes)
    return sizes


def _add_options(
    chosen: Sequence[tuple[Fact, str, int]],
    sizes: Sequence[int],
    world: World,
    rng: random.Random,
) -> list[Question]:
    positions: dict[int, list[int]] = {}
    for size in sorted(set(sizes)):
        positions[size] = [index % size for index in range(sizes.count(size))]
        rng.shuffle(positions[size])
    questions = []
    for (fact, split, number), size in zip(chosen, sizes, strict=True):
        options = choose_wrong_options(fact, size - 1, world, rng)
        options.insert(positions[size].pop(), fact.answer)
        questions.append(Question(fact, split, number, tuple(options)))
    return sorted(questions, key=lambda question: question.split, reverse=True)


def choose_wrong_options(
    fact: Fact, count: int, world: World, rng: random.Random
) -> list[str]:
    """Return wrong answers whose names differ, whatever the case, in every language."""
    languages = list(written_languages())
    what = KINDS[fact.kind][1]

    def spell(code: str) -> list[str]:
        return [world.names[what, code][name].casefold() for name in languages]

    spelt = [spell(fact.answer)]
    options: list[str] = []
    for code in world.list_wrong_answers(fact, rng):
        names = spell(code)
        if all(
            name != other
            for others in spelt
            for name, other in zip(names, others, strict=True)
        ):
            spelt.append(names)
            options.append(code)
        if len(options) == count:
            return options
    raise RuntimeError(f"CLDR has fewer than {count} wrong answers for {fact}")


def draw_options(fact: Fact, world: World, rng: random.Random) -> tuple[list[str], int]:
    """Return four to ten options in random order, and the index of the right one."""
    count = rng.randint(_FEWEST, _MOST)
    options = choose_wrong_options(fact, count - 1, world, rng)
    gold = rng.randrange(count)
    options.insert(gold, fact.answer)
    return options, gold
