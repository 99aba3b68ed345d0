"""What is learnt of published chat templates is what docs/howto.md lists.

The templates are short forms in our own words: they write conversations of a user and
an assistant letter by letter as the published ones do, without tools and errors.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import pytest
from study import REPOSITORY
from tiny import make_tiny_tokenizer

from polycal.tuning.chat import Chat

PAGE = REPOSITORY / "docs" / "howto.md"
TURNS = ("what is red ?", "a colour", "and blue ?", "a stone house")
ROLES = {"user": "user", "assistant": "assistant"}


class Form(NamedTuple):
    """How a template writes: `{}` in a turn is its content."""

    user: str
    assistant: str
    opens: str = ""  # the prompt for an answer
    begin: str = ""
    end: str = ""  # of a text that ends with an answer
    thought: str = ""  # what the last answer begins with
    eos: str = "</s>"

    def to_jinja(self) -> str:
        def say(text: str) -> str:
            before, _, after = text.partition("{}")
            return f"{{{{ {before!r} + m.content + {after!r} }}}}"

        first, _, last = self.assistant.partition("{}")
        thinking = say(f"{first}{self.thought}{{}}{last}")
        return (
            f"{{{{ {self.begin!r} }}}}{{% for m in messages %}}"
            f"{{% if m.role == 'user' %}}{say(self.user)}"
            f"{{% elif loop.last %}}{thinking}"
            f"{{% else %}}{say(self.assistant)}{{% endif %}}{{% endfor %}}"
            f"{{% if add_generation_prompt %}}{{{{ {self.opens!r} }}}}"
            f"{{% else %}}{{{{ {self.end!r} }}}}{{% endif %}}"
        )


def mark(role: str, end: str, names: Mapping[str, str] = MappingProxyType(ROLES)):
    """A form in which every turn has a header and an end; `@` is the role."""
    user, assistant = (role.replace("@", names[name]) for name in ROLES)
    return {"user": f"{user}{{}}{end}", "assistant": f"{assistant}{{}}{end}"} | {
        "opens": assistant
    }


IM = mark("<|im_start|>@\n", "<|im_end|>\n")
PHI = mark("<|@|>\n", "<|end|>\n")
FORMS = {
    "Llama-3": Form(
        **mark("<|start_header_id|>@<|end_header_id|>\n\n", "<|eot_id|>"),
        **{"begin": "<|begin_of_text|>", "eos": "<|eot_id|>"},
    ),
    "Llama-2": Form("<s>[INST] {} [/INST]", " {} </s>"),
    "Mistral": Form("[INST] {} [/INST]", " {}</s>", begin="<s>"),
    "Vicuna": Form("USER: {}\n", "ASSISTANT: {}</s>\n", "ASSISTANT:", "<s>"),
    "Zephyr": Form(**mark("<|@|>\n", "</s>\n")),
    "Saiga": Form(**mark("<s>@\n", "</s>", {"user": "user", "assistant": "bot"})),
    "Alpaca": Form(
        "### Instruction:\n{}\n\n",
        "### Response:\n{}</s>\n\n",
        *("### Response:\n", "<s>"),
    ),
    "Qwen2.5": Form(**IM, eos="<|im_end|>"),
    "ChatML": Form(**IM, begin="<s>"),
    "Gemma": Form(
        **mark(
            "<start_of_turn>@\n",
            "<end_of_turn>\n",
            {"user": "user", "assistant": "model"},
        ),
        eos="<eos>",
    ),
    "Granite 3.0": Form(
        **mark("<|start_of_role|>@<|end_of_role|>", "<|end_of_text|>\n"),
        eos="<|end_of_text|>",
    ),
    "OpenChat 3.5": Form(
        "GPT4 Correct User: {}<|end_of_turn|>",
        "GPT4 Correct Assistant: {}<|end_of_turn|>",
        *("GPT4 Correct Assistant:", "<s>"),
        eos="<|end_of_turn|>",
    ),
    "Phi-3 (of April 2024)": Form(
        "<|user|>\n{}<|end|>\n<|assistant|>\n",
        "{}<|end|>\n",
        begin="<s>",
        eos="<|endoftext|>",
    ),
    "Phi-3 in `chat_templates`": Form(**PHI, eos="<|endoftext|>"),
    "Phi-3 (of July 2024)": Form(**PHI, end="<|endoftext|>", eos="<|endoftext|>"),
    "Phi-3.5": Form(**PHI, end="<|endoftext|>", eos="<|endoftext|>"),
    "Qwen3": Form(**IM, thought="<think>\n\n</think>\n\n", eos="<|im_end|>"),
    "DeepSeek-R1": Form(
        "<｜User｜>{}",
        "<｜Assistant｜>{}<｜end▁of▁sentence｜>",
        "<｜Assistant｜><think>\n",
        "<｜begin▁of▁sentence｜>",
        eos="<｜end▁of▁sentence｜>",
    ),
    "GLM-4": Form(
        "<|user|>\n{}",
        "<|assistant|>\n{}",
        *("<|assistant|>", "[gMASK]<sop>"),
        eos="<|endoftext|>",
    ),
    "Falcon": Form("\n\nUser: {}", "\n\nAssistant: {}", "\n\nAssistant:"),
    "SOLAR": Form(
        "### User:\n{}\n\n", "### Assistant:\n{}\n\n", "### Assistant:\n", "<s>"
    ),
    "AmberChat": Form("###Human: {}\n", "###Assistant: {}\n", "###Assistant:", "<s>"),
    "ChatQA": Form("\n\nUser: {}", "\n\nAssistant: {}", "\n\nAssistant:", "<s>"),
}
# Tokens of the models' own tokenizers; Falcon's and others write their roles as text.
SPECIAL = [
    *("<s>", "</s>", "<eos>", "<|endoftext|>", "<|begin_of_text|>", "<|eot_id|>"),
    *("<|start_header_id|>", "<|end_header_id|>", "<|im_start|>", "<|im_end|>"),
    *("<start_of_turn>", "<end_of_turn>", "<|end_of_text|>", "<|start_of_role|>"),
    *("<|end_of_role|>", "<|end_of_turn|>", "<|end|>", "<|user|>", "<|assistant|>"),
    *("<｜User｜>", "<｜Assistant｜>", "<｜end▁of▁sentence｜>", "[gMASK]", "<sop>"),
    "<｜begin▁of▁sentence｜>",
]


def write(form: Form, turns: tuple[str, ...] = TURNS) -> list[tuple[str, list[str]]]:
    """The texts of a conversation, and what is learnt of each."""
    tokenizer = make_tiny_tokenizer(chat_template=form.to_jinja())
    tokenizer.add_special_tokens({"eos_token": form.eos})
    special = {"additional_special_tokens": SPECIAL}
    tokenizer.add_special_tokens(special)
    row = {
        "example_id": 0,
        "input": None,
        "messages": [
            {"role": ("user", "assistant")[index % 2], "content": text}
            for index, text in enumerate(turns)
        ],
    }
    return [
        (text, [text[begin:end] for begin, end in spans])
        for text, spans in Chat(tokenizer, "own").render(row)
    ]


def describe(name: str) -> tuple[str, str]:
    """A row of the page without the name: sequences, and what ends the turns."""
    written = write(FORMS[name])
    learnt = [text for _, texts in written for text in texts]
    answers = TURNS[1::2]
    assert len(learnt) == len(answers)
    ends = [
        text.split(answer)[1].split()
        for text, answer in zip(learnt, answers, strict=True)
    ]
    spelt = [" and ".join(f"`{token}`" for token in end) for end in ends]
    kinds = list(dict.fromkeys(spelt))
    end = kinds[0] if len(kinds) == 1 else f"{kinds[0]}; after the last {kinds[1]}"
    return ("one" if len(written) == 1 else "one for each turn"), end


@pytest.mark.parametrize("name", FORMS)
def test_every_answer_is_learnt_to_its_end_and_nothing_else(name):
    """Whatever the template, a question is never learnt."""
    for text, learnt in write(FORMS[name]):
        for each in learnt:
            assert each in text
            assert not any(question in each for question in TURNS[::2])
            assert each.rstrip() == each


def test_the_page_lists_what_is_learnt():
    """Its rows are made from the templates, in their order, alike ones together."""
    rows: dict[tuple[str, str], list[str]] = {}
    for name in FORMS:
        rows.setdefault(describe(name), []).append(name)
    table = [
        f"| {', '.join(names)} | {sequences} | {end} |".replace("<|", "<\\|")
        for (sequences, end), names in rows.items()
    ]
    table = [row.replace("|>", "\\|>") for row in table]
    assert "\n".join(table) in PAGE.read_text("utf-8"), "\n" + "\n".join(table)
