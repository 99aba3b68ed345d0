"""`polycal status` counts what jobs have left behind, and touches nothing."""

import io
import os
import re
import shutil

import pandas as pd
import pyarrow as pa
import pytest
from made_up import make_study
from study import small_study, write_config
from test_jobs import save

from polycal.cli import main
from polycal.planning import status as module
from polycal.planning.jobs import Job
from polycal.storage import tables
from polycal.study.layout import number

TUNE = "tune/miniature/alpaca-en/ls-{}/lr-{}/seed-0"


@pytest.fixture
def tell(tmp_path, capsys):
    """Ask about the small study in a folder, and return what was printed."""
    config = write_config(tmp_path, small_study())

    def tell():
        folders = {"logs": "logs", "results": ".", "resources": "resources"}
        flags = [f"--{flag}={tmp_path / name}" for flag, name in folders.items()]
        before = sorted(tmp_path.rglob("*"))
        main(["status", "--config", str(config), *flags])
        assert sorted(tmp_path.rglob("*")) == before
        return capsys.readouterr().out

    return tell


def cells(text, name):
    """The cells of the line of a stage."""
    return re.search(rf"^{name} .*$", text, re.MULTILINE)[0].split()[1:]


def test_a_study_that_has_not_begun(tell):
    """Two values of smoothing at two rates; three runs, each in two batches."""
    text = tell()
    assert cells(text, "tune") == ["4", "0", "0", "0", "4", "?"]
    assert cells(text, "score") == ["6", "0", "0", "0", "6", "?"]
    assert cells(text, "measure") == ["6", "0", "0", "0", "6", "?"]
    assert "Nothing is measured yet" in text


def test_done_running_and_failed_jobs_are_told_apart(tell, tmp_path):
    """By a timing, by a log alone, and by the last words of a log.

    One training took half an hour, so the three others will take one and a half.
    """
    save(tmp_path / "timings", TUNE.format(0, "0.001"), 1800)
    for address, words in (
        (TUNE.format(0, "0.001"), "step 2 of 2\n"),
        (TUNE.format(0, "0.002"), "step 1 of 2: loss 3.0\nsome other line\n"),
        (TUNE.format(0.1, "0.001"), "step 1 of 2\npolycal tune: no space left\n"),
        (TUNE.format(0.1, "0.002"), "Traceback ...\nValueError: a defect\n"),
    ):
        log = tmp_path / "logs" / f"{address}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(words)
    text = tell()
    assert cells(text, "tune") == ["4", "1", "1", "2", "0", "1.5"]
    (at,) = re.findall(r"^at .*$", text, re.MULTILINE)
    assert re.fullmatch(r"at step 1 of 2: \S+ls-0/lr-0.002/seed-0.log", at)
    failed = re.findall(r"^failed: (\S+)$", text, re.MULTILINE)
    assert [path.split("logs/tune/miniature/alpaca-en/")[1] for path in failed] == [
        "ls-0.1/lr-0.001/seed-0.log",
        "ls-0.1/lr-0.002/seed-0.log",
    ]


def test_a_scoring_says_how_far_it_is(tell, tmp_path):
    """By the last of its lines a minute, and not by the lines of its parts."""
    log = tmp_path / "logs/score/miniature/none/ls-0/seed-0/mmlu_prox/en+zh.log"
    log.parent.mkdir(parents=True)
    log.write_text(
        "INFO: 100 of 400 questions, 6.0 minutes left\n"
        "INFO: 300 of 400 questions, 2.0 minutes left\n"
        "INFO: mmlu_prox, en, text: 200 questions in 9.0 s, 22.2 questions/s\n"
    )
    assert f"at 300 of 400 questions, 2.0 minutes left: {log}" in tell()


def test_a_job_that_says_nothing_is_named(tell, tmp_path, monkeypatch):
    """It may have been killed; of one that has just spoken nothing is said."""
    logs = [
        tmp_path / "logs" / f"{TUNE.format(0, rate)}.log" for rate in ("0.001", "0.002")
    ]
    for log in logs:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("step 1 of 2\n")
    now = logs[1].stat().st_mtime
    monkeypatch.setattr(module.time, "time", lambda: now)
    os.utime(logs[1], (now - 3600, now - 3600))
    text = tell()
    assert cells(text, "tune")[2] == "2"
    assert re.findall(r"^silent .*$", text, re.MULTILINE) == [
        f"silent for 60 minutes: {logs[1]}"
    ]


