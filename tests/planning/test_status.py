"""`polycal status` counts what jobs have left behind, and touches nothing."""

import re
import shutil

import pytest
from made_up import make_study
from study import small_study, write_config
from test_timings import save

from polycal.cli import main

TUNE = "tune/miniature/alpaca-en/ls-{}/lr-{}/seed-0"


@pytest.fixture
def tell(tmp_path, capsys):
    """Ask about the small study in a folder, and return what was printed."""
    config = write_config(tmp_path, small_study())

    def tell():
        folders = {"logs": "logs", "timings": "timings", "measured": "m"}
        flags = [f"--{flag}={tmp_path / name}" for flag, name in folders.items()]
        flags.append(f"--resources={tmp_path / 'resources'}")
        before = sorted(tmp_path.rglob("*"))
        main(["status", "--config", str(config), *flags])
        assert sorted(tmp_path.rglob("*")) == before
        return capsys.readouterr().out

    return tell


def cells(text, name):
    """The cells of the line of a stage."""
    return re.search(rf"^{name} .*$", text, re.MULTILINE)[0].split()[1:]


def test_a_study_that_has_not_begun(tell):
    """Two values of smoothing at two rates; three runs, each in three batches."""
    text = tell()
    assert cells(text, "tune") == ["4", "0", "0", "0", "4", "?"]
    assert cells(text, "score") == ["9", "0", "0", "0", "9", "?"]
    assert "Nothing is measured yet" in text


def test_done_running_and_failed_jobs_are_told_apart(tell, tmp_path):
    """By a timing, by a log alone, and by the last words of a log.

    One training took half an hour, so the three others will take one and a half.
    """
    save(tmp_path / "timings", TUNE.format(0, "0.001"), 1800)
    for address, words in (
        (TUNE.format(0, "0.001"), "step 2 of 2\n"),
        (TUNE.format(0, "0.002"), "step 1 of 2\n"),
        (TUNE.format(0.1, "0.001"), "step 1 of 2\npolycal tune: no space left\n"),
        (TUNE.format(0.1, "0.002"), "Traceback ...\nValueError: a defect\n"),
    ):
        log = tmp_path / "logs" / f"{address}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(words)
    text = tell()
    assert cells(text, "tune") == ["4", "1", "1", "2", "0", "1.5"]
    failed = re.findall(r"^failed: (\S+)$", text, re.MULTILINE)
    assert [path.split("logs/tune/miniature/alpaca-en/")[1] for path in failed] == [
        "ls-0.1/lr-0.001/seed-0.log",
        "ls-0.1/lr-0.002/seed-0.log",
    ]


def test_the_first_numbers_are_shown(tell, tmp_path):
    """Of every condition that is measured, with its number of languages."""
    (tmp_path / "m").mkdir()
    paths = make_study(tmp_path / "made-up", smoothing=(0.0, 0.1))
    shutil.copy(paths["metrics"], tmp_path / "m")
    text = tell()
    assert "Measured so far" in text
    assert re.search(r"SFT, smoothing 0\.1 .* \d+ +\d+\.\d +\d+\.\d", text)
