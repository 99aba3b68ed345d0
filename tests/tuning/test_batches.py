"""Examples become rows of tensors, and labels where a loss is computed."""

import numpy as np
import torch

from polycal.tuning.batches import IGNORED, pack_examples, pad_examples
from polycal.tuning.examples import Example


def example(tokens: list[int], targets: list[bool]) -> Example:
    return Example(0, np.array(tokens, np.int32), np.array(targets))


def test_padding_is_neither_seen_nor_learnt():
    """Shapes, mask and labels of two examples of different lengths."""
    batch = pad_examples(
        [example([5, 6, 7], [False, True, True]), example([8], [False])]
    )
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["labels"].tolist() == [[IGNORED, 6, 7], [IGNORED] * 3]
    assert {column.dtype for column in batch.values()} == {torch.int64}


def test_a_label_is_the_token_itself():
    """Where a label is not ignored, it is the token of its own position."""
    chance = np.random.default_rng(0)
    tokens = chance.integers(0, 300, 50).tolist()
    batch = pad_examples([example(tokens, (chance.random(50) < 0.5).tolist())])
    learnt = batch["labels"] != IGNORED
    assert 0 < int(learnt.sum()) < 50
    assert torch.equal(batch["labels"][learnt], batch["input_ids"][learnt])


def test_packed_examples_follow_each_other():
    """Positions begin anew, and nothing is predicted across a border."""
    batch = pack_examples([example([5, 6, 7], [False, True, True]), example([8], [0])])
    assert batch["segments"] == (3, 1)
    assert batch["input_ids"].tolist() == [[5, 6, 7, 8]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 0]]
    assert batch["labels"].tolist() == [[IGNORED, 6, 7, IGNORED]]
    assert {batch[each].dtype for each in batch if each != "segments"} == {torch.int64}
