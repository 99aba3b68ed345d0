"""One study: contrasts, claims and analyses over all of its runs."""
