"""Tell whether equal ids of two languages name the same questions."""

from collections import Counter
from collections.abc import Mapping

from polycal.errors import InputError

# Index of the right option, number of options, and subject of a question.
Version = tuple[int, int, str | None]
# Chance can be told from agreement of so many common ids, and if answers differ.
_FEWEST, _MOST_CHANCE = 20, 0.8


def check_agreement(task: str, asked: Mapping[str, Mapping[str, Version]]) -> None:
    """Compare each language's questions with the first one's of the same ids.

    Rows without an id are numbered: where one language lacks the first row, every id
    names another question, and with two options half of them still look alike.

    Raises:
        InputError: a language is nearer to chance than to full agreement.
    """
    (first, reference), *others = asked.items()
    for language, own in others:
        shared = reference.keys() & own.keys()
        n = len(shared)
        if n < _FEWEST:
            continue
        counts = Counter(reference[name] for name in shared)
        chance = sum((count / n) ** 2 for count in counts.values())
        alike = sum(reference[name] == own[name] for name in shared)
        if chance > _MOST_CHANCE:
            continue
        if alike < (1 + chance) / 2 * n:
            raise InputError(
                f"{task}: only {alike} of {n} questions with the same id have the same "
                f"answer in {first} and {language}, and chance would give "
                f"{round(chance * n)}; name what identifies a question as "
                "`question_id` in the format, leave the language out, or say "
                "`questions: own`"
            )
