"""Loss on the assistant's tokens, on all of them, and on nothing else."""

import random

import pyarrow as pa
import pytest
from tiny import CHAT_TEMPLATE, make_tiny_tokenizer
from tokenizers.processors import TemplateProcessing
from toys import make_tokenizer
from transformers import PreTrainedTokenizerFast

from polycal.errors import InputError
from polycal.models.tokens import to_encodings
from polycal.storage import tables
from polycal.study.recipe import Rendering
from polycal.tuning import rendering as module
from polycal.tuning.examples import Example
from polycal.tuning.rendering import Tally, make_examples

CHAT = [
    ("system", "be brief"),
    ("user", "what is red ?"),
    ("assistant", "a colour"),
    ("user", "and Österreich ?"),
    ("assistant", "a stone house"),
]


def as_messages(turns: list[tuple[str, str]]) -> list[dict]:
    return [{"role": role, "content": text} for role, text in turns]


def make(
    *conversations: list[tuple[str, str]],
    tokenizer: PreTrainedTokenizerFast | None = None,
    batch: int = 1000,
    **rendering: object,
) -> tuple[list[Example], Tally]:
    """The examples of conversations, and what was counted."""
    rows = [
        {
            "sft": "toy",
            "example_id": number,
            "messages": as_messages(turns),
        }
        for number, turns in enumerate(conversations)
    ]
    table = pa.Table.from_pylist(rows, tables.SCHEMAS["conversations"])
    tally = Tally()
    found = make_examples(
        table.to_batches(max_chunksize=batch),
        tokenizer or make_tiny_tokenizer(),
        Rendering(**rendering),
        tally,
    )
    return list(found), tally


def learnt(example: Example) -> str:
    """The text of the tokens that the loss is on."""
    return make_tiny_tokenizer().decode(example.tokens[example.targets].tolist())


@pytest.mark.parametrize("template", ["own", "tulu", "alpaca"])
def test_only_the_assistant_s_turns_are_learnt(template):
    """Both turns of a two-turn chat, each with its end-of-turn token."""
    ((example,), tally) = make(CHAT, chat_template=template)
    assert learnt(example) == "a colour</s>a stone house</s>"
    assert not example.targets[0]
    assert tally.counts == {
        "conversations": 1,
        "copies": 0,
        "split_by_turn": 0,
        "truncated": 0,
        "dropped_refused": 0,
        "dropped_no_target": 0,
        "tokens": len(example.tokens),
        "target_tokens": example.n_targets,
        "cut_tokens": 0,
        "unknown_tokens": 0,
    }
    assert tally.lengths == {len(example.tokens): 1}


def test_a_token_is_learnt_if_a_character_of_it_is_the_assistant_s():
    """Against the definition, token by token, on texts and spans by chance."""
    tokenizer, chance = make_tokenizer(), random.Random(0)
    pieces = ["red", " ", "Ö", "फ", "🪨", "\n", "sterreich", "</s>", "?"]
    learnt = 0
    for _ in range(300):
        text = "".join(chance.choices(pieces, k=12))
        begin = chance.randrange(len(text))
        end = chance.randint(begin, len(text))
        (encoding,) = to_encodings(tokenizer, [text])
        expected = [
            first < end and last > begin and begin < end
            for first, last in encoding.offsets
        ]
        first, stop = module._find_tokens(encoding, begin, end)
        assert [first <= place < stop for place in range(len(expected))] == expected
        learnt += sum(expected)
    assert learnt > 1000


@pytest.mark.parametrize("batch", [1, 1000])
def test_a_copy_has_the_number_of_the_first_one(batch):
    """All of its text has to be the same; it is learnt as often as it is there."""
    asked, other = [*CHAT[:2], ("assistant", "red")], [*CHAT[:2], ("assistant", "blue")]
    examples, tally = make(asked, other, CHAT, asked, CHAT, asked, batch=batch)
    assert [each.example_id for each in examples] == [0, 1, 2, 0, 2, 0]
    assert [learnt(each) for each in examples[:2]] == ["red</s>", "blue</s>"]
    assert tally.counts["copies"] == 3
    assert tally.counts["conversations"] == 6


def test_every_conversation_comes_once_over_batches(monkeypatch):
    """In order, whatever the size of a batch; one that is refused leaves no gap."""
    conversations = [
        [("user", "?" * number), ("assistant", "red" * number)]
        for number in range(1, 10)
    ]
    whole, _ = make(*conversations)
    assert [each.example_id for each in whole] == list(range(9))
    for size in (1, 4, 9):
        parts, tally = make(*conversations, batch=size)
        assert [each.tokens.tolist() for each in parts] == [
            each.tokens.tolist() for each in whole
        ]
        assert tally.counts["conversations"] == 9


