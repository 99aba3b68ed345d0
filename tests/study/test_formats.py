"""Formats read rows as described; a description without meaning is refused."""

import pytest
from study import small_study

from polycal.errors import InputError
from polycal.study import config as study
from polycal.study.formats import (
    load_known,
    make_format,
    why_dropped,
    write_out_lead_in,
)
from polycal.study.languages import use_languages
from polycal.study.prompts import LETTERS

DESCRIPTION = {
    "splits": {"test": "test"},
    "question": "question",
    "options": ["a", "b", "c"],
    "gold": {"answer": "letter"},
}
ROW = {
    "link": "http://x",
    "number": 2,
    "passage": " Long ago. ",
    "question": "Two?",
    "a": "one",
    "b": "two",
    "c": "three",
    "choices": ["one", "two", "three"],
    "answer": "B",
}


def read(changes: dict | None = None, **keys: object) -> dict:
    """Row 7 of a split, in Swahili, with some cells and some keys changed."""
    source = make_format(study.complete_format(DESCRIPTION | keys))
    return source.read(ROW | (changes or {}), 7, "sw")


@pytest.mark.parametrize("name", ["global_mmlu", "mmlu_prox"])
def test_the_known_formats_are_descriptions_as_anybody_s(name):
    """Complete, in the schema, and with shots."""
    known = load_known(name)
    assert study.complete_format(known) == known == study.complete_format(name)
    assert set(known["splits"]) == {"test", "dev"}
    assert len(make_format(known).columns) == (10 if name == "global_mmlu" else 15)


@pytest.mark.parametrize(
    ("form", "answer"),
    [
        ("letter", "B"),
        ("letter", "b"),
        ("letter", "B "),
        ("label", "B"),
        ("label", "b"),
        ("label", "2"),
        ("label", 2),
        ("index", 1),
        ("index", "1"),
        ("index", 1.0),
        ("number", 2),
        ("number", "2"),
        ("number", " 2 "),
        ("text", "two"),
    ],
)
def test_gold_is_told_in_five_forms(form, answer):
    """Numbers may be texts; all mean the second option."""
    assert read({"answer": answer}, gold={"answer": form})["gold"] == 1


@pytest.mark.parametrize(
    ("form", "answer", "message"),
    [
        ("letter", "B.", "answer is 'B.', not a letter"),
        ("label", "0", "answer is '0', but there are only 3 options"),
        ("label", "D", "answer is 'D', but there are only 3 options"),
        ("label", "", "answer is '', not a whole number"),
        ("index", float("inf"), "answer is inf, not a whole"),
        ("index", ["1"], r"answer is \['1'\], not a whole"),
        ("letter", "2", "answer is '2', not a letter from A to J; is `format:` right"),
        ("letter", "D", "answer is 'D', but there are only 3 options"),
        ("index", 3, "answer is 3, but there are only 3 options; is `format:` right"),
        ("index", -1, "answer is -1, but"),
        ("index", "B", "answer is 'B', not a whole number"),
        ("index", 1.5, "answer is 1.5, not a whole"),
        ("index", True, "answer is True, not a whole"),
        ("index", None, "answer is None, not a whole"),
        ("number", 0, "answer is 0, but"),
        ("number", "4", "answer is '4', but there are only 3"),
        ("text", "Two", "answer is 'Two', which is none of the options"),
        ("text", None, "answer is None, which is none"),
    ],
)
def test_an_answer_that_means_nothing_is_refused(form, answer, message):
    """With the column, the value, and a hint at the format."""
    with pytest.raises(InputError, match=message):
        read({"answer": answer}, gold={"answer": form})


def test_two_columns_of_gold_must_agree():
    """And an answer in words must not be two options at once."""
    both = {"answer": "letter", "number": "number"}
    assert read(gold=both)["gold"] == 1
    with pytest.raises(InputError, match="answer is 'B' but number is 3"):
        read({"number": 3}, gold=both)
    with pytest.raises(InputError, match="'one', which is more than one of the option"):
        read({"answer": "one", "c": "one"}, gold={"answer": "text"})


