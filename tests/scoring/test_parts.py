"""The prompts of one language, and the rows of its predictions."""

from pathlib import Path

import numpy as np
import pytest
from toys import save_questions

from polycal.scoring.engine import PromptScores
from polycal.scoring.parts import Part, list_parts

SETTINGS = {"checkpoint": "c", "base": None, "dtype": "auto", "stage": 1, "shots": 0}


@pytest.fixture
def part(tmp_path) -> Part:
    """Three questions with two options each, the second one of two-byte characters."""
    options = [" yes ", "да"]
    path = save_questions(tmp_path / "en.parquet", n=3, n_options=2, options=options)
    return list_parts([path], ["text"], SETTINGS)[0]


def scored(*truncated: bool) -> list[PromptScores]:
    """Made-up scores; the flag is for the second option of a question."""
    return [
        PromptScores(np.array([-1, -2], np.float32), ((5,), (6, 7)), (False, cut))
        for cut in truncated
    ]


def test_rows_of_made_up_scores_by_hand(part):
    """One per question, in their order; what the checkpoint is called by is null."""
    test, prompts = part.read_questions()
    assert [each.continuations for each in prompts] == [(" yes", " да")] * 3
    rows = part.make_rows(test, scored(False, False, False), Path("model")).to_pylist()
    assert [row["question_id"] for row in rows] == ["en/1", "en/2", "en/3"]
    for row in rows:
        assert row["logprobs"] == [-1, -2]
        assert row["n_tokens"] == [1, 2]
        assert row["n_bytes"] == [3, 4]
        assert row["scoring"] == "text"
        assert row["log_mass"] is row["model"] is row["seed"] is None


def test_questions_that_were_cut_are_flagged_and_counted(part, caplog):
    """One option is enough."""
    test, _ = part.read_questions()
    rows = part.make_rows(test, scored(True, False, True), Path("model"))
    assert rows["truncated"].to_pylist() == [True, False, True]
    assert "toy, en, text: 2 questions exceed the model's context" in caplog.text
