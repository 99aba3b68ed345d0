"""Rows and batches: tokens, branches and positions."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from polycal.models.packing import (
    Row,
    count_shared,
    pack_batch,
    pad,
    pad_batch,
    plan_rows,
)

tokens = st.integers(1, 9)
continuations = st.lists(
    st.lists(tokens, min_size=1, max_size=4).map(tuple), min_size=1, max_size=5
)
contexts = st.lists(tokens, min_size=1, max_size=12)


def test_a_tree_by_hand():
    """Two texts with one branch each, one that ends in the context, one shared."""
    (row,) = plan_rows(
        7, [1, 2, 3], [(4, 5, 6), (8,), (4, 5, 9), (7, 6)], max_length=9, tree=True
    )
    assert row == Row(7, [1, 2, 3], {(4, 5): [0, 2], (): [1], (7,): [3]})
    assert row.is_tree
    assert row.tokens() == [1, 2, 3, 4, 5, 7]
    assert row.positions() == [0, 1, 2, 3, 4, 3]
    assert row.segments() == [0, 0, 0, 1, 1, 3]


def test_letters_share_one_row_without_a_tree():
    """Candidates of one token all read the context alone."""
    (row,) = plan_rows(0, [1, 2], [(5,), (6,), (7,)], max_length=9, tree=False)
    assert row == Row(0, [1, 2], {(): [0, 1, 2]})
    assert not row.is_tree


def test_a_long_context_loses_its_left_end_only_where_it_must():
    """Every branch stays whole in its own row; the short one keeps more context."""
    rows = plan_rows(0, [1, 2, 3, 4], [(5, 6, 7), (8,)], max_length=4, tree=True)
    assert list(rows) == [
        Row(0, [3, 4], {(5, 6): [0]}),
        Row(0, [1, 2, 3, 4], {(): [1]}),
    ]


def test_what_is_shared_is_left_out():
    """Positions go on behind it; a context that is cut shares nothing."""
    (row,) = plan_rows(0, [1, 2, 3], [(4, 5), (6,)], max_length=9, tree=True, shared=2)
    assert row.tokens() == [3, 4]
    assert row.positions() == [2, 3]
    assert row.segments() == [0, 1]
    assert len(row) == row.n_scored == 2
    cut = plan_rows(0, [1, 2, 3], [(4, 5), (6,)], max_length=3, tree=True, shared=2)
    assert [each.shared for each in cut] == [0, 0]


@given(contexts, continuations, st.integers(4, 20), st.booleans())
def test_every_continuation_has_its_place_once(context, each, max_length, tree):
    """All rows fit the model, and hold the end of the context before every branch."""
    rows = list(plan_rows(0, context, each, max_length=max_length, tree=tree))
    placed = sorted(i for row in rows for held in row.branches.values() for i in held)
    assert placed == list(range(len(each)))
    for row in rows:
        assert row.context
        assert row.context == context[-len(row.context) :]
        assert max(row.positions()) < max_length
        assert tree or not row.is_tree
        assert len(row.tokens()) == len(row.positions()) == len(row.segments())
        for branch, members in row.branches.items():
            assert all(each[i][:-1] == branch for i in members)


def test_what_contexts_have_in_common_by_hand():
    """A common beginning that is long enough; each keeps a token of its own."""
    begin = list(range(20))
    assert count_shared([[*begin, 1, 2], [*begin, 3], [*begin, 1]]) == 20
    assert count_shared([begin, [*begin, 3]]) == 19  # the first keeps its last token
    assert count_shared([[*begin, 1]]) == 0  # nobody to share with
    assert count_shared([[1, 2], [1, 3]]) == 0  # not worth a pass


@given(st.lists(st.tuples(contexts, continuations), max_size=20), st.integers(1, 60))
def test_batches_hold_every_row_once_within_the_budget(questions, budget):
    """No row is lost, and only a single row may exceed."""
    for tree in (True, False):
        rows = [
            row
            for index, (context, each) in enumerate(questions)
            for row in plan_rows(index, context, each, max_length=16, tree=tree)
        ]
        waiting, held = sorted(rows, key=len), []
        while waiting:
            take = pack_batch if tree else pad_batch
            batch = take(waiting, budget, budget // 2)
            padded = len(batch) * max(map(len, batch))
            used = sum(map(len, batch)) if tree else padded
            scored = sum(row.n_scored for row in batch)
            assert len(batch) == 1 or (used <= budget and scored <= budget // 2)
            held += map(id, batch)
        assert sorted(held) == sorted(map(id, rows))


def test_padding_is_on_the_right():
    """Rows keep their tokens at the left."""
    np.testing.assert_array_equal(pad([[1, 2], [3]], -1), [[1, 2], [3, -1]])