def test_options_may_be_one_column_that_holds_a_list():
    """With blanks in it the question is dropped; null at the end may shorten it."""
    assert read(options="choices")["options"] == ["one", "two", "three"]
    nulls = {"choices": ["one", "two", None, None]}
    assert why_dropped(read(nulls, options="choices")) == "dropped_blank_option"
    short = read(nulls, options=["choices"], missing_options="shorten")
    assert short["options"] == ["one", "two"]


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ("[one, two]", "not a list; is `format:` right"),
        ("['one' 'two']", "there are 1 options"),
        ("{'one': 'two'}", "not a list; is `format:` right"),
        ([True, False], "option 0 of choices is True, not a text"),
        (["one", "\ud800"], "option 1 of choices is .*, which has half of a character"),
        (None, "choices is None, not a list"),
        ([], "there are 0 options; a question has 2 to 10"),
        (["one"], "there are 1 options"),
        (list(LETTERS + "K"), "there are 11 options"),
        ([["one"], "two"], r"option 0 of choices is \['one'\], not a text"),
    ],
)
def test_a_list_of_options_that_cannot_be_asked(choices, message):
    """And one option is no question."""
    with pytest.raises(InputError, match=message):
        read({"choices": choices}, options="choices")


@pytest.mark.parametrize(
    ("choices", "options"),
    [
        ("['one', \"two's\"]", ["one", "two's"]),  # AfriMMLU
        ('["one", null]', ["one", None]),
        ([1, 2.5, 3.0], ["1", "2.5", "3"]),
        ([7, float("nan")], ["7", None]),
    ],
)
def test_a_list_may_be_written_as_text_and_hold_numbers(choices, options):
    """Numbers are asked as they are written; NaN is how pandas writes a null."""
    found = read({"choices": choices, "answer": "A"}, options="choices")
    assert found["options"] == options


def test_empty_texts_at_the_end_are_no_options_where_they_shorten():
    """As ArabicMMLU writes them; a text of white space says something is missing."""
    asked = {"options": ["a", "b", "c"], "missing_options": "shorten"}
    assert read({"c": "", "answer": "A"}, **asked)["options"] == ["one", "two"]
    assert why_dropped(read({"c": " "}, **asked)) == "dropped_blank_option"
    assert why_dropped(read({"b": ""}, **asked)) == "dropped_blank_option"


def test_a_part_of_a_question_may_be_missing_where_the_format_says_so():
    """The others are joined; a question of which nothing is left is dropped."""
    asked = {"question": ["passage", "question"], "optional": "passage"}
    assert read(**asked)["question"] == " Long ago. \nTwo?"
    for blank in (None, "", " "):
        assert read({"passage": blank}, **asked)["question"] == "Two?"
    assert why_dropped(read({"question": ""}, **asked)) == "dropped_blank_question"


def test_whole_numbers_are_spelt_alike_in_every_language():
    """A column with a null in one language holds 1.0 there and 1 elsewhere."""
    for number in (2, 2.0, "2"):
        found = read({"number": number}, question_id="number", subject="number")
        assert (found["question_id"], found["subject"]) == ("2", "2")
    for missing in (float("nan"), None):
        with pytest.raises(InputError, match="number is empty"):
            read({"number": missing}, question_id="number")
    with pytest.raises(InputError, match=r"number is .*, which names nothing"):
        read({"number": [2]}, question_id="number")


def test_ids_questions_and_labels_come_from_the_columns_that_are_named():
    """Several are joined; without an id it is the row; white space stays."""
    found = read(
        question_id=["link", "number"], question=["passage", "question"], subject="link"
    )
    assert found["question_id"] == "http://x/2"
    assert found["question"] == " Long ago. \nTwo?"
    assert (found["subject"], found["category"]) == ("http://x", "http://x")
    plain = read(category="number")
    assert (plain["question_id"], plain["subject"], plain["category"]) == (
        "7",
        None,
        "2",
    )
    assert (plain["culture"], plain["lead_in"]) == (None, "Answer:")
    assert read(lead_in="own")["lead_in"] == "Jibu:"


