"""Terms of metrics that are no means have the spread of a bootstrap."""

import numpy as np
import pytest
from confidences import draw_calibrated

from polycal import calibration
from polycal.calibration import METRICS, answer

N = 500
FIRST_ORDER = [name for name, metric in METRICS.items() if metric.first_order]
BIASED = [name for name, metric in METRICS.items() if metric.calibrated]


def make(chance: np.random.Generator, sharpened: float) -> calibration.Answers:
    """Answers of a model that is calibrated before its scores are sharpened."""
    scores, gold = draw_calibrated(chance, N)
    return answer(scores * sharpened, gold)


@pytest.fixture(scope="module")
def bootstrap():
    """Over-confident answers, and every metric of 200 resamplings of them."""
    chance = np.random.default_rng(3)
    given = make(chance, 1.6)
    drawn = []
    for _ in range(200):
        rows = chance.integers(0, N, N)
        again = answer(given.scores[rows], given.gold[rows])
        drawn.append({name: METRICS[name].compute(again) for name in FIRST_ORDER})
    return given, {name: [each[name] for each in drawn] for name in FIRST_ORDER}


def test_all_that_the_docs_name_are_here():
    """AUROC, equal-mass, debiased and smooth ECE, RMS."""
    named = {"auroc", "augrc", "ece_mass", "ece_debiased", "smooth_ece", "rms_ce"}
    assert set(FIRST_ORDER) == named | {"confidence_right", "confidence_wrong"}
    assert set(BIASED) == {"ece_mass", "smooth_ece", "rms_ce"}


@pytest.mark.parametrize("name", FIRST_ORDER)
def test_the_spread_is_that_of_resampling(bootstrap, name):
    """And each resampling moves as its terms do: a sign or a share would be seen."""
    given, drawn = bootstrap
    terms = METRICS[name].terms(given)
    assert terms.mean() == pytest.approx(METRICS[name].compute(given), abs=1e-6)
    se = terms.std(ddof=1) / np.sqrt(N)
    # Where bins are nearly calibrated, the real spread is smaller.
    assert 0.85 < se / np.std(drawn[name], ddof=1) < 1.4
    chance = np.random.default_rng(3)
    make(chance, 1.6)
    moved = [terms[chance.integers(0, N, N)].mean() for _ in range(200)]
    least = 0.85 if "debiased" in name or "mass" in name else 0.95
    assert np.corrcoef(moved, drawn[name])[0, 1] > least


@pytest.mark.parametrize("name", BIASED)
def test_what_a_calibrated_model_shows_is_known(name):
    """By drawing calibrated answers."""
    chance = np.random.default_rng(0)
    metric = METRICS[name]
    drawn = [make(chance, 1.0) for _ in range(60)]
    shown = np.mean([metric.compute(each) for each in drawn])
    known = np.mean([metric.calibrated(each) for each in drawn])
    assert known == pytest.approx(shown, rel=0.08)


def test_what_is_not_defined_has_no_terms():
    """All answers right: there is no wrong one to rank, and none to be sure of."""
    scores = np.log([[0.9, 0.1], [0.6, 0.4]])
    right = answer(scores, [0, 0])
    for name in ("auroc", "confidence_wrong"):
        assert np.isnan(METRICS[name].terms(right)).all()
    assert METRICS["augrc"].terms(right).tolist() == [0, 0]
    wrong = answer(scores, [1, 1])
    assert METRICS["augrc"].terms(wrong).tolist() == [0.5, 0.5]
    half = METRICS["confidence_right"].terms(answer(scores, [0, 1]))
    assert half.mean() == pytest.approx(0.9)


@pytest.mark.parametrize("name", ["auroc", "augrc"])
def test_a_tie_counts_half(name):
    """Right .9 and .7, wrong .7 and .4: the right .7 is above one and ties with one."""
    scores = np.log([[0.9, 0.1], [0.7, 0.3], [0.7, 0.3], [0.6, 0.4]])
    given = answer(scores, [0, 0, 1, 1])
    terms = METRICS[name].terms(given)
    assert terms.mean() == pytest.approx(METRICS[name].compute(given))
    if name == "auroc":  # area + (share of pairs won - area) / (half of the questions)
        assert terms == pytest.approx([1.125, 0.625, 0.625, 1.125])


EXACT = ["smooth_ece", "rms_ce", "auroc", "augrc", "confidence_right"]


@pytest.mark.parametrize("name", EXACT)
def test_a_question_asked_twice_moves_a_metric_by_its_term(bootstrap, name):
    """By (term - metric) / (N + 1), whatever the confidence and the answer."""
    given, metric = bootstrap[0], METRICS[name]
    value, terms = metric.compute(given), metric.terms(given)
    moved = []
    for index in range(0, N, 25):
        rows = [*range(N), index]
        again = metric.compute(answer(given.scores[rows], given.gold[rows]))
        moved.append((N + 1) * (again - value))
    expected = terms[::25] - value
    assert abs(moved - expected).mean() < 0.05 * abs(expected).mean()


def test_the_debiased_ece_of_one_bin_by_hand():
    """2 |d| - E|N(d, s)| with d = s = .25, whose slope in d is 2 - erf(1 / sqrt 2)."""
    confidence = np.full(4, 0.75)
    scores = np.log(np.stack([confidence, 1 - confidence], axis=1))
    terms = METRICS["ece_debiased"].terms(answer(scores, [0, 0, 1, 1]))
    slope = (terms[2] - terms[0]) / 1.0  # residuals .75 and -.25
    assert slope == pytest.approx(2 - 0.682689, abs=1e-5)
    assert terms.mean() == pytest.approx(
        2 * 0.25 - 0.25 * (0.682689 + 0.483941), abs=1e-5
    )
