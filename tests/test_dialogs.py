"""Loss on the assistant's tokens, on all of them, and on nothing else."""

import pyarrow as pa
import pytest
from tiny import make_tiny_tokenizer
from transformers import PreTrainedTokenizerFast

from polycal import tables
from polycal.dialogs import (
    IGNORED,
    TULU_TEMPLATE,
    Example,
    collate,
    make_examples,
    split_validation,
)
from polycal.errors import InputError

CHAT = [
    ("system", "be brief"),
    ("user", "what is red ?"),
    ("assistant", "a colour"),
    ("user", "and Österreich ?"),
    ("assistant", "a stone house"),
]


def table(*conversations: list[tuple[str, str]]) -> pa.Table:
    rows = [
        {
            "sft": "toy",
            "example_id": number,
            "messages": [{"role": role, "content": text} for role, text in turns],
        }
        for number, turns in enumerate(conversations)
    ]
    return pa.Table.from_pylist(rows, tables.SCHEMAS["conversations"])


def learnt(example: Example, tokenizer: PreTrainedTokenizerFast) -> str:
    """The text of the tokens that the loss is on."""
    return tokenizer.decode([each for each in example.labels if each != IGNORED])


@pytest.mark.parametrize("template", [TULU_TEMPLATE, "own"])
def test_only_the_assistant_s_turns_are_learnt(template):
    """Both turns of a two-turn chat, each with its end-of-turn token."""
    tokenizer = make_tiny_tokenizer()
    if template != "own":
        tokenizer.chat_template = template
    ((example,), counts) = make_examples(table(CHAT), tokenizer, max_length=999)
    assert learnt(example, tokenizer) == "a colour</s>a stone house</s>"
    assert example.labels[0] == IGNORED
    assert counts == {
        "conversations": 1,
        "truncated": 0,
        "dropped_refused": 0,
        "dropped_no_target": 0,
        "tokens": len(example.tokens),
        "target_tokens": example.n_targets,
    }


def test_tulu_s_template_is_written_as_published():
    """The text, marker by marker."""
    tokenizer = make_tiny_tokenizer(chat_template=TULU_TEMPLATE)
    messages = [{"role": role, "content": text} for role, text in CHAT]
    assert tokenizer.apply_chat_template(messages, tokenize=False) == (
        "<|system|>\nbe brief\n<|user|>\nwhat is red ?\n<|assistant|>\na colour</s>\n"
        "<|user|>\nand Österreich ?\n<|assistant|>\na stone house</s>"
    )


def test_a_label_is_the_token_itself():
    """Where a label is not ignored, it is the token of its own position."""
    ((example,), _) = make_examples(table(CHAT), make_tiny_tokenizer(), max_length=999)
    pairs = [p for p in zip(example.tokens, example.labels, strict=True) if p[1] >= 0]
    assert pairs
    assert all(token == label for token, label in pairs)


def test_bos_comes_once():
    """A template that writes BOS gets no second one."""
    tokenizer = make_tiny_tokenizer()
    ((example,), _) = make_examples(table(CHAT), tokenizer, max_length=999)
    assert example.tokens.count(tokenizer.bos_token_id) == 1


def test_what_is_too_long_is_cut_on_the_right_and_counted():
    """A conversation whose answer is cut off altogether is dropped and counted."""
    tokenizer = make_tiny_tokenizer()
    short = [("user", "a"), ("assistant", "red")]
    long = [("user", "what " * 40), ("assistant", "red")]
    ((example,), counts) = make_examples(table(short, long), tokenizer, max_length=40)
    assert learnt(example, tokenizer) == "red</s>"
    assert (counts["truncated"], counts["dropped_no_target"]) == (1, 1)


def test_a_template_that_rewrites_earlier_turns_is_refused():
    """Its tokens could not be told apart, so nothing is guessed."""
    tokenizer = make_tiny_tokenizer(
        chat_template="{% for m in messages %}{{ m.role }}: "
        "{{ m.content if loop.last else 'x' }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    with pytest.raises(InputError, match="conversation 0: turn 2 is rendered"):
        make_examples(table(CHAT), tokenizer, max_length=99)


def test_a_conversation_that_the_template_refuses_is_dropped(caplog):
    """Counted and quoted; an error only if nothing else is left."""
    tokenizer = make_tiny_tokenizer()
    tokenizer.chat_template = (
        "{% if messages[0]['role'] == 'system' %}"
        "{{ raise_exception('no system role') }}{% endif %}" + tokenizer.chat_template
    )
    both = table(CHAT[1:], CHAT)
    examples, counts = make_examples(both, tokenizer, max_length=99)
    assert len(examples) == 1
    assert (counts["conversations"], counts["dropped_refused"]) == (2, 1)
    assert "1 dropped; conversation 1: the chat template refuses it" in caplog.text
    with pytest.raises(InputError, match=r"conversation 0: .*no system role"):
        make_examples(table(CHAT), tokenizer, max_length=99)


def test_a_turn_that_opens_a_conversation_is_not_learnt():
    """It answers nothing; the turns after it are learnt as ever."""
    tokenizer = make_tiny_tokenizer()
    opened = [("assistant", "what is in winter ?"), *CHAT[1:3]]
    ((example,), _) = make_examples(table(opened), tokenizer, max_length=99)
    assert learnt(example, tokenizer) == "a colour</s>"


def test_the_split_is_the_same_for_every_candidate():
    """It keeps the order, loses nothing and never leaves a side empty."""
    examples = [Example([index], [index]) for index in range(50)]
    training, validation = split_validation(examples, 0.1)
    assert split_validation(examples, 0.1) == (training, validation)
    assert len(validation) == 5
    both = training + validation
    assert sorted(each.tokens[0] for each in both) == list(range(50))
    assert [each.tokens[0] for each in training] == sorted(
        each.tokens[0] for each in training
    )
    assert [len(part) for part in split_validation(examples[:2], 0.001)] == [1, 1]
    assert [len(part) for part in split_validation(examples[:2], 0.999)] == [1, 1]
    with pytest.raises(InputError, match="1 conversations with an answer are too few"):
        split_validation(examples[:1], 0.5)


def test_padding_is_neither_seen_nor_learnt():
    """Shapes, mask and labels of two examples of different lengths."""
    batch = collate([Example([5, 6, 7], [IGNORED, 6, 7]), Example([8], [IGNORED])])
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["labels"].tolist() == [[IGNORED, 6, 7], [IGNORED] * 3]
