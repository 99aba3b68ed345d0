"""A difference in words, by its band and by the margin on both sides of 0."""

import numpy as np
import pytest

from polycal.comparing.effects import Effect, describe

MARGIN = 0.01


def judge(estimate: float, se: float, metric: str = "gap") -> dict[str, str]:
    """The verdicts of one language and of the level that it is alone in."""
    noise = np.random.default_rng(0).normal(size=(4000, 1))
    noise = (noise - noise.mean()) / noise.std(ddof=1)
    effect = Effect(
        {"metric": metric},
        ["en"],
        np.array([[estimate]]),
        estimate + se * noise,
        np.zeros((2, 1)),
    )
    found = describe(effect, margin=MARGIN, confidence=0.95)
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


def test_nothing_is_equivalent_without_a_margin():
    """A proper score has none."""
    assert judge(0.0, 0.001, "nll")["en"] == "inconclusive"
