"""Lists as people write them."""

import pandas as pd
import pytest

from polycal.reporting.sentences import join, per_condition


@pytest.mark.parametrize(
    ("parts", "text"),
    [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (list("abcd"), "a, b, c and d")],
)
def test_a_list_is_joined_by_commas_and_one_and(parts, text):
    """However long."""
    assert join(parts) == text


def test_conditions_are_told_in_order_with_the_facet_where_there_are_several():
    """The facet stands before its own conditions."""
    index = pd.MultiIndex.from_tuples(
        [("m", -1.0), ("m", 0.1), ("n", 0.0)], names=["facet", "rank"]
    )
    values = pd.Series(["3", "5", "7"], index)
    assert per_condition(values.loc[["m"]]) == "base: 3; SFT, smoothing 0.1: 5"
    both = "m (base: 3; SFT, smoothing 0.1: 5); n (SFT: 7)"
    assert per_condition(values) == both
