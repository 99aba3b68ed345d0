"""Questions that SFT teaches, and what is compared of them and of the others."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy import stats

from polycal.comparing.taught import METRICS, find_taught, split_taught
from polycal.storage import tables


def test_a_question_is_taught_if_a_user_says_it_in_some_language(tmp_path):
    """As a turn or as a line of one; what the assistant says teaches no question."""
    sft = [
        [("user", "Who?\nA. I\nB. you"), ("assistant", "Why?")],
        [("system", "How?"), ("user", " Wo? ")],
        [("user", "When? Now?")],
    ]
    rows = [
        {
            **{"sft": "s", "example_id": number},
            "messages": [{"role": role, "content": text} for role, text in turns],
        }
        for number, turns in enumerate(sft)
    ]
    made = pa.Table.from_pylist(rows, tables.SCHEMAS["conversations"])
    tables.write(made, tmp_path / "sft", "conversations")
    texts = {
        "en": {"1": "Who?", "2": "Where?", "3": "Why?", "4": "How?", "5": "When?"},
        "de": {"1": "Wer?", "2": "Wo?", "3": "Warum?", "4": "Wie?", "5": "Wann?"},
    }
    for code, own in texts.items():
        rows = [{"question_id": name, "question": text} for name, text in own.items()]
        made = pa.Table.from_pylist(rows, tables.SCHEMAS["questions"])
        tables.write(made, tmp_path / code, "questions")
    questions = [tmp_path / code for code in texts]
    assert find_taught([tmp_path / "sft"], questions) == {"1", "2"}
    assert find_taught([tmp_path / "sft"], questions[:1]) == {"1"}
    assert find_taught([], questions) == set()


ANSWERS = {  # question -> confidence and accuracy in two languages
    "a": ((0.9, 1.0), (0.7, 0.0)),
    "b": ((0.5, 0.0), (0.5, 0.0)),
    "c": ((0.6, 1.0), (0.2, 0.0)),
    "d": ((0.3, 0.0), (0.4, 1.0)),
    "e": ((0.8, 1.0), (0.8, 1.0)),
}


def test_each_part_has_its_mean_and_the_noise_of_its_questions():
    """Languages of a question are one observation: three of them against two."""
    answers = pd.DataFrame(
        [
            {
                **{"condition": 0.1, "question_id": name, "n": 1},
                **{"confidence": c, "accuracy": a},
            }
            for name, own in ANSWERS.items()
            for c, a in own
        ]
    )
    rows = split_taught(answers, {"a", "b", "d", "not asked"}, 0.9)
    found = {(row["taught"], row["metric"]): row for row in rows}
    assert set(found) == {(part, name) for part in (True, False) for name in METRICS}
    for part, names in ((True, "abd"), (False, "ce")):
        pairs = np.array([np.mean(ANSWERS[name], axis=0) for name in names])
        columns = {"confidence": pairs[:, 0], "accuracy": pairs[:, 1]}
        columns["gap"] = columns["confidence"] - columns["accuracy"]
        for metric, values in columns.items():
            row = found[part, metric]
            interval = stats.ttest_1samp(values, 0).confidence_interval(0.9)
            assert row["estimate"] == pytest.approx(values.mean())
            assert row["se"] == pytest.approx(stats.sem(values))
            assert (row["ci_low"], row["ci_high"]) == pytest.approx(tuple(interval))
            assert (row["condition"], row["n_questions"]) == (0.1, len(names))
    for taught in (set(), set("a"), set("abcd"), set("abcde")):
        assert split_taught(answers, taught, 0.9) == []
