"""A recipe refuses values without a meaning, and counts its steps."""

import pytest

from polycal.errors import InputError
from polycal.study.recipe import Recipe, Rendering


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("lr", 0),
        ("lr", float("nan")),
        ("epochs", -1),
        ("epochs", 10_001),
        ("max_steps", 0),
        ("max_steps", 10**9 + 1),
        ("batch_size", 0),
        ("micro_batch_size", 1.5),
        ("warmup_ratio", 1),
        ("weight_decay", -0.1),
        ("max_grad_norm", float("inf")),
        ("validation_fraction", 0),
        ("lora_dropout", 1),
        ("attention_dropout", -0.1),
        ("loss_reduction", "max"),
        ("method", "prefix"),
        ("dtype", "float16"),
    ],
)
def test_a_value_without_meaning_is_named(setting, value):
    """The message says which setting it is and what it holds."""
    with pytest.raises(InputError, match=rf"^{setting}: .*{value}"):
        Recipe(**{"lr": 1e-4, setting: value})


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("chat_template", "chatml"),
        ("bos", "yes"),
        ("max_length", 1),
        ("max_length", 10**7 + 1),
    ],
)
def test_a_rendering_without_meaning_is_named(setting, value):
    """As in a recipe."""
    with pytest.raises(InputError, match=rf"^{setting}: .*{value}"):
        Rendering(**{setting: value})


def test_steps_are_counted_by_epoch_with_its_last_short_batch():
    """9 examples in batches of 4 are 3 steps; max_steps overrides epochs."""
    recipe = Recipe(lr=1e-4, batch_size=4, micro_batch_size=4, epochs=2)
    assert recipe.count_steps(9) == 6
    assert Recipe(lr=1e-4, epochs=0.5).count_steps(1280) == 5
    assert Recipe(lr=1e-4, max_steps=7).count_steps(9) == 7
