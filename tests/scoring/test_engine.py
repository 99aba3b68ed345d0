"""Scores equal one plain forward pass per option, whatever the batching."""

import logging

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import WORDS, make_model, make_tokenizer, reference

from polycal.errors import InputError
from polycal.models import attention, passes
from polycal.models.passes import PACKED_TYPES
from polycal.scoring.engine import Engine, UnscorableError
from polycal.study.prompts import Prompt, build_prompt

TOLERANCE = 1e-4  # nats per option
TOKENIZER = make_tokenizer()
LLAMA = make_model()


def make_prompts(scoring: str, n_options: int, *, n: int = 12) -> list[Prompt]:
    random = np.random.default_rng(n_options)

    def some(most: int) -> str:
        return " ".join(random.choice(WORDS, random.integers(1, most)))

    return [
        build_prompt(scoring, some(15), [some(6) for _ in range(n_options)], "Answer:")
        for _ in range(n)
    ]


def assert_equal_to_reference(model, prompts, **options: object) -> None:
    tokenizer = options.pop("tokenizer", TOKENIZER)
    for prompt, scored in zip(
        prompts, Engine(model, tokenizer, **options).score(prompts), strict=True
    ):
        expected = reference(model, tokenizer, prompt)
        np.testing.assert_allclose(scored.logprobs, expected, rtol=0, atol=TOLERANCE)
        assert scored.logprobs.dtype == np.float32


@pytest.mark.parametrize("n_options", [4, 10])
@pytest.mark.parametrize("scoring", ["letters", "text"])
@pytest.mark.parametrize("kind", [*PACKED_TYPES, "gpt_neox"])
def test_equal_to_a_forward_pass_per_option(kind, scoring, n_options):
    """On every proven architecture, and on one that falls back."""
    prompts = make_prompts(scoring, n_options)
    assert_equal_to_reference(make_model(kind), prompts)


@pytest.mark.parametrize("scoring", ["letters", "text"])
@pytest.mark.parametrize("packed", [True, False])
def test_equal_without_bos(scoring, packed):
    """A tokenizer that adds no special tokens is taken as it is."""
    tokenizer = make_tokenizer(bos=False)
    prompts = make_prompts(scoring, 4)
    assert_equal_to_reference(LLAMA, prompts, tokenizer=tokenizer, packed=packed)


ARCHITECTURES = {
    "llama": {},
    "mistral": {"sliding_window": 20},
    "qwen2": {"use_sliding_window": True, "sliding_window": 20, "max_window_layers": 1},
    "qwen3": {},
    "gemma2": {
        "sliding_window": 20,
        "attn_logit_softcapping": 2.0,
        "final_logit_softcapping": 5.0,
    },
    "gemma3_text": {"sliding_window": 20},
}


def few_shot(prompts: list[Prompt]) -> list[Prompt]:
    """The same prompts behind three answered ones, in two subjects."""
    found = []
    for half in (prompts[::2], prompts[1::2]):
        answered = [f"{each.context}{each.continuations[1]}\n\n" for each in half[:3]]
        shared = "".join(answered)
        found += [
            Prompt(shared + each.context, each.continuations, shared) for each in half
        ]
    return found


@pytest.mark.parametrize("scoring", ["letters", "text"])
@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_windows_caps_and_shots_are_exact(kind, scoring):
    """Where a window is shorter than most prompts, soft caps bite, and a prefix is
    shared: still one plain pass per option."""
    assert set(ARCHITECTURES) == set(PACKED_TYPES)
    model = make_model(kind, max_position_embeddings=256, **ARCHITECTURES[kind])
    prompts = make_prompts(scoring, 4)
    lengths = [len(TOKENIZER.encode(each.context)) for each in prompts]
    assert max(lengths) > 20
    assert_equal_to_reference(model, prompts)
    assert_equal_to_reference(model, few_shot(prompts))


def test_a_soft_cap_that_is_left_out_would_show():
    """The cap of the test above changes scores by far more than the tolerance."""
    capped = make_model("gemma2", **ARCHITECTURES["gemma2"])
    plain = make_model(
        "gemma2", **ARCHITECTURES["gemma2"] | {"attn_logit_softcapping": None}
    )
    prompts = make_prompts("text", 4)
    one, other = (Engine(each, TOKENIZER).score(prompts) for each in (capped, plain))
    worst = max(
        abs(a.logprobs - b.logprobs).max() for a, b in zip(one, other, strict=True)
    )
    assert worst > 100 * TOLERANCE


