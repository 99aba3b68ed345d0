"""Languages as a sample, against a published analysis and on data that are known."""

import numpy as np
import pytest
from scipy.stats import t
from test_slopes import TRIALS

from polycal.comparing.new_languages import generalise, new_languages
from polycal.comparing.paired import Condition, Numbers

WAY = {"task": "t", "scoring": "text", "normaliser": "token", "calibrator": "none"}
CODES = ("en", "de", "fr", "es", "sw", "yo", "ny")


def test_it_is_metafor_s_where_errors_are_independent():
    """rma(yi, vi, method="DL") of the BCG trials: -0.7141 (0.1787), tau^2 0.3088."""
    y, variance, _ = np.array(TRIALS.split(), float).reshape(-1, 3).T
    found = generalise(y, np.diag(variance))
    assert found.estimate == pytest.approx(-0.7141, abs=5e-5)
    assert found.tau**2 == pytest.approx(0.3088, abs=5e-4)  # of rounded variances
    weights = 1 / (variance + found.tau**2)
    factor = max(1.0, (weights * (y - found.estimate) ** 2).sum() / 12)
    assert found.se == pytest.approx(0.1787 * np.sqrt(factor), abs=5e-5)
    half = t.ppf(0.975, 12) * found.se
    assert found.ci_high == pytest.approx(found.estimate + half)
    wide = t.ppf(0.975, 11) * np.hypot(found.tau, found.se)
    assert found.new_low == pytest.approx(found.estimate - wide)
    assert found.new_high == pytest.approx(found.estimate + wide)


def test_other_trainings_and_bias_widen_both_intervals():
    """By hand: no spread between languages, so only what is added is left."""
    y = [0.1, 0.1, 0.1, 0.1, 0.1, 0.1]
    found = generalise(
        y, np.eye(6) * 1e-12, common=0.01, common_df=2, below=0.03, above=0.005
    )
    half = t.ppf(0.975, 2) * 0.01
    assert found.ci_low == pytest.approx(0.1 - 0.03 - half, abs=1e-5)
    assert found.ci_high == pytest.approx(0.1 + 0.005 + half, abs=1e-5)
    assert found.new_low == pytest.approx(found.ci_low, abs=1e-5)
    assert found.se == pytest.approx(0.01, abs=1e-6)


def test_the_prediction_holds_another_language():
    """Most of the next languages of 400 draws lie in it; few lie in that of the mean.

    With 12 languages, tau is so uncertain that 95 % are 91 to 94 %.
    """
    random, inside, narrow = np.random.default_rng(0), [], []
    for _ in range(400):
        y = 0.1 + 0.03 * random.normal(size=13) + 0.01 * random.normal(size=13)
        found = generalise(y[:12], np.eye(12) * 0.01**2)
        true = y[12] - 0.01 * random.normal()
        inside.append(found.new_low < true < found.new_high)
        narrow.append(found.ci_low < true < found.ci_high)
    assert 0.90 <= np.mean(inside) <= 0.98
    assert np.mean(narrow) < 0.7


def test_fewer_than_six_languages_are_no_sample():
    with pytest.raises(ValueError, match="needs 6"):
        generalise([0.1] * 5, np.eye(5))


def make_study(n_seeds: int = 3) -> dict:
    """Base, SFT and smoothing: the change of the gap is 0.3 and grows by language."""
    random = np.random.default_rng(1)
    base = Condition("m", "none", 0.0, *WAY.values())
    study = {}
    for condition, level, sd in (
        (base, 0.0, 0.0),
        (base._replace(sft="s"), 0.3, 0.02),
        (base._replace(sft="s", smoothing=0.1), 0.1, 0.02),
    ):
        seeds = [level + sd * (seed - 1) for seed in range(n_seeds)] if sd else [level]
        gap = Numbers({}, {}, {}, {})
        for place, code in enumerate(CODES):
            own = np.array(seeds) + level * place / 10
            gap.value[code] = float(own.mean())
            gap.seeds[code] = own
            gap.draws[code] = gap.value[code] + 0.001 * random.normal(size=999)
        study[condition] = {"gap": gap}
    return study


def test_each_change_is_generalised_by_level():
    """SFT: 0.3 (1 + place / 10), so 0.39 in the mean, with the noise of seeds.

    Three levels have fewer than six languages and no row. Two smoothing values share
    their noise: sd 0.02 of a seed.
    """
    rows = new_languages(make_study(), 0.95)
    assert {row["level"] for row in rows} == {"all"}
    assert [(row["reference"], row["smoothing"]) for row in rows] == [
        ("base", 0.0),
        ("base", 0.1),
        ("sft", 0.1),
    ]
    sft, smoothed, change = rows
    assert sft["estimate"] == pytest.approx(0.39, abs=0.001)
    assert smoothed["estimate"] == pytest.approx(0.13, abs=0.001)
    assert change["estimate"] == pytest.approx(-0.26, abs=0.001)
    spread = np.std(0.3 * np.arange(7) / 10, ddof=1)
    assert sft["tau"] == pytest.approx(spread, rel=0.05)
    assert sft["se"] == pytest.approx(
        np.hypot(0.02 / 3**0.5, spread / 7**0.5), rel=0.01
    )
    assert change["tau"] == pytest.approx(spread * 2 / 3, rel=0.05)
    # Both trainings move together, so their difference has no noise of seeds.
    assert change["se"] == pytest.approx(spread * 2 / 3 / 7**0.5, rel=0.05)
    assert sft["n_languages"] == 7
    assert sft["new_low"] < sft["ci_low"] < 0.39 < sft["ci_high"] < sft["new_high"]


def test_one_seed_knows_no_noise_of_training():
    sft = new_languages(make_study(1), 0.95)[0]
    spread = np.std(0.3 * np.arange(7) / 10, ddof=1)
    assert sft["se"] == pytest.approx(spread / 7**0.5, rel=0.05)
