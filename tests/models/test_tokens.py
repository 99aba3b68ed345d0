"""A checkpoint's tokenizer is read from its own directory and nowhere else."""

import pytest
from tokenizers import Tokenizer, normalizers
from tokenizers.models import BPE
from tokenizers.processors import TemplateProcessing
from toys import make_model, make_tokenizer, save_checkpoint
from transformers import BloomConfig, LlamaConfig, MptConfig, PreTrainedTokenizerFast

from polycal.errors import InputError
from polycal.models.tokens import (
    load_tokenizer,
    read_length,
    split_prompts,
    to_ids,
    tokenize_prompts,
)
from polycal.study.prompts import Prompt


def test_the_tokenizer_is_what_was_saved(tmp_path):
    """Special tokens included."""
    save_checkpoint(tmp_path / "base", make_model())
    text = "which currency: फ"
    loaded = load_tokenizer(tmp_path / "base")
    assert loaded.encode(text) == make_tokenizer().encode(text)


def test_a_missing_directory_is_named_and_not_looked_up_on_the_hub(tmp_path):
    """A path is never taken for a Hub id."""
    with pytest.raises(InputError, match=r"no checkpoint directory .*gone"):
        load_tokenizer(tmp_path / "gone")


def test_an_empty_directory_has_no_tokenizer(tmp_path):
    """Named with the reason that transformers gives."""
    with pytest.raises(InputError, match="has no readable tokenizer"):
        load_tokenizer(tmp_path)


def make_swallowing_tokenizer(*, prepend: str = "never") -> PreTrainedTokenizerFast:
    """Letters are tokens, and `:` is written together with what follows it."""
    marks = "▁" if prepend == "first" else " "
    pieces = ["<unk>", *" ▁:ABCDCanadswer", f":{marks}", f":{marks}C"]
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    merges = [(":", marks), (f":{marks}", "C")]
    bpe = Tokenizer(BPE(vocabulary, merges, unk_token="<unk>"))
    if prepend == "first":
        bpe.normalizer = normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        )
    return PreTrainedTokenizerFast(tokenizer_object=bpe, unk_token="<unk>")


@pytest.mark.parametrize("prepend", ["never", "first"])
def test_an_option_keeps_the_letters_that_the_context_s_last_token_swallows(prepend):
    """And only such an option: the others are split as the harness splits them."""
    tokenizer = make_swallowing_tokenizer(prepend=prepend)
    mark = "▁" if prepend == "first" else " "
    prompt = Prompt("Answer:", (" Canada", " dad"))
    split, whole = (
        read(tokenizer, [prompt]) for read in (split_prompts, tokenize_prompts)
    )
    spelt = [
        [tokenizer.convert_ids_to_tokens(list(ids)) for ids in each.continuations[0]]
        for each in (split, whole)
    ]
    assert split.crossing == whole.crossing == [(0, 0), (0, 1)]
    assert spelt[0] == [list("anada"), list("dad")]
    assert spelt[1] == [[mark, *"Canada"], [mark, *"dad"]]
    assert whole.contexts == split.contexts


def test_white_space_at_the_end_of_a_context_is_the_option_s():
    """lm-evaluation-harness moves it, so the tokens are those of ' one'."""
    tokenizer = make_tokenizer()
    prompts = [Prompt("euro:", (" yen", " krona")), Prompt("euro: ", ("yen", "krona"))]
    tokens = tokenize_prompts(tokenizer, prompts)
    assert tokens.continuations[0] == tokens.continuations[1]
    assert tokens.contexts[0] == tokens.contexts[1]
    assert not tokens.crossing
    assert all(all(ids) for ids in tokens.continuations[0])


def make_adding_tokenizer(before: str, after: str = "") -> PreTrainedTokenizerFast:
    """Puts these special tokens around every text; BOS is none of them."""
    tokenizer = make_tokenizer(bos=False)
    tokenizer.add_special_tokens({"additional_special_tokens": ["[gMASK]", "<sop>"]})
    pieces = [*before.split(), *after.split()]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{before} $A {after}".strip(),
        special_tokens=[(piece, tokenizer.vocab[piece]) for piece in pieces],
    )
    tokenizer.bos_token = None
    return tokenizer


def test_no_eos_stands_between_a_question_and_its_options():
    """A tokenizer with `add_eos_token` ends every text, which the answer goes on."""
    prompts = [Prompt("euro:", (" yen", " krona")), Prompt("<s>euro:", (" yen",))]
    ends, plain = (
        tokenize_prompts(tokenizer, prompts)
        for tokenizer in (make_adding_tokenizer("<s>", "</s>"), make_tokenizer())
    )
    assert ends == plain
    assert not ends.crossing


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("yen", ["[gMASK]", "<sop>", "yen"]),
        ("[gMASK]<sop>yen", ["[gMASK]", "<sop>", "yen"]),  # GLM-4's template
        ("\n[gMASK]<sop>yen", ["Ċ", "[gMASK]", "<sop>", "yen"]),
    ],
)
def test_what_a_tokenizer_puts_first_is_there_once(text, expected):
    """Several tokens, none of them BOS, that a chat template writes as well."""
    tokenizer = make_adding_tokenizer("[gMASK] <sop>")
    (ids,) = to_ids(tokenizer, [text])
    assert tokenizer.convert_ids_to_tokens(ids) == expected


def test_every_type_of_model_says_how_many_tokens_it_reads():
    """MPT has another name for it; Bloom has no limit but the tokenizer's."""
    tokenizer = make_tokenizer()
    tokenizer.model_max_length = 77
    assert read_length(MptConfig(max_seq_len=32), tokenizer) == 32
    assert read_length(LlamaConfig(max_position_embeddings=64), tokenizer) == 64
    assert read_length(BloomConfig(), tokenizer) == 77
