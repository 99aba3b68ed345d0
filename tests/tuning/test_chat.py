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
    ((text, learnt),) = write_all(row, choice, template)
    return text, learnt


def write_all(
    row: dict, choice: str, template: str | None = None
) -> list[tuple[str, list[str]]]:
    """The texts of a conversation, each with what is learnt of it."""
    chat = Chat(make_tiny_tokenizer(chat_template=template), choice)
    return [
        (text, [text[begin:end] for begin, end in spans])
        for text, spans in chat.render(row)
    ]


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


TURN = "<{{ m.role }}>{{ m.content }}"
PROMPT = "{% if add_generation_prompt %}<assistant>{% endif %}"
# In the manner of published templates: what differs is how a turn ends.
PHI = "{% for m in messages %}" + TURN + "[end]\n{% endfor %}"
PHI += "{% if add_generation_prompt %}<assistant>{% else %}</s>{% endif %}"
QWEN = "{% for m in messages %}<{{ m.role }}>"
QWEN += "{% if loop.last and m.role == 'assistant' %}[thought]{% endif %}"
QWEN += "{{ m.content }}</s>\n{% endfor %}" + PROMPT
DEEPSEEK = "{% for m in messages %}" + TURN
DEEPSEEK += "{% if m.role == 'assistant' %}</s>{% endif %}{% endfor %}"
DEEPSEEK += "{% if add_generation_prompt %}<assistant>[thought]{% endif %}"


@pytest.mark.parametrize(
    ("template", "learnt"),
    [
        (PHI, ["a colour[end]\n</s>", "a stone house[end]\n</s>"]),
        (QWEN, ["[thought]a colour</s>", "[thought]a stone house</s>"]),
        (DEEPSEEK, ["a colour</s>", "a stone house</s>"]),
    ],
    ids=["Phi-3.5", "Qwen3", "DeepSeek-R1"],
)
def test_turns_that_are_written_differently_later_are_texts_of_their_own(
    template, learnt
):
    """Each ends with the turn that is learnt, as a model would have written it."""
    written = write_all(row(*CHAT), "own", template)
    assert [answers for _, answers in written] == [[each] for each in learnt]
    first, second = (text for text, _ in written)
    assert "be brief" in first
    assert "Österreich" not in first
    assert "a colour" in second
    for text, (answer,) in written:
        assert text.rstrip().endswith(answer)


def test_the_token_that_ends_a_turn_is_learnt_whatever_its_name():
    """GLM-4 writes none: a turn ends where the next begins, and the last with EOS."""
    template = "{% for m in messages %}{{ '<s>' if m.role == 'user' else '[x]' }}"
    template += "{{ m.content }}\n{% endfor %}"
    template += "{% if add_generation_prompt %}[x]{% endif %}"
    text, answers = write(row(*CHAT), "own", template)
    assert answers == ["a colour\n<s>", "a stone house</s>"]
    assert text.endswith("a stone house</s>")
    assert write(row(*CHAT[:4]), "own", template)[1] == ["a colour\n<s>"]


def test_turns_in_plain_text_are_texts_of_their_own():
    """Falcon's, SOLAR's: no token ends an earlier turn, so each is a last one.

    A tokenizer without EOS has nothing to end a turn with.
    """
    template = "{% for m in messages %}{{ m.role | title }}: {{ m.content }}\n\n"
    template += "{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
    begin = "System: be brief\n\nUser: what is red ?\n\nAssistant: a colour"
    whole = begin + "\n\nUser: and Österreich ?\n\nAssistant: a stone house"
    assert write_all(row(*CHAT), "own", template) == [
        (begin + "</s>", [" a colour</s>"]),
        (whole + "</s>", [" a stone house</s>"]),
    ]
    asked = write_all(row(*CHAT[:4]), "own", template)
    assert asked == [(begin + "</s>", [" a colour</s>"])]
    tokenizer = make_tiny_tokenizer(chat_template=template)
    tokenizer.eos_token = None
    ((text, spans),) = Chat(tokenizer, "own").render(row(*CHAT))
    assert [text[slice(*span)] for span in spans] == [" a colour", " a stone house"]


def test_an_answer_that_the_template_rewrites_is_refused():
    """Its tokens could not be told apart, so nothing is guessed."""
    template = "{% for m in messages %}<{{ m.role }}>"
    template += "{{ m.content | upper if m.role == 'assistant' else m.content }}"
    template += "{% endfor %}"
    template += "{% if add_generation_prompt %}?{% endif %}"
    with pytest.raises(RefusedError, match=r"conversation 7: .*rewrites an answer"):
        write(row(*CHAT), "own", template)


@pytest.mark.parametrize("answer", ["s", " red", "a </s>"])
def test_a_short_answer_is_not_sought_in_the_token_that_ends_it(answer):
    """`</s>` holds an s, too."""
    turns = [("user", "what is it ?"), ("assistant", answer)]
    text, learnt = write(row(*turns), "own", DEEPSEEK)
    assert text == f"<user>what is it ?<assistant>{answer}</s>"
    assert learnt == [f"{answer.strip()}</s>"]


@pytest.mark.parametrize("role", ["system", "user"])
def test_a_turn_that_the_template_leaves_out_is_refused(role):
    """Its answer would be learnt as one to another prompt."""
    template = CHAT_TEMPLATE.replace(
        "{{ message['content'] }}",
        f"{{% if message.role != '{role}' %}}{{{{ message['content'] }}}}{{% endif %}}",
    )
    with pytest.raises(RefusedError, match=f"conversation 7: .*leaves out.* {role} tu"):
        write(row(*CHAT), "own", template)


def test_a_tokenizer_without_eos_is_warned_of(caplog):
    """No answer would have an end."""
    tokenizer = make_tiny_tokenizer()
    Chat(tokenizer, "own")
    assert "no EOS" not in caplog.text
    tokenizer.eos_token = None
    Chat(tokenizer, "own")
    assert "the tokenizer has no EOS token" in caplog.text


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


def test_a_template_s_date_is_not_today_s():
    """Llama's templates write a date; the same set gives the same text on any day."""
    template = (
        "{% if not date_string is defined %}{% set date_string = 'none' %}{% endif %}"
        "Today: {{ date_string }}, {{ strftime_now('%d.%m.%y') }}\n" + CHAT_TEMPLATE
    )
    text, _ = write(row(*CHAT[1:3]), "own", template)
    assert text.startswith("Today: 26 Jul 2024, 26.07.24\n")


def test_several_templates_without_a_default_are_named():
    """The tokenizer's own error is many lines."""
    tokenizer = make_tiny_tokenizer()
    tokenizer.chat_template = {"rag": CHAT_TEMPLATE, "tool_use": CHAT_TEMPLATE}
    with pytest.raises(InputError, match=r"none called `default` .rag, tool_use"):
        Chat(tokenizer, "own")
