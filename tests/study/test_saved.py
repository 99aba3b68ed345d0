"""What `save_to_disk` of the `datasets` library writes is read as it was saved."""

import json

import pytest
from datasets import Dataset, DatasetDict, disable_progress_bars
from repositories import global_mmlu_row

from polycal.errors import InputError
from polycal.preparing.sft import prepare_sft
from polycal.preparing.tasks import read_task
from polycal.storage import tables
from polycal.study.repositories import find_local

disable_progress_bars()
TEST = [global_mmlu_row(number) for number in range(25)]
DEV = [global_mmlu_row(number, sample_id=f"dev/{number}") for number in range(3)]


def read(folder, language, **options):
    table, _ = read_task(
        repo=str(folder),
        **{"revision": None, "format": "global_mmlu", "task": "t"},
        language=language,
    )
    return [(row["split"], row["question_id"]) for row in table.to_pylist()]


def test_languages_are_folders_or_members(tmp_path):
    """With splits or without, in several shards, or together in one DatasetDict."""
    test, dev = Dataset.from_list(TEST), Dataset.from_list(DEV)
    splits = DatasetDict({"test": test, "dev": dev})
    splits.save_to_disk(tmp_path / "each" / "sw")
    test.save_to_disk(tmp_path / "each" / "en", num_shards=4)
    DatasetDict({"en": test, "sw": dev}).save_to_disk(tmp_path / "one")
    tests = [("test", row["sample_id"]) for row in TEST]
    devs = [row["sample_id"] for row in DEV]
    assert read(tmp_path / "each", "sw") == [*tests, *(("dev", name) for name in devs)]
    assert read(tmp_path / "each", "en") == tests
    assert read(tmp_path / "one", "en") == tests
    assert read(tmp_path / "one", "sw") == [("test", name) for name in devs]
    for folder in ("each", "one"):
        with pytest.raises(InputError, match="not offer 'he'; it offers: en, sw"):
            read(tmp_path / folder, "he")


def test_rows_are_those_that_were_saved(tmp_path):
    """In their order: a selection or a shuffle is a list of rows of another file."""
    rows = [
        {"instruction": f"q{number}", "input": "", "output": "a"}
        for number in range(30)
    ]
    saved = Dataset.from_list(rows).shuffle(seed=1).select(range(20))
    saved.save_to_disk(tmp_path / "set")
    out = tmp_path / "out.parquet"
    prepare_sft(repo=str(tmp_path / "set"), format="alpaca", sft="s", out=out)
    table = tables.read(out, "conversations").to_pylist()
    written = [row["messages"][0]["content"] for row in table]
    assert written == list(saved["instruction"])
    assert written != [row["instruction"] for row in rows[:20]]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            "cut",
            r"sw/data-00000-of-00001\.arrow is not complete Arrow .*end is missing",
        ),
        ("no file", r"state\.json names 'data-00000-of-00001\.arrow', .* not a file"),
        ("outside", r"state\.json names '\.\./x', which is not a file beside it"),
        ("state", r"state\.json is not what `save_to_disk` writes"),
        ("split", r"sw has no split 'test'; it has: train"),
        ("columns", r"\.arrow lacks the columns .*answer"),
    ],
)
def test_damage_is_one_line(tmp_path, damage, message):
    """A stream that was cut between two batches would be read without an error."""
    folder = tmp_path / "sw"
    rows = [{"question": "?"}] if damage == "columns" else TEST
    saved = Dataset.from_list(rows)
    if damage == "split":
        DatasetDict({"train": saved}).save_to_disk(folder)
    else:
        saved.save_to_disk(folder)
        (path,) = folder.glob("*.arrow")
        if damage == "cut":
            path.write_bytes(path.read_bytes()[:-8])
        elif damage == "no file":
            path.unlink()
        elif damage == "outside":
            state = {"_data_files": [{"filename": "../x"}]}
            (folder / "state.json").write_text(json.dumps(state))
        elif damage == "state":
            (folder / "state.json").write_text("[]")
    with pytest.raises(InputError, match=message):
        read(tmp_path, "sw")


def test_a_folder_of_another_form_is_none_of_them(tmp_path):
    """Files of JSON beside each other are found as ever."""
    (tmp_path / "sw.jsonl").write_text("{}")
    found = find_local(str(tmp_path), name="sw", splits=["test"])
    assert found.files == {"test": [tmp_path / "sw.jsonl"]}
