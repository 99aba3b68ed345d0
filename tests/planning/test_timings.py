"""Snakemake's benchmark files are read by the jobs' addresses."""

from pathlib import Path

import pytest

from polycal.errors import InputError
from polycal.planning.timings import read_timings, scored_files

HEAD = "s\th:m:s\tmax_rss\tmax_vms\n"


def save(folder: Path, address: str, *seconds: float) -> None:
    """A benchmark file as Snakemake writes it."""
    path = folder / f"{address}.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"{each:.2f}\t0:01:04\t759.72\t-\n" for each in seconds]
    path.write_text(HEAD + "".join(rows))


def test_seconds_by_address(tmp_path):
    """Dots in a directory's name belong to it; repetitions are averaged."""
    save(tmp_path, "tune/m/s/ls-0.1/lr-2e-5/seed-0", 64.06)
    save(tmp_path, "make_miniature", 10, 20)
    assert read_timings(tmp_path) == {
        "tune/m/s/ls-0.1/lr-2e-5/seed-0": 64.06,
        "make_miniature": 15,
    }


def test_no_folder_is_no_timings(tmp_path):
    """Before the first run there is none."""
    assert read_timings(tmp_path / "nowhere") == {}


@pytest.mark.parametrize("text", ["", HEAD, HEAD + "-\t-\t-\t-\n", "a\tb\n1\t2\n"])
def test_a_file_without_a_time_is_named(tmp_path, text):
    """One line with the path and what to do."""
    (tmp_path / "bad.tsv").write_text(text)
    with pytest.raises(InputError, match=r"bad\.tsv holds no seconds.*delete it"):
        read_timings(tmp_path)


def test_the_files_of_one_run_and_task():
    """Another run's, and another task's, are not among them."""
    timings = dict.fromkeys(
        [
            "score/m/s/ls-0/seed-0/quiz/de+fr",
            "score/m/s/ls-0/seed-0/quiz/en",
            "score/m/s/ls-0/seed-0/quiz_lite/en",
            "score/m/s/ls-0.1/seed-0/quiz/hi",
            "tune/m/s/ls-0/lr-1/seed-0",
        ],
        1.0,
    )
    assert scored_files(timings, "m/s/ls-0/seed-0", "quiz") == ["de+fr", "en"]
