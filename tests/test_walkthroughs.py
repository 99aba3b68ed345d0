"""README, tutorial and how-to are followed to the letter, in a fresh clone.

Each of their commands is typed in order, in one copy of the repository whose
`config.yaml` is small. What needs the Hub, a GPU or a cluster is planned and not run.
"""

import os
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
    # It would change the environment that the tests run in.
    ".venv/bin/python -m pip install": "echo pip install",
    # The prompt of a benchmark on the Hub; the README's own is of the embedded one.
    "polycal show-prompt --config studies/lite.yaml": "echo polycal show-prompt",
}


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
    """As few jobs as the pages need: two languages, one scoring, one learning rate."""
    study = small_study(
        tasks=[{**task, "languages": ["en", "sw"]} for task in SMALL["tasks"]],
        scoring=["text"],
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
    """From `make run` to the table, the plans and a prompt."""
    copied = ("--config mine.yaml", lambda: shutil.copy(*mine))
    mine = (clone / "studies/lite.yaml", clone / "mine.yaml")
    printed = follow("README.md", clone, before=[copied])
    assert (clone / "results/report/index.html").exists()
    assert "results/report/index.html" in printed[0]
    assert "Nothing to be done" in printed[1]
    assert "confidence" in printed[2]


def test_the_tutorial_can_be_followed(clone):
    """Its claims are printed, and the added smoothing value is trained."""
    more = {"smoothing": [*SMALL["smoothing"], 0.2]}
    added = ("snakemake -n\nsnakemake --cores all", lambda: write_config(clone, **more))
    printed = "".join(follow("docs/tutorial.md", clone, before=[added]))
    assert "SFT raises confidence in low-resource languages" in printed
    assert list(clone.glob("results/runs/*/*/ls-0.2/seed-0/recipe.json"))


def test_the_how_to_can_be_followed(clone):
    """Scores are read by three libraries, and the harness's samples become a page."""
    page = "docs/howto.md"
    logged = ("import-samples", lambda: log_samples(clone, page))
    printed = "".join(follow(page, clone, before=[logged]))
    assert "ts_own" in printed
    assert "their scores" in (clone / "theirs/results/partial/index.html").read_text()


def log_samples(clone, page):
    """The study's scores of the base model as the harness would have logged them."""
    (clone / "path/to").mkdir(parents=True)
    (clone / "path/to/model").symlink_to(clone / "resources/models/miniature")
    (clone / "theirs").mkdir()
    study = blocks((REPOSITORY / page).read_text(), "yaml")[-1]
    (clone / "theirs/study.yaml").write_text(study)
    (scores,) = clone.glob(
        "results/predictions/miniature/none/*/*/global_mmlu/*.parquet"
    )
    for language in ("en", "sw"):
        questions = clone / f"resources/tasks/global_mmlu/{language}.parquet"
        export_samples(predictions=scores, questions=questions, out=clone / "logged")
        text = (clone / f"logged/samples_global_mmlu_{language}_text.jsonl").read_text()
        named = text.replace('"question_id"', '"sample_id"')
        (clone / f"samples_global_mmlu_full_{language}.jsonl").write_text(named)


def test_every_stand_in_stands_for_something():
    """No rule is left over from a command that is no longer there."""
    names = ("README.md", "docs/tutorial.md")
    pages = [(REPOSITORY / name).read_text() for name in names]
    for typed in INSTEAD:
        assert any(typed in page for page in pages), typed
