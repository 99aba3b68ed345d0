"""What a benchmark's languages share, what differs, and what is measured of it."""

import itertools
import json
from pathlib import Path

import pyarrow as pa
import pytest

from polycal.errors import InputError
from polycal.preparing.checks import check_task, compare, keep_compared, read_check
from polycal.storage import tables


def write_language(
    folder: Path,
    language: str,
    questions: list[tuple],
    *,
    task: str = "t",
    subjects: list[str] | None = None,
    **facts,
) -> Path:
    """A questions table from (split, id, gold, number of options)."""
    rows = [
        {
            "task": task,
            "language": language,
            "split": split,
            "question_id": name,
            "subject": subject,
            "category": "c",
            "culture": None,
            "question": "?",
            "options": ["o"] * n_options,
            "gold": gold,
            "lead_in": "Answer:",
        }
        for (split, name, gold, n_options), subject in zip(
            questions, subjects or ["s"] * len(questions), strict=True
        )
    ]
    table = pa.Table.from_pylist(rows, tables.SCHEMAS["questions"])
    tables.write(table, folder / f"{language}.parquet", "questions", **facts)
    return folder / f"{language}.parquet"


def test_a_check_says_what_each_language_holds_and_what_all_share(tmp_path):
    """Rows, dropped rows, options; what some lack, grouped by who lacks it."""
    shared = [("test", "1", 0, 4), ("test", "2", 3, 4), ("dev", "1", 2, 4)]
    shared += [("test", "5", 0, 4), ("test", "6", 0, 4)]
    counts = {"rows": 9, "dropped_blank_option": 7, "dropped_x": 0}
    counts = {"test": counts | {"duplicate_questions": 2}}
    paths = [
        write_language(tmp_path, "de", [*shared, ("test", "4", 0, 4)]),
        write_language(tmp_path, "sw", [*shared[1:], ("test", "3", 0, 10)]),
        write_language(tmp_path, "yo", shared[1:], counts=counts),
    ]
    out = tmp_path / "checks" / "t.json"
    check_task(questions=paths, policy="intersection", out=out)
    facts = read_check(out)
    assert (facts["task"], facts["policy"]) == ("t", "intersection")
    assert facts["languages"]["de"] == {
        "questions": tables.digest(tables.read(paths[0], "questions")),
        "rows": 5,
        "dropped": {},
        "duplicate_questions": 0,
        "n_questions": 5,
        "n_options": {"4": 5},
    }
    assert facts["languages"]["sw"]["n_options"] == {"4": 3, "10": 1}
    assert facts["languages"]["yo"]["rows"] == 9
    assert facts["languages"]["yo"]["dropped"] == {"blank_option": 7}
    assert facts["languages"]["yo"]["duplicate_questions"] == 2
    assert (facts["n_all"], facts["n_common"]) == (6, 3)
    assert facts["test"] == {
        "missing": [
            {"languages": ["sw", "yo"], "questions": ["1", "4"]},
            {"languages": ["de", "yo"], "questions": ["3"]},
        ],
        "differing": [],
    }
    assert facts["dev"] == {"missing": [], "differing": []}


def test_a_question_about_something_else_is_another_question(tmp_path):
    """XCOPA asks for the cause in one language and for the effect in another."""
    asked = [("test", name, 0, 2) for name in "1234"]
    et = write_language(tmp_path, "et", asked, subjects=["cause"] * 4)
    th = write_language(tmp_path, "th", asked, subjects=["cause", "effect"] * 2)
    facts = compare([et, th], "intersection")
    assert (facts["n_all"], facts["n_common"]) == (4, 2)
    assert facts["test"]["differing"][0] == {
        "question_id": "2",
        "versions": [
            {"gold": "A", "n_options": 2, "languages": ["et"], "subject": "cause"},
            {"gold": "A", "n_options": 2, "languages": ["th"], "subject": "effect"},
        ],
    }
    message = "2 .test. is A of 2 options about 'cause' in et but A of 2 .*'effect' in"
    with pytest.raises(InputError, match=message):
        compare([et, th], "identical")


def test_questions_that_are_alike_by_chance_are_not_compared(tmp_path):
    """Rows without an id are numbered; one language lacks the first of 120."""
    golds = [number * 7 % 4 for number in range(120)]
    en, ja = (
        write_language(
            tmp_path,
            language,
            [("test", str(number), gold, 4) for number, gold in enumerate(own)],
        )
        for language, own in (("en", golds), ("ja", golds[1:]))
    )
    with pytest.raises(InputError, match=r"t: only \d+ of 119 questions with the same"):
        compare([en, ja], "intersection")
    assert compare([en], "intersection")["n_common"] == 120


