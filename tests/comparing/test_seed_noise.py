"""Variance components over seeds, by hand and by simulation."""

import numpy as np
import pytest

from polycal.comparing.inference import (
    Noise,
    band_width,
    half_width,
    holm,
    p_two_sided,
)
from polycal.comparing.seed_noise import pool_means, pool_seeds

ALL_OF_TWO = np.full((2, 1), 0.5)


def test_components_by_hand():
    """Two seeds of two languages: means 0.05 and 0.15, rests +-0.05 and +-0.05."""
    values = np.array([[0.1, 0.0], [0.1, 0.2]])
    found = pool_seeds([values], ALL_OF_TWO)
    assert found.known
    # Means 0.05, 0.15: variance 0.005. Rests: (0, 0) minus (-.05, .05), (0, 0) ...
    assert found.common == pytest.approx([0.005] * 3)
    assert found.specific == pytest.approx([0.005, 0.005, 0.0])
    assert (found.common_df, found.specific_df) == (1, 1)
    noise = found.noise(np.array([0.3, 0.3, 0.2]), 2)
    assert noise.common == pytest.approx([0.05] * 3)
    assert noise.specific == pytest.approx([0.05, 0.05, 0])
    # One language and seed varies by both parts: as its own variance on average.
    own = values.var(axis=0, ddof=1).mean()
    assert (found.common + found.specific)[:2] == pytest.approx([own] * 2)


def test_conditions_are_pooled_by_their_seeds():
    """Weighted by degrees of freedom, less the overlap; one seed adds none."""
    first = np.array([[0.0, 0.0], [0.2, 0.2]])  # variance 0.02 of the mean
    second = np.array([[0.1, 0.1], [0.1, 0.1], [0.1, 0.1]])  # 0
    single = np.array([[9.0, -9.0]])
    found = pool_seeds([first, second, single], ALL_OF_TWO)
    assert found.common == pytest.approx([0.02 / 3] * 3)
    assert found.common_df == pytest.approx(3 / 1.25)
    assert found.specific == pytest.approx([0, 0, 0])
    assert not pool_seeds([single], ALL_OF_TWO).known
    assert not pool_seeds([single], ALL_OF_TWO).noise(np.ones(3), 1).se_seeds.any()


def test_the_mean_of_a_level_varies_as_it_does():
    """Two languages move together, against a third."""
    values = np.array([[0.0, 0.0, 0.0], [0.2, 0.2, -0.4]])
    means = np.array([[0.5, 0.5, 0.0], [1 / 3, 1 / 3, 1 / 3]]).T
    found = pool_seeds([values], means)
    assert found.common == pytest.approx([0, 0, 0, 0.02, 0], abs=1e-12)
    assert (found.specific[:3] > 0).all()
    assert found.specific[3:].tolist() == [0, 0]


@pytest.mark.parametrize("n_conditions", [1, 3])
@pytest.mark.parametrize("n_seeds", [2, 3, 5])
@pytest.mark.parametrize("common", [0.2, 1.0])
def test_intervals_and_bands_hold_the_truth(n_seeds, n_conditions, common):
    """42 languages, sd 1 of each, questions 0.3; seeds shared by the conditions."""
    chance = np.random.default_rng(n_seeds)
    n, trials = 42, 200
    mean = np.full((n, 1), 1 / n)
    of_band = of_languages = of_mean = 0.0
    for _ in range(trials):

        def train(shape=(n_seeds, n)):
            shared = chance.normal(0, common, (shape[0], 1))
            return shared + chance.normal(0, 1.0, shape)

        shared = train()
        conditions = [(shared + train()) / np.sqrt(2) for _ in range(n_conditions)]
        questions = chance.normal(0, 0.3, n)
        replicates = chance.normal(0, 0.3, (300, n))
        estimate = conditions[0].mean(axis=0) + questions
        spread = np.hstack([replicates, replicates @ mean]).std(axis=0)
        noise = pool_seeds(conditions, mean).noise(spread, n_seeds)
        half = half_width(noise, confidence=0.95)
        own = Noise(
            noise.questions[:n],
            noise.common[:n],
            noise.common_df,
            noise.specific[:n],
            noise.specific_df,
        )
        band = band_width(replicates, own, confidence=0.95)
        of_band += (abs(estimate) < band).all()
        of_languages += (abs(estimate) < half[:n]).mean()
        of_mean += abs(estimate.mean()) < half[n]
    assert of_band / trials > 0.91
    assert 0.93 < of_languages / trials < 0.995
    assert 0.92 < of_mean / trials < 0.995


