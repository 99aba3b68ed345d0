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


def test_the_wheel_holds_every_file_of_the_package(tmp_path):
    """Tables, sentences, templates and py.typed, as well as each module."""
    pytest.importorskip("setuptools", minversion="77")
    source = tmp_path / "source"
    shutil.copytree(
        REPOSITORY / "src",
        source / "src",
        ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"),
    )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
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


EXAMPLES = [
    ".".join(path.relative_to(REPOSITORY / "src").with_suffix("").parts)
    for path in sorted((REPOSITORY / "src").rglob("*.py"))
    if ">>>" in path.read_text()
]


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_docstring_examples_are_true(name):
    """What the documentation shows is what a user gets."""
    found = doctest.testmod(importlib.import_module(name.removesuffix(".__init__")))
    assert found.attempted > 0
    assert found.failed == 0