def test_agreement_is_judged_by_what_chance_would_give(tmp_path):
    """Two options, golds 62 to 38: a shift by one row leaves more than half alike.

    Chance: .62^2 + .38^2 = .529, so the limit is .764; one answer in five may differ.
    """
    golds = [int(number * 38 % 100 < 38) for number in range(1, 501)]
    assert sum(golds) == 190

    def write(language: str, own: list[int]):
        rows = [("test", str(number), gold, 2) for number, gold in enumerate(own)]
        return write_language(tmp_path, language, rows)

    en = write("en", golds)
    shifted = sum(one == other for one, other in itertools.pairwise(golds))
    assert shifted < 0.764 * 499
    words = rf"only {shifted} of 499 .* same answer in en and et, and chance would give"
    with pytest.raises(InputError, match=words):
        compare([en, write("et", golds[1:])], "intersection")
    some = [1 - gold if number % 5 == 0 else gold for number, gold in enumerate(golds)]
    assert compare([en, write("th", some)], "intersection")["n_common"] == 400


@pytest.mark.parametrize(("n_common", "stops"), [(5, False), (4, True)])
def test_half_of_the_questions_have_to_be_common(tmp_path, n_common, stops):
    """At the limit itself the study goes on."""
    asked = [("test", str(number), 0, 4) for number in range(10)]
    de = write_language(tmp_path, "de", asked)
    sw = write_language(tmp_path, "sw", asked[:n_common])
    if stops:
        with pytest.raises(InputError, match=r"only 4 of 10 .*`question_id`"):
            compare([de, sw], "intersection")
    else:
        assert compare([de, sw], "intersection")["n_common"] == 5


@pytest.mark.parametrize("other", [("test", "7", 1, 4), ("test", "7", 0, 5)])
def test_questions_that_differ_are_listed_and_left_out(tmp_path, other):
    """Another gold or another number of options under the same id, by language."""
    same = [("test", "7", 0, 4), ("test", "8", 0, 4)]
    paths = [
        write_language(tmp_path, "de", same),
        write_language(tmp_path, "yo", same),
        write_language(tmp_path, "sw", [other, same[1]]),
    ]
    facts = compare(paths, "intersection")
    (found,) = facts["test"]["differing"]
    assert found["question_id"] == "7"
    assert found["versions"] == [
        {"gold": "A", "n_options": 4, "languages": ["de", "yo"]},
        {"gold": "AB"[other[2]], "n_options": other[3], "languages": ["sw"]},
    ]
    assert (facts["n_all"], facts["n_common"]) == (2, 1)


def test_the_digest_is_that_of_the_questions_left(tmp_path):
    """It changes with the questions that are compared, not with who asks them."""
    both = [("test", "1", 0, 4), ("test", "2", 0, 4)]
    de, sw = (write_language(tmp_path, code, both) for code in ("de", "sw"))
    yo = write_language(tmp_path, "yo", both[:1])
    first = compare([de, sw], "intersection")["digest"]
    assert first == compare([sw], "identical")["digest"]
    assert first != compare([de, sw, yo], "intersection")["digest"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("test", "7", 1, 4), r"7 \(test\) is A of 4 options in de but B of 4 .* in s"),
        (("test", "9", 0, 4), r"sw lacks 7 \(test\); de lacks 9 \(test\)"),
        (("dev", "1", 0, 4), r"sw lacks 7 \(test\); de lacks 1 \(dev\)"),
    ],
)
def test_identical_stops_at_any_difference(tmp_path, row, message):
    """The message names the question and the languages, and nothing is written."""
    paths = [
        write_language(tmp_path, "de", [("test", "7", 0, 4), ("test", "8", 0, 4)]),
        write_language(tmp_path, "sw", [row, ("test", "8", 0, 4)]),
    ]
    with pytest.raises(InputError, match=message) as caught:
        check_task(questions=paths, policy="identical", out=tmp_path / "t.json")
    assert "questions: intersection" in str(caught.value)
    assert not (tmp_path / "t.json").exists()


def test_only_the_first_differences_are_listed(tmp_path):
    """A wholly different language gives one line, not fourteen thousand."""
    paths = [
        write_language(tmp_path, "de", [("test", str(i), 0, 4) for i in range(100)]),
        write_language(tmp_path, "sw", [("test", str(i), 1, 4) for i in range(100)]),
    ]
    for policy, hint in (("identical", "intersection"), ("intersection", "own")):
        with pytest.raises(InputError, match=f"say `questions: {hint}`") as caught:
            compare(paths, policy)
        assert str(caught.value).count("(test)") == 5
        assert "\n" not in str(caught.value)


