"""Benchmarks in the columns in which they are published, read by a description.

The rows are made up; columns, types and their traps are those of each data set.
"""

import pytest
from repositories import belebele_row, include_row, write_file

from polycal.preparing.tasks import prepare_task
from polycal.storage import tables

LETTERED = ["A", "B", "C", "D"]


def exams_row(number: int, answer: str, **changes) -> dict:
    """A row of mhardalov/exams: the question and its options are nested."""
    choices = {"text": ["acid", "base", "salt"], "label": ["A", "B", "C"]}
    return {
        "id": f"exam-{number}",
        "question": {"stem": f"Which is {number}?", "choices": choices},
        "answerKey": answer,
        "info": {"grade": 12, "subject": "Chemistry", "language": "German"},
    } | changes


def arc_row(number: int, answer: str, labels: list[str]) -> dict:
    """A row of a translated ARC: the labels are letters or numbers."""
    texts = ["wind", "rain", "snow", "hail"][: len(labels)]
    return {
        "id": f"Mercury_{number}",
        "question": f"What falls {number}?",
        "choices": {"text": texts, "label": labels},
        "answerKey": answer,
    }


def arabic_mmlu_row(number: int, answer: str, last: str, context: str) -> dict:
    """A row of MBZUAI/ArabicMMLU: five columns of options, a context in some rows."""
    options = {f"Option {k}": f"option {k}" for k in range(1, 5)} | {"Option 5": last}
    return {
        "ID": number,
        "Group": "STEM",
        "Subject": "Physics",
        "Question": f"Question {number}?",
        "Context": context,
        "Answer Key": answer,
        **options,
    }


def mmlu_csv_row(number: int, answer: str) -> dict:
    """A row of openai/MMMLU and of CMMLU."""
    options = {letter: f"{letter}{number}" for letter in LETTERED}
    row = {"Unnamed: 0": number, "Question": f"Question {number}?", **options}
    return row | {"Answer": answer, "Subject": "anatomy"}


def xcopa_row(number: int, label: int, asked: str) -> dict:
    """A row of cambridgeltl/xcopa."""
    return {
        "premise": f"It rained {number}.",
        "choice1": "It is wet.",
        "choice2": "There were clouds.",
        "question": asked,
        "label": label,
        "idx": number,
        "changed": False,
    }