def test_shots_are_read_once_a_subject():
    """Two subjects of six questions: two prefixes, and every question without it."""
    prompts = few_shot(make_prompts("letters", 4))
    model = make_model(max_position_embeddings=256)
    read = []
    model.register_forward_pre_hook(
        lambda module, _, given: read.append(given["input_ids"].numel()),
        with_kwargs=True,
    )
    engine = Engine(model, TOKENIZER)
    engine._check = lambda *_: None  # its few padded rows would be counted, too
    engine.score(prompts)
    shared = {each.shared for each in prompts}
    prefixes = sum(len(TOKENIZER.encode(text)) for text in shared)
    whole = sum(len(TOKENIZER.encode(each.context)) for each in prompts)
    own = whole - sum(len(TOKENIZER.encode(each.shared)) for each in prompts)
    assert len(read) == 4
    assert prefixes + own <= sum(read) <= prefixes + own + 2 * len(prompts)


@pytest.mark.parametrize("scoring", ["letters", "text"])
def test_only_what_is_scored_attends_in_the_last_layer(scoring, monkeypatch):
    """Queries of the other layers: every token; of the last: the context's last token
    and what the model reads of the options."""
    asked: list[int] = []
    attend = attention.attend

    def noted(query, *rest, **more):
        asked.append(query.shape[2])
        return attend(query, *rest, **more)

    monkeypatch.setattr(attention, "attend", noted)
    prompts = make_prompts(scoring, 4)
    engine = Engine(make_model(num_hidden_layers=3), TOKENIZER)
    engine._check = lambda *_: None  # it packs nothing, but reads once more
    scored = engine.score(prompts)
    branches = [{tokens[:-1] for tokens in each.tokens} for each in scored]
    own = sum(len(tokens) for each in branches for tokens in each)
    contexts = sum(len(TOKENIZER.encode(each.context)) for each in prompts)
    assert sum(asked) == 2 * (contexts + own) + len(prompts) + own


def test_memory_that_runs_out_halves_the_pass(monkeypatch, caplog):
    """Nothing is lost, the next pass is smaller, and a warning names the number."""
    prompts = make_prompts("text", 4)
    expected = Engine(LLAMA, TOKENIZER).score(prompts)
    read = passes.packed_logits

    def small(model, rows, prefix):
        if sum(map(len, rows)) > 150:
            raise torch.OutOfMemoryError
        return read(model, rows, prefix)

    monkeypatch.setattr(passes, "packed_logits", small)
    found = Engine(LLAMA, TOKENIZER).score(prompts)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.logprobs, other.logprobs, rtol=0, atol=TOLERANCE)
    assert "out of memory" in caplog.text


def test_memory_that_does_not_suffice_for_the_shots_is_told(monkeypatch):
    """They cannot be cut into smaller passes."""

    def none(model, tokens):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(passes, "read_prefix", none)
    engine = Engine(make_model(max_position_embeddings=256), TOKENIZER)
    with pytest.raises(InputError, match=r"shots of \d+ tokens; use fewer `shots`"):
        engine.score(few_shot(make_prompts("letters", 4)))


def test_memory_that_does_not_suffice_for_one_question_is_told(monkeypatch):
    """Halving ends at a single row."""

    def none(model, rows, prefix):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(passes, "packed_logits", none)
    with pytest.raises(InputError, match=r"one question of \d+ tokens"):
        Engine(LLAMA, TOKENIZER).score(make_prompts("text", 4))


@pytest.mark.parametrize("wanted", ["text", "shots", "window"])
def test_a_model_that_is_not_exact_when_packed_is_refused(wanted, monkeypatch):
    """Every kind of row is checked when it first comes, also after letters."""
    model = make_model("mistral", max_position_embeddings=256, sliding_window=120)
    engine = Engine(model, TOKENIZER)
    engine.score(make_prompts("letters", 4))  # no mask is needed
    prompts = {
        "text": make_prompts("text", 4),
        "shots": few_shot(make_prompts("letters", 4)),
        "window": [Prompt(" yen" * 150, (" A", " B"))],
    }[wanted]

    def plainly_causal(segment, shared, _, __):
        n = len(segment.positions)
        return torch.ones(n, shared + n, dtype=torch.bool).tril()

    monkeypatch.setattr("polycal.models.attention.Segment._make_mask", plainly_causal)
    with pytest.raises(InputError, match="packed scores of mistral models are wrong"):
        engine.score(prompts)


def test_what_was_checked_is_not_checked_again(monkeypatch):
    """A second call of the same kind has no padded rows."""
    engine = Engine(LLAMA, TOKENIZER)
    engine.score(make_prompts("text", 4))
    monkeypatch.setattr(passes, "padded_logits", None)
    engine.score(make_prompts("text", 4))
    with pytest.raises(TypeError):
        engine.score(make_prompts("letters", 4))


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gemma2"])
def test_the_rounding_of_half_precision_is_no_difference(kind):
    """Logits of about 25 in bfloat16 have steps of 0.125; nobody is refused."""
    for seed in range(6):
        model = make_model(kind, initializer_range=0.02)
        head = model.get_output_embeddings()
        torch.manual_seed(seed)
        torch.nn.init.normal_(head.weight, std=1.2)
        model = model.to(torch.bfloat16)
        scored = Engine(model, TOKENIZER).score(make_prompts("text", 4))
        assert len(scored) == 12


