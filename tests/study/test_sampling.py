"""A part of a benchmark's questions: nested, stratified, by id and seed alone."""

from collections import Counter

import numpy as np

from polycal.study.sampling import order_questions

SIZES = {"law": 300, "anatomy": 100, None: 50, "physics": 7}
SUBJECTS = {
    f"{subject}/{index}": subject
    for subject, size in SIZES.items()
    for index in range(size)
}


def test_the_order_depends_on_ids_and_seed_only():
    """Not on the order of the rows; every question is in it once."""
    order = order_questions(SUBJECTS, 0)
    assert order_questions(dict(reversed(SUBJECTS.items())), 0) == order
    assert sorted(order) == sorted(SUBJECTS)
    assert order_questions(SUBJECTS, 1) != order


def test_every_subject_has_its_share_of_every_part():
    """But for about one question."""
    for seed in range(5):
        order = order_questions(SUBJECTS, seed)
        for n in range(1, len(order)):
            counts = Counter(SUBJECTS[name] for name in order[:n])
            for subject, size in SIZES.items():
                assert abs(counts[subject] - n * size / len(order)) < 2


def test_a_small_part_has_questions_of_small_subjects_as_often_as_of_large_ones():
    """With 9 of 457 questions, each is asked by 2 % of the seeds."""
    asked = Counter()
    for seed in range(2000):
        asked.update(SUBJECTS[name] for name in order_questions(SUBJECTS, seed)[:9])
    for subject, size in SIZES.items():
        share = asked[subject] / 2000 / size
        noise = np.sqrt(9 / len(SUBJECTS) / 2000 / size)
        assert abs(share - 9 / len(SUBJECTS)) < 4 * noise + 0.001
