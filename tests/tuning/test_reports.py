"""Where a training is shown is found out before it begins."""

import os

import pytest
from transformers.integrations import integration_utils

from polycal.errors import InputError
from polycal.tuning.reports import prepare_reports


class Missing:
    """A reporter whose package is not installed."""

    def __init__(self):
        raise RuntimeError("Missing requires missing to be installed.")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a-notebook", "report_to: a-notebook is not supported, only "),
        ("missing", r"report_to: missing cannot be used here \(.*\); install"),
    ],
)
def test_what_cannot_be_reported_to_is_told(name, words, tmp_path, monkeypatch):
    """A name that nobody knows, and a package that is not there."""
    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "missing", Missing)
    with pytest.raises(InputError, match=words):
        prepare_reports([name], tmp_path)


def test_tensorboard_s_files_stay(tmp_path, monkeypatch):
    """Beside the candidate, unless the user names a folder."""
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", "")  # so that it is undone
    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR")
    prepare_reports([], tmp_path / "a")
    prepare_reports([], tmp_path / "b")
    assert os.environ["TENSORBOARD_LOGGING_DIR"] == str(tmp_path / "a")
