"""Minimum detectable effects, by the normal distribution and by simulation."""

import numpy as np
import pytest

from polycal.comparing.inference import Noise, half_width
from polycal.comparing.power import plan, tipping_sd


def test_the_textbook_s_minimum_detectable_effect():
    """2.8 standard errors at 5 % and a power of 80 %; the effect seen is half of it."""
    found = plan(Noise(0.01), 0.05, excess=0.014, n_questions=500)
    assert found["detectable"] == pytest.approx((1.959964 + 0.841621) * 0.01)
    assert found["n_questions_needed"] == np.ceil(500 * (2.801585 * 0.01 / 0.014) ** 2)
    stricter = plan(Noise(0.01), 0.005, excess=0.014, n_questions=500)
    assert stricter["detectable"] > found["detectable"]


def test_an_effect_of_this_size_is_shown_in_80_percent():
    """And the questions that it names are as many as it takes."""
    chance = np.random.default_rng(0)
    noise = Noise(0.01)
    effect = plan(noise, 0.05, excess=0.0, n_questions=1)["detectable"]
    seen = effect + 0.01 * chance.normal(size=20_000)
    shown = (seen > half_width(noise, confidence=0.95)).mean()
    assert shown == pytest.approx(0.8, abs=0.01)
    needed = plan(noise, 0.05, excess=0.02, n_questions=400)["n_questions_needed"]
    se = 0.01 * np.sqrt(400 / needed)
    seen = 0.02 + se * chance.normal(size=20_000)
    assert (seen > 1.959964 * se).mean() == pytest.approx(0.8, abs=0.01)


def test_questions_cannot_buy_what_seeds_have_to():
    """An effect within the noise of trainings, or on the wrong side."""
    trained = Noise(0.01, 0.01, 4)
    assert plan(trained, 0.05, excess=0.03, n_questions=9)["n_questions_needed"] is None
    assert plan(trained, 0.05, excess=0.04, n_questions=9)["n_questions_needed"] > 9
    assert plan(Noise(0.01), 0.05, excess=-0.1, n_questions=9) == {
        "detectable": pytest.approx(0.02801585),
        "n_questions_needed": None,
        "n_seeds_needed": None,
    }


@pytest.mark.parametrize(
    ("common", "specific"), [((0.01, 4.0), (0.002, 40.0)), ((0.001, 4.0), (0.02, 3.0))]
)
@pytest.mark.parametrize("seeds", [2, 4, 5, 9, 30])
def test_the_seeds_that_decide_are_the_fewest_that_do(common, specific, seeds):
    """From 3 seeds; just what so many seeds detect, by the definition itself."""
    noise = Noise(0.001, *common, *specific)
    shrink, more = np.sqrt(3 / seeds), (seeds - 1) / 2
    own = Noise(
        0.001,
        common[0] * shrink,
        max(common[1] * more, 1),
        specific[0] * shrink,
        max(specific[1] * more, 1),
    )
    least = plan(own, 0.05, excess=0.0, n_questions=9)["detectable"]
    settings = {"n_questions": 9, "n_seeds": 3}
    for excess, found in ((least * 1.0001, seeds), (least * 0.9999, seeds + 1)):
        asked = plan(noise, 0.05, excess=excess, **settings)
        assert asked["n_seeds_needed"] == found


def test_no_number_of_seeds_decides_what_questions_hide():
    """Nor is any known where no noise of trainings is."""
    noise = Noise(0.001, 0.01, 4.0, 0.002, 40.0)
    for excess, seeds in ((0.0005, 3), (0.02, 1)):  # too little; nothing is known
        found = plan(noise, 0.05, excess=excess, n_questions=9, n_seeds=seeds)
        assert found["n_seeds_needed"] is None


def test_a_bias_hides_its_part_and_shrinks_with_more_questions():
    """Four times the questions halve the noise and the bias."""
    found = plan(Noise(0.01), 0.05, excess=0.0, n_questions=100, bias=0.02)
    assert found["detectable"] == pytest.approx(0.02801585 + 0.02)
    half = found["detectable"] / 2
    found = plan(Noise(0.01), 0.05, excess=half, n_questions=100, bias=0.02)
    assert found["n_questions_needed"] in (400, 401)  # rounded up


def test_an_effect_that_is_a_rounding_error_asks_for_no_number_of_questions():
    """It would be more than a table's column holds."""
    found = plan(Noise(0.01), 0.05, excess=1e-19, n_questions=100)
    assert found["n_questions_needed"] is None
    most = plan(Noise(0.01), 0.05, excess=1e-10, n_questions=100)["n_questions_needed"]
    assert most == pytest.approx(100 * (2.801585 * 1e8) ** 2)


def test_all_of_42_languages_need_more_than_one_of_them():
    """Each at 0.8^(1/42) = 99.47 %, 2.5557 standard errors; by simulation, too."""
    found = plan(Noise(0.01), 0.05, excess=0.02, n_questions=100, together=42)
    steps = 1.959964 + 2.555691
    assert found["detectable"] == pytest.approx(steps * 0.01, rel=1e-4)
    assert found["n_questions_needed"] == np.ceil(100 * (steps * 0.01 / 0.02) ** 2)
    chance = np.random.default_rng(0)
    seen = found["detectable"] + 0.01 * chance.normal(size=(20_000, 42))
    all_shown = (seen > 1.959964 * 0.01).all(axis=1).mean()
    assert all_shown == pytest.approx(0.8, abs=0.01)
    trained = Noise(0.001, 0.01, 4.0, 0.002, 40.0)
    one, each = (
        plan(trained, 0.05, excess=0.02, n_questions=9, n_seeds=3, together=number)
        for number in (1, 42)
    )
    assert each["n_seeds_needed"] > one["n_seeds_needed"]


def test_a_tipping_point_above_the_true_sd_is_as_rare_as_its_level():
    """No effect on average: 2.5 % of 4,000 trainings seem that sure of one."""
    chance, sd, se = np.random.default_rng(0), 0.01, 0.004
    seen = chance.normal(0, np.hypot(sd, se), 4000)
    sure = [tipping_sd(value, se, 0.05) > sd for value in seen if value > 0]
    assert sum(sure) / 4000 == pytest.approx(0.025, abs=0.005)
