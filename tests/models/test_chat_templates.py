"""A question is written as a checkpoint's chat template says."""

from pathlib import Path

import pytest
from tiny import CHAT_TEMPLATE, make_tiny_tokenizer

from polycal.errors import InputError
from polycal.models import template_limits
from polycal.models.chat_templates import ChatWriter, RefusedError
from polycal.study.prompts import ChatPrompt, Prompt, build_chat

SHOT = {"question": "Is it?", "options": ["no", "yes"], "lead_in": "So:", "gold": 1}


def write(template: str | None, *shots: dict, as_turns: bool = True) -> Prompt:
    writer = ChatWriter(make_tiny_tokenizer(chat_template=template), Path("model"))
    options = ["yes", "no"]
    asked = build_chat("letters", "Why ?", options, "So:", shots, as_turns=as_turns)
    return writer.write(asked)


def test_the_lead_in_begins_the_answer():
    """The turn is open, and letters follow after a space."""
    prompt = write(CHAT_TEMPLATE)
    assert prompt.context == ("<s><|user|>\nWhy ?\nA. yes\nB. no<|assistant|>\nSo:")
    assert prompt.continuations == (" A", " B")


@pytest.mark.parametrize(
    "closed",
    [
        "{{ raise_exception('no') if messages[-1].role != 'user' }}",
        "{{ '' if messages[-1].role == 'user' else messages[9].content }}",
    ],
    ids=["refused", "broken"],
)
def test_where_no_answer_can_be_begun_the_lead_in_ends_the_question(closed, caplog):
    """The template's own prompt follows, and letters without a space; a log says so."""
    prompt = write(closed + CHAT_TEMPLATE, SHOT)
    assert prompt.context == (
        "<s><|user|>\nIs it?\nA. no\nB. yes\nSo:<|assistant|>\nB</s>"
        "<|user|>\nWhy ?\nA. yes\nB. no\nSo:<|assistant|>\n"
    )
    assert prompt.continuations == ("A", "B")
    assert "model: the chat template allows no beginning of an answer" in caplog.text


def test_an_answer_that_is_not_written_cannot_be_begun():
    """A template that leaves the assistant's words out would lose the lead-in."""
    template = "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}"
    assert write(template).context.endswith("B. no\nSo:")


@pytest.mark.parametrize("as_turns", [True, False])
def test_what_stands_before_a_question_is_shared(as_turns):
    """All shots and the turn's header, for questions of a subject."""
    prompt = write(CHAT_TEMPLATE, SHOT, SHOT, as_turns=as_turns)
    assert prompt.context.startswith(prompt.shared)
    assert prompt.shared.count("Is it?") == 2
    assert prompt.context.removeprefix(prompt.shared).startswith("Why ?")


def test_what_is_shared_is_found_where_the_template_cuts_white_space():
    """Which the last listed option may have."""
    trimming = CHAT_TEMPLATE.replace("['content']", "['content'] | trim")
    asked = ChatPrompt((), "Why ?\nA. no ", "So:", (" A",))
    tokenizer = make_tiny_tokenizer(chat_template=trimming)
    prompt = ChatWriter(tokenizer, Path("model")).write(asked)
    assert prompt.shared == "<s><|user|>\n"


def test_a_date_is_the_same_every_day():
    """By either way in which a template asks for it."""
    dated = "{{ date_string }}, {{ strftime_now('%d %b %Y') }}" + CHAT_TEMPLATE
    assert write(dated).context.startswith("26 Jul 2024, 26 Jul 2024<s>")


def test_an_answer_has_no_thought():
    """Templates that would ask for one are told not to."""
    thinking = "{{ 'think' if enable_thinking is not false }}" + CHAT_TEMPLATE
    assert write(thinking).context.startswith("<s>")


def test_a_model_without_a_template_is_told_with_the_ways_out():
    """None, or several without a default one."""
    tokenizer = make_tiny_tokenizer(chat_template=None)
    with pytest.raises(
        InputError, match=r"model has no chat template.*`prompt: plain`"
    ):
        ChatWriter(tokenizer, Path("model"))
    tokenizer.chat_template = {"rag": CHAT_TEMPLATE, "tool_use": CHAT_TEMPLATE}
    with pytest.raises(
        InputError, match=r"model has no chat template.*`prompt: plain`"
    ):
        ChatWriter(tokenizer, Path("model"))


def test_a_question_that_the_template_refuses_is_told_apart():
    """With the template's own words."""
    refusing = "{{ raise_exception('no x') if 'x' in messages[0].content }}"
    asked = ChatPrompt((), "what is x ?", "So:", (" A",))
    tokenizer = make_tiny_tokenizer(chat_template=refusing + CHAT_TEMPLATE)
    with pytest.raises(RefusedError, match="the chat template refuses it: no x"):
        ChatWriter(tokenizer, Path("model")).write(asked)


def test_a_template_without_end_is_an_error(monkeypatch):
    """Not one that a question is refused by."""
    monkeypatch.setattr(template_limits, "SECONDS", 0.1)
    endless = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}"
    with pytest.raises(InputError, match=r"model, a prompt: .* come to its end"):
        write(endless + "{% endfor %}" + CHAT_TEMPLATE)
