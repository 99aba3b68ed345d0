"""One rule for means over seeds: geometric for ratios."""

import pandas as pd
import pytest

from polycal.comparing.aggregate import summarise
from polycal.comparing.averages import average
from polycal.comparing.conditions import per_language


def rows(metric: str, *values: float) -> pd.DataFrame:
    """One language in as many seeds."""
    about = {"model": "m", "sft": "s", "smoothing": 0.0, "task": "t"}
    about |= {"scoring": "text", "normaliser": "token", "calibrator": "ts_own"}
    about |= {"subset": "all", "language": "sw", "n_questions": 9, "metric": metric}
    return pd.DataFrame(
        [about | {"seed": seed, "value": value} for seed, value in enumerate(values)]
    )


def test_temperatures_of_1_and_4_are_2_on_average():
    """Everywhere; an accuracy of 0 and 1 is 0.5."""
    both = pd.concat([rows("temperature", 1.0, 4.0), rows("accuracy", 0.0, 1.0)])
    found = average(both, ["language", "metric"])
    assert found["sw", "temperature"] == pytest.approx(2)
    assert found["sw", "accuracy"] == 0.5
    wide = per_language(both).iloc[0]
    assert (wide["temperature"], wide["accuracy"]) == (pytest.approx(2), 0.5)
    summary = summarise(both).to_pandas().set_index(["metric", "level"])["value"]
    assert summary["temperature", "all"] == pytest.approx(2)
    assert summary["accuracy", "low"] == 0.5


def test_a_mean_with_a_temperature_at_its_limit_says_so():
    """In one of two seeds of one of two languages; other metrics have no count."""
    both = [rows("temperature", 1.0, 4.0), rows("censored", 0.0, 0.5)]
    other = [own.assign(language="de") for own in (*both[:1], rows("censored", 0.0))]
    found = summarise(pd.concat([*both, *other])).to_pandas()
    counts = found.set_index(["metric", "level"])["n_censored"]
    own = counts["temperature"]
    assert own.to_dict() == {"high": 0, "low": 1, "all": 1}
    assert counts["censored"].isna().all()
