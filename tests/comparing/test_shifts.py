"""The questions that a reader sees are those that changed most."""

import json

import pyarrow as pa
import pytest

from polycal.comparing import shifts
from polycal.comparing.shifts import LONGEST, find_shifts
from polycal.errors import InputError
from polycal.storage import tables
from polycal.storage.provenance import digest_facts

# Log-likelihoods of the first of two options before and after; the other has 0 nats.
ANSWERS = {"a": (0.0, 0.1), "b": (0.0, 3.0), "c": (2.0, 0.0), "d": (1.0, 1.2)}


def write_predictions(
    path, place, *, sft, smoothing, scoring="letters", tokens=(), seed=0
):
    """One run's scores of the four questions; a question of `tokens` has two tokens."""
    rows = [
        {
            **{"model": "m", "sft": sft, "smoothing": smoothing, "seed": seed},
            **{"task": "t", "language": "de", "scoring": scoring},
            **{"question_id": name, "gold": 0, "logprobs": [scores[place], 0.0]},
            **{
                "n_tokens": [1 + (name in tokens), 1],
                "n_bytes": [1, 1],
                "log_mass": 0.0,
            },
            "truncated": False,
        }
        for name, scores in ANSWERS.items()
    ]
    table = pa.Table.from_pylist(rows, tables.SCHEMAS["predictions"])
    tables.write(table, path, "predictions", questions={"de": "x"})
    return path


