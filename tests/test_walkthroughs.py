"""README, tutorial and how-to pages are followed to the letter, in a fresh clone.

Each of their commands is typed in order, in one copy of the repository whose
`config.yaml` is small. What needs the Hub, a GPU or a cluster is planned and not run.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from pages import blocks
from study import REPOSITORY, SMALL, small_study

from polycal.preparing.samples import export_samples

pytestmark = pytest.mark.slow

# What a command becomes here. The first two rules: the studies' models and data are on
# the Hub, and their GPUs elsewhere; the dry run still expands every job.
INSTEAD = {
    "snakemake --cores all --configfile studies/": "snakemake -n --configfile studies/",
    "snakemake --workflow-profile profiles/slurm": (
        "snakemake -n --workflow-profile profiles/slurm"
    ),
    "snakemake --cores all --configfile checkpoints.yaml": (
        "snakemake -n --configfile checkpoints.yaml"
    ),
    "polycal try --model Qwen": "echo polycal try --model Qwen",
    # It would change the environment that the tests run in.
    ".venv/bin/python -m pip install": "echo pip install",
    # The prompt of a benchmark on the Hub; howto.md prints an embedded one.
    "polycal show-prompt --config studies/lite.yaml": "echo polycal show-prompt",
    # The harness's folder holds no results here; tests/reporting has one that does.
    "polycal report-samples": "echo polycal report-samples",
    # These tests are among them.
    "make test": "make --dry-run test",
    # It needs a second machine.
    "polycal tune --processes 8": "echo polycal tune",
}
PAGES = (
    "README.md",
    "docs/tutorial.md",
    "docs/running.md",
    "docs/howto.md",
    "docs/clusters.md",
)


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """The tracked files, with a small study in config.yaml and an environment."""
    folder = tmp_path_factory.mktemp("user") / "polycal"
    listed = ["git", "ls-files", "-z"]
    names = subprocess.run(listed, cwd=REPOSITORY, capture_output=True, check=True)
    for name in filter(None, names.stdout.decode().split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, folder / name)
    write_config(folder)
    (folder / ".venv").mkdir()
    (folder / ".venv/bin").symlink_to(Path(sys.prefix) / "bin")
    later = time.time() + 3600  # so that make takes it for complete
    for extra in ("run", "dev", "docs"):
        (folder / f".venv/.installed-{extra}").touch()
        os.utime(folder / f".venv/.installed-{extra}", (later, later))
    return folder


def write_config(folder, **changes):
    """As few jobs as the pages need: two languages and one learning rate."""
    study = small_study(
        tasks=[{**task, "languages": ["en", "sw"]} for task in SMALL["tasks"]],
        scoring=["text", "letters"],
        recipe={**SMALL["recipe"], "lr": [1e-3]},
        **changes,
    )
    (folder / "config.yaml").write_text(yaml.safe_dump(study))


def follow(page, clone, before=()):
    """Run a page's blocks; `before` changes the clone ahead of a block with a text."""
    text = (REPOSITORY / page).read_text()
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(clone / ".cache")}
    program = "python <<'EOF'\n{}\nEOF"
    printed = []
    for body in blocks(text, "sh", "python"):
        for mark, change in before:
            if mark in body:
                change()
        script = program.format(body) if body in blocks(text, "python") else body
        for typed, run in INSTEAD.items():
            script = script.replace(typed, run)
        done = subprocess.run(
            ["bash", "-c", f"set -e\n. .venv/bin/activate\n{script}"],
            cwd=clone,
            env={**os.environ, **offline},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, f"{body}\n{done.stdout[-6000:]}"
        printed.append(done.stdout)
    return printed


def test_the_readme_can_be_followed(clone):
    """From `make run` to the page, and the plan of a real model."""
    run, _, real = follow("README.md", clone)
    assert (clone / "results/report/index.html").exists()
    assert "results/report/index.html" in run
    assert "python -m pytest" in run
    assert "Plan of the study" in real


def test_the_tutorial_can_be_followed(clone):
    """Its numbers and claims are printed, and the added smoothing value is trained."""
    more = {"smoothing": [*SMALL["smoothing"], 0.2]}
    added = ("-q rules\nsnakemake --cores", lambda: write_config(clone, **more))
    printed = follow("docs/tutorial.md", clone, before=[added])
    assert "Nothing to be done" in printed[1]
    assert "confidence" in printed[2]
    assert "low-resource" in printed[3]
    assert list(clone.glob("results/runs/*/*/ls-0.2/seed-0/recipe.json"))


def test_a_study_can_be_planned_watched_and_resumed(clone):
    """Real studies are planned; the one that is there is looked at and complete."""
    plan, start, watch, resume = follow("docs/running.md", clone)
    page = (REPOSITORY / "docs/running.md").read_text()
    (quoted,) = blocks(page, "text")
    assert quoted in plan
    assert "score" in start
    trainings = len(list(clone.glob("results/candidates/*/*/*/*/seed-0")))
    assert trainings >= 2
    assert re.search(rf"^tune +{trainings} +{trainings} +0 ", watch, re.MULTILINE)
    assert (clone / "results/partial/index.html").exists()
    assert "Nothing to be done" in resume


def test_the_how_to_can_be_followed(clone):
    """A checkpoint is planned, samples become a page, and libraries read the scores."""
    page = "docs/howto.md"
    printed = follow(
        page,
        clone,
        before=[
            ("mine.yaml", lambda: copy_study(clone)),
            ("checkpoints.yaml", lambda: write_checkpoints(clone, page)),
            ("import-samples", lambda: log_samples(clone, page)),
        ],
    )
    assert "ts_own" in "".join(printed)
    (tried,) = (text for text in printed if "global_mmlu by letters" in text)
    # The change has no sign where the answers are equally right.
    row = r"^mean of 2 +accuracy +\S+ \[.*\] +\S+ \[.*\] +[+−]?\d"
    assert re.search(row, tried, re.MULTILINE)
    assert (clone / "first/results/report/index.html").exists()
    (dry_run,) = (text for text in printed if "checkpoints.yaml" in text)
    assert "score" in dry_run
    assert "prepare_released" in dry_run
    assert "tune" not in dry_run
    assert "their scores" in (clone / "theirs/results/partial/index.html").read_text()


def test_the_commands_for_clusters_can_be_followed(clone):
    """A study is expanded into jobs for SLURM."""
    printed = follow("docs/clusters.md", clone)
    assert "tune" in printed[0]


def copy_study(clone):
    """The user's own study."""
    shutil.copy(clone / "studies/lite.yaml", clone / "mine.yaml")


def write_study(page, name, path):
    """Write the study of this name that a page prints."""
    printed = blocks((REPOSITORY / page).read_text(), "yaml")
    (study,) = (text for text in printed if f"study: {name}\n" in text)
    path.write_text(study)


def write_checkpoints(clone, page):
    """A released checkpoint in a local folder, beside its base model."""
    (clone / "checkpoints/mine").mkdir(parents=True)
    (clone / "checkpoints/mine/config.json").write_text("{}")
    study = "what instruction tuning did to Qwen"
    write_study(page, study, clone / "checkpoints.yaml")


def log_samples(clone, page):
    """The study's scores of the base model as the harness would have logged them."""
    logged = clone / "lm_eval_output/model"
    logged.mkdir(parents=True)
    (clone / "theirs").mkdir()
    write_study(page, "their scores", clone / "theirs/study.yaml")
    (scores,) = clone.glob(
        "results/predictions/miniature/none/*/*/global_mmlu/*.parquet"
    )
    for language in ("en", "sw"):
        questions = clone / f"resources/tasks/global_mmlu/{language}.parquet"
        export_samples(predictions=scores, questions=questions, out=clone / "logged")
        path = clone / f"logged/samples_global_mmlu_{language}_letters.jsonl"
        lines = (
            path.read_text().replace('"question_id"', '"sample_id"').splitlines(True)
        )
        for subject, own in (("law", lines[:20]), ("physics", lines[20:])):
            name = f"samples_global_mmlu_full_{language}_{subject}_2026-01-01.jsonl"
            (logged / name).write_text("".join(own))


def test_every_stand_in_stands_for_something():
    """No rule is left over from a command that is no longer there."""
    pages = [(REPOSITORY / name).read_text() for name in PAGES]
    for typed in INSTEAD:
        assert any(typed in page for page in pages), typed
