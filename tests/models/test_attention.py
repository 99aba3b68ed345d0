"""Packed attention against transformers' own arithmetic."""

import pytest
import torch
from transformers.models.gemma2.modeling_gemma2 import eager_attention_forward

from polycal.models.attention import attend


@pytest.mark.parametrize("softcap", [None, 3.0])
@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("rows", [1, 3])
def test_equals_transformers(softcap, window, rows):
    """With shared keys, with a window and with none, capped and not."""
    torch.manual_seed(0)
    query = torch.randn(rows, 4, 7, 8)
    key, value = torch.randn(2, rows, 2, 7, 8)
    seen = torch.ones(7, 7, dtype=torch.bool).tril()
    if window:
        seen = seen.triu(1 - window)
    module = torch.nn.Module().eval()
    module.num_key_value_groups = 2
    theirs, _ = eager_attention_forward(
        module,
        query,
        key,
        value,
        torch.zeros(7, 7).masked_fill(~seen, -1e30)[None, None],
        scaling=0.3,
        softcap=softcap,
    )
    mask = seen if window else None
    ours = attend(query, key, value, mask, 0.3, softcap=softcap)
    torch.testing.assert_close(ours.transpose(1, 2), theirs)


def test_dropout_keeps_or_doubles_a_weight():
    """A first token sees itself alone, which half of the heads then do not."""
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 1, 200, 5, 8)
    found = attend(query, key, value, None, 1.0, softcap=5.0, dropout=0.5)
    ratio = (found / value)[0, :, 0]
    kept = ratio.mean(-1) > 1
    torch.testing.assert_close(ratio, 2.0 * kept[:, None].expand(-1, 8))
    assert 70 < kept.sum() < 130
