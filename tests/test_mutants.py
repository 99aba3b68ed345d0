"""What `make mutants` changes, and the survivors that are judged by hand."""

import re
import tomllib

import pytest
from study import REPOSITORY

TOOL = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["polycal"]
ROOMS = TOOL["mutants"]
JUDGED = tomllib.loads((REPOSITORY / "tests" / "equivalent_mutants.toml").read_text())


def find(patterns: list[str]) -> set:
    return {path for pattern in patterns for path in REPOSITORY.glob(pattern)}


CODE = {path for room in ROOMS.values() for path in find(room["code"])}


@pytest.mark.parametrize("room", ["calibration", "measuring", "comparing"])
def test_every_module_of_the_numerical_rooms_is_mutated(room):
    """A new module stands in the lists."""
    modules = find([f"src/polycal/{room}/*.py"])
    assert {path.name for path in modules - CODE} <= {"__init__.py"}


@pytest.mark.parametrize("room", ROOMS)
def test_the_lists_name_files_that_exist(room):
    for pattern in (*ROOMS[room]["code"], *ROOMS[room]["tests"]):
        assert find([pattern]), pattern


@pytest.mark.parametrize("entry", JUDGED["mutants"], ids=lambda entry: entry["old"])
def test_a_judged_survivor_is_of_code_that_is_there(entry):
    """Lines that were rewritten since leave no name behind."""
    text = "".join(
        path.read_text() for path in sorted(CODE) if path.stem == entry["module"]
    )
    assert re.sub(r"\s", "", entry["old"]) in re.sub(r"\s", "", text)
