"""A conversation is written as its template says; the assistant's turns are found."""

import pytest
from tiny import CHAT_TEMPLATE, make_tiny_tokenizer

from polycal.errors import InputError
from polycal.tuning.chat import Chat, RefusedError, choose_template

CHAT = [
    ("system", "be brief"),
    ("user", "what is red ?"),
    ("assistant", "a colour"),
    ("user", "and Österreich ?"),
    ("assistant", "a stone house"),
]
PREAMBLE = (
    "Below is an instruction that describes a task. Write a response that "
    "appropriately completes the request.\n\n"
)
INPUT_PREAMBLE = (
    "Below is an instruction that describes a task, paired with an input that provides "
    "further context. Write a response that appropriately completes the request.\n\n"
)


def row(*turns: tuple[str, str], input: str | None = None) -> dict:
    messages = [{"role": role, "content": text} for role, text in turns]
    return {"example_id": 7, "input": input, "messages": messages}


def write(row: dict, choice: str, template: str | None = None) -> tuple[str, list[str]]:
    """The text of a conversation, and those of the assistant's turns in it."""
    chat = Chat(make_tiny_tokenizer(chat_template=template), choice)
    text, spans = chat.render(row)
    return text, [text[begin:end] for begin, end in spans]


def test_tulu_s_template_is_written_as_published():
    """The text, marker by marker."""
    assert write(row(*CHAT), "tulu") == (
        "<|system|>\nbe brief\n<|user|>\nwhat is red ?\n<|assistant|>\na colour</s>\n"
        "<|user|>\nand Österreich ?\n<|assistant|>\na stone house</s>",
        ["a colour</s>", "a stone house</s>"],
    )


def test_alpaca_s_prompts_are_written_as_published():
    """With an input and without; the answer follows the last header directly."""
    turns = [("user", "Add."), ("assistant", "3")]
    assert write(row(*turns), "alpaca") == (
        PREAMBLE + "### Instruction:\nAdd.\n\n### Response:3</s>",
        ["3</s>"],
    )
    assert write(row(*turns, input="1 and 2"), "alpaca") == (
        INPUT_PREAMBLE + "### Instruction:\nAdd.\n\n### Input:\n1 and 2\n\n"
        "### Response:3</s>",
        ["3</s>"],
    )


def test_a_longer_chat_continues_alpaca_s_blocks():
    """One preamble, or the system turn in its place; EOS ends every answer."""
    blocks = (
        "### Instruction:\nwhat is red ?\n\n### Response:a colour</s>\n\n"
        "### Instruction:\nand Österreich ?\n\n### Response:a stone house</s>"
    )
    answers = ["a colour</s>", "a stone house</s>"]
    assert write(row(*CHAT), "alpaca") == ("be brief\n\n" + blocks, answers)
    assert write(row(*CHAT[1:]), "alpaca") == (PREAMBLE + blocks, answers)


@pytest.mark.parametrize(
    ("choice", "template"), [("own", CHAT_TEMPLATE), ("tulu", None)]
)
def test_other_templates_see_the_input_after_a_blank_line(choice, template):
    """Instruction and input are one user turn."""
    turns = [("user", " do"), ("assistant", "a")]
    text, answers = write(row(*turns, input="this "), choice, template)
    assert "<|user|>\n do\n\nthis " in text
    assert answers == ["a</s>"]


def test_auto_is_the_model_s_own_template_or_tulu_s():
    """The tokenizer carries what was chosen."""
    for choice, own, marker in (
        ("auto", "{{ 'own' }}", "own"),
        ("own", "{{ 'own' }}", "own"),
        ("auto", None, "<|"),
        ("tulu", "{{ 'own' }}", "<|"),
        ("alpaca", "{{ 'own' }}", "### Response:"),
    ):
        tokenizer = make_tiny_tokenizer(chat_template=own)
        choose_template(tokenizer, choice)
        assert marker in tokenizer.chat_template
    with pytest.raises(InputError, match="no chat template of its own; set chat_templ"):
        choose_template(make_tiny_tokenizer(chat_template=None), "own")


def test_a_template_that_rewrites_earlier_turns_is_refused():
    """Its tokens could not be told apart, so nothing is guessed."""
    template = (
        "{% for m in messages %}{{ m.role }}: "
        "{{ m.content if loop.last else 'x' }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    with pytest.raises(
        InputError, match="conversation 7: the chat template writes a turn differently"
    ):
        write(row(*CHAT), "own", template)


def test_a_conversation_that_the_template_refuses_is_told_apart():
    """With the template's own words."""
    template = (
        "{% if messages[0]['role'] == 'system' %}"
        "{{ raise_exception('no system role') }}{% endif %}" + CHAT_TEMPLATE
    )
    assert write(row(*CHAT[1:]), "own", template)[1]
    with pytest.raises(RefusedError, match=r"conversation 7: .*no system role"):
        write(row(*CHAT), "own", template)


def test_a_turn_that_opens_a_conversation_is_no_answer():
    """The turns after it are as ever."""
    opened = [("assistant", "what is in winter ?"), *CHAT[1:3]]
    for choice in ("tulu", "alpaca"):
        assert write(row(*opened), choice)[1] == ["a colour</s>"]


def test_a_chat_that_ends_with_a_question_is_written_whole():
    """The question is there, though nothing of it is learnt."""
    text, answers = write(row(*CHAT[:4]), "tulu")
    assert text.endswith("<|user|>\nand Österreich ?\n")
    assert answers == ["a colour</s>"]


def test_a_template_s_date_is_not_today_s(caplog):
    """Llama's templates write a date; the same set gives the same text on any day."""
    template = (
        "{% if not date_string is defined %}{% set date_string = strftime_now('%Y') %}"
        "{% endif %}Today: {{ date_string }}\n" + CHAT_TEMPLATE
    )
    text, _ = write(row(*CHAT[1:3]), "own", template)
    assert text.startswith("Today: 26 Jul 2024\n")
    write(row(*CHAT[1:3]), "own", template.replace("date_string", "today"))
    assert "may write the current date" in caplog.text
