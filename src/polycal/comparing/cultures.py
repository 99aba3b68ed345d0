"""Culturally sensitive against agnostic questions."""

import numpy as np

from polycal.comparing.paired import (
    Condition,
    Difference,
    Row,
    Study,
    contrasted,
    interval,
    levels_and_languages,
    shared,
)
from polycal.comparing.seed_noise import pool_means
from polycal.study.grid import BASE

Estimate = tuple[float, np.ndarray, np.ndarray]  # value, replicates [R], by seed [S]


def cultures(sensitive: Study, agnostic: Study, confidence: float) -> list[Row]:
    """Return sensitive minus agnostic: of each condition, and of each change.

    Args:
        sensitive: conditions on the questions that ask for a culture.
        agnostic: conditions on those that do not.
        confidence: of the intervals, which hold the noise of questions and, where
            several seeds show it, that of trainings, pooled over smoothing values.
    """
    both = [condition for condition in sensitive if condition in agnostic]
    cases: list[tuple] = [(None, None, condition) for condition in both]
    cases += [case for case in contrasted(sensitive) if set(case[1:]) <= set(both)]
    alike: dict[tuple, list[tuple[Condition | None, Condition]]] = {}
    for reference, before, after in cases:
        key = reference, after.sft == BASE, *after.sweep
        alike.setdefault(key, []).append((before, after))
    rows = []
    for (reference, *_), pairs in alike.items():
        used = {each for pair in pairs for each in pair if each is not None}
        studies = [study[each] for each in used for study in (sensitive, agnostic)]
        for metric in sorted(set.intersection(*map(set, studies))):
            sides = {
                each: (sensitive[each][metric], agnostic[each][metric]) for each in used
            }
            common = shared(numbers for own in sides.values() for numbers in own)
            for level, codes in levels_and_languages(common).items():
                key = {"reference": reference, "level": level, "metric": metric}
                apart = {each: Difference(*own, codes) for each, own in sides.items()}
                changes = {
                    after: _change(apart[after], before and apart[before])
                    for before, after in pairs
                }
                training = pool_means(seeds for *_, seeds in changes.values())
                for after, (value, draws, seeds) in changes.items():
                    found = interval(
                        value, draws, confidence, training=training, n_seeds=len(seeds)
                    )
                    rows.append(after._asdict() | key | found)
    return rows


def _change(after: Difference, before: Difference | None) -> Estimate:
    """Return how the difference changes; seeds that nothing pairs give no noise."""
    if before is None:
        return after.value, after.draws, after.seeds
    seeds, theirs = after.seeds, before.seeds
    if len({len(seeds), len(theirs)} - {1}) > 1:
        seeds, theirs = seeds.mean(keepdims=True), theirs.mean(keepdims=True)
    return after.value - before.value, after.draws - before.draws, seeds - theirs
