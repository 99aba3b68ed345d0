"""What the Trainer is given, and what it minimises."""

import os

import numpy as np
import pytest
import torch
from tiny import make_tiny_model
from transformers import TrainerCallback
from transformers.integrations import integration_utils
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

from polycal.errors import InputError
from polycal.models import loading as models
from polycal.study.recipe import Recipe
from polycal.tuning.batches import pad_examples
from polycal.tuning.examples import Example
from polycal.tuning.trainer import SmoothingTrainer, prepare_trackers


def example(tokens: list[int], targets: list[bool]) -> Example:
    return Example(0, np.array(tokens, np.int32), np.array(targets))


class Counting(list):
    """A list that counts how often its items are asked for."""

    asked = 0

    def __getitem__(self, index):
        self.asked += 1
        return super().__getitem__(index)


def make_trainer(
    folder, examples, *, report_to=(), **recipe: object
) -> SmoothingTrainer:
    base = make_tiny_model(folder / "base")
    return SmoothingTrainer(
        models.load_model(base, dtype=torch.float32, device=torch.device("cpu")),
        examples,
        recipe=Recipe(lr=1e-3, **recipe),
        smoothing=0.1,
        bfloat16=False,
        seed=0,
        folder=folder,
        report_to=report_to,
        name="a/b",
    )


def draw_examples(n: int) -> list[Example]:
    chance = np.random.default_rng(0)
    return [
        example(
            chance.integers(2, 300, size).tolist(), [False] + [True] * (int(size) - 1)
        )
        for size in chance.integers(2, 9, n)
    ]


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_parts_of_a_batch_add_up_to_its_loss(tmp_path, reduction):
    """Mean or sum over the tokens of the whole batch, however it is cut."""
    examples = draw_examples(8)
    tokens = sum(each.n_targets for each in examples)
    trainer = make_trainer(tmp_path, examples, loss_reduction=reduction)
    trainer.model.eval()

    def loss(part: list[Example]) -> float:
        with torch.no_grad():
            return float(
                trainer.compute_loss(
                    trainer.model, pad_examples(part), num_items_in_batch=tokens
                )
            )

    whole = loss(examples)
    assert loss(examples[:3]) + loss(examples[3:]) == pytest.approx(whole, rel=1e-5)
    with torch.no_grad():  # their mean, not smoothed
        plain = float(trainer.model(**pad_examples(examples)).loss)
    factor = tokens if reduction == "sum" else 1
    assert whole / factor == pytest.approx(plain, rel=0.2)


def test_a_reporter_is_told_what_the_log_says(tmp_path, monkeypatch):
    """Both losses of every line, under the name of the training."""
    told = []

    class Recorder(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **_):
            told.append({"name": args.run_name, **logs})

    monkeypatch.setitem(INTEGRATION_TO_CALLBACK, "recorder", Recorder)
    sizes = {"batch_size": 4, "micro_batch_size": 4, "max_steps": 2}
    trainer = make_trainer(tmp_path, draw_examples(8), report_to=["recorder"], **sizes)
    trainer.train()
    lines = trainer.training_log.lines
    assert [each["nll"] for each in told[:2]] == [each["nll"] for each in lines]
    assert [each["loss"] for each in told[:2]] == [each["loss"] for each in lines]
    assert {each["name"] for each in told} == {"a/b"}


def test_examples_are_asked_for_when_they_are_used(tmp_path):
    """Training over 8 of 1000 reads 8; nothing makes a list of them all."""
    examples = Counting(draw_examples(1000))
    trainer = make_trainer(
        tmp_path, examples, max_steps=2, batch_size=4, micro_batch_size=4
    )
    trainer.train()
    assert 8 <= examples.asked <= 16


class Missing:
    """A reporter whose package is not installed."""

    def __init__(self):
        raise RuntimeError("Missing requires missing to be installed.")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a-notebook", "report_to: a-notebook is not supported, only "),
        ("missing", r"report_to: missing cannot be used here \(.*\); install"),
    ],
)
def test_what_cannot_be_reported_to_is_told(name, words, tmp_path, monkeypatch):
    """A name that nobody knows, and a package that is not there."""
    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "missing", Missing)
    with pytest.raises(InputError, match=words):
        prepare_trackers([name], tmp_path)


def test_tensorboard_s_files_stay(tmp_path, monkeypatch):
    """Beside the candidate, unless the user names a folder."""
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", "")  # so that it is undone
    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR")
    prepare_trackers([], tmp_path / "a")
    prepare_trackers([], tmp_path / "b")
    assert os.environ["TENSORBOARD_LOGGING_DIR"] == str(tmp_path / "a")
