"""The entries of docs/benchmarks.md, on samples in the benchmarks' own columns."""

import re
from pathlib import Path

import pytest
import yaml
from repositories import belebele_row, include_row, write_repository
from study import REPOSITORY, small_study
from toys import make_model, save_checkpoint

from polycal.measuring.measure import measure
from polycal.preparing.checks import check_task
from polycal.preparing.tasks import prepare_task
from polycal.scoring.score import score
from polycal.storage import tables
from polycal.study import config as study

PAGE = (REPOSITORY / "docs" / "benchmarks.md").read_text()
ENTRIES = {
    entry["name"]: entry
    for block in re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)
    if block.lstrip().startswith("- name:")
    for entry in yaml.safe_load(block)
    if "/" in entry["repo"].removeprefix("./")  # of the Hub
}


def complete(entry: dict) -> dict:
    """An entry as the workflow sees it: in a study, with its defaults."""
    return study.complete(small_study(tasks=[entry]))["tasks"][0]


def prepare(task: dict, repository: Path, folder: Path) -> dict[str, Path]:
    """Language -> questions table, from a repository instead of the Hub's."""
    paths = {}
    for language in task["languages"]:
        paths[language] = folder / f"{language}.parquet"
        prepare_task(
            repo=str(repository),
            revision=None,
            format=task["format"],
            task=task["name"],
            language=language,
            name=task["configs"].get(language),
            max_dropped=task.get("max_dropped"),
            out=paths[language],
        )
    return paths


def run(task: dict, paths: dict[str, Path], folder: Path) -> tuple[list, list]:
    """Rows of predictions and of metrics, of a random model."""
    model = make_model(max_position_embeddings=1024)
    score(
        checkpoint=save_checkpoint(folder / "model", model),
        base=None,
        questions=list(paths.values()),
        scoring=["letters", "text"],
        shots=task["shots"],
        model="toy",
        sft="none",
        smoothing=0.0,
        seed=0,
        store=folder / "store",
        out=folder / "p.parquet",
    )
    check_task(
        questions=list(paths.values()),
        policy=task["questions"],
        out=folder / "check.json",
    )
    measure(
        predictions=[folder / "p.parquet"],
        check=folder / "check.json",
        metrics=folder / "m.parquet",
        reliability=folder / "r.parquet",
        replicates=folder / "b.parquet",
        n_replicates=100,
        seed=0,
        confidence=0.95,
    )
    return (
        tables.read(folder / "p.parquet", "predictions").to_pylist(),
        tables.read(folder / "m.parquet", "metrics").to_pylist(),
    )


def test_the_page_has_both_entries():
    """The tests below are about what is printed there."""
    assert set(ENTRIES) == {"belebele", "include"}
    assert ENTRIES["belebele"]["repo"] == "facebook/belebele"
    assert ENTRIES["include"]["repo"] == "CohereLabs/include-base-44"


def test_belebele_from_its_columns_to_metrics(tmp_path):
    """JSON lines, languages in another order, a number as text, a dropped row."""
    task = complete(ENTRIES["belebele"]) | {"max_dropped": 0.25}
    rows = [belebele_row(passage, number) for passage in (1, 2) for number in (1, 2)]
    configs = {
        "eng_Latn": {"test": rows},
        "deu_Latn": {"test": rows[::-1]},
        "swh_Latn": {"test": [*rows[:3], belebele_row(2, 2, mc_answer4="")]},
    }
    write_repository(tmp_path / "belebele", configs, lines=True)
    paths = prepare(task, tmp_path / "belebele", tmp_path)
    first = tables.read(paths["sw"], "questions").to_pylist()[0]
    assert first == {
        "task": "belebele",
        "language": "sw",
        "split": "test",
        "question_id": "https://en.wikinews.org/wiki/Passage_1/1",
        "subject": None,
        "category": None,
        "culture": None,
        "question": "Passage 1. \nQuestion 1 of 1?",
        "options": ["one", "two", "three", "four"],
        "gold": 2,
        "lead_in": "Jibu:",
    }
    predictions, metrics = run(task, paths, tmp_path)
    assert len(predictions) == 2 * (4 + 4 + 3)
    assert {row["gold"] for row in predictions} == {2}
    assert {row["language"] for row in metrics} == {"de", "en", "sw"}
    assert {row["n_questions"] for row in metrics} == {3}


@pytest.mark.parametrize("lite", [False, True])
def test_include_from_its_columns_to_metrics(tmp_path, lite):
    """Every language its own exams: nothing is left out; Lite has a list of options."""
    entry = dict(ENTRIES["include"])
    if lite:
        described = entry["format"] | {"options": "choices", "splits": {"test": "test"}}
        entry |= {"format": described, "shots": 0}
    task = complete(entry)
    dev = [include_row(100 + number, lite=lite) for number in range(6)]
    configs = {}
    for config, n in (("German", 3), ("Hindi", 5)):
        test = [include_row(i, lite=lite, answer=i % 4) for i in range(n)]
        configs[config] = {"test": test} | ({} if lite else {"validation": dev})
    write_repository(tmp_path / "include", configs)
    paths = prepare(task, tmp_path / "include", tmp_path)
    predictions, metrics = run(task, paths, tmp_path)
    found = [
        (row["language"], row["question_id"], row["gold"])
        for row in predictions
        if row["scoring"] == "text"
    ]
    expected = [
        (code, str(i), i % 4) for code, n in (("de", 3), ("hi", 5)) for i in range(n)
    ]
    assert found == expected
    assert {row["subject"] for row in predictions} == {"Biology"}
    assert {row["category"] for row in predictions} == {"STEM"}
    sizes = {(row["language"], row["n_questions"]) for row in metrics}
    assert sizes == {("de", 3), ("hi", 5)}
    assert tables.read_metadata(tmp_path / "p.parquet")["shots"] == 5 * (not lite)
