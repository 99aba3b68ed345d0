"""A difference in words, by its band and by the margin on both sides of 0."""

import inspect

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.linalg import hadamard
from scipy.stats import norm, t
from study import REPOSITORY

from polycal.calibration import METRICS
from polycal.comparing.contrasts import contrast
from polycal.comparing.effects import Effect, Side, describe

MARGIN = 0.01


def judge(
    estimate: float, se: float, metric: str = "gap", n: int = 10**6
) -> dict[str, str]:
    """The verdicts of one language and of the level that it is alone in."""
    noise = np.random.default_rng(0).normal(size=(4000, 1))
    noise = (noise - noise.mean()) / noise.std(ddof=1)
    zero, nothing = np.zeros((1, 1)), np.zeros((4000, 1))
    effect = Effect(
        {"metric": metric},
        ["en"],
        Side(zero, nothing, np.zeros(1)),
        Side(np.array([[estimate]]), estimate + se * noise, np.zeros(1)),
        np.array([n]),
    )
    found = describe([[effect]], margin=MARGIN, confidence=0.95)
    return dict(zip(found["level"], found["verdict"], strict=True))


@pytest.mark.parametrize(
    ("estimate", "se", "verdict"),
    [
        (0.0, 0.004, "equivalent"),
        (-0.005, 0.001, "decrease"),
        (-0.001, 0.003, "equivalent"),
        (0.001, 0.003, "equivalent"),
        (-0.012, 0.007, "inconclusive"),  # reaches beyond -margin, not +margin
        (0.012, 0.007, "inconclusive"),  # the other way round
        (0.05, 0.007, "increase"),
    ],
)
def test_a_verdict_by_hand(estimate, se, verdict):
    """A language by its band, which for one language is its interval, as the level."""
    assert judge(estimate, se) == {"en": verdict, "high": verdict, "all": verdict}


def test_exactly_no_difference_is_equivalent_if_there_are_many_questions():
    """No pair that differs among 100 does not show less than 1 pp; among 400 it does.

    Agresti and Min's error is 1 / 102, and 1.96 of them reach beyond 1 pp.
    """
    for metric in ("accuracy", "gap", "ece"):
        assert set(judge(0.0, 0.0, metric).values()) == {"equivalent"}
        assert set(judge(0.0, 0.0, metric, n=400).values()) == {"equivalent"}
        assert set(judge(0.0, 0.0, metric, n=100).values()) == {"inconclusive"}
        assert set(judge(-0.015, 0.0, metric, n=100).values()) == {"inconclusive"}
        assert set(judge(-0.025, 0.0, metric, n=100).values()) == {"decrease"}
    # Equal confidences of the same questions are no draw of right and wrong.
    assert set(judge(0.0, 0.0, "confidence", n=100).values()) == {"equivalent"}


