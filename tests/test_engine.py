"""Scores equal one plain forward pass per option, whatever the batching."""

import logging

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import WORDS, make_model, make_tokenizer

from polycal.engine import TREE_TYPES, Engine, UnscorableError
from polycal.prompts import Prompt, build_prompt

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


def reference(model: torch.nn.Module, tokenizer, prompt: Prompt) -> list[float]:
    """The rule, literally: every option alone, full logits, float64 softmax."""
    limit = model.config.max_position_embeddings
    context = tokenizer.encode(prompt.context)
    totals = []
    for each in prompt.continuations:
        continuation = tokenizer.encode(prompt.context + each)[len(context) :]
        ids = (context + continuation)[-(limit + 1) :]
        with torch.no_grad():
            logits = model(torch.tensor([ids[:-1]]), use_cache=False).logits[0]
        logprobs = logits.double().log_softmax(-1)[-len(continuation) :]
        totals.append(logprobs.gather(1, torch.tensor(continuation)[:, None]).sum())
    return [float(total) for total in totals]


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
@pytest.mark.parametrize("kind", [*TREE_TYPES, "gemma2", "gpt_neox"])
def test_equal_to_a_forward_pass_per_option(kind, scoring, n_options):
    """On every proven architecture, and on two that fall back (one has soft caps)."""
    prompts = make_prompts(scoring, n_options)
    assert_equal_to_reference(make_model(kind), prompts)


@pytest.mark.parametrize("scoring", ["letters", "text"])
@pytest.mark.parametrize("tree", [True, False])
def test_equal_without_bos(scoring, tree):
    """A tokenizer that adds no special tokens is taken as it is."""
    tokenizer = make_tokenizer(bos=False)
    prompts = make_prompts(scoring, 4)
    assert_equal_to_reference(LLAMA, prompts, tokenizer=tokenizer, tree=tree)


def test_a_sliding_window_that_cuts_is_respected():
    """Rows within the window are trees, longer ones are not; both are exact."""
    model = make_model("mistral", sliding_window=20)
    prompts = make_prompts("text", 4, n=30)
    lengths = [len(TOKENIZER.encode(prompt.context)) for prompt in prompts]
    assert min(lengths) < 13 < 20 < max(lengths)
    assert_equal_to_reference(model, prompts)


@pytest.mark.parametrize("tree", [True, False])
def test_a_long_context_loses_its_left_end_and_is_flagged(tree):
    """As in the harness; continuations stay whole and short prompts are not flagged."""
    model = make_model(max_position_embeddings=24)
    prompts = make_prompts("text", 4, n=30)
    assert_equal_to_reference(model, prompts, tree=tree)
    n_flagged = 0
    for prompt, scored in zip(
        prompts, Engine(model, TOKENIZER, tree=tree).score(prompts), strict=True
    ):
        flags = tuple(
            len(TOKENIZER.encode(prompt.context + each)) > 25
            for each in prompt.continuations
        )
        assert scored.truncated == flags
        n_flagged += sum(flags)
    assert 0 < n_flagged < 120


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(8)), st.integers(1, 8), st.integers(1, 400))
def test_order_company_and_batch_size_do_not_matter(order, kept, budget):
    """Any subset in any order under any token budget, up to rounding."""
    prompts = make_prompts("text", 4, n=8)
    chosen = order[:kept]
    engine = Engine(LLAMA, TOKENIZER, max_tokens_per_batch=budget)
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
