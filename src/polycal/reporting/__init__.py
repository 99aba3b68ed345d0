"""From the study's tables to figures, sentences and the page."""
