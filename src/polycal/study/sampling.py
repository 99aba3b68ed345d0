"""Choose a part of a benchmark's questions: by id and seed, stratified by subject."""

import hashlib
from collections.abc import Mapping


def order_questions(subjects: Mapping[str, str | None], seed: int) -> list[str]:
    """Return question ids in the order in which a part of a benchmark takes them.

    Systematic sampling (Cochran 1977, chapter 8) within each subject, with a random
    start and in random order. So the first N questions are a part of the first N + 1;
    every subject has its share of them, but for about one question; and every question
    is among them with about the same probability.

    Args:
        subjects: question id -> its subject.
        seed: another number gives another order.
    """
    strata: dict[str | None, list[str]] = {}
    for name, subject in subjects.items():
        strata.setdefault(subject, []).append(name)
    places: dict[str, float] = {}
    for subject, names in strata.items():
        start = _uniform(seed, "subject", subject or "")
        names.sort(key=lambda name: (_uniform(seed, "question", name), name))
        for index, name in enumerate(names):
            places[name] = (index + start) / len(names)
    return sorted(places, key=lambda name: (places[name], name))


def _uniform(seed: int, kind: str, name: str) -> float:
    """Return a number from 0 to 1 that depends on its arguments only."""
    content = hashlib.sha256(f"{seed}\0{kind}\0{name}".encode()).digest()
    return int.from_bytes(content[:8]) / 2**64
