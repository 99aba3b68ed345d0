"""The workflow is tested by running it: whole, again, grown, broken and killed."""

import contextlib
import ctypes
import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import yaml
from study import (
    MEASURED,
    REPOSITORY,
    job_counts,
    jobs_of,
    measured,
    results,
    run_study,
    small_study,
    snakemake,
    snakemake_command,
    wait_until,
    write_config,
)

from polycal.cli import main
from polycal.storage import tables
from polycal.storage.files import exclusive

pytestmark = pytest.mark.slow

AGGREGATES = {
    "check_task": 1,
    "aggregate": 1,
    "contrast": 1,
    "analyse": 1,
    "draw": 4,
    "tabulate": 4,
    "report": 1,
}


# Of a user, in the environment of every job; nothing may write them down.
SECRETS = {"HF_TOKEN": "hf_neverwritethis", "WANDB_API_KEY": "0123neverwritethat4567"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A small study that has run to its end, undisturbed."""
    directory = tmp_path_factory.mktemp("finished") / "study"
    write_config(directory, small_study())
    with pytest.MonkeyPatch.context() as patch:
        for name, secret in SECRETS.items():
            patch.setenv(name, secret)
        run_study(directory)
    return directory


@pytest.fixture
def study(finished, tmp_path):
    """A copy of the finished study, with its times, that a test may spoil."""
    directory = tmp_path / "study"
    subprocess.run(["cp", "-a", str(finished), str(directory)], check=True)
    return directory


def write_part(directory, **changes):
    """The config with one smoothing value and one task, for a third of the jobs."""
    tasks = small_study()["tasks"][:1]
    write_config(directory, small_study(smoothing=[0.1], tasks=tasks, **changes))


def part_of(finished):
    """What such a study measures, by the finished one."""
    return {
        name: content
        for name, content in measured(finished).items()
        if "/alpaca-en/ls-0/" not in name and "global_mmlu" in name
    }


def take_prepared(finished, directory):
    """Copy what a study has made before its first training, with its times."""
    for part in ("resources", "results/checks"):
        target = directory / part
        target.parent.mkdir(exist_ok=True)
        subprocess.run(["cp", "-a", finished / part, target], check=True)


def test_no_file_of_a_study_holds_a_token(finished):
    """Neither results, logs and provenance nor what Snakemake notes of its jobs."""
    files = [path for path in finished.rglob("*") if path.is_file()]
    assert len(files) > 100
    for path in files:
        content = path.read_bytes()
        for secret in SECRETS.values():
            assert secret.encode() not in content, path


def test_the_embedded_study_expands_to_the_arithmetic(tmp_path):
    """Jobs per rule are what models x sft x smoothing x seeds x languages give."""
    config = yaml.safe_load((REPOSITORY / "config.yaml").read_text())
    write_config(tmp_path, config)
    models, seeds = len(config["models"]), len(config["seeds"])
    tuned = models * len(config["sft"]) * len(config["smoothing"]) * seeds
    runs = models + tuned
    batches = sum(
        -(-len(task["languages"]) // config["languages_per_job"])
        for task in config["tasks"]
    )
    assert [len(task["languages"]) for task in config["tasks"]] == [42, 29]
    assert job_counts(tmp_path) == {
        "make_miniature": 1,
        "prepare_model": models,
        "prepare_sft": len(config["sft"]),
        "prepare_task": 42 + 29,
        "check_task": 2,
        "tokenize": models * len(config["sft"]),
        "tune": tuned * len(config["recipe"]["lr"]),
        "select": tuned,
        "score": runs * batches,
        "measure": runs * 2,
        "aggregate": 1,
        "contrast": 1,
        "analyse": 1,
        "list_runs": 1,
        "find_shifts": models * len(config["sft"]) * 2,
        "draw": len(config["scoring"]) * 2,
        "tabulate": len(config["scoring"]) * 2,
        "report": 1,
    }


def test_the_study_is_complete(finished):
    """Every run, task and language of the config is in the study's tables."""
    metrics = tables.read(finished / "results/metrics.parquet", "metrics").to_pandas()
    asked = {("global_mmlu", code) for code in ("en", "he", "sw")}
    asked |= {("mmlu_prox", code) for code in ("en", "zh")}
    runs = {("none", 0.0), ("alpaca-en", 0.0), ("alpaca-en", 0.1)}
    found = set(
        metrics[["sft", "smoothing", "task", "language"]].itertuples(index=False)
    )
    assert found == {(*run, *place) for run in runs for place in asked}
    assert (finished / "results/report/index.html").stat().st_size > 10_000
    claims = tables.read(finished / "results/claims.parquet", "claims").to_pandas()
    # By text; a model of four steps gives one letter, whatever is asked. No language of
    # the second task is low-resource, as four claims want it.
    judged = claims.groupby(["task", "scoring"])["estimate"].count()
    by_text = judged.xs("text", level="scoring")
    assert by_text.to_dict() == {"global_mmlu": 12, "mmlu_prox": 8}
    unjudged = claims[claims["estimate"].isna()]
    assert unjudged["reason"].str.len().min() > 0
    assert len(claims) == 2 * (2 * 12 + 1)
    primary = claims[claims["family"] == "primary"]
    assert set(primary["task"]) == {"global_mmlu"}


def test_touching_nothing_runs_nothing(study):
    """A finished study has no job left, nor after its code's times changed."""
    (REPOSITORY / "src/polycal/measuring/measure.py").touch()
    assert job_counts(study) == {}


def test_local_data_run_by_their_bytes(tmp_path):
    """Touched and copied: nothing. Rewritten in place: what was made of them.

    The user's own times stay. A language that they lack is told before anything runs.
    """
    row = {"question": "Which is a fish?", "a": "eel", "b": "owl", "answer": "A"}
    bench = tmp_path / "bench"
    bench.mkdir()
    (bench / "en.jsonl").write_text(json.dumps(row))
    format = {"splits": {"test": "test"}, "question": "question"}
    format |= {"options": ["a", "b"], "gold": {"answer": "letter"}}
    task = {"name": "own", "repo": "./bench", "format": format, "languages": ["en"]}
    write_config(tmp_path, small_study(tasks=[task]))
    target = ("--cores", "1", "resources/tasks/own/en.parquet")
    run_study(tmp_path, target[-1])
    (bench / "en.jsonl").touch()
    assert job_counts(tmp_path, *target) == {}
    shutil.copytree(bench, tmp_path / "copy", copy_function=shutil.copyfile)
    shutil.rmtree(bench)
    (tmp_path / "copy").rename(bench)
    os.utime(bench)
    assert job_counts(tmp_path, *target) == {}
    for text, jobs in (({"b": "cat"}, {"prepare_task": 1}), ({}, {})) * 2:
        (bench / "en.jsonl").write_text(json.dumps(row | text))
        times = [path.stat().st_mtime_ns for path in (bench, bench / "en.jsonl")]
        assert job_counts(tmp_path, *target) == jobs
        after = [path.stat().st_mtime_ns for path in (bench, bench / "en.jsonl")]
        assert after == times
    (bench / "en.jsonl").write_text(json.dumps(row | {"b": "cat"}))
    run_study(tmp_path, target[-1])
    assert job_counts(tmp_path, *target) == {}
    (bench / "en.jsonl").write_text(json.dumps(row))
    assert job_counts(tmp_path, *target) == {"prepare_task": 1}
    write_config(tmp_path, small_study(tasks=[task | {"languages": ["en", "sw"]}]))
    done = snakemake(tmp_path, "--dry-run", target[-1])
    assert "tasks.own: ./bench does not offer 'sw'; it offers: en" in done.stdout


def test_a_word_of_the_study_s_own_prepares_its_language_only(tmp_path):
    """Where the format takes it; what is prepared holds the word."""
    row = {"question": "Which is a fish?", "a": "eel", "b": "owl", "answer": "A"}
    format = {"splits": {"test": "test"}, "question": "question", "lead_in": "own"}
    format |= {"options": ["a", "b"], "gold": {"answer": "letter"}}
    (tmp_path / "bench").mkdir()
    for code in ("en", "sw"):
        (tmp_path / "bench" / f"{code}.jsonl").write_text(json.dumps(row))
    task = {"name": "own", "repo": "./bench", "format": format}
    plain = task | {"name": "plain", "format": format | {"lead_in": "Answer:"}}
    tasks = [each | {"languages": ["en", "sw"]} for each in (task, plain)]
    write_config(tmp_path, small_study(tasks=tasks))
    target = [
        f"resources/tasks/{name}/{code}.parquet"
        for name in ("own", "plain")
        for code in ("en", "sw")
    ]
    run_study(tmp_path, *target)
    words = [{"code": "sw", "lead_in": "Jawabu:"}]
    write_config(tmp_path, small_study(tasks=tasks, languages=words))
    assert job_counts(tmp_path, "--cores", "1", *target) == {"prepare_task": 1}
    run_study(tmp_path, *target)
    found = [
        tables.read(tmp_path / path, "questions")["lead_in"].to_pylist()
        for path in target
    ]
    assert found == [["Answer:"], ["Jawabu:"], ["Answer:"], ["Answer:"]]


def test_an_added_language_runs_for_itself_only(study, finished):
    """Dry: its questions, one score a run, the task's measures, and the aggregates.

    What is measured are the questions that all languages share, so the task is measured
    again in each run, from the scores that it has.
    """
    config = small_study()
    config["tasks"][0]["languages"].append("zh")
    write_config(study, config)
    expected = {"prepare_task": 1, "score": 3, "measure": 3, "find_shifts": 1}
    expected |= AGGREGATES
    assert job_counts(study) == expected

    before = measured(finished)
    run_study(study, MEASURED)
    after = measured(study)
    kept = [name for name in before if name.startswith("results/predictions")]
    assert kept
    assert all(after[name] == before[name] for name in kept)
    new = [name for name in after if name not in before]
    assert sorted(Path(name).name for name in new) == ["zh.parquet"] * 3
    metrics = tables.read(study / "results/metrics.parquet", "metrics")
    assert "zh" in tables.where(metrics, task="global_mmlu")["language"].to_pylist()
    left = {"check_task", "aggregate", "prepare_task", "score", "measure"}
    assert not left & set(job_counts(study))


def test_how_a_task_is_asked_is_in_the_command(tmp_path):
    """Of its own scoring jobs only."""
    config = small_study(sft=[], recipe={}, max_questions=50, question_seed=7)
    config["tasks"][0] |= {"prompt": "chat", "shots_as": "turns", "max_questions": 20}
    config["tasks"][0] |= {"languages": ["he", "sw"], "questions": "identical"}
    config["tasks"][1] |= {"questions": "own"}
    write_config(tmp_path, config)
    done = snakemake(tmp_path, "--dry-run", "--printshellcmds")
    commands = re.findall(r"polycal score .*", done.stdout)
    chat, plain = sorted(commands, key=lambda command: "mmlu_prox" in command)
    for command, words in (
        (
            chat,
            "--max-questions 20 --prompt chat --question-seed 7 --reference "
            "resources/tasks/global_mmlu/he.parquet --shots 0 --shots-as turns",
        ),
        (
            plain,
            "--max-questions 50 --prompt plain --question-seed 7 --shots 0 "
            "--shots-as text --dtype auto",
        ),
    ):
        assert words in command
    assert "--resampled-as" not in done.stdout
    config["tasks"].append({**config["tasks"][0], "name": "again", "prompt": "plain"})
    write_config(tmp_path, config)
    done = snakemake(tmp_path, "--dry-run", "--printshellcmds")
    (measured,) = re.findall(r"polycal measure .*--resampled-as .*", done.stdout)
    assert "/again.parquet" in measured
    assert "--resampled-as global_mmlu" in measured
    assert "--same-questions again=global_mmlu" in done.stdout


def test_a_trial_grows_by_what_is_new(tmp_path):
    """From 20 questions to 100, every run scores 80 more in every language.

    Another dtype scores all of them again, and is named by the tables.
    """
    config = small_study(sft=[], recipe={})
    del config["tasks"][1]
    write_config(tmp_path, config)

    def read(limit: int) -> tuple[int, pa.Table]:
        run_study(tmp_path, "--config", f"max_questions={limit}", "--", MEASURED)
        (timing,) = tmp_path.glob("results/timings/score/**/*.tsv")
        names, values = (line.split("\t") for line in timing.read_text().splitlines())
        (path,) = tmp_path.glob("results/predictions/**/*.parquet")
        scored = int(dict(zip(names, values, strict=True))["questions"])
        return scored, tables.read(path, "predictions")

    n_files, n_scorings = 3, 2
    scored, few = read(20)
    assert scored == len(few) == 20 * n_files * n_scorings
    names = {
        frozenset(tables.where(few, language=code)["question_id"].to_pylist())
        for code in ("en", "he", "sw")
    }
    assert len(names) == 1
    assert job_counts(tmp_path, "--config", "max_questions=20", "--", MEASURED) == {}
    scored, every = read(100)
    assert scored == 80 * n_files * n_scorings
    rows = every.to_pylist()
    assert len(rows) == 100 * n_files * n_scorings
    assert [row for row in rows if row in few.to_pylist()] == few.to_pylist()
    metrics = tables.read(tmp_path / MEASURED, "metrics")
    assert set(metrics["n_questions"].to_pylist()) >= {100}

    def read_asked() -> tuple[int, list[str]]:
        asked = tables.read_metadata(tmp_path / MEASURED)["asked"]["global_mmlu"]
        return asked["max_questions"], asked["dtype"]

    assert read_asked()[0] == 100
    write_config(tmp_path, config | {"scoring_dtype": "bfloat16"})
    scored, other = read(20)
    assert scored == 20 * n_files * n_scorings
    assert other["logprobs"] != few["logprobs"]
    assert read_asked() == (20, ["bfloat16"])


def test_a_removed_language_scores_nothing_and_leaves_the_tables(study):
    """Its rows stay in the batch files but not in the study's tables.

    Without it there may be more questions that all languages share, so its task is
    measured again.
    """
    config = small_study()
    config["tasks"][0]["languages"].remove("he")
    write_config(study, config)
    assert job_counts(study) == {"measure": 3, "find_shifts": 1, **AGGREGATES}
    run_study(study, MEASURED)
    metrics = tables.read(study / "results/metrics.parquet", "metrics")
    assert "he" not in metrics["language"].to_pylist()


def test_a_language_that_comes_back_scores_nothing(study, finished):
    """Its scores are where they were; the measures become what they had been."""
    config = small_study()
    config["tasks"][0]["languages"].remove("he")
    write_config(study, config)
    run_study(study, MEASURED)
    write_config(study, small_study())
    assert job_counts(study) == {"measure": 3, "find_shifts": 1, **AGGREGATES}
    run_study(study, MEASURED)
    assert measured(study) == measured(finished)


def test_a_renamed_task_is_asked_anew_and_nothing_old_is_mixed_in(study, finished):
    """Its own jobs run, and no training; the tables know the new name only."""
    config = small_study()
    config["tasks"][1]["name"] = "prox"
    write_config(study, config)
    assert job_counts(study) == {
        **{"prepare_task": 2, "score": 3, "measure": 3, "find_shifts": 1},
        **AGGREGATES,
    }
    run_study(study, MEASURED)
    new, old = (
        tables.read(folder / MEASURED, "metrics") for folder in (study, finished)
    )
    assert set(new["task"].to_pylist()) == {"global_mmlu", "prox"}
    kept = {"task": "global_mmlu"}
    assert tables.where(new, **kept).equals(tables.where(old, **kept))
    # Of equal questions, so of equal values; draws of the bootstrap go by the name.
    columns = ["sft", "smoothing", "language", "scoring", "normaliser", "calibrator"]
    columns += ["subset", "metric", "value", "n_questions"]
    ours, theirs = (
        tables.where(table, task=task).select(columns)
        for table, task in ((new, "prox"), (old, "mmlu_prox"))
    )
    assert len(ours) > 100
    assert ours.equals(theirs)


def refuse_by_permissions():
    """Take from root what lets it write where nobody may."""
    if os.geteuid() == 0:
        drop, override = 24, 1  # PR_CAPBSET_DROP, CAP_DAC_OVERRIDE
        assert ctypes.CDLL(None).prctl(drop, override, 0, 0, 0) == 0


def test_read_only_resources_serve_a_finished_study(study, finished):
    """What is derived is made again; a new product there is refused in one line."""
    resources = study / "resources"
    subprocess.run(["chmod", "-R", "a-w", str(resources)], check=True)
    try:
        (study / MEASURED).unlink()
        (study / "results/report/index.html").unlink()
        done = snakemake(study, "--cores", "all", before=refuse_by_permissions)
        assert done.returncode == 0, done.stdout[-8000:]
        assert results(study) == results(finished)
        sets = [{**small_study()["sft"][0], "max_examples": 100}]
        write_config(study, small_study(sft=sets))
        done = snakemake(study, "--cores", "all", before=refuse_by_permissions)
        assert done.returncode != 0
        assert "Write-protected output files" in done.stdout
        assert "Traceback" not in done.stdout
    finally:
        subprocess.run(["chmod", "-R", "u+w", str(resources)], check=True)


def test_an_added_smoothing_value_trains_and_scores_only_itself(study):
    """Two candidates (one a rate), one selection, its scores, then the aggregates."""
    write_config(study, small_study(smoothing=[0, 0.1, 0.3]))
    assert job_counts(study) == {
        "tune": 2,
        "select": 1,
        "list_runs": 1,
        "score": 2,
        "measure": 2,
        "find_shifts": 2,
        **{rule: n for rule, n in AGGREGATES.items() if rule != "check_task"},
    }


def test_an_added_seed_trains_only_itself(study):
    """One candidate a rate and smoothing; the selection is over all seeds.

    So the runs that exist are selected again. Where they stay what they were, their
    scores come from the store, without the model being loaded.
    """
    write_config(study, small_study(seeds=[0, 1]))
    counts = job_counts(study)
    assert (counts["tune"], counts["select"]) == (4, 4)
    assert not [rule for rule in counts if rule.startswith(("prepare", "make"))]


def test_a_changed_recipe_trains_again_and_prepares_nothing(study):
    """What depends on the training runs; base model and questions stay."""
    recipe = {**small_study()["recipe"], "weight_decay": 0.01}
    write_config(study, small_study(recipe=recipe))
    counts = job_counts(study)
    assert counts["tune"] == 4
    assert counts["score"] == 2 * 2
    prepared = ("prepare", "make", "tokenize")
    assert not [rule for rule in counts if rule.startswith(prepared)]


C_LOCALE = {"LC_ALL": "C", "LANG": "C", "PYTHONIOENCODING": ""}


def test_the_c_locale_writes_every_letter(study):
    """Of the study's name and of a language; Python's UTF-8 mode is on there."""
    name, folk = "Étude ⟦ß⟧", "Kölsch"
    language = {"code": "ksh", "name": folk, "script": "Latin", "class": 1}
    languages = [language | {"source": "a paper – a good one"}]
    write_config(study, small_study(study=name, languages=languages))
    (study / "results/metrics.parquet").unlink()
    done = snakemake(study, "--cores", "all", "--show-failed-logs", **C_LOCALE)
    assert done.returncode == 0, done.stdout[-8000:]
    assert name in (study / "results/report/index.html").read_text("utf-8")
    without = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = snakemake(study, "--dry-run", **C_LOCALE, **without)
    assert done.returncode != 0
    assert "cannot stand in a command under ascii; set PYTHONUTF8=1" in done.stdout
    assert "Traceback" not in done.stdout


def test_other_gpus_and_nodes_train_nothing_again(study):
    """They change the result by rounding only. Without SLURM there is one node."""
    models = [{**small_study()["models"][0], "gpus": 1, "nodes": 2}]
    write_config(study, small_study(models=models))
    assert job_counts(study) == {}
    shutil.rmtree(study / "results/report")
    done = snakemake(study, "--cores", "1")
    assert done.returncode != 0
    assert "models.miniature.nodes is 2, but only SLURM" in done.stdout
    assert not (study / "results/report").exists()


def test_a_changed_rendering_tokenises_and_trains_again(study):
    """The conversations stay; a changed number of them is read again, too."""
    recipe = {**small_study()["recipe"], "chat_template": "tulu"}
    write_config(study, small_study(recipe=recipe))
    counts = job_counts(study)
    assert (counts["tokenize"], counts["tune"]) == (1, 4)
    assert not [rule for rule in counts if rule.startswith(("prepare", "make"))]
    sets = [{**small_study()["sft"][0], "max_examples": 100}]
    write_config(study, small_study(sft=sets))
    counts = job_counts(study)
    assert (counts["prepare_sft"], counts["tokenize"], counts["tune"]) == (1, 1, 4)


def test_the_order_of_keys_and_scorings_trains_and_scores_nothing(study):
    """The same in another order is the same study, with another primary scoring.

    The page and its example questions lead with it, and claims are about it.
    """
    config = small_study(scoring=["letters", "text"])
    config["recipe"] = dict(reversed(config["recipe"].items()))
    write_config(study, config)
    assert job_counts(study) == {
        **{"find_shifts": 2, "contrast": 1, "draw": 4, "tabulate": 4, "report": 1}
    }


def test_a_deleted_prediction_is_made_again_with_what_follows(study, finished):
    """One score job, its metrics and the aggregates; all bytes as before."""
    gone = sorted(study.glob("results/predictions/**/*.parquet"))[0]
    gone.unlink()
    assert job_counts(study) == {
        "score": 1,
        "measure": 1,
        "find_shifts": 1,
        **{rule: n for rule, n in AGGREGATES.items() if rule != "check_task"},
    }
    run_study(study)
    assert results(study) == results(finished)


def test_languages_per_job_changes_nothing_that_exists(study):
    """Another batch size is for new files; finished ones keep their languages."""
    write_config(study, small_study(languages_per_job=1))
    assert job_counts(study) == {}


def test_one_language_a_job_gives_the_same_tables(tmp_path, finished):
    """The textbook DAG and the batched one measure the same to the last bit."""
    for part in ("resources", "results/candidates", "results/runs"):
        shutil.copytree(finished / part, tmp_path / part)
    write_part(tmp_path, languages_per_job=1)
    run_study(tmp_path, MEASURED, "--rerun-triggers", "mtime")
    names = [name for name in part_of(finished) if "/metrics/" in name]
    assert len(names) == 2
    for name in names:
        one = tables.read(tmp_path / name, "metrics")
        assert one.equals(tables.read(finished / name, "metrics"))


def test_a_foreign_prediction_is_refused_by_name(study):
    """A file that polycal did not write stops the job that reads it, by name."""
    bad = sorted(study.glob("results/predictions/**/*.parquet"))[0]
    bad.write_bytes(bad.read_bytes()[:1000])
    done = snakemake(study, "--cores", "all")
    assert done.returncode != 0
    logs = "".join(path.read_text() for path in study.glob("logs/measure/**/*.log"))
    assert f"{bad.name} is not a complete Parquet file" in logs


def test_two_workflows_in_one_directory_are_kept_apart(study):
    """The second says what is going on; the first's lock goes with its process."""
    (study / "results/report/index.html").unlink()
    shutil.rmtree(study / "results/store")
    for path in study.glob("results/predictions/**/*.parquet"):
        path.unlink()
    first = subprocess.Popen(
        snakemake_command(study, "--cores", "1"),
        cwd=study,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_until(lambda: list(study.glob("results/store/**/*.parquet")))
        os.killpg(first.pid, signal.SIGSTOP)  # it must not end before the second begins
        second = snakemake(study, "--cores", "1")
        assert second.returncode != 0
        assert "Another snakemake is at work" in second.stdout
        assert job_counts(study)  # to look is allowed
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    run_study(study, "results/metrics/miniature/none/ls-0/seed-0/mmlu_prox.parquet")


@pytest.mark.parametrize("jobs_too", [False, True], ids=["workflow", "and-its-jobs"])
def test_a_killed_workflow_goes_on_to_the_same_tables(tmp_path, finished, jobs_too):
    """Kill -9 at random moments, twice, then one run to the end.

    Once with all its jobs, from nothing; once, when everything is prepared, the
    workflow alone, so that its jobs live on as orphans while the next run has started.
    """
    write_part(tmp_path)
    if not jobs_too:
        take_prepared(finished, tmp_path)
    moments = random.Random(0 if jobs_too else 1)
    for _ in range(2):
        process = subprocess.Popen(
            snakemake_command(tmp_path, "--cores", "2", MEASURED),
            cwd=tmp_path,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(moments.uniform(6, 25))
        if jobs_too:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()
    run_study(tmp_path, MEASURED)
    assert measured(tmp_path) == part_of(finished)


def test_a_killed_job_fails_the_study_and_the_next_run_ends_it(tmp_path, finished):
    """Kill -9 of the first training job: an error, no half result, then the end."""
    write_part(tmp_path)
    take_prepared(finished, tmp_path)
    candidates = "results/candidates/miniature/alpaca-en/ls-0.1"
    with contextlib.ExitStack() as held:  # no training ends before it is killed
        for rate in ("0.001", "0.002"):
            held.enter_context(exclusive(tmp_path / f"{candidates}/lr-{rate}/seed-0"))
        process = subprocess.Popen(
            snakemake_command(tmp_path, "--cores", "2", MEASURED),
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for job in wait_until(lambda: jobs_of("polycal tune", tmp_path)):
            os.kill(job, signal.SIGKILL)
    assert process.wait(timeout=900) != 0
    run_study(tmp_path, MEASURED)
    assert measured(tmp_path) == part_of(finished)


def test_a_page_of_what_is_measured_so_far(study):
    """One run is missing: the page says so, and has the others' numbers and figures."""
    shutil.rmtree(study / "results/metrics/miniature/alpaca-en/ls-0.1")
    flags = {"config": study / "study.yaml", "results": study / "results"}
    main(["partial-report", *(f"--{name}={path}" for name, path in flags.items())])
    page = (study / "results/partial/index.html").read_text()
    assert "Not measured yet: 1 of 3 runs (miniature/alpaca-en/ls-0.1/seed-0)" in page
    whole = tables.read(study / "results/metrics.parquet", "metrics")
    part = tables.read(study / "results/partial/metrics.parquet", "metrics")
    assert part.equals(whole.filter(pc.less(whole["smoothing"], 0.1)))
    assert len(list((study / "results/partial").rglob("forest.svg"))) == 4


def test_nothing_measured_makes_no_page(tmp_path):
    """But a line that says where to look."""
    config = write_config(tmp_path, small_study())
    flags = [f"--config={config}", f"--results={tmp_path / 'results'}"]
    with pytest.raises(SystemExit, match=r"no run below .*results is measured yet"):
        main(["partial-report", *flags])


def test_scores_hold_every_option_of_every_question(finished):
    """As many scores as options, finite and not above zero, for each scoring."""
    for path in finished.glob("results/predictions/**/*.parquet"):
        table = tables.read(path, "predictions")
        assert set(table["scoring"].to_pylist()) == {"text", "letters"}
        values = pc.list_flatten(table["logprobs"])
        assert pc.all(pc.is_finite(values)).as_py()
        assert pc.max(values).as_py() <= 0
        lengths = pc.list_value_length(table["logprobs"])
        assert pc.min(lengths).as_py() >= 4