@pytest.mark.parametrize(("alike", "df"), [(1.0, 1), (-0.8, 4 / 3.28), (0.3, 4 / 2.5)])
def test_conditions_count_by_how_alike_they_move(alike, df):
    """By hand: two seeds of two conditions; languages show it, and 1/2 is the least."""
    one, other = np.array([1, -1, 0]) / 2**0.5, np.array([1, 1, -2]) / 6**0.5
    both = [one, alike * one + (1 - alike**2) ** 0.5 * other]
    conditions = [np.stack([5 + 2 * rest, 3 - 2 * rest]) for rest in both]
    found = pool_seeds(conditions, np.ones((3, 0)))
    assert found.common_df == pytest.approx(df)
    assert found.specific_df == pytest.approx(2 * df)
    uneven = [conditions[0], np.vstack([conditions[1], conditions[1][:1]])]
    assert pool_seeds(uneven, np.ones((3, 0))).common_df == pytest.approx(3 / 1.25)


@pytest.mark.parametrize(
    ("alike", "least", "most"),
    [(0.0, 0.94, 0.97), (0.5, 0.94, 0.97), (0.95, 0.91, 0.96)],
)
@pytest.mark.parametrize("questions", [0.05, 0.5])
def test_smoothing_values_that_move_together(alike, least, most, questions):
    """Two values and three seeds, taken to correlate by 1/2: they may by 0.95."""
    chance, trials, held = np.random.default_rng(0), 4000, 0
    for _ in range(trials):
        shared = np.sqrt(alike) * chance.normal(size=3)
        both = [shared + np.sqrt(1 - alike) * chance.normal(size=3) for _ in range(2)]
        half = half_width(pool_means(both).widen(questions, 3), confidence=0.95)
        held += abs(both[0].mean() + questions * chance.normal()) < half
    assert least < held / trials < most


def test_three_seeds_give_a_band_that_can_decide():
    """Common sd 1 pp, specific 0.5: 5 to 7 pp wide, where row by row gave 29."""
    chance = np.random.default_rng(0)
    widths = []
    for _ in range(60):
        seeds = chance.normal(0, 1, (3, 1)) + chance.normal(0, 0.5, (3, 42))
        replicates = chance.normal(0, 0.3, (300, 42))
        found = pool_seeds([seeds], np.full((42, 1), 1 / 42))
        noise = found.noise(np.full(43, 0.3), 3)
        cut = {name: getattr(noise, name)[:42] for name in ("questions", "common")}
        noise = noise._replace(**cut, specific=noise.specific[:42])
        widths.append(2 * np.median(band_width(replicates, noise, confidence=0.95)))
    assert 4 < np.median(widths) < 8


@pytest.mark.parametrize(
    ("n_seeds", "least", "most"), [(2, 0.02, 0.4), (3, 0.85, 1.0), (5, 0.99, 1.0)]
)
def test_five_points_are_shown_with_three_seeds(n_seeds, least, most):
    """+5 pp, sd over trainings 1 pp common and 0.5 pp specific, a family of 9.

    Each row by itself, with S - 1 degrees of freedom, shows it half as often; in a
    family of 348 it was 3 % with two seeds and 13 % with three.
    """
    chance, trials, n = np.random.default_rng(0), 15, 42
    mean = np.full((n, 1), 1 / n)
    shown, by_row = [], []
    for _ in range(trials):
        p_values, alone = [], []
        for _ in range(3):  # models, each with three smoothing values
            shape = 3, n_seeds
            common = chance.normal(0, 1.0, (*shape, 1))
            seeds = 5 + common + chance.normal(0, 0.5, (*shape, n))
            pooled = pool_seeds(list(seeds), mean)
            for own in seeds:
                for varied, values in (
                    (pooled, p_values),
                    (pool_seeds([own], mean), alone),
                ):
                    noise = varied.noise(np.full(n + 1, 0.3), n_seeds)
                    values.append(p_two_sided(own.mean(), cut(noise)))
        shown.append((holm(p_values).p < 0.05).mean())
        by_row.append((holm(alone).p < 0.05).mean())
    assert least <= np.mean(shown) <= most
    if n_seeds < 5:
        assert np.mean(by_row) < 0.7 * np.mean(shown)


def cut(noise: Noise) -> Noise:
    """The noise of the mean over all languages alone."""
    return noise._replace(
        questions=noise.questions[-1],
        common=noise.common[-1],
        specific=noise.specific[-1],
    )