def test_a_loss_that_few_answers_hide_is_not_called_equivalent():
    """100 questions, and accuracy truly falls by 2 pp: 13 % of samples show no change.

    Those have no noise in the bootstrap, which took them for certain.
    """
    chance, n, samples = np.random.default_rng(0), 100, 400
    lost = chance.random((samples, n)) < 0.02
    weights = chance.poisson(1, (200, n))
    drawn = -(weights @ lost.T) / weights.sum(axis=1, keepdims=True)
    before = Side(np.zeros((1, samples)), np.zeros((200, samples)), np.zeros(samples))
    after = Side(-lost.mean(axis=1)[None], drawn, np.zeros(samples))
    names = [*LANGUAGES] * (samples // 4)
    effect = Effect({"metric": "accuracy"}, names, before, after, np.full(samples, n))
    rows = describe([[effect]], margin=MARGIN, confidence=0.95).iloc[:samples]
    unchanged = rows["estimate"] == 0
    assert unchanged.mean() == pytest.approx(0.98**100, abs=0.04)
    assert not (rows["verdict"] == "equivalent").any()
    assert rows.loc[unchanged, "p_equivalence"].min() > 0.15
    assert (rows.loc[unchanged, "ci_low"] < -0.019).all()  # the truth is not far off


def test_nothing_is_equivalent_without_a_margin():
    """A proper score has none."""
    assert judge(0.0, 0.001, "nll")["en"] == "inconclusive"


# Four languages of three levels in two seeds; the replicates are orthogonal, so that
# their spreads are known and those of means follow by Pythagoras.
LANGUAGES = ["bn", "de", "en", "sw"]  # mid, high, high, low
SEEDS = np.array([[-0.04, 0.02, 0.05, 0.1], [-0.06, 0.04, 0.07, 0.3]])
SPREADS = np.array([0.03, 0.01, 0.02, 0.04])
BEFORE, AFTER = np.array([0.01, 0.001, 0.002, 0.3]), np.array([0.02, 0.004, 0.006, 0.2])
MEMBERS = {"high": [1, 2], "mid": [0], "low": [3], "all": [0, 1, 2, 3]}


BASE = 0.02  # of every language and seed before


def describe_four(metric: str = "gap", **settings: float) -> pd.DataFrame:
    """What `describe` says of them."""
    noise = hadamard(8)[:, 1:5] * np.sqrt(7 / 8)  # of standard deviation 1
    base = np.full((2, 4), BASE)
    effect = Effect(
        {"metric": metric, "task": "t"},
        LANGUAGES,
        Side(base, np.full((8, 4), BASE), BEFORE),
        Side(BASE + SEEDS, BASE + SEEDS.mean(axis=0) + SPREADS * noise, AFTER),
        np.array([600, 500, 700, 800]),
    )
    return describe([[effect]], **({"margin": 0.04, "confidence": 0.95} | settings))


def reach(rare: float, questions: np.ndarray, training: np.ndarray) -> np.ndarray:
    """How far two seeds' mean is off, by SciPy's quantiles.

    Args:
        rare: the probability.
        questions: standard errors.
        training: [2, ...] standard errors: common (1 degree of freedom), specific (3).
    """
    z = norm.isf(rare)
    squares = (z * questions) ** 2
    for se, df, other in zip(training, (1, 3), training[::-1], strict=True):
        reached = t.isf(rare, df=df) * se
        k = 1 + 2 / df
        with np.errstate(divide="ignore", invalid="ignore"):  # where a part is 0
            farther = k * z**2 * (questions**2 + other**2) / reached**2
            excess = (reached**2 - (z * se) ** 2) / (1 + farther**k)
        squares = squares + (z * se) ** 2 + np.nan_to_num(excess)
    return np.sqrt(squares)


def mean_of(values: np.ndarray) -> np.ndarray:
    """Of the languages, then of each level."""
    return np.array([*values, *[values[held].mean() for held in MEMBERS.values()]])


def test_a_difference_is_described_by_languages_and_levels():
    """Estimates, both kinds of noise, and ends moved by what may be bias."""
    found = describe_four()
    assert found["level"].tolist() == [*LANGUAGES, *MEMBERS]
    assert found["n_languages"].tolist() == [1, 1, 1, 1, 2, 1, 1, 4]
    assert set(found["n_seeds"]) == {2}
    assert set(found["task"]) == {"t"}
    estimate = mean_of(SEEDS.mean(axis=0))
    assert estimate[:4] == pytest.approx([-0.05, 0.03, 0.06, 0.2])
    sides = [SPREADS[held] for held in MEMBERS.values()]
    questions = [*SPREADS, *[np.sqrt((side**2).sum()) / len(side) for side in sides]]
    apart = mean_of(SEEDS[0]) - mean_of(SEEDS[1])
    # Of two seeds an error is half of what they are apart. The languages share that of
    # the mean of all; what is left is pooled, with 3 degrees of freedom.
    shared = abs(apart[-1]) / 2
    rest = np.sqrt(((apart[:4] / 2 - apart[-1] / 2) ** 2).sum() / 3 * 3 / 4)
    common = np.array([*[shared] * 4, *abs(apart[4:]) / 2])
    specific = np.array([*[rest] * 4, *[0] * 4])
    noise = np.array(questions), np.array([common, specific])
    np.testing.assert_allclose(found["estimate"], estimate)
    np.testing.assert_allclose(found["before"], BASE)
    np.testing.assert_allclose(found["after"], BASE + estimate)
    assert found["n_questions"].tolist() == [600, 500, 700, 800, 500, 600, 800, 500]
    np.testing.assert_allclose(found["sd_seeds"], abs(apart) / np.sqrt(2))
    np.testing.assert_allclose(found["se_seeds"], np.hypot(common, specific))
    np.testing.assert_allclose(found["se"], np.hypot(questions, found["se_seeds"]))
    low, high = estimate - mean_of(AFTER), estimate + mean_of(BEFORE)
    half = reach(0.025, *noise)
    np.testing.assert_allclose(found["ci_low"], np.maximum(low - half, -2))
    np.testing.assert_allclose(found["ci_high"], np.minimum(high + half, 2))
    band = (found["sim_high"] - high)[:4] / found["se"][:4]
    np.testing.assert_allclose((low - found["sim_low"])[:4] / found["se"][:4], band)
    assert band.std() == pytest.approx(0)  # so many standard errors for each
    assert band[0] > 1.96
    assert found[["sim_low", "sim_high"]][4:].isna().all(axis=None)
    assert set(found["margin"]) == {0.04}
    # The gap of the base has no noise here, and that of SFT its own.
    assert (found["p_before"] < 1e-200).all()
    nearer = reach(np.minimum(found["p_after"], 1 - found["p_after"]), *noise)
    np.testing.assert_allclose(nearer, abs(BASE + estimate), atol=1e-9)
    assert ((found["p_after"] < 0.5) == (BASE + estimate > 0)).all()
    # P-values are where an interval just reaches what they are against.
    nearest = np.where(low > 0, low, np.where(high < 0, -high, 0))
    np.testing.assert_allclose(reach(found["p_value"] / 2, *noise), nearest, atol=1e-9)
    for name, beyond in (
        ("p_noninferiority", low + 0.04),
        ("p_nonsuperiority", 0.04 - high),
    ):
        rare = np.minimum(found[name], 1 - found[name])
        np.testing.assert_allclose(reach(rare, *noise), abs(beyond), atol=1e-9)
        assert ((found[name] < 0.5) == (beyond > 0)).all()
    both = found[["p_noninferiority", "p_nonsuperiority"]].max(axis=1)
    np.testing.assert_allclose(found["p_equivalence"], both)
    assert found["p_adjusted"].isna().all()


def test_only_fractions_have_a_margin():
    """Nor p-values against it."""
    found = describe_four("nll")
    names = ["margin", "p_equivalence", "p_noninferiority", "p_nonsuperiority"]
    assert found[names].isna().all(axis=None)
    for metric in ("accuracy", "confidence", "ece"):
        assert describe_four(metric)[names].notna().all(axis=None)


def test_the_confidence_is_that_of_verdicts_too():
    """At 20 % more intervals leave 0 out than at 95 %, and a wide margin holds one."""
    for settings, verdicts in (
        ({}, ["inconclusive"] * 4),
        ({"confidence": 0.2}, ["increase", "decrease", *["inconclusive"] * 2]),
        (
            {"confidence": 0.2, "margin": 9.0},
            ["increase", "decrease", *["equivalent"] * 2],
        ),
    ):
        found = describe_four(**settings).set_index("level")["verdict"]
        assert found[list(MEMBERS)].tolist() == verdicts


def test_every_margin_is_the_one_that_contrasts_take():
    """A record that names another key needs a parameter of `contrast` first."""
    keys = {metric.margin for metric in METRICS.values()} - {None}
    schema = REPOSITORY / "src" / "polycal" / "data" / "config.schema.yaml"
    statistics = yaml.safe_load(schema.read_text())["properties"]["statistics"]
    assert keys == {"margin"}
    assert keys <= set(statistics["properties"])
    assert keys <= set(inspect.signature(contrast).parameters)


def test_intervals_end_where_differences_do():
    """A fraction changes by 1 at most, a gap by 2."""
    for metric, widest in (("accuracy", 1), ("gap", 2)):
        found = describe_four(metric, confidence=0.9999)
        assert found["ci_low"].min() == -widest
        assert found["ci_high"].max() == widest


def test_one_seed_leaves_the_noise_of_training_unknown():
    """Null, not 0; pooled where another smoothing value has more seeds."""

    def make(smoothing: float, seeds: np.ndarray) -> Effect:
        before = Side(0 * seeds, np.zeros((8, 2)), np.zeros(2))
        drawn = seeds.mean(axis=0) + 0.01 * hadamard(8)[:, 1:3]
        after = Side(seeds, drawn, np.zeros(2))
        key = {"metric": "gap", "smoothing": smoothing}
        return Effect(key, ["en", "sw"], before, after, np.array([900, 900]))

    one, two = np.array([[0.1, 0.2]]), np.array([[0.1, 0.2], [0.14, 0.2]])
    alone = describe([[make(0.0, one)]], margin=MARGIN, confidence=0.95)
    assert alone["se_seeds"].isna().all()
    assert alone["sd_seeds"].isna().all()
    both = describe([[make(0.0, one), make(0.1, two)]], margin=MARGIN, confidence=0.95)
    sd = both.query("level == 'all'").set_index("smoothing")["se_seeds"]
    assert sd[0.1] == pytest.approx(np.std([0.15, 0.17], ddof=1) / np.sqrt(2))
    assert sd[0.0] == pytest.approx(sd[0.1] * np.sqrt(2))
    assert both.query("smoothing == 0")["sd_seeds"].isna().all()


def test_the_difference_of_each_seed_is_kept():
    """Of each language and each mean over languages; their mean is the estimate."""
    nothing = np.zeros((50, 2))
    before = Side(np.zeros((2, 2)), nothing, np.zeros(2))
    after = Side(np.array([[0.1, 0.2], [0.3, 0.6]]), nothing, np.zeros(2))
    effect = Effect({"metric": "gap"}, ["de", "sw"], before, after, np.full(2, 9))
    found = describe([[effect]], margin=MARGIN, confidence=0.95).set_index("level")
    assert found["by_seed"]["sw"].tolist() == [0.2, 0.6]
    assert found["by_seed"]["all"] == pytest.approx([0.15, 0.45])
    assert found["estimate"]["all"] == pytest.approx(0.3)
