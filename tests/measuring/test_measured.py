"""Which runs of a study are measured on which benchmark."""

from pathlib import Path

import pyarrow as pa
import pytest
from study import small_study

from polycal.measuring.measured import find_measured, measured_paths
from polycal.storage import tables
from polycal.study import config, layout
from polycal.study.grid import expand_runs


@pytest.fixture
def study() -> dict:
    return config.complete(small_study())


def measure(results: Path, study: dict, languages: list[str], *kinds: str) -> None:
    """Write tables of the first run of the first benchmark."""
    run, task = expand_runs(study)[0], study["tasks"][0]["name"]
    for kind in kinds:
        path = layout.below(results, layout.MEASURED, kind=kind, task=task, **vars(run))
        rows = [{"language": code} for code in languages]
        table = pa.Table.from_pylist(rows, tables.SCHEMAS[kind])
        tables.write(table, path, kind)


def test_a_run_counts_with_all_languages_and_all_tables(study, tmp_path):
    """Not with a language less, and not before its replicates are there."""
    task, languages = study["tasks"][0]["name"], list(study["tasks"][0]["languages"])
    assert find_measured(study, tmp_path) == {}
    kinds = ("metrics", "reliability", "replicates")
    measure(tmp_path, study, languages, *kinds[:2])
    assert find_measured(study, tmp_path) == {}
    measure(tmp_path, study, languages[1:], *kinds)
    assert find_measured(study, tmp_path) == {}
    measure(tmp_path, study, languages, *kinds)
    found = find_measured(study, tmp_path)
    assert found == {task: [expand_runs(study)[0]]}
    paths = measured_paths(tmp_path, found)
    assert list(paths) == list(kinds)
    assert all(
        path.exists() and kind in str(path) for kind in kinds for path in paths[kind]
    )
