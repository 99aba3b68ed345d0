"""Prompts are the harness's Global-MMLU layout, with and without shots."""

import pytest

from polycal.study.prompts import (
    build_chat,
    build_prompt,
    group_by_subject,
    pick_shots,
)

QUESTION = "  Two?\n"
OPTIONS = ["one ", "two", "three"]


def shot(number: int, subject: str | None = "s") -> dict:
    return {
        "subject": subject,
        "question": f"Shot {number}?",
        "options": ["no", " yes "],
        "gold": 1,
        "lead_in": "Jibu:",
    }


def test_letters_list_the_options_and_text_does_not():
    """Question and candidates are stripped, listed options are not."""
    letters = build_prompt("letters", QUESTION, OPTIONS, "Jibu:")
    assert letters.context == "Two?\nA. one \nB. two\nC. three\nJibu:"
    assert letters.continuations == (" A", " B", " C")
    text = build_prompt("text", QUESTION, OPTIONS, "Answer:")
    assert text.context == "Two?\nAnswer:"
    assert text.continuations == (" one", " two", " three")


@pytest.mark.parametrize(
    ("scoring", "block"),
    [
        ("letters", "Shot 1?\nA. no\nB.  yes \nJibu: B\n\n"),
        ("text", "Shot 1?\nJibu: yes\n\n"),
    ],
)
def test_shots_are_answered_in_the_same_layout(scoring, block):
    """A blank line after each; the candidates are those of the question."""
    plain = build_prompt(scoring, QUESTION, OPTIONS, "Jibu:")
    found = build_prompt(scoring, QUESTION, OPTIONS, "Jibu:", [shot(1), shot(1)])
    assert found.context == block * 2 + plain.context
    assert found.continuations == plain.continuations


ASKED = "Two?\nA. one \nB. two\nC. three"
SHOT = "Shot 1?\nA. no\nB.  yes "


@pytest.mark.parametrize(
    ("opens_answer", "as_turns", "turns"),
    [
        (True, False, [f"{SHOT}\nJibu: B\n\n{ASKED}", "Jibu:"]),
        (True, True, [SHOT, "Jibu: B", ASKED, "Jibu:"]),
        (False, False, [f"{SHOT}\nJibu: B\n\n{ASKED}\nJibu:"]),
        (False, True, [f"{SHOT}\nJibu:", "B", f"{ASKED}\nJibu:"]),
    ],
)
def test_a_chat_has_its_shots_as_text_or_as_turns(opens_answer, as_turns, turns):
    """The lead-in begins every answer, or ends every question."""
    shots = [shot(1)]
    chat = build_chat("letters", QUESTION, OPTIONS, "Jibu:", shots, as_turns=as_turns)
    messages = chat.messages(opens_answer=opens_answer)
    assert [message["content"] for message in messages] == turns
    roles = ["user", "assistant"] * 2
    assert [message["role"] for message in messages] == roles[: len(turns)]
    assert chat.continuations == (" A", " B", " C")


def test_shots_are_the_first_of_the_same_subject():
    """In source order; a subject with too few gives what it has."""
    rows = [shot(0, "a"), shot(1, "b"), shot(2, "a"), shot(3, "a"), shot(4, None)]
    asked = shot(9, "a")
    names = {
        subject: [row["question"] for row in pick_shots(own, asked, 2)]
        for subject, own in group_by_subject(rows).items()
    }
    assert names == {"a": ["Shot 0?", "Shot 2?"], "b": ["Shot 1?"], None: ["Shot 4?"]}
    assert not pick_shots(rows, asked, 0)


def test_a_question_is_never_its_own_shot():
    """It would tell the answer; another question with its stem is another question."""
    rows = [shot(number, "a") for number in range(4)]
    asked = shot(1, "a") | {"question": " Shot 1?\n"}
    assert pick_shots(rows, asked, 3) == [rows[0], rows[2], rows[3]]
    assert pick_shots(rows, asked, 4) == [rows[0], rows[2], rows[3]]
    assert pick_shots(rows, asked | {"options": ["x", "y"]}, 3) == rows[:3]