@pytest.mark.parametrize("default", [True, False], ids=["adds-bos", "adds-none"])
@pytest.mark.parametrize("template", ["own", "tulu"], ids=["writes-bos", "writes-none"])
def test_bos_comes_once_or_never(template, default):
    """auto: as the tokenizer's default or the template says; a word wins over both."""
    found = {}
    for choice in ("auto", "always", "never"):
        tokenizer = make_tokenizer(bos=default)
        tokenizer.chat_template = CHAT_TEMPLATE
        ((example,), _) = make(
            CHAT, tokenizer=tokenizer, bos=choice, chat_template=template
        )
        tokens = example.tokens.tolist()
        found[choice] = tokens.count(0)
        assert tokens[0] == 0 or choice != "always"
        assert learnt(example) == "a colour</s>a stone house</s>"
    written = default or template == "own"
    assert found == {"auto": int(written), "always": 1, "never": 0}


def test_bos_needs_a_token():
    """A tokenizer without one, and a study that asks for it."""
    tokenizer = make_tiny_tokenizer()
    tokenizer.bos_token = None
    with pytest.raises(InputError, match="bos is always, but the tokenizer has no BOS"):
        make(CHAT, tokenizer=tokenizer, chat_template="tulu", bos="always")
    assert make(CHAT, tokenizer=tokenizer, chat_template="tulu")[0]


def test_special_tokens_at_the_end_are_not_learnt():
    """An EOS that the tokenizer itself adds belongs to nobody."""
    tokenizer = make_tiny_tokenizer()
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    ((example,), _) = make(CHAT, tokenizer=tokenizer, chat_template="tulu")
    assert example.tokens[-1] == example.tokens[-2] == 1
    assert learnt(example) == "a colour</s>a stone house</s>"


def test_what_is_too_long_is_cut_on_the_right_and_counted():
    """A conversation whose answer is cut off altogether is dropped and counted."""
    short = [("user", "a"), ("assistant", "red")]
    long = [("user", "what " * 40), ("assistant", "red")]
    half = [("user", "a"), ("assistant", "red " * 40)]
    (first, second), tally = make(short, long, half, max_length=40)
    assert learnt(first) == "red</s>"
    assert learnt(second).startswith("red red")
    assert "</s>" not in learnt(second)
    assert len(second.tokens) == 40
    counts = tally.counts
    assert (counts["truncated"], counts["dropped_no_target"]) == (2, 1)
    length = max(tally.lengths)
    assert sum(tally.lengths.values()) == 3
    assert counts["cut_tokens"] == tally.first[1][1] > 0
    assert length - 40 >= counts["cut_tokens"]


def test_turns_that_are_written_differently_later_are_sequences_of_their_own():
    """With one id; what is learnt is what the model would have written."""
    template = CHAT_TEMPLATE + "{% if not add_generation_prompt %}end{% endif %}"
    tokenizer = make_tiny_tokenizer(chat_template=template)
    found, tally = make(CHAT, CHAT[:3], tokenizer=tokenizer)
    assert [each.example_id for each in found] == [0, 0, 1]
    assert [learnt(each) for each in found] == [
        "a colour</s>end</s>",
        "a stone house</s>end</s>",
        "a colour</s>end</s>",
    ]
    assert (tally.counts["conversations"], tally.counts["split_by_turn"]) == (2, 1)
    assert sum(tally.lengths.values()) == 3


def test_text_that_the_tokenizer_does_not_know_is_counted():
    """Each of its tokens is the unknown one."""
    tokenizer = make_tiny_tokenizer()
    (plain,), tally = make(CHAT[1:3], tokenizer=tokenizer)
    assert tally.counts["unknown_tokens"] == 0
    token = int(plain.tokens[3])
    tokenizer.unk_token = tokenizer.convert_ids_to_tokens(token)
    (again,), tally = make(CHAT[1:3], tokenizer=tokenizer)
    assert tally.counts["unknown_tokens"] == (again.tokens == token).sum() > 0


def test_a_sequence_is_never_longer_than_the_model_reads():
    """The smaller of the two limits holds, and what is cut is counted."""
    conversation = [("user", "a"), ("assistant", "red " * 40)]
    for max_length, positions in ((40, 30), (30, 40), (30, None)):
        table = pa.Table.from_pylist(
            [{"example_id": 0, "messages": as_messages(conversation)}],
            tables.SCHEMAS["conversations"],
        )
        tally = Tally()
        (example,) = make_examples(
            table.to_batches(),
            make_tiny_tokenizer(),
            Rendering(max_length=max_length),
            tally,
            positions=positions,
        )
        assert len(example.tokens) == 30
        assert tally.counts["truncated"] == 1


def test_a_conversation_that_the_template_refuses_is_dropped(caplog):
    """Counted and quoted; an error only if nothing else is left."""
    template = (
        "{% if messages[0]['role'] == 'system' %}"
        "{{ raise_exception('no system role') }}{% endif %}" + CHAT_TEMPLATE
    )
    tokenizer = make_tiny_tokenizer(chat_template=template)
    (example,), tally = make(CHAT[1:], CHAT, tokenizer=tokenizer)
    assert example.example_id == 0
    assert tally.counts["conversations"] == 2
    assert tally.counts["dropped_refused"] == 1
    assert (
        "conversations dropped: 1; conversation 1: the chat template refuses it"
        in caplog.text
    )
    with pytest.raises(InputError, match=r"conversation 0: .*no system role"):
        make(CHAT, tokenizer=tokenizer)
