"""A study works wherever it lies, whoever runs it, and whatever the clock says."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest
import yaml
from study import (
    copy_checkout,
    job_counts,
    results,
    run_study,
    small_study,
    snakemake,
    write_config,
)
from tiny import make_tiny_model

from polycal.storage import tables
from polycal.storage.files import replacing
from polycal.study.asked import note_trainings, read_trainings
from polycal.study.languages import load_languages

pytestmark = pytest.mark.slow

# Python reads and writes ASCII where nothing else is said, and there is no home.
C_LOCALE = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
NOBODY = {**C_LOCALE, "HOME": None, "XDG_CACHE_HOME": None, "PYTHONIOENCODING": ""}


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


def test_no_name_is_longer_than_a_file_system_takes(tmp_path):
    """With 48 of the longest codes, own ones too, and the longest names of a study.

    Beside a name there are its temporary file and its lock, and SLURM's plugin joins
    all wildcards of a job to the name of a folder.
    """

    def name(letter: str) -> str:
        """Not one letter 64 times, which Snakemake takes for an endless pattern."""
        return letter + "".join(f"{n:02}" for n in range(31)) + "z"

    codes = sorted(load_languages(), key=len)[-44:]
    own = [f"{code}-Abcdefgh" for code in ("qaa", "qab", "qac", "qad")]
    facts = {"name": "x", "script": "Latin", "class": 0, "source": "y"}
    task = {**small_study()["tasks"][0], "languages": codes + own}
    repository = "owner/repository"
    study = small_study(
        study="अध्ययन ü " * 30,
        models=[{"name": name("m"), "repo": repository, "revision": "main", "gpus": 0}],
        sft=[
            {"name": name("s"), "repo": repository, "revision": "main"}
            | {"format": "alpaca"}
        ],
        tasks=[task | {"name": name("t"), "repo": repository, "revision": "main"}],
        languages=[facts | {"code": code} for code in own],
        languages_per_job=48,
        seeds=[2**31 - 1],
    )
    write_config(tmp_path, study)
    done = snakemake(tmp_path, "--dry-run")
    assert done.returncode == 0, done.stdout[-3000:]
    kinds = ("input", "output", "log", "benchmark")
    lines = re.findall(rf"^    (?:{'|'.join(kinds)}): (.*)$", done.stdout, re.M)
    paths = {path for line in lines for path in line.split(", ")}
    longest = max(paths, key=lambda path: max(map(len, Path(path).parts)))
    with replacing(tmp_path / longest) as temporary:
        assert len(temporary.name) > len(Path(longest).name)
        temporary.write_text("")
    wildcards = re.findall(r"^    wildcards: (.*)$", done.stdout, re.M)
    joined = [
        "_".join(pair.split("=", 1)[1] for pair in line.split(", "))
        for line in wildcards
    ]
    assert len(joined) > 50
    assert 230 < max(map(len, joined)) <= 255
    note_trainings(tmp_path / "studies", study["study"], [])
    assert len(read_trainings(tmp_path / "studies").asked) == 0


def test_a_clock_that_was_set_back_by_a_day(odd, tmp_path):
    """Every file of the first run is dated tomorrow.

    Nothing runs again without need. What depends on a change does, though all of it is
    dated later than the change, and even if a run is killed in between.
    """
    study = shutil.copytree(odd, tmp_path / "study", copy_function=shutil.copy2)
    for path in study.rglob("*"):
        moment = path.stat().st_mtime + 86_400
        os.utime(path, (moment, moment))
    assert job_counts(study) == {}
    before = results(study)
    (study / "results/report/index.html").unlink()
    run_study(study)
    page = "results/report/index.html"  # names the commit of another checkout
    assert results(study) | {page: b""} == before | {page: b""}
    (path,) = study.glob("it's*/he.jsonl")
    path.write_text(path.read_text().replace('"0?"', '"What is 0?"'))
    counts = job_counts(study)
    assert (counts["prepare_task"], counts["score"], counts["measure"]) == (1, 2, 2)
    run_study(study, "resources/tasks/own/he.parquet")  # and no further
    counts = job_counts(study)
    assert "prepare_task" not in counts
    assert (counts["score"], counts["measure"]) == (2, 2)
    assert not {"tokenize", "tune", "prepare_sft"} & set(counts)


def test_a_language_s_file_is_prepared_and_scored_alone(odd, tmp_path):
    """Beside a benchmark's other files, which nothing has to read again."""
    study = shutil.copytree(odd, tmp_path / "study", copy_function=shutil.copy2)
    (path,) = study.glob("it's*/en.jsonl")
    path.with_name("sw.jsonl").write_text(path.read_text().replace("eel", "mkunga"))
    assert job_counts(study) == {}
    config = yaml.safe_load((study / "study.yaml").read_text())
    config["tasks"][0]["languages"].append("sw")
    write_config(study, config)
    counts = job_counts(study)
    assert counts.pop("prepare_task") == 1
    done = snakemake(study, "--dry-run")
    scored = re.findall(r"^    output: (results/predictions/.*)$", done.stdout, re.M)
    assert [Path(each).name for each in scored] == ["sw.parquet"] * 2
    prepared = ("prepare", "tokenize", "tune", "select")
    assert not [rule for rule in counts if rule.startswith(prepared)]
