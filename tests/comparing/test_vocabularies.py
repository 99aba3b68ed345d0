"""The share of the gap that smoothing removes, by model."""

import numpy as np
import pytest

from polycal.comparing.effects import Effect, Side, describe
from polycal.comparing.vocabularies import compare_models, compares_models

PLACE = {
    "sft": "s",
    "smoothing": 0.1,
    "reference": "sft",
    "task": "t",
    "scoring": "letters",
    "normaliser": "sum",
    "calibrator": "none",
    "metric": "gap",
}
SIZES = {"small": 32_000, "middle": 128_000, "large": 256_000}


def make_effect(
    model, before, after, *, seeds=2, codes=("en", "sw"), noise=0.001, **place
):
    """The gap of plain SFT and of smoothing, both 0.02 more in the second seed."""
    chance = np.random.default_rng(SIZES.get(model, 0))

    def side(mean: float) -> Side:
        drawn = mean + 0.01 + chance.normal(0, noise, (400, len(codes)))
        more = 0.02 * np.arange(seeds)[:, None]
        return Side(mean + more + np.zeros((seeds, len(codes))), drawn, 0 * drawn[0])

    key = PLACE | {"model": model} | place
    n = np.full(len(codes), 500)
    return Effect(key, list(codes), side(before), side(after), n)


def test_shares_of_the_gap_are_compared_and_not_points():
    """By hand: 10 of 30 remain in one model, 10 of 20 in another: 5/12 of 40 pp.

    The largest one keeps 20 of 40 pp: 20 pp removed, as much as or more than by the
    others, and yet a smaller share.
    """
    effects = [
        make_effect("small", 0.3, 0.1, seeds=1),
        make_effect("large", 0.4, 0.2, seeds=1),
        make_effect("middle", 0.2, 0.1, seeds=1),
    ]
    (found,) = compare_models(effects, SIZES)
    assert found.key == effects[1].key | {"reference": "others"}
    np.testing.assert_allclose(found.before.seeds, np.full((1, 2), 0.4 * 5 / 12))
    np.testing.assert_allclose(found.after.seeds, np.full((1, 2), 0.2))
    rows = describe([[found]], margin=0.01, confidence=0.95).set_index("level")
    assert rows.loc["all", "estimate"] == pytest.approx(0.2 - 0.4 * 5 / 12)
    assert rows.loc["all", "verdict"] == "increase"
    # The replicates' own means, 0.01 above those of the seeds.
    share = (0.11 / 0.31 + 0.11 / 0.21) / 2
    drawn = found.before.replicates.mean()
    assert drawn == pytest.approx(0.41 * share, abs=1e-3)


def test_a_model_that_keeps_the_same_share_is_no_exception():
    """Half of 40 pp and half of 10 pp: nothing, where points differ by 15."""
    effects = [
        make_effect(*each, seeds=1)
        for each in (("small", 0.1, 0.05), ("large", 0.4, 0.2))
    ]
    (found,) = compare_models(effects, SIZES)
    np.testing.assert_allclose(found.seeds, np.zeros((1, 2)), atol=1e-12)


def test_every_seed_has_its_own_share():
    """0.1 of 0.3 and 0.12 of 0.32, against 0.2 of 0.4 and 0.22 of 0.42."""
    effects = [
        make_effect(*each) for each in (("small", 0.3, 0.1), ("large", 0.4, 0.2))
    ]
    (found,) = compare_models(effects, SIZES)
    expected = [0.2 - 0.4 * 0.1 / 0.3, 0.22 - 0.42 * 0.12 / 0.32]
    np.testing.assert_allclose(found.seeds[:, 0], expected)


@pytest.mark.parametrize(
    "others",
    [
        [],
        [make_effect("middle", 0.2, 0.1, seeds=1)],
        [make_effect("middle", 0.2, 0.1, codes=("en",))],
        [make_effect("middle", 0.2, 0.1, smoothing=0.2)],
        [make_effect("unknown", 0.2, 0.1)],
        [make_effect("middle", -0.2, -0.3)],
        [make_effect("middle", -0.01, -0.3, noise=0.1)],
    ],
    ids=[
        *("alone", "other-seeds", "other-languages", "other-smoothing", "unknown"),
        *("under-confident", "perhaps-over-confident"),
    ],
)
def test_nothing_is_said_where_models_cannot_be_compared(others):
    assert list(compare_models([make_effect("large", 0.3, 0.2), *others], SIZES)) == []


@pytest.mark.parametrize(("over", "is_compared"), [(390, False), (391, True)])
def test_another_model_has_a_share_where_it_is_surely_over_confident(over, is_compared):
    """In more than 97.5 % of 400 replicates."""
    largest, other = make_effect("large", 0.3, 0.2), make_effect("middle", 0.2, 0.1)
    draws = np.where(np.arange(400)[:, None] < over, 0.2, -0.2) + np.zeros(2)
    other = other._replace(before=other.before._replace(replicates=draws))
    assert bool(list(compare_models([largest, other], SIZES))) == is_compared


def test_models_of_equal_vocabulary_are_not_told_apart():
    effects = [make_effect("large", 0.3, 0.2), make_effect("middle", 0.2, 0.1)]
    assert list(compare_models(effects, dict.fromkeys(SIZES, 32_000))) == []


def test_the_headline_gap_of_smoothing_tells():
    """By letters only: texts of options depend on the tokenizer."""
    assert compares_models(make_effect("large", 0.3, 0.2))
    for change in (
        {"reference": "base"},
        {"metric": "ece"},
        {"calibrator": "ts_en"},
        {"scoring": "text", "normaliser": "token"},
    ):
        assert not compares_models(make_effect("large", 0.3, 0.2, **change))