@pytest.mark.parametrize("packed", [True, False])
def test_a_long_context_loses_its_left_end_and_is_flagged(packed):
    """As in the harness; continuations stay whole and short prompts are not flagged."""
    model = make_model(max_position_embeddings=24)
    prompts = make_prompts("text", 4, n=30)
    assert_equal_to_reference(model, prompts, packed=packed)
    n_flagged = 0
    for prompt, scored in zip(
        prompts, Engine(model, TOKENIZER, packed=packed).score(prompts), strict=True
    ):
        flags = tuple(
            len(TOKENIZER.encode(prompt.context + each)) > 25
            for each in prompt.continuations
        )
        assert scored.truncated == flags
        n_flagged += sum(flags)
    assert 0 < n_flagged < 120


@settings(max_examples=25)
@given(st.permutations(range(8)), st.integers(1, 8), st.integers(1, 400))
def test_order_company_and_batch_size_do_not_matter(order, kept, budget):
    """Any subset in any order under any token budget, up to rounding."""
    prompts = make_prompts("text", 4, n=8)
    chosen = order[:kept]
    engine = Engine(LLAMA, TOKENIZER, max_tokens=budget)
    found = engine.score([prompts[index] for index in chosen])
    together = Engine(LLAMA, TOKENIZER).score(prompts)
    for index, scored in zip(chosen, found, strict=True):
        expected = together[index]
        np.testing.assert_allclose(
            scored.logprobs, expected.logprobs, rtol=0, atol=TOLERANCE
        )
        assert scored.tokens == expected.tokens


def test_the_same_call_gives_the_same_bits():
    """Two calls agree exactly, and equal options have equal scores."""
    prompts = make_prompts("text", 4)
    prompts.append(Prompt("which use:", (" euro yen", " krona", " euro yen")))
    first, second = (Engine(LLAMA, TOKENIZER).score(prompts) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert one.logprobs.tobytes() == other.logprobs.tobytes()
    assert first[-1].logprobs[0] == first[-1].logprobs[2]


def test_white_space_at_the_end_of_a_context_moves():
    """`x: ` + `A` has the tokens of `x:` + ` A`."""
    engine = Engine(LLAMA, TOKENIZER)  # a call each: places in a batch round apart
    (moved,) = engine.score([Prompt("euro:  ", ("A", "B"))])
    (plain,) = engine.score([Prompt("euro:", ("  A", "  B"))])
    assert moved.tokens == plain.tokens
    np.testing.assert_array_equal(moved.logprobs, plain.logprobs)


def test_bos_is_not_doubled():
    """A text that begins with BOS is the same as one that does not."""
    engine = Engine(LLAMA, TOKENIZER)
    (begun,) = engine.score([Prompt("<s>euro:", (" A", " yen B"))])
    (plain,) = engine.score([Prompt("euro:", (" A", " yen B"))])
    assert begun.tokens == plain.tokens
    np.testing.assert_array_equal(begun.logprobs, plain.logprobs)


def test_other_architectures_are_named_once(caplog):
    """Whoever waits longer is told why."""
    with caplog.at_level(logging.INFO):
        engine = Engine(make_model("gpt_neox"), TOKENIZER)
        engine.score(make_prompts("text", 4))
        engine.score(make_prompts("text", 4))
        Engine(LLAMA, TOKENIZER)
    assert [record.args for record in caplog.records] == [("gpt_neox",)]


def test_no_prompts_no_scores():
    """An empty call is a legal one."""
    assert Engine(LLAMA, TOKENIZER).score([]) == []


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_score_that_is_not_finite_names_its_prompt(value):
    """One broken embedding breaks one prompt, and that one is named."""
    model = make_model()
    (token,) = TOKENIZER.encode(" yen", add_special_tokens=False)
    model.get_input_embeddings().weight.data[token] = value
    prompts = [Prompt(f"use {word}:", (" A", " B C")) for word in WORDS]
    with pytest.raises(UnscorableError, match=r"log-probability nan") as caught:
        Engine(model, TOKENIZER).score(prompts)
    assert caught.value.index == WORDS.index("yen")


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        (Prompt("euro:", (" A", "")), "continuation has no token"),
        (Prompt("euro:", (" A", " yen" * 30)), "30 tokens, the model reads 24"),
    ],
)
def test_what_cannot_be_scored_is_named(prompt, reason):
    """No silent zero, and no option is cut."""
    model = make_model(max_position_embeddings=24)
    with pytest.raises(UnscorableError, match=f"prompt 1: .*{reason}"):
        Engine(model, TOKENIZER).score([Prompt("yen:", (" A",)), prompt])


def test_a_context_without_a_token_is_named():
    """Nothing would predict the first token of a continuation."""
    with pytest.raises(UnscorableError, match="prompt 0: the context has no token"):
        Engine(LLAMA, make_tokenizer(bos=False)).score([Prompt(" ", ("A", "B"))])
