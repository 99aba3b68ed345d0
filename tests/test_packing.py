"""Where tokens go: rows, branches, positions, batches."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from polycal.packing import Row, make_batches, pad, plan_rows

tokens = st.integers(1, 9)
continuations = st.lists(
    st.lists(tokens, min_size=1, max_size=4).map(tuple), min_size=1, max_size=5
)
contexts = st.lists(tokens, min_size=1, max_size=12)


def test_a_tree_by_hand():
    """Two texts with one branch each, one that ends in the context, one shared."""
    (row,) = plan_rows(
        7, [1, 2, 3], [(4, 5, 6), (8,), (4, 5, 9), (7, 6)], max_length=9, max_tree=9
    )
    assert row == Row(7, [1, 2, 3], {(4, 5): [0, 2], (): [1], (7,): [3]})
    assert row.is_tree
    assert row.tokens() == [1, 2, 3, 4, 5, 7]
    assert row.positions() == [0, 1, 2, 3, 4, 3]
    assert row.segments() == [0, 0, 0, 1, 1, 3]


def test_letters_share_one_row_without_a_tree():
    """Candidates of one token all read the context alone."""
    (row,) = plan_rows(0, [1, 2], [(5,), (6,), (7,)], max_length=9, max_tree=0)
    assert row == Row(0, [1, 2], {(): [0, 1, 2]})
    assert not row.is_tree


def test_a_long_context_loses_its_left_end_only_where_it_must():
    """Every branch stays whole in its own row; the short one keeps more context."""
    rows = plan_rows(0, [1, 2, 3, 4], [(5, 6, 7), (8,)], max_length=4, max_tree=4)
    assert list(rows) == [
        Row(0, [3, 4], {(5, 6): [0]}),
        Row(0, [1, 2, 3, 4], {(): [1]}),
    ]


@given(contexts, continuations, st.integers(4, 20), st.integers(0, 20))
def test_every_continuation_has_its_place_once(context, each, max_length, max_tree):
    """All rows fit the model, and hold the end of the context before every branch."""
    rows = list(plan_rows(0, context, each, max_length=max_length, max_tree=max_tree))
    placed = sorted(i for row in rows for held in row.branches.values() for i in held)
    assert placed == list(range(len(each)))
    for row in rows:
        assert row.context
        assert row.context == context[-len(row.context) :]
        assert max(row.positions()) < max_length
        assert not row.is_tree or max(row.positions()) < max_tree
        assert len(row.tokens()) == len(row.positions()) == len(row.segments())
        for branch, members in row.branches.items():
            assert all(each[i][:-1] == branch for i in members)


@given(st.lists(st.tuples(contexts, continuations), max_size=20), st.integers(1, 60))
def test_batches_hold_every_row_once_within_the_budget(questions, budget):
    """No row is lost, trees stay apart from plain rows, and only one row may exceed."""
    rows = [
        row
        for index, (context, each) in enumerate(questions)
        for row in plan_rows(index, context, each, max_length=16, max_tree=12)
    ]
    batches = list(make_batches(rows, budget))
    held = [id(row) for batch in batches for row in batch]
    assert sorted(held) == sorted(map(id, rows))
    for batch in batches:
        assert len({row.is_tree for row in batch}) == 1
        assert len(batch) == 1 or len(batch) * max(map(len, batch)) <= budget


def test_padding_is_on_the_right():
    """Rows keep their tokens at the left."""
    np.testing.assert_array_equal(pad([[1, 2], [3]], -1), [[1, 2], [3, -1]])
