"""A study small enough for a test, and the real snakemake that runs it."""

import copy
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import yaml

Found = TypeVar("Found")

REPOSITORY = Path(__file__).parents[1]
# A target that needs every score and measure, but no figure and no page: half the jobs.
MEASURED = "results/metrics.parquet"

SMALL = {
    "study": "small",
    "models": [
        {"name": "miniature", "repo": "./resources/miniature/model", "gpus": 0},
    ],
    "sft": [
        {"name": "alpaca-en", "repo": "./resources/miniature/sft", "format": "alpaca"},
    ],
    "smoothing": [0, 0.1],
    "seeds": [0],
    "recipe": {
        "lr": [1e-3, 2e-3],
        "max_steps": 2,
        "batch_size": 8,
        "micro_batch_size": 4,
        "max_length": 64,
        "validation_fraction": 0.1,
    },
    "tasks": [
        {
            "name": "global_mmlu",
            "repo": "./resources/miniature/global_mmlu",
            "format": "global_mmlu",
            "languages": ["en", "he", "sw"],
        },
        {
            "name": "mmlu_prox",
            "repo": "./resources/miniature/mmlu_prox",
            "format": "mmlu_prox",
            "languages": ["en", "zh"],
        },
    ],
    "scoring": ["text", "letters"],
    "languages_per_job": 3,
    "miniature": {"pretrain_steps": 4},
}


def small_study(**changes: object) -> dict:
    """The small study with some keys replaced."""
    return copy.deepcopy({**SMALL, **changes})


def write_config(directory: Path, config: dict) -> Path:
    """The config as a file beside the study's results."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "study.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


# A `polycal` that makes the outputs that a job names, empty. A training hangs and hears
# no Ctrl-C, or takes four seconds, where the study's folder has a file that says so.
STUB = """import pathlib, signal, sys, time

words = iter(sys.argv)
if "tune" in sys.argv and pathlib.Path("hang").exists():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    pathlib.Path("hangs").touch()
    time.sleep(1000)
if "tune" in sys.argv and pathlib.Path("slow").exists():
    time.sleep(4)
for word in words:
    if word in ("--out", "--metrics", "--reliability", "--replicates", "--model",
                "--sft", "--global-mmlu", "--mmlu-prox"):
        path = pathlib.Path(next(words))
        if path.parts[0] in ("results", "resources"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch() if path.suffix else path.mkdir(exist_ok=True)
"""


def copy_checkout(folder: Path) -> Path:
    """What Snakemake reads of this checkout, in another place.

    Another process may just compile a module, by way of a file that then goes.
    """
    passing = shutil.ignore_patterns("*.pyc.*")
    for name in ("Snakefile", "workflow", "envs", "profiles", "src"):
        own = REPOSITORY / name
        folder.mkdir(parents=True, exist_ok=True)
        if own.is_dir():
            shutil.copytree(own, folder / name, ignore=passing)
        else:
            shutil.copyfile(own, folder / name)
    return folder


def snakemake_command(
    directory: Path, *arguments: str, snakefile: Path = REPOSITORY / "Snakefile"
) -> list[str]:
    """The command line a user types, for a study in a directory of its own."""
    return [
        *(sys.executable, "-m", "snakemake"),
        *("--snakefile", str(snakefile)),
        *("--directory", str(directory)),
        *("--configfile", str(directory / "study.yaml")),
        *arguments,
    ]


def snakemake(
    directory: Path,
    *arguments: str,
    before: Callable[[], None] | None = None,
    snakefile: Path = REPOSITORY / "Snakefile",
    **environment: str | None,
) -> subprocess.CompletedProcess:
    """Run snakemake in a study's directory and return what it printed.

    Args:
        directory: of the study.
        *arguments: further ones.
        before: what its process does first.
        snakefile: of another checkout.
        **environment: further variables; None removes one.
    """
    variables = {**os.environ, "HF_HUB_OFFLINE": "1", **environment}
    return subprocess.run(
        snakemake_command(directory, *arguments, snakefile=snakefile),
        cwd=directory,
        env={name: value for name, value in variables.items() if value is not None},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        preexec_fn=before,
    )


def run_study(directory: Path, *arguments: str) -> str:
    """Run a study that has to succeed; the failed jobs' logs are shown if not."""
    done = snakemake(directory, "--cores", "all", "--show-failed-logs", *arguments)
    assert done.returncode == 0, done.stdout[-8000:]
    return done.stdout


def job_counts(directory: Path, *arguments: str) -> dict[str, int]:
    """Jobs per rule that a dry run would start, `all` left out."""
    quiet = ("--quiet", "rules", "reason")
    done = snakemake(directory, "--dry-run", *quiet, *arguments)
    assert done.returncode == 0, done.stdout[-8000:]
    counts = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout, flags=re.MULTILINE))
    assert counts or "Nothing to be done" in done.stdout, done.stdout[-8000:]
    return {
        rule: int(count)
        for rule, count in counts.items()
        if rule not in ("all", "total")
    }


def results(directory: Path) -> dict[str, bytes]:
    """Everything that has to be the same after any disturbance, byte for byte."""
    names = ("*.csv", "report/**/*.svg", "report/**/*.pdf", "report/tables/**/*.*")
    page = directory / "results/report/index.html"
    return {
        **_contents(directory, "*.parquet", "predictions/**/*.parquet", *names),
        "results/report/index.html": page.read_bytes(),
    }


def measured(directory: Path) -> dict[str, bytes]:
    """What `MEASURED` is made of: the scores and measures of every run."""
    parts = ("predictions", "metrics", "reliability", "replicates")
    found = [_contents(directory, f"{part}/**/*.parquet") for part in parts]
    assert all(found)
    return {name: content for each in found for name, content in each.items()}


def _contents(directory: Path, *patterns: str) -> dict[str, bytes]:
    """The files below `results` that fit one of the patterns."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for pattern in patterns
        for path in (directory / "results").glob(pattern)
    }


def jobs_of(verb: str, directory: Path) -> list[int]:
    """Processes of a verb that work in the directory."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            here = (place / "cwd").resolve() == directory
            if here and verb in words and "bash" not in words:
                found.append(int(place.name))
        except OSError:
            continue  # it ended while we looked
    return found


def wait_until(condition: Callable[[], Found], seconds: float = 400) -> Found:
    """Poll until the condition holds; what it gave then.

    Looking a second time can find less: a process is without its words while it
    becomes another program.
    """
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.1)
    return found
