"""A filter compares as JSON does, and remembers little of a large set."""

import pytest

from polycal.errors import InputError
from polycal.preparing.filters import Filter


def make(**settings: object) -> Filter:
    return Filter.from_settings({"column": "x", **settings})


def test_true_is_not_one():
    """A study that asks for 1 does not get True, nor the other way round."""
    values = [1, True, 0, False, None, "1"]
    for wanted in values:
        keep, drop = make(keep=[wanted]), make(drop=[wanted])
        kept = [each for each in values if keep.admits({"x": each})]
        assert [(type(each), each) for each in kept] == [(type(wanted), wanted)]
        left = [each for each in values if drop.admits({"x": each})]
        assert len(left) == len(values) - 1


def test_a_whole_number_is_found_with_a_point():
    """Parquet may hold what the study writes as 2 as 2.0."""
    assert make(keep=[2]).admits({"x": 2.0})


def test_it_shows_a_few_values_of_a_column_of_many():
    """A column of a million values neither fills the memory nor the message."""
    chosen = make(keep=["gone"])
    assert not any(chosen.admits({"x": number}) for number in range(1000))
    with pytest.raises(InputError, match="'gone'") as caught:
        chosen.check()
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "settings",
    [{}, {"keep": []}, {"keep": "a"}, {"keep": ["a"], "drop": ["b"]}, {"kep": ["a"]}],
)
def test_what_is_no_filter_is_refused(settings):
    """Both ways at once, none, no values, no list."""
    with pytest.raises(InputError, match="either `keep` or `drop`"):
        make(**settings)


def test_a_filter_without_a_column_is_refused():
    """It would not say what it looks at."""
    with pytest.raises(InputError, match="needs `column`"):
        Filter.from_settings({"keep": ["a"]})
