"""A checkpoint's tokenizer is read from its own directory and nowhere else."""

import pytest
from toys import make_model, make_tokenizer, save_checkpoint

from polycal.errors import InputError
from polycal.models.tokens import load_tokenizer


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
