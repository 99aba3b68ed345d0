"""Readers learn what else differs between compared runs."""

from made_up import make_study

from polycal.reporting.trainings import describe_trainings
from polycal.storage import tables


def describe(folder, **options):
    """What is told of a made-up study; from smoothing 0.2 on its rate is another."""
    path = make_study(folder, **options)["runs"]
    return describe_trainings(tables.read(path, "runs").to_pandas())


def test_a_comparison_of_different_rates_is_warned_of(tmp_path):
    """The sentence names both rates; equal rates give none."""
    assert describe(tmp_path / "a", smoothing=(0.0, 0.1))["warnings"] == []
    told = describe(tmp_path / "b", smoothing=(0.0, 0.1, 0.2))
    (warning,) = told["warnings"]
    assert "SFT, smoothing 0.2 was selected at learning rate 0.002" in warning
    assert "but SFT, with which it is compared, at 0.001" in warning


def test_settings_are_told_once_unless_they_differ(tmp_path):
    """All runs share the made-up recipe; a study of base models has none."""
    told = describe(tmp_path / "a")
    assert told["same"] == [("epochs", "6"), ("method", "full")]
    assert told["differ"] == []
    assert [row["nll"] for row in told["rows"]] == ["1.7000", "1.6900"]
    assert describe(tmp_path / "b", sft=())["rows"] == []
