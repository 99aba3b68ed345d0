"""Scorings of options, and normalisers of an option's score."""

from typing import Literal, get_args

Scoring = Literal["letters", "text"]
SCORINGS: tuple[Scoring, ...] = get_args(Scoring)
# How a question is written: as plain text, or with the checkpoint's chat template.
PromptForm = Literal["plain", "chat"]
ShotsForm = Literal["text", "turns"]
# Which questions are compared, if languages lack different ones.
Policy = Literal["intersection", "identical", "own"]
# Divisors of an option text's summed log-likelihood before the softmax. A letter is one
# token and one byte, so division would not change it.
Normaliser = Literal["sum", "token", "byte", "english"]
NORMALISERS: tuple[Normaliser, ...] = get_args(Normaliser)

# Those that count tokens: confidences of two tokenizers cannot be compared under them.
COUNT_TOKENS: tuple[Normaliser, ...] = ("token", "english")

# The normaliser in each scoring's figures. A letter is one token, so its sum is its
# mean; for option texts the mean is the paper's normalised perplexity.
HEADLINE: dict[str, Normaliser] = {"letters": "sum", "text": "token"}