def test_own_questions_are_not_compared(tmp_path):
    """A benchmark that is not parallel loses nothing, whatever its ids are."""
    paths = [
        write_language(tmp_path, "de", [("test", "0", 0, 4), ("test", "1", 0, 4)]),
        write_language(tmp_path, "sw", [("test", "0", 1, 4)]),
    ]
    facts = compare(paths, "own")
    sizes = {code: each["n_questions"] for code, each in facts["languages"].items()}
    assert sizes == {"de": 2, "sw": 1}
    assert (facts["n_common"], facts["digest"]) == (None, None)
    assert facts["test"] == {"missing": [], "differing": []}


def test_files_that_do_not_belong_together_are_refused(tmp_path):
    """Two benchmarks, or one language twice."""
    row = [("test", "1", 0, 4)]
    de = write_language(tmp_path, "de", row)
    sw = write_language(tmp_path, "sw", row, task="u")
    with pytest.raises(InputError, match=r"one benchmark is expected, found \['t', 'u"):
        compare([de, sw], "intersection")
    with pytest.raises(InputError, match=r"de\.parquet: one file for each language"):
        compare([de, de], "intersection")


@pytest.mark.parametrize(
    ("old", "new"), [("identical", "intersection"), ('"n_all": 1', '"n_all": 2')]
)
def test_an_edited_check_is_refused(tmp_path, old, new):
    """Another list of questions would be measured, and nobody would say so."""
    path = tmp_path / "check.json"
    questions = [write_language(tmp_path, "de", [("test", "0", 0, 4)])]
    check_task(questions=questions, policy="identical", out=path)
    text = path.read_text()
    assert read_check(path)["n_all"] == text.count(old) == 1
    path.write_text(text.replace(old, new))
    with pytest.raises(InputError, match=r"check\.json is not what `polycal check_ta"):
        read_check(path)


def scored(*rows: tuple[str, str]) -> pa.Table:
    """As much of a predictions table as a check looks at: (language, id)."""
    languages, ids = zip(*rows, strict=True)
    columns = {"task": ["t"] * len(rows), "language": languages, "question_id": ids}
    return pa.table({name: pa.array(each) for name, each in columns.items()})


@pytest.mark.parametrize(
    ("policy", "kept"),
    [
        ("intersection", [("de", "2"), ("sw", "2")]),
        ("own", [("de", "1"), ("de", "2"), ("sw", "2"), ("sw", "3")]),
    ],
)
def test_what_a_check_keeps_is_the_same_in_every_language(tmp_path, policy, kept):
    """A language that the study no longer has is left out, too."""
    paths = [
        write_language(tmp_path, "de", [("test", name, 0, 4) for name in "124"]),
        write_language(tmp_path, "sw", [("test", name, 0, 4) for name in "234"]),
    ]
    check = compare(paths, policy)
    origin = {
        path.stem: tables.digest(tables.read(path, "questions")) for path in paths
    }
    table = scored(("de", "1"), ("de", "2"), ("yo", "2"), ("sw", "2"), ("sw", "3"))
    found = keep_compared(check, table, origin).select(["language", "question_id"])
    assert [tuple(row.values()) for row in found.to_pylist()] == kept


def test_scores_of_other_questions_are_refused(tmp_path):
    """Otherwise the check would be about something that was not scored."""
    path = write_language(tmp_path, "de", [("test", "1", 0, 4)])
    check = compare([path], "intersection")
    for origin in ({"de": "an older file's"}, {}):
        with pytest.raises(InputError, match="t, de: the scores are of other questio"):
            keep_compared(check, scored(("de", "1")), origin)
    with pytest.raises(InputError, match="the check is of u, the scores of t"):
        keep_compared(check | {"task": "u"}, scored(("de", "1")), {})


@pytest.mark.parametrize("key", ["kind", "content", "digest", "test"])
@pytest.mark.parametrize("value", [5.5, "absent"])
def test_a_check_that_was_edited_is_refused(tmp_path, key, value):
    """Before a number is computed of it: a key that lacks, or holds another type."""
    path = tmp_path / "check.json"
    questions = write_language(tmp_path, "de", [("test", "1", 0, 4)])
    check_task(questions=[questions], policy="intersection", out=path)
    assert read_check(path)["n_all"] == 1
    check = json.loads(path.read_text()) | {key: value}
    if value == "absent":
        del check[key]
    path.write_text(json.dumps(check))
    with pytest.raises(InputError, match="is not what `polycal check_task` writes"):
        read_check(path)


@pytest.mark.parametrize("text", ["{", "[]", "{}", json.dumps({"kind": "metrics"})])
def test_a_foreign_file_is_no_check(tmp_path, text):
    """It is named, and what makes one is said."""
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(InputError, match=r"x\.json is not what `polycal check_task`"):
        read_check(tmp_path / "x.json")
