"""What an option's score is divided by, and what the tokenizer has to do with it."""

import numpy as np
import pyarrow as pa
import pytest

from polycal.calibration import probabilities
from polycal.measuring.confidence import option_scores, parallel, token_premium
from polycal.storage import tables

NAMES = ("question_id", "logprobs", "n_tokens", "n_bytes")


def rows(*drawn: tuple) -> pa.Table:
    """Rows of a predictions table: what this module reads of it."""
    schema = pa.schema([tables.SCHEMAS["predictions"].field(name) for name in NAMES])
    return pa.Table.from_pylist(
        [dict(zip(NAMES, x, strict=True)) for x in drawn], schema
    )


ENGLISH = rows(
    ("a", [-2, -3], [1, 2], [4, 7]), ("b", [-1, -4, -6], [1, 1, 2], [3, 3, 8])
)
SWAHILI = rows(
    ("b", [-8, -6, -4], [4, 3, 2], [8, 12, 16]), ("a", [-6, -8], [3, 4], [6, 2])
)


@pytest.mark.parametrize(
    ("normaliser", "expected"),
    [
        ("sum", [[-8, -6, -4], [-6, -8, -np.inf]]),
        ("token", [[-2, -2, -2], [-2, -2, -np.inf]]),
        ("byte", [[-1, -1 / 2, -1 / 4], [-1, -4, -np.inf]]),
        ("english", [[-8, -6, -2], [-6, -4, -np.inf]]),
    ],
)
def test_scores_by_hand(normaliser, expected):
    """English tokens are those of the same question, not of the same row."""
    english = parallel(SWAHILI, ENGLISH)
    np.testing.assert_allclose(option_scores(SWAHILI, normaliser, english), expected)


def test_the_english_normaliser_is_the_token_one_in_english():
    """Dividing English by English tokens is the mean log-probability."""
    english = parallel(ENGLISH, ENGLISH)
    np.testing.assert_array_equal(
        option_scores(ENGLISH, "english", english), option_scores(ENGLISH, "token")
    )
    assert token_premium(ENGLISH, english) == 1


def test_more_tokens_for_the_same_text_change_all_but_the_english_normaliser():
    """The tokenizer as a temperature: twice the tokens, half the spread of scores."""
    finer = SWAHILI.set_column(
        2, "n_tokens", pa.array([[8, 6, 4], [6, 8]], pa.list_(pa.int32()))
    )
    english = parallel(SWAHILI, ENGLISH)
    both = [option_scores(each, "english", english) for each in (SWAHILI, finer)]
    np.testing.assert_array_equal(*both)
    halved = option_scores(SWAHILI, "token") / 2
    np.testing.assert_array_equal(option_scores(finer, "token"), halved)
    assert token_premium(finer, english) == 2 * token_premium(SWAHILI, english)


def test_the_token_normaliser_is_the_normalised_inverse_perplexity():
    """The paper's wording, by its own formula."""
    logprobs, n = np.array([-14.2, -15.0, -18.3, -17.1]), np.array([7, 9, 6, 8])
    table = rows(("q", logprobs, n, n))
    inverse = 1 / np.exp(-logprobs / n)
    found = probabilities(option_scores(table, "token"))[0]
    np.testing.assert_allclose(found, inverse / inverse.sum(), rtol=1e-6)
    np.testing.assert_allclose(found, [0.271, 0.389, 0.098, 0.243], atol=5e-4)


def test_the_premium_is_a_ratio_of_sums():
    """16 tokens in Swahili to 7 in English."""
    assert token_premium(SWAHILI, parallel(SWAHILI, ENGLISH)) == pytest.approx(16 / 7)


def test_questions_that_are_not_parallel_have_no_english_length():
    """A question that English lacks, or asks with fewer options."""
    assert parallel(SWAHILI, ENGLISH.slice(0, 1)) is None
    fewer = rows(("a", [-1], [1], [1]), ("b", [-1, -4, -6], [1, 1, 2], [3, 3, 8]))
    assert parallel(SWAHILI, fewer) is None
    with pytest.raises(ValueError, match="needs the rows of English"):
        option_scores(SWAHILI, "english")
    with pytest.raises(ValueError, match="no normaliser 'mean'"):
        option_scores(SWAHILI, "mean")


def test_no_rows_have_no_scores():
    empty = ENGLISH.slice(0, 0)
    assert option_scores(empty, "token").shape == (0, 0)
    assert np.isnan(token_premium(empty, parallel(empty, ENGLISH)))
