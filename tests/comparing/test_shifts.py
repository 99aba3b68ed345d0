"""The questions that a reader sees are those that changed most."""

import json

import pyarrow as pa
import pytest

from polycal.comparing import shifts
from polycal.comparing.shifts import LONGEST, find_shifts
from polycal.errors import InputError
from polycal.storage import tables

# Log-likelihoods of the first of two options before and after; the other has 0 nats.
ANSWERS = {"a": (0.0, 0.1), "b": (0.0, 3.0), "c": (2.0, 0.0), "d": (1.0, 1.2)}


def write_predictions(path, place, *, sft, smoothing):
    """One run's letter scores of the four questions."""
    rows = [
        {
            **{"model": "m", "sft": sft, "smoothing": smoothing, "seed": 0},
            **{"task": "t", "language": "de", "scoring": "letters"},
            **{"question_id": name, "gold": 0, "logprobs": [scores[place], 0.0]},
            **{"n_tokens": [1, 1], "n_bytes": [1, 1], "log_mass": 0.0},
            "truncated": False,
        }
        for name, scores in ANSWERS.items()
    ]
    table = pa.Table.from_pylist(rows, tables.SCHEMAS["predictions"])
    tables.write(table, path, "predictions", questions={"de": "x"})
    return path


@pytest.fixture
def given(tmp_path):
    """A base model, SFT, and a check that leaves question d out."""
    questions = [
        {
            **{"task": "t", "language": "de", "split": "test", "question_id": name},
            **{"question": name * 1000, "options": ["x", "y"], "gold": 0},
        }
        for name in ANSWERS
    ]
    table = pa.Table.from_pylist(questions, tables.SCHEMAS["questions"])
    tables.write(table, tmp_path / "de.parquet", "questions")
    check = {
        **{"kind": "check", "task": "t", "languages": {"de": {"questions": "x"}}},
        "test": {"missing": [{"questions": ["d"]}], "differing": []},
    }
    (tmp_path / "check.json").write_text(json.dumps(check))
    return {
        "predictions": [
            write_predictions(tmp_path / "p", 0, sft="none", smoothing=0.0),
            write_predictions(tmp_path / "q", 1, sft="s", smoothing=0.0),
        ],
        "questions": [tmp_path / "de.parquet"],
        "check": tmp_path / "check.json",
        "scoring": "letters",
        "out": tmp_path / "out.parquet",
    }


def test_the_largest_changes_come_first(given):
    """Up or down; with the probabilities of both, and long texts cut."""
    find_shifts(**given)
    rows = tables.read(given["out"], "shifts").to_pylist()
    assert [row["question_id"] for row in rows] == ["b", "c"]
    # 1 / (1 + exp(-3)) = 0.95257, 1 / (1 + exp(-2)) = 0.88080
    assert rows[0]["change"] == pytest.approx(0.95257 - 0.5, abs=1e-5)
    assert rows[1]["change"] == pytest.approx(0.5 - 0.88080, abs=1e-5)
    assert rows[1]["smoothings"] == [-1.0, 0.0]
    assert rows[1]["probabilities"][0] == pytest.approx([0.8808, 0.1192], abs=1e-4)
    assert rows[0]["question"] == "b" * LONGEST + " […]"
    said = {"model": "m", "sft": "s", "task": "t", "language": "de", "gold": 0}
    said |= {"scoring": "letters", "normaliser": "sum", "options": ["x", "y"]}
    assert said.items() <= rows[0].items()


def test_a_base_model_alone_is_refused(given):
    """There is nothing to compare it with."""
    given["predictions"].pop()
    with pytest.raises(InputError, match="one base model and of one SFT set"):
        find_shifts(**given)


def test_a_text_is_cut_where_it_is_too_long(given, monkeypatch):
    """Not where it is just as long as it may be."""
    monkeypatch.setattr(shifts, "LONGEST", 1000)
    find_shifts(**given)
    rows = tables.read(given["out"], "shifts").to_pylist()
    assert rows[0]["question"] == "b" * 1000
