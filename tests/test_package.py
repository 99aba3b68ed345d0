"""What is not code comes along when the package is installed."""

import doctest
import importlib
import shutil
import subprocess
import sys
import zipfile

import pytest
from study import REPOSITORY

BUILD = "import sys; from setuptools import build_meta as b; b.build_wheel(sys.argv[1])"


@pytest.fixture
def source(tmp_path):
    """A copy of what a wheel is built of; building writes beside it."""
    pytest.importorskip("setuptools", minversion="77")
    source = tmp_path / "source"
    shutil.copytree(
        REPOSITORY / "src",
        source / "src",
        ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"),
    )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    return source


def test_the_wheel_holds_every_file_of_the_package(tmp_path, source):
    """Tables, sentences, templates and py.typed, as well as each module."""
    subprocess.run(
        [sys.executable, "-c", BUILD, str(tmp_path)],
        cwd=source,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("polycal-*.whl")
    held = {
        name for name in zipfile.ZipFile(wheel).namelist() if "dist-info" not in name
    }
    folder = source / "src"
    expected = {
        str(path.relative_to(folder))
        for path in (folder / "polycal").rglob("*")
        if path.is_file()
    }
    assert held == expected
    assert {
        "polycal/py.typed",
        "polycal/data/formats/mmlu_prox.yaml",
        "polycal/data/languages.csv",
        "polycal/miniature/sentences.csv",
        "polycal/templates/report.html.j2",
    } <= held


@pytest.mark.slow
def test_the_wheel_works_outside_of_the_repository(tmp_path, source, monkeypatch):
    """Installed elsewhere, its light verbs find their schema and tables."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    options = ["--no-build-isolation", "--target", str(tmp_path / "site")]
    subprocess.run([*pip, *options, str(source)], check=True, capture_output=True)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    for words in (
        ["-c", "import polycal; print(polycal.__file__)"],
        ["-m", "polycal", "plan", "--config", str(REPOSITORY / "config.yaml")],
        ["-m", "polycal", "show-tables"],
    ):
        command = [sys.executable, *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        if "-c" in words:
            assert done.stdout.startswith(str(tmp_path / "site"))


EXAMPLES = [
    ".".join(path.relative_to(REPOSITORY / "src").with_suffix("").parts)
    for path in sorted((REPOSITORY / "src").rglob("*.py"))
    if ">>> " in path.read_text()
]


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_docstring_examples_are_true(name):
    """What the documentation shows is what a user gets."""
    found = doctest.testmod(importlib.import_module(name.removesuffix(".__init__")))
    assert found.attempted > 0
    assert found.failed == 0
