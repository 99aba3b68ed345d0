"""A study works wherever it lies, whoever runs it, and whatever the clock says."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest
from study import (
    REPOSITORY,
    job_counts,
    results,
    run_study,
    small_study,
    snakemake,
    write_config,
)
from tiny import make_tiny_model

from polycal.storage import tables

pytestmark = pytest.mark.slow

# Python reads and writes ASCII where nothing else is said, and there is no home.
C_LOCALE = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
NOBODY = {**C_LOCALE, "HOME": None, "XDG_CACHE_HOME": None, "PYTHONIOENCODING": ""}


def copy_checkout(folder: Path) -> Path:
    """What Snakemake reads of this checkout, in another place."""
    for name in ("Snakefile", "workflow", "envs", "profiles", "src"):
        own = REPOSITORY / name
        copy = shutil.copytree if own.is_dir() else shutil.copyfile
        folder.mkdir(parents=True, exist_ok=True)
        copy(own, folder / name)
    return folder


def write_sources(directory: Path) -> dict:
    """A study whose model, SFT set and benchmark lie in folders with odd names."""
    shutil.copytree(make_tiny_model(directory / "tiny"), directory / "a {model}")
    shutil.rmtree(directory / "tiny")
    (directory / "a {model}/provenance.json").unlink()
    bench, sft = directory / "it's {bench}", directory / "$my {s}ft"
    for folder in (bench, sft):
        folder.mkdir()
    for code, fish in (("en", "eel"), ("he", "צלופח")):
        rows = [
            {"question": f"{number}?", "a": fish, "b": "ü", "answer": "AB"[number % 2]}
            for number in range(20)
        ]
        (bench / f"{code}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    rows = [
        {"instruction": f"what is {n} ?", "input": "", "output": f"a red {n}"}
        for n in range(40)
    ]
    (sft / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    format = {"splits": {"test": "test"}, "question": "question"}
    format |= {"options": ["a", "b"], "gold": {"answer": "letter"}}
    task = {"name": "own", "repo": "./it's {bench}", "format": format}
    study = small_study(
        models=[{"name": "m", "repo": "./a {model}", "gpus": 0}],
        sft=[{"name": "s", "repo": "./$my {s}ft", "format": "alpaca"}],
        tasks=[task | {"languages": ["en", "he"]}],
        smoothing=[0.1],
        statistics={"replicates": 100},
    )
    study["recipe"]["lr"] = [1e-3]
    return study


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """A whole study from an empty folder, by a checkout in `it's/`.

    In the C locale and without a home: the folders' names are ASCII, what is in the
    files is not.
    """
    root = tmp_path_factory.mktemp("places")
    checkout, directory = copy_checkout(root / "it's $a/check out"), root / "br{a}ce's"
    directory.mkdir()
    write_config(directory, write_sources(directory))
    done = snakemake(
        directory,
        *("--cores", "all", "--show-failed-logs"),
        snakefile=checkout / "Snakefile",
        **NOBODY,
    )
    assert done.returncode == 0, done.stdout[-8000:]
    return directory


def test_a_study_in_odd_folders_reaches_its_report(odd):
    """Quotes, braces and dollars in every path; letters that ASCII lacks."""
    assert (odd / "results/report/index.html").stat().st_size > 10_000
    questions = tables.read(odd / "resources/tasks/own/he.parquet", "questions")
    assert questions["options"].to_pylist()[0] == ["צלופח", "ü"]
    assert job_counts(odd) == {}


def test_a_change_behind_braces_runs_what_depends_on_it(odd, tmp_path):
    """As behind any other name; and undone, nothing."""
    study = shutil.copytree(odd, tmp_path / "{copy}", copy_function=shutil.copy2)
    (path,) = study.glob("it's*/en.jsonl")
    text = path.read_text()
    path.write_text(text.replace("eel", "owl"))
    counts = job_counts(study)
    assert counts["prepare_task"] == 1
    assert not {"prepare_model", "prepare_sft", "tune"} & set(counts)
    path.write_text(text)
    assert job_counts(study) == {}


def test_a_checkout_behind_braces_is_refused_in_one_line(tmp_path):
    """Snakemake itself takes the path of an environment's file for a pattern."""
    checkout = copy_checkout(tmp_path / "br{a}ce")
    write_config(tmp_path, small_study())
    snakefile = checkout / "Snakefile"
    done = snakemake(tmp_path, "--dry-run", snakefile=snakefile)
    assert done.returncode != 0
    assert "br{a}ce for wildcards; move the checkout" in done.stdout
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize("days", [-1, 1])
def test_a_clock_that_was_set_by_a_day_runs_nothing_again(odd, tmp_path, days):
    """Every file of the first run lies a day in the future, or in the past.

    What is made after it is used, though files that it depends on may be newer; and
    what depends on a change is made again.
    """
    study = shutil.copytree(odd, tmp_path / "study", copy_function=shutil.copy2)
    now = time.time() + days * 86_400
    for path in study.rglob("*"):
        if path.name != "study.yaml":
            seconds = path.stat().st_mtime - time.time()
            os.utime(path, (now + seconds, now + seconds))
    assert job_counts(study) == {}
    before = results(study)
    (study / "results/report/index.html").unlink()
    gone = sorted(study.glob("results/metrics/**/*.parquet"))[0]
    gone.unlink()
    run_study(study)
    assert gone.exists()
    assert results(study) == before
    assert job_counts(study) == {}
    (path,) = study.glob("it's*/he.jsonl")
    path.write_text(path.read_text().replace("ü", "ö"))
    counts = job_counts(study)
    assert (counts["prepare_task"], counts["score"], counts["measure"]) == (1, 2, 2)