@pytest.mark.parametrize("blank", [None, "", " \u3000", "\u200b\ufeff"])
def test_what_is_blank_is_dropped_or_named(blank):
    """A blank part of the question drops it, whatever the answer; ids must be there."""
    asked = read({"passage": blank, "answer": "?"}, question=["passage", "question"])
    assert why_dropped(asked) == "dropped_blank_question"
    assert asked["gold"] is None
    assert why_dropped(read({"b": blank})) == "dropped_blank_option"
    assert why_dropped(read()) is None
    for key in ("question_id", "subject", "category"):
        with pytest.raises(InputError, match="link is empty"):
            read({"link": blank}, **{key: "link"})


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"options": ["a", "b", "a"]}, "format.options: 'a' is listed twice"),
        ({"question_id": ["a", "a"]}, "format.question_id: 'a' is listed twice"),
        ({"options": list("abcdefghijk")}, "format.options: there can be at most 10"),
        ({"splits": {"test": "x", "dev": "x"}}, "test and dev are both 'x'"),
        ({"lead_in": "Answer: "}, "format.lead_in: 'Answer: ' begins or ends with"),
        ({"optional": "a"}, "format.optional: 'a' is not among the columns of `questi"),
        ({"optional": "question"}, "format.optional: every column of `question` is"),
        ({"gold": {}}, "format.gold: "),
        ({"gold": {"answer": "lettr"}}, "format.gold.answer: 'lettr' is not one of"),
        ({"lead-in": "x"}, "there is no key 'lead-in'; did you mean 'lead_in'"),
    ],
)
def test_a_description_without_meaning_stops_the_study(keys, message):
    """Before anything is read: in the study's own check, with the task's place."""
    with pytest.raises(InputError, match=message):
        read(**keys)
    config = small_study()
    config["tasks"][0]["format"] = DESCRIPTION | keys
    with pytest.raises(InputError, match=rf"tasks\.\w+.*{message}"):
        study.complete(config)


def test_a_study_with_an_unknown_format_or_lead_in_stops():
    """The first names the formats, the second the key to fill."""
    config = small_study()
    config["tasks"][0]["format"] = "mmlu"
    with pytest.raises(
        InputError, match=r"tasks.global_mmlu: format 'mmlu' is not kno"
    ):
        study.complete(config)
    config["tasks"][0]["format"] = DESCRIPTION | {"lead_in": "own"}
    with pytest.raises(InputError, match=r"'he' has no lead-in .*`languages:`"):
        study.complete(config)


def test_json_is_read_as_a_description():
    """As the workflow hands it over; what is broken is said so."""
    text = (
        '{"splits": {"test": "t"}, "question": "q", "options": "o", "gold": {"g": "tex'
    )
    whole = study.complete_format(text + 't"}}')
    assert (whole["gold"], whole["lead_in"]) == ({"g": "text"}, "Answer:")
    with pytest.raises(InputError, match="is not JSON"):
        study.complete_format(text)


@pytest.mark.parametrize(
    "format",
    ["mmlu_prox", DESCRIPTION | {"lead_in": "own"}, "global_mmlu", DESCRIPTION],
)
def test_a_study_s_own_word_is_written_into_a_format_that_takes_it(format):
    """In its language only: any other description would prepare questions again."""
    use_languages([{"code": "sw", "lead_in": "Jawabu:"}])
    try:
        written, other = (write_out_lead_in(format, code) for code in ("sw", "en"))
    finally:
        use_languages([])
    assert other == format
    if format in ("global_mmlu", DESCRIPTION):
        assert written == format
    else:
        description = study.complete_format(format)
        assert description["lead_in"] == "own"
        assert study.complete_format(written) == description | {"lead_in": "Jawabu:"}
    assert write_out_lead_in(format, "sw") == format
