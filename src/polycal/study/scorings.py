"""How options are scored, and what an option's score is divided by."""

from typing import Literal, get_args

Scoring = Literal["letters", "text"]
SCORINGS: tuple[Scoring, ...] = get_args(Scoring)
# What a text's summed log-likelihood is divided by before the softmax. Letters are
# single tokens and single bytes, so that dividing them would change nothing.
Normaliser = Literal["sum", "token", "byte", "english"]
NORMALISERS: tuple[Normaliser, ...] = get_args(Normaliser)

# The normaliser that each scoring is drawn with: a letter is one token, so its sum is
# its mean; for option texts the mean is the paper's normalised perplexity.
HEADLINE = {"letters": "sum", "text": "token"}
