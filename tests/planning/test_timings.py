"""Snakemake's benchmark files are read by the jobs' addresses."""

from pathlib import Path

import pyarrow as pa
import pytest

from polycal.errors import InputError
from polycal.planning.timings import Timing, read_timings, scored_files
from polycal.scoring.progress import Work
from polycal.storage import tables

HEAD = "s\th:m:s\tmax_rss\tmax_vms\n"


def save(folder: Path, address: str, *seconds: float) -> None:
    """A benchmark file as Snakemake writes it."""
    path = folder / f"{address}.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"{each:.2f}\t0:01:04\t759.72\t-\n" for each in seconds]
    path.write_text(HEAD + "".join(rows))


def save_score(folder: Path, address: str, **numbers: float) -> None:
    """What a scoring job writes."""
    path = folder / f"{address}.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    Work(**numbers).write(path)


def test_seconds_by_address(tmp_path):
    """Dots in a directory's name belong to it; repetitions are averaged."""
    save(tmp_path / "timings", "tune/m/s/ls-0.1/lr-2e-5/seed-0", 64.06)
    save(tmp_path / "timings", "make_miniature", 10, 20)
    assert read_timings(tmp_path) == {
        "tune/m/s/ls-0.1/lr-2e-5/seed-0": Timing(64.06),
        "make_miniature": Timing(15),
    }


def test_a_scoring_job_tells_its_work(tmp_path):
    """Questions, scoring and loading; a later job that scored nothing changes none."""
    address = "score/m/none/ls-0/seed-0/t/de"
    work = {"questions": 200, "scoring": 40.0, "loading": 5.5}
    save_score(tmp_path / "timings", address, **work)
    expected = {address: Timing(45.5, **work)}
    assert read_timings(tmp_path) == expected
    save_score(tmp_path / "timings", address)
    assert read_timings(tmp_path) == expected


def test_a_training_is_timed_by_its_log(tmp_path):
    """Steps alone, the validation left out: 90 / 30 + 50 / 25 seconds of 600."""
    place = "m/s/ls-0/lr-1/seed-0"
    save(tmp_path / "timings", f"tune/{place}", 600)
    line = {"model": "m", "sft": "s", "smoothing": 0.0, "lr": 1.0, "seed": 0, "step": 1}
    rows = [
        line | {"split": "train", "tokens": 90, "tokens_per_second": 30.0},
        line | {"split": "train", "tokens": 50, "tokens_per_second": 25.0},
        line | {"split": "validation", "tokens": 70},
    ]
    table = pa.Table.from_pylist(rows, tables.SCHEMAS["training_log"])
    log = tmp_path / "candidates" / place / "training_log.parquet"
    tables.write(table, log, "training_log")
    assert read_timings(tmp_path) == {f"tune/{place}": Timing(600, training=5.0)}


def test_no_folder_is_no_timings(tmp_path):
    """Before the first run there is none."""
    assert read_timings(tmp_path / "nowhere") == {}


@pytest.mark.parametrize("text", ["", HEAD, HEAD + "-\t-\t-\t-\n", "a\tb\n1\t2\n"])
def test_a_file_without_a_time_is_named(tmp_path, text):
    """One line with the path and what to do."""
    (tmp_path / "timings").mkdir()
    (tmp_path / "timings/bad.tsv").write_text(text)
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
        Timing(1.0),
    )
    assert scored_files(timings, "m/s/ls-0/seed-0", "quiz") == ["de+fr", "en"]
