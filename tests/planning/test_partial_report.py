"""The page of an unfinished study: per benchmark, and never of two measurements."""

import json
import re
import shutil

import numpy as np
import pytest

from polycal.errors import InputError
from polycal.planning.partial_report import partial_report
from polycal.reporting import measured_page as module
from polycal.reporting.harness_report import report_samples
from polycal.storage import tables

TASKS = ("quiz_en", "quiz_sw")
METRICS = "results/metrics/{}/none/ls-0/seed-0/quiz.parquet"


def log_model(folder, name, *, lift, tasks=TASKS):
    """Write what lm_eval logs of 40 questions in two languages of each benchmark."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for task in tasks:
        lines = []
        for number in range(40):
            scores = np.log(random.dirichlet([1 + lift, 1, 1, 1]))
            letters = [["Q\nAnswer:", f" {letter}"] for letter in "ABCD"]
            right = float(max(scores) == scores[0])
            lines.append(
                {
                    "doc_id": number,
                    "doc": {"id": f"q{number}", "question": "Q"},
                    "target": "A",
                    "arguments": letters,
                    "filtered_resps": [[score, False] for score in scores],
                    "acc": right,
                }
            )
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / f"samples_{task}_1.jsonl").write_text(text)
    config = {"output_type": "multiple_choice", "dataset_path": "json"}
    results = {"model_name": name, "configs": dict.fromkeys(tasks, config)}
    (folder / "results_1.json").write_text(json.dumps(results))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A study of two models, and the same measured on other answers."""
    folder = tmp_path_factory.mktemp("finished")
    for name, lifts in (("old", (1, 1)), ("new", (1, 9))):
        for model, lift in zip("ab", lifts, strict=True):
            log_model(folder / "logged" / name / model, model, lift=lift)
        report_samples(folder=folder / "logged" / name, out=folder / name)
    return folder


@pytest.fixture
def study(finished, tmp_path):
    """A copy of the first, whose files a test may replace."""
    shutil.copytree(finished / "old", tmp_path / "study")
    return tmp_path / "study"


def measure_again(study, finished, kinds=("metrics", "reliability", "replicates")):
    """Replace what is measured of a model, as a job does; return its paths."""
    for kind in kinds:
        path = METRICS.format("b").replace("metrics", kind)
        (study / path).unlink()
        shutil.copy(finished / "new" / path, study / path)


def make_page(study):
    partial_report(config=study / "study.yaml", results=study / "results")


def accuracies(folder):
    """Of the second model, as the page's tables have them."""
    table = tables.read(folder / "results/partial/metrics.parquet", "metrics")
    rows = tables.where(table, model="b", metric="accuracy", subset="all")
    return dict(
        zip(rows["language"].to_pylist(), rows["value"].to_pylist(), strict=True)
    )


def test_a_run_that_is_measured_again_meanwhile_is_read_again(
    study, finished, monkeypatch
):
    """Every table of the page is of its second measurement."""
    assert accuracies(finished / "old") != accuracies(finished / "new")
    contrast, calls = module.contrast, []

    def interrupted(**given):
        if not calls:
            measure_again(study, finished)
        calls.append(given)
        contrast(**given)

    monkeypatch.setattr(module, "contrast", interrupted)
    make_page(study)
    assert len(calls) == 2
    assert accuracies(study) == accuracies(finished / "new")
    for name in ("contrasts", "summary", "decompositions"):
        path = f"results/partial/{name}.parquet"
        ours, theirs = (
            tables.read(folder / path, name) for folder in (study, finished / "new")
        )
        assert ours.equals(theirs), name


def test_a_file_that_goes_while_it_is_read_leaves_its_run_out(
    study, finished, monkeypatch
):
    """Snakemake removes what a job is about to write."""
    aggregate, calls = module.aggregate, []

    def interrupted(**given):
        (study / METRICS.format("b")).unlink(missing_ok=True)
        calls.append(given)
        aggregate(**given)

    monkeypatch.setattr(module, "aggregate", interrupted)
    make_page(study)
    assert [len(given["metrics"]) for given in calls] == [2, 1]
    assert accuracies(study) == {}
    page = (study / "results/partial/index.html").read_text()
    assert "Not measured yet: 1 of 2 runs (b/none/ls-0/seed-0)." in page


def test_jobs_that_never_rest_are_told(study, finished, monkeypatch):
    """The page before stays; a table that is broken is named as such."""
    page = (study / "results/partial/index.html").read_bytes()
    analyse = module.analyse

    def interrupted(**given):
        analyse(**given)
        measure_again(study, finished, ["reliability"])

    monkeypatch.setattr(module, "analyse", interrupted)
    with pytest.raises(InputError, match=r"jobs write below .*results .*, 3 times"):
        make_page(study)
    assert (study / "results/partial/index.html").read_bytes() == page
    (study / METRICS.format("a")).write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"quiz\.parquet is not a complete Parquet"):
        make_page(study)


def test_each_benchmark_has_the_runs_that_are_measured_on_it(tmp_path):
    """One model lacks a benchmark: its other one is compared, and the page says so.

    Nothing that goes on reads the page again but where jobs are still to come.
    """
    logged = tmp_path / "logged"
    log_model(logged / "a", "a", lift=1, tasks=(*TASKS, "exam_en", "exam_sw"))
    log_model(logged / "b", "b", lift=9)
    study = tmp_path / "study"
    report_samples(folder=logged, out=study)
    path = study / "results/partial/index.html"
    imported = path.read_text()
    make_page(study)
    page = path.read_text()
    said = "Not measured yet: 1 of 2 runs on exam (b/none/ls-0/seed-0)."
    assert said in imported
    assert said in page
    assert "<progress" not in imported
    bar = r'<label>measure <progress value="3" max="4"></progress> 3 of 4</label>'
    assert re.search(bar, page)
    assert 'id="task-quiz"' in page
    assert 'id="task-exam"' in page
    rows = tables.read(study / "results/partial/metrics.parquet", "metrics")
    pairs = rows.select(["model", "task"]).group_by(["model", "task"]).aggregate([])
    assert sorted(map(tuple, (row.values() for row in pairs.to_pylist()))) == [
        ("a", "exam"),
        ("a", "quiz"),
        ("b", "quiz"),
    ]
    path = study / "results/partial/contrasts.parquet"
    assert set(tables.read(path, "contrasts")["task"].to_pylist()) == {"quiz"}


def test_files_that_the_verb_did_not_make_are_kept(study):
    """In its usual place, too."""
    (study / "results/partial/provenance.json").unlink()
    before = {path: path.stat().st_ino for path in study.rglob("*")}
    with pytest.raises(InputError, match=r"partial holds files that .* did not make"):
        make_page(study)
    for own in ("results", "results/metrics", "."):
        with pytest.raises(InputError, match=r"holds files that .* did not make"):
            partial_report(
                config=study / "study.yaml",
                results=study / "results",
                out=study / own,
            )
    assert {path: path.stat().st_ino for path in study.rglob("*")} == before


def test_a_report_of_samples_is_written_again(study, finished):
    """Into its own folder, but not into one that another verb made."""
    report_samples(folder=finished / "logged" / "new", out=study)
    assert accuracies(study) == accuracies(finished / "new")
    (study / "provenance.json").unlink()
    with pytest.raises(InputError, match=r"study holds files that .* did not make"):
        report_samples(folder=finished / "logged" / "new", out=study)
