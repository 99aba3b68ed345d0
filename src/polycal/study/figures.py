"""The names of the figures of each task and scoring, in the order of the page."""

FIGURES = (
    "overview",
    "dumbbell",
    "forest",
    "heatmap",
    "levels",
    "decomposition",
    "doses",
    "front",
    "temperature",
    "coverage",
    "premium",
    "reliability",
)