# kind of file, rows, description, golds, options of the first question
CASES = {
    "AfriMMLU": (
        "jsonl",
        [
            {
                "subject": "global_facts",
                "question": f"Question {answer}?",
                "choices": "['one', 'the king\\'s', \"two, three\", 'four']",
                "answer": answer,
            }
            for answer in "AD"
        ],
        {
            "subject": "subject",
            "question": "question",
            "options": "choices",
            "gold": {"answer": "letter"},
        },
        [0, 3],
        ["one", "the king's", "two, three", "four"],
    ),
    "TurkishMMLU": (
        "jsonl",
        [
            {
                "subject": "Biology",
                "question": f"Question {number}?",
                "choices": ["one", "two", "three", "four", "five"],
                "answer": answer,
            }
            for number, answer in enumerate(["B ", "E", "a"])
        ],
        {
            "subject": "subject",
            "question": "question",
            "options": "choices",
            "gold": {"answer": "letter"},
        },
        [1, 4, 0],
        ["one", "two", "three", "four", "five"],
    ),
    "ArabicMMLU": (
        "csv",
        [
            arabic_mmlu_row(1, "D", "", ""),
            arabic_mmlu_row(2, "E", "option 5", "A text to read."),
        ],
        {
            "question_id": "ID",
            "subject": "Subject",
            "category": "Group",
            "question": ["Context", "Question"],
            "optional": "Context",
            "options": [f"Option {k}" for k in range(1, 6)],
            "missing_options": "shorten",
            "gold": {"Answer Key": "letter"},
        },
        [3, 4],
        ["option 1", "option 2", "option 3", "option 4"],
    ),
    "EXAMS": (
        "jsonl",
        [exams_row(1, "B"), exams_row(2, "C")],
        {
            "question_id": "id",
            "subject": "info.subject",
            "question": "question.stem",
            "options": "question.choices.text",
            "gold": {"answerKey": "letter"},
        },
        [1, 2],
        ["acid", "base", "salt"],
    ),
    "ARC": (
        "jsonl",
        [arc_row(1, "2", ["1", "2", "3"]), arc_row(2, "D", LETTERED)],
        {
            "question_id": "id",
            "question": "question",
            "options": "choices.text",
            "gold": {"answerKey": "label"},
        },
        [1, 3],
        ["wind", "rain", "snow"],
    ),
    "MMMLU": (
        "csv",
        [mmlu_csv_row(0, "A"), mmlu_csv_row(1, "C")],
        {
            "question_id": "Unnamed: 0",
            "subject": "Subject",
            "question": "Question",
            "options": LETTERED,
            "gold": {"Answer": "letter"},
        },
        [0, 2],
        ["A0", "B0", "C0", "D0"],
    ),
    "CMMLU": (
        "csv",
        [mmlu_csv_row(0, "B"), mmlu_csv_row(1, "D")],
        {"question": "Question", "options": LETTERED, "gold": {"Answer": "letter"}},
        [1, 3],
        ["A0", "B0", "C0", "D0"],
    ),
    "M-MMLU": (
        "json",
        [
            {
                "instruction": f"Question {number}?",
                **{f"option_{letter}": f"{letter}{number}" for letter in "abcd"},
                "answer": answer,
                "id": f"anatomy/test/{number}",
            }
            for number, answer in enumerate("CA")
        ],
        {
            "question_id": "id",
            "question": "instruction",
            "options": [f"option_{letter}" for letter in "abcd"],
            "gold": {"answer": "letter"},
        },
        [2, 0],
        ["a0", "b0", "c0", "d0"],
    ),
    "XCOPA": (
        "jsonl",
        [xcopa_row(1, 1, "cause"), xcopa_row(2, 0, "effect")],
        {
            "question_id": "idx",
            "subject": "question",
            "question": ["premise", "question"],
            "options": ["choice1", "choice2"],
            "gold": {"label": "index"},
        },
        [1, 0],
        ["It is wet.", "There were clouds."],
    ),
    "Belebele": (
        "jsonl",
        [belebele_row(1, 1), belebele_row(1, 2, correct_answer_num="1")],
        {
            "question_id": ["link", "question_number"],
            "question": ["flores_passage", "question"],
            "options": [f"mc_answer{k}" for k in range(1, 5)],
            "gold": {"correct_answer_num": "number"},
        },
        [2, 0],
        ["one", "two", "three", "four"],
    ),
    "INCLUDE": (
        "parquet",
        [include_row(1), include_row(2, answer=0)],
        {
            "subject": "subject",
            "category": "domain",
            "question": "question",
            "options": [f"option_{letter}" for letter in "abcd"],
            "gold": {"answer": "index"},
        },
        [2, 0],
        ["one", "two", "three", "four"],
    ),
    "INCLUDE-lite": (
        "parquet",
        [include_row(1, lite=True), include_row(2, lite=True, answer=3)],
        {"question": "question", "options": "choices", "gold": {"answer": "index"}},
        [2, 3],
        ["one", "two", "three", "four"],
    ),
    "numbers": (
        "jsonl",
        [{"q": f"{n} and 1?", "o": [n + 1, n, 0.5, n - 1], "a": n + 1} for n in (3, 7)],
        {"question": "q", "options": "o", "gold": {"a": "text"}},
        [0, 0],
        ["4", "3", "0.5", "2"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_public_schema_is_read_by_a_description(tmp_path, name):
    """Every row is kept, with its right option."""
    kind, rows, format, golds, options = CASES[name]
    (tmp_path / "set").mkdir()
    write_file(tmp_path / "set" / f"de.{kind}", rows)
    prepare_task(
        repo=str(tmp_path / "set"),
        format={"splits": {"test": "test"}, **format},
        task="t",
        language="de",
        out=tmp_path / "de.parquet",
    )
    found = tables.read(tmp_path / "de.parquet", "questions").to_pylist()
    assert [row["gold"] for row in found] == golds
    assert found[0]["options"] == options
    assert all(row["question"].strip() for row in found)
    counts = tables.read_metadata(tmp_path / "de.parquet")["counts"]["test"]
    assert {key: n for key, n in counts.items() if n} == {"rows": len(rows)}


def test_the_rows_of_a_public_schema_say_what_they_ask(tmp_path):
    """A nested subject, a context where there is one, and XCOPA's kind of question."""
    parts = {}
    for name in ("EXAMS", "ArabicMMLU", "XCOPA"):
        kind, rows, format, *_ = CASES[name]
        folder = tmp_path / name
        folder.mkdir()
        write_file(folder / f"de.{kind}", rows)
        prepare_task(
            repo=str(folder),
            format={"splits": {"test": "test"}, **format},
            task="t",
            language="de",
            out=folder / "out.parquet",
        )
        found = tables.read(folder / "out.parquet", "questions").to_pylist()
        parts[name] = [(row["subject"], row["question"]) for row in found]
    assert parts == {
        "EXAMS": [("Chemistry", "Which is 1?"), ("Chemistry", "Which is 2?")],
        "ArabicMMLU": [
            ("Physics", "Question 1?"),
            ("Physics", "A text to read.\nQuestion 2?"),
        ],
        "XCOPA": [("cause", "It rained 1.\ncause"), ("effect", "It rained 2.\neffect")],
    }
