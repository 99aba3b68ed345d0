"""The effect of smoothing in the model with the largest vocabulary, and in others."""

import numpy as np
import pytest

from polycal.comparing.effects import Effect, describe
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


def make_effect(model, mean, *, seeds=2, codes=("en", "sw"), noise=0.01, **place):
    """Smoothing changes the gap by `mean`, in the second seed by 0.02 more."""
    drawn = np.random.default_rng(SIZES.get(model, 0)).normal(
        mean, noise, (400, len(codes))
    )
    observed = mean + 0.02 * np.arange(seeds)[:, None] + np.zeros((seeds, len(codes)))
    bias = np.zeros((2, len(codes)))
    return Effect(PLACE | {"model": model} | place, list(codes), observed, drawn, bias)


def test_the_largest_vocabulary_is_compared_with_the_mean_of_the_others():
    """By hand: -0.05 - (-0.2 - 0.1) / 2 = +0.1, in each seed and language."""
    effects = [
        make_effect(*each)
        for each in (("small", -0.2), ("large", -0.05), ("middle", -0.1))
    ]
    (found,) = compare_models(effects, SIZES)
    assert found.key == effects[1].key | {"reference": "others"}
    np.testing.assert_allclose(found.seeds, np.full((2, 2), 0.1))
    rows = describe(found, margin=0.03, confidence=0.95).set_index("level")
    assert rows.loc["all", "estimate"] == pytest.approx(0.1)
    assert rows.loc["all", "verdict"] == "increase"
    # Noise of 0.01 in one model, in the mean of two others, and over two languages.
    questions = 0.01 * np.sqrt((1 + 1 / 2) / 2)
    assert rows.loc["all", "se"] == pytest.approx(questions, rel=0.15)


def test_seeds_of_the_models_add_their_spread():
    """Two models of two seeds each: the seeds' differences vary as both together."""
    first, second = make_effect("small", -0.2), make_effect("large", -0.1)
    turned = second._replace(seeds=second.seeds[::-1])
    (found,) = compare_models([first, turned], SIZES)
    assert found.seeds[:, 0] == pytest.approx([0.12, 0.08])


@pytest.mark.parametrize(
    "others",
    [
        [],
        [make_effect("middle", -0.1, seeds=1)],
        [make_effect("middle", -0.1, codes=("en",))],
        [make_effect("middle", -0.1, smoothing=0.2)],
        [make_effect("unknown", -0.1)],
    ],
    ids=["alone", "other-seeds", "other-languages", "other-smoothing", "unknown"],
)
def test_nothing_is_said_where_models_cannot_be_compared(others):
    assert list(compare_models([make_effect("large", -0.05), *others], SIZES)) == []


def test_models_of_equal_vocabulary_are_not_told_apart():
    effects = [make_effect("large", -0.05), make_effect("middle", -0.1)]
    assert list(compare_models(effects, dict.fromkeys(SIZES, 32_000))) == []


def test_the_headline_gap_of_smoothing_tells():
    assert compares_models(make_effect("large", -0.05))
    for change in (
        {"reference": "base"},
        {"metric": "ece"},
        {"calibrator": "ts_en"},
        {"scoring": "text", "normaliser": "byte"},
    ):
        assert not compares_models(make_effect("large", -0.05, **change))
