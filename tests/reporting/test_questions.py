"""How a task's questions are asked and compared, in words."""

import pytest

from polycal.reporting.questions import (
    describe_asked,
    describe_compared,
    describe_counted,
    describe_repeated,
)


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"de": 0, "sw": 0}, ""),
        ({"de": 0, "sw": 1200}, ": 1,200 in sw."),
        ({"de": 3, "sw": 7, "yo": 5, "zu": 0}, ": 7 in sw, most of 3 languages."),
        ({"de": None}, ""),
    ],
)
def test_repeated_questions_are_told_where_there_are_any(counts, words):
    """The language with most of them; a check of an older version has no count."""
    languages = {
        code: {} if n is None else {"duplicate_questions": n}
        for code, n in counts.items()
    }
    said = describe_repeated({"languages": languages})
    assert said.partition("another one")[2] == words
    assert bool(said) == bool(words)


def test_what_is_left_out_is_counted_by_question():
    """Three questions that two groups of languages lack, and two that differ."""
    check = {"policy": "intersection", "n_all": 10, "n_common": 5}
    missing = [{"questions": ["a", "b"]}, {"questions": ["c"]}]
    check["test"] = {"missing": missing, "differing": [{}, {}]}
    assert describe_compared(check, {}) == (
        "5 questions are compared in all languages; 5 are left out (3 missing in some "
        "language and 2 with another answer or number of options in some language)."
    )
    assert describe_compared(check | {"n_common": 10}, {}) == (
        "all languages have the same questions; nothing is left out."
    )
    alone = {"n_common": 10, "languages": {"sw": {"n_questions": 10}}}
    assert describe_compared(check | alone, {}) == "nothing is left out."
    assert describe_compared(check | {"policy": "own"}, {}) == (
        "every language has its own questions; nothing is left out."
    )


@pytest.mark.parametrize(
    ("policy", "missing", "differing", "words"),
    [
        ("intersection", 0, 0, "all languages have the same questions; nothing is"),
        (
            "intersection",
            2,
            0,
            "8 questions are compared in all languages; 2 are left ",
        ),
        ("intersection", 1, 0, "1 is left out (1 missing in some language)."),
        (
            "intersection",
            2,
            1,
            "(2 missing in some language and 1 with another answer or",
        ),
        ("own", 0, 0, "every language has its own questions"),
    ],
)
def test_what_is_compared_is_told_with_what_is_left_out(
    policy, missing, differing, words
):
    """The numbers and the reasons are those of the check."""
    left_out = missing + differing
    check = {
        "policy": policy,
        "n_all": 10,
        "n_common": None if policy == "own" else 10 - left_out,
        "test": {
            "missing": [{"questions": ["x"]}] * missing,
            "differing": [{}] * differing,
        },
    }
    assert words in describe_compared(check, {})


@pytest.mark.parametrize(
    ("policy", "n_common", "words"),
    [
        (
            "intersection",
            10,
            "a part of the benchmark's 10 is asked (max_questions 8, question_seed 3), "
            "with a share for every subject, the same in every language.",
        ),
        ("intersection", 9, "every language. Those that are not alike in all languag"),
        ("own", None, "every language has its own, and is asked a part (max_questions"),
    ],
)
def test_a_part_of_the_questions_is_told(policy, n_common, words):
    """Unless the limit is no limit."""
    check = {"policy": policy, "n_all": 10, "n_common": n_common}
    check |= {"languages": {"en": {"n_questions": 10}, "sw": {"n_questions": 8}}}
    check |= {"test": {"missing": [{"questions": ["x"]}], "differing": []}}
    asked = {"max_questions": 8, "question_seed": 3}
    assert words in describe_compared(check, asked)
    asked["max_questions"] = 10
    assert "a part" not in describe_compared(check, asked)


def test_how_a_task_was_asked_in_words():
    """What the tables do not tell is not said."""
    asked = {"shots": 0, "dtype": ["bfloat16", "float32"]}
    assert describe_asked(asked) == "0 shots, scored in bfloat16 and float32"
    asked |= {"shots": 5, "prompt": "chat", "shots_as": "turns", "dtype": ["float32"]}
    assert describe_asked(asked) == (
        "5 shots as turns, in each checkpoint's own chat template, scored in float32"
    )
    assert describe_asked({}) == ""


@pytest.mark.parametrize(
    ("opens", "words"),
    [
        ({"m": True, "m/it": True}, "“Answer:” begins the assistant's turn"),
        ({"m": False, "m/it": False}, "“Answer:” ends the user's turn"),
        (
            {"m": True, "m/it": False},
            "“Answer:” begins the assistant's turn, but ends the user's for m/it",
        ),
    ],
)
def test_a_chat_says_where_its_answer_begins(opens, words):
    """Which checkpoints' templates let the lead-in begin the assistant's turn."""
    asked = {"prompt": "chat", "opens_answer": opens}
    expected = f"in each checkpoint's own chat template ({words})"
    assert describe_asked(asked) == expected


def test_tokens_across_the_border_are_told_by_checkpoint():
    """By polycal and by lm_eval; nothing where no option shares a token."""
    asked = {"own_tokens": {"m": 4, "m/it": 1200}, "cut_options": {"n": 2}}
    assert describe_counted(asked) == (
        "Options that share a token with their context are scored by the tokens of "
        "their own text: 4 of m and 1,200 of m/it. Options that share a token with "
        "their context were scored without it by lm-evaluation-harness: 2 of n."
    )
    assert describe_counted({"own_tokens": {}, "cut_options": {}}) == ""


def test_replaced_shots_and_cut_prompts_are_told_by_checkpoint():
    """Each by itself."""
    assert describe_counted({"replaced_shots": {"m": 1}, "truncated": {"m": 7}}) == (
        "Questions that are among their own shots get another shot: 1 of m. "
        "Prompts that are longer than the model reads lose their start: 7 of m."
    )
