"""How options are scored, and what an option's score is divided by."""

SCORINGS = ("letters", "text")
# What a text's summed log-likelihood is divided by before the softmax. Letters are
# single tokens and single bytes, so that dividing them would change nothing.
NORMALISERS = ("sum", "token", "byte", "english")

# The normaliser that each scoring is drawn with: a letter is one token, so its sum is
# its mean; for option texts the mean is the paper's normalised perplexity.
HEADLINE = {"letters": "sum", "text": "token"}
