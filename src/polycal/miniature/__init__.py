"""The embedded study: model, SFT set and tasks, made offline from Unicode CLDR.

They are written as four directories in the layout of the Hugging Face Hub. Facts and
names are CLDR's (through Babel). The question sentences in `sentences.csv` were written
by hand for polycal, and no native speaker has reviewed them.
"""