def test_the_first_numbers_are_shown(tell, tmp_path):
    """Of every condition of the study that is measured, over the study's languages.

    A table of another seed, the rows of a language that was taken out, calibrated
    scores and parts of the questions do not count.
    """
    paths = make_study(tmp_path / "made-up", seeds=(0, 1))
    rows = tables.read(paths["metrics"], "metrics").to_pandas()
    for run, own in rows.groupby(["model", "sft", "smoothing", "seed"]):
        model, sft, smoothing, seed = run
        tail = f"{model}/{sft}/ls-{number(smoothing)}/seed-{seed}/global_mmlu.parquet"
        calibrated = own.assign(calibrator="ts_own", value=own["value"] + 0.2)
        part = own.assign(subset="agnostic", value=own["value"] - 0.2)
        whole = pd.concat([own, calibrated, part])
        table = pa.Table.from_pandas(whole, preserve_index=False)
        (tmp_path / "metrics" / tail).parent.mkdir(parents=True)
        tables.write(table, tmp_path / "metrics" / tail, "metrics")
    own = rows[
        (rows["smoothing"] == 0.1)
        & (rows["seed"] == 0)
        & (rows["scoring"] == "text")
        & (rows["normaliser"] == "token")
        & (rows["subset"] == "all")
        & (rows["calibrator"] == "none")
        & rows["language"].isin(["en", "he", "sw"])
    ]
    text = tell()
    assert "Measured so far" in text
    (line,) = re.findall(r"SFT, smoothing 0\.1 .* text +.*$", text, re.MULTILINE)
    means = own.groupby("metric")["value"].mean()
    metrics = ("accuracy", "confidence", "gap", "ece")
    assert line.split()[-5:] == ["3", *(f"{100 * means[name]:.1f}" for name in metrics)]


def test_files_that_go_while_it_looks_are_no_error(tell, tmp_path, monkeypatch):
    """A job that runs again loses its log, timing and tables first."""
    paths = make_study(tmp_path / "made-up")
    tail = "metrics/miniature/alpaca-en/ls-0/seed-0/global_mmlu.parquet"
    (tmp_path / tail).parent.mkdir(parents=True)
    (tmp_path / tail).write_bytes(paths["metrics"].read_bytes())
    address = TUNE.format(0, "0.001")
    save(tmp_path / "timings", address, 1800)
    log = tmp_path / "logs" / f"{TUNE.format(0, '0.002')}.log"
    log.parent.mkdir(parents=True)
    log.write_text("step 1 of 2\n")
    assert cells(tell(), "tune")[1:3] == ["1", "1"]
    gone = (log, tmp_path / "timings" / f"{address}.tsv", tmp_path / tail)
    opening = io.open

    def remove(path, *given, **more):
        if path in gone:
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return opening(path, *given, **more)

    def read(path, kind):
        raise FileNotFoundError(2, "No such file or directory", str(path))

    monkeypatch.setattr(io, "open", remove)
    monkeypatch.setattr(tables, "read", read)
    text = tell()
    assert cells(text, "tune")[1:3] == ["0", "0"]
    assert "Nothing is measured yet" in text


def test_watching_ends_with_the_study(tmp_path, capsys, monkeypatch):
    """It looks again after the seconds that were said, until a new page is there.

    A page that is older than what is measured is one that will be written again.
    """
    config = write_config(tmp_path, small_study())
    page = tmp_path / "report/index.html"
    page.parent.mkdir()
    page.write_text("")
    measured = tmp_path / "metrics/miniature/none/ls-0/seed-0/global_mmlu.parquet"
    measured.parent.mkdir(parents=True)
    shutil.copy(make_study(tmp_path / "made-up")["metrics"], measured)
    os.utime(page, (0, 0))
    waits = []
    monkeypatch.setattr(
        module, "list_all_jobs", lambda *_: [made_job(done=len(waits) > 1)]
    )

    def sleep(seconds):
        waits.append(seconds)
        if len(waits) == 3:
            page.unlink()  # a job begins to write it
        elif len(waits) == 4:
            page.write_text("")

    monkeypatch.setattr(module.time, "sleep", sleep)
    flags = ["--config", str(config), "--results", str(tmp_path), "--logs", "none"]
    main(["status", *flags, "--watch", "2.5"])
    assert waits == [2.5] * 4
    looks = re.findall(r"^measure +1 +(\d)", capsys.readouterr().out, re.MULTILINE)
    assert looks == ["0", "0", "1", "1", "1"]  # done, and only then a page
    main(["status", *flags, "--watch"])  # it is done
    assert len(waits) == 4
    with pytest.raises(SystemExit, match=r"--watch is 0; give seconds above 0"):
        main(["status", *flags, "--watch", "0"])


def made_job(*, done):
    """A measurement."""
    return Job("measure", "measure/a", "a", ("measure",), 0, 0.0, None, done=done)
