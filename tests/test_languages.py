"""The table of languages against the counts of the benchmarks' papers and cards."""

from collections import Counter

import pytest

from polycal.languages import load_languages

LANGUAGES = load_languages()


def test_both_benchmarks_are_covered():
    """42 languages of Global-MMLU, 29 of MMLU-ProX, 22 in both, 49 in all."""
    in_first = {code for code, each in LANGUAGES.items() if each.in_global_mmlu}
    in_second = {code for code, each in LANGUAGES.items() if each.in_mmlu_prox}
    assert (len(in_first), len(in_second)) == (42, 29)
    assert len(in_first & in_second) == 22
    assert in_first | in_second == set(LANGUAGES)
    assert len(LANGUAGES) == 49


def test_levels_follow_the_classes():
    """High = 4 and 5, mid = 3, low = 0 to 2, for every row."""
    rule = {5: "high", 4: "high", 3: "mid", 2: "low", 1: "low", 0: "low"}
    for each in LANGUAGES.values():
        assert each.level == rule[each.joshi_class], each


@pytest.mark.parametrize(
    ("column", "counts"),
    [("in_global_mmlu", (20, 9, 13)), ("in_mmlu_prox", (16, 6, 7))],
)
def test_group_sizes(column, counts):
    """The sizes of the resource groups that the field's tables print."""
    levels = Counter(each.level for each in LANGUAGES.values() if getattr(each, column))
    assert (levels["high"], levels["mid"], levels["low"]) == counts


def test_translation_is_known_where_global_mmlu_has_the_language():
    """14 professional, 11 community, 16 machine, and English itself."""
    found = Counter(
        each.translation for each in LANGUAGES.values() if each.in_global_mmlu
    )
    assert found == {"professional": 14, "community": 11, "machine": 16, "original": 1}
    assert {
        each.translation for each in LANGUAGES.values() if not each.in_global_mmlu
    } == {"unknown"}


def test_every_value_is_filled():
    """No cell is blank, and every row names its sources."""
    for each in LANGUAGES.values():
        assert all(str(value).strip() for value in vars(each).values()), each
