"""The embedded study: model, SFT set and tasks, made offline from Unicode CLDR.

Four directories that look like what the Hugging Face Hub holds. Facts and names are
CLDR's (through Babel); the question sentences in `sentences.csv` were written by hand
for polycal, not taken from CLDR, and no native speaker has reviewed them.
"""