def teach(path):
    """An SFT set that holds the questions a and b."""
    turns = [{"role": "user", "content": name * 1000} for name in "ab"]
    rows = [{"sft": "s", "example_id": 0, "messages": turns}]
    table = pa.Table.from_pylist(rows, tables.SCHEMAS["conversations"])
    tables.write(table, path, "conversations")


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
        **{"policy": "intersection", "digest": "x", "n_all": 4, "n_common": 3},
    }
    (tmp_path / "check.json").write_text(
        json.dumps(check | {"content": digest_facts(check)})
    )
    return {
        "predictions": [
            write_predictions(tmp_path / "p", 0, sft="none", smoothing=0.0),
            write_predictions(tmp_path / "q", 1, sft="s", smoothing=0.0),
        ],
        "questions": [tmp_path / "de.parquet"],
        "check": tmp_path / "check.json",
        "scoring": "letters",
        "confidence": 0.9,
        "out": tmp_path / "out.parquet",
        "taught": tmp_path / "taught.parquet",
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


def test_what_sft_teaches_is_told_apart_from_the_rest(given):
    """Over all seeds, while examples are of the first; ids that are not shared: none.

    Confidence is 1 / (1 + exp(-x)) of x nats.
    """
    folder = given["out"].parent
    given["predictions"].append(
        write_predictions(folder / "third", 0, sft="s", smoothing=0.0, seed=1)
    )
    teach(folder / "sft")
    check = json.loads(given["check"].read_text())
    check["test"]["missing"] = []
    for policy in ("own", "intersection"):
        check["policy"] = policy
        facts = check | {"content": digest_facts(check)}
        given["check"].write_text(json.dumps(facts))
        find_shifts(**given, sft=[folder / "sft"])
        rows = tables.read(given["taught"], "taught").to_pylist()
        assert len(rows) == (0 if policy == "own" else 2 * 2 * 3)
    found = {
        (row["condition"], row["taught"]): row["estimate"]
        for row in rows
        if row["metric"] == "confidence"
    }
    assert found == {
        (-1.0, True): pytest.approx(0.5),
        (-1.0, False): pytest.approx((0.88080 + 0.73106) / 2, abs=1e-5),
        (0.0, True): pytest.approx((0.52498 + 0.5 + 0.95257 + 0.5) / 4, abs=1e-5),
        (0.0, False): pytest.approx((0.5 + 0.8808 + 0.76852 + 0.73106) / 4, abs=1e-5),
    }
    assert {row["n_questions"] for row in rows} == {2}
    said = {"model": "m", "sft": "s", "task": "t", "normaliser": "sum"}
    assert said.items() <= rows[0].items()
    examples = tables.read(given["out"], "shifts").to_pylist()
    assert [row["question_id"] for row in examples] == ["b", "c"]
    assert examples[0]["change"] == pytest.approx(0.95257 - 0.5, abs=1e-5)


def test_what_sft_teaches_is_told_in_every_scoring(given):
    """Texts per token: of 0.1 and 3 nats in two tokens each, 0.05 and 1.5 count."""
    folder = given["out"].parent
    texts = {"scoring": "text", "smoothing": 0.0, "tokens": ("a", "b")}
    given["predictions"] += [
        write_predictions(folder / "v", 0, sft="none", **texts),
        write_predictions(folder / "w", 1, sft="s", **texts),
    ]
    teach(folder / "sft")
    check = json.loads(given["check"].read_text())
    check["test"]["missing"] = []
    given["check"].write_text(json.dumps(check | {"content": digest_facts(check)}))
    find_shifts(**given, sft=[folder / "sft"])
    found = {
        (row["scoring"], row["normaliser"]): row["estimate"]
        for row in tables.read(given["taught"], "taught").to_pylist()
        if row["metric"] == "confidence" and row["condition"] == 0.0 and row["taught"]
    }
    assert found == {
        ("letters", "sum"): pytest.approx((0.52498 + 0.95257) / 2, abs=1e-5),
        ("text", "token"): pytest.approx((0.51250 + 0.81757) / 2, abs=1e-5),
    }
    shown = tables.read(given["out"], "shifts").to_pylist()
    assert {row["scoring"] for row in shown} == {"letters"}


@pytest.mark.parametrize(
    ("scoring", "shown"), [("letters", ["b", "c"]), ("text", ["c", "a"])]
)
def test_texts_with_other_tokens_are_not_compared(given, scoring, shown):
    """Those of another tokenizer; a letter's score is not divided by its tokens."""
    folder = given["out"].parent
    given["scoring"] = scoring
    given["predictions"] = [
        write_predictions(folder / "p", 0, sft="none", smoothing=0.0, scoring=scoring),
        write_predictions(
            *(folder / "q", 1), sft="s", smoothing=0.0, scoring=scoring, tokens="b"
        ),
    ]
    find_shifts(**given)
    rows = tables.read(given["out"], "shifts").to_pylist()
    assert [row["question_id"] for row in rows] == shown


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


def rewrite(path, *, names=tuple(ANSWERS), extra=(), **changes):
    """Keep some questions of a predictions table, add rows, change columns."""
    rows = tables.read(path, "predictions").to_pylist()
    rows = [row | changes for row in rows if row["question_id"] in names]
    table = pa.Table.from_pylist([*rows, *extra], tables.SCHEMAS["predictions"])
    tables.write(table, path, "predictions", questions={"de": "x"})
    return rows


def test_other_studies_predictions_are_refused(given, tmp_path):
    """Two SFT sets, two models, or SFT alone with two smoothing values."""
    other = write_predictions(tmp_path / "r", 1, sft="u", smoothing=0.1)
    both = [*given["predictions"], other]
    with pytest.raises(InputError, match=r"models \['m'\] and the SFT sets \['s', 'u'"):
        find_shifts(**given | {"predictions": both})
    rewrite(other, sft="s", model="n")
    with pytest.raises(InputError, match=r"models \['m', 'n'\]"):
        find_shifts(**given | {"predictions": both})
    rewrite(other, model="m")
    with pytest.raises(InputError, match="one base model"):
        find_shifts(**given | {"predictions": both[1:]})


def test_a_file_may_hold_several_runs_and_scorings(given):
    """Base and SFT of one smoothing, SFT of two, and letters beside texts."""
    base, tuned = given["predictions"]
    third = write_predictions(base.with_name("r"), 1, sft="s", smoothing=0.1)
    weak = rewrite(third, logprobs=[0.2, 0.0])
    find_shifts(**given | {"predictions": [base, tuned, third]})
    expected = tables.read(given["out"], "shifts")
    assert expected.schema.equals(tables.SCHEMAS["shifts"])
    texts = [row | {"scoring": "text", "logprobs": [9.0, 0.0]} for row in weak]
    rewrite(base, extra=[*rewrite(tuned), *weak, *texts])
    find_shifts(**given | {"predictions": [base]})
    assert tables.read(given["out"], "shifts").equals(expected)


def test_scores_of_untold_questions_are_refused(given):
    """A file that does not say which questions it scored."""
    path = given["predictions"][0]
    tables.write(tables.read(path, "predictions"), path, "predictions")
    with pytest.raises(InputError, match="the scores are of other questions"):
        find_shifts(**given)


def test_scores_of_an_earlier_training_are_refused(given, tmp_path):
    """The run of that name has another checkpoint now."""
    run = {"model": "m", "sft": "s", "smoothing": 0.0, "seed": 0, "checkpoint": "now"}
    table = pa.Table.from_pylist([run], tables.SCHEMAS["runs"])
    tables.write(table, tmp_path / "runs.parquet", "runs")
    with pytest.raises(InputError, match="q was measured from another checkpoint"):
        find_shifts(**given, runs=tmp_path / "runs.parquet")


def test_a_question_that_one_model_lacks_is_not_compared(given):
    """Whichever it is; with a third run, its probabilities are empty there."""
    base, tuned = given["predictions"]
    rewrite(base, names=("a", "c"))
    rewrite(tuned, names=("a", "b"))
    third = write_predictions(base.with_name("r"), 1, sft="s", smoothing=0.1)
    rewrite(third, names=("b", "c"))
    find_shifts(**given | {"predictions": [third, tuned, base]})
    (row,) = tables.read(given["out"], "shifts").to_pylist()
    assert (row["question_id"], row["smoothings"]) == ("a", [-1.0, 0.0, 0.1])
    assert [len(each) for each in row["probabilities"]] == [2, 2, 0]
    # 1 / (1 + exp(-0.1)) = 0.52498, from a half
    assert row["change"] == pytest.approx(0.02498, abs=1e-5)
