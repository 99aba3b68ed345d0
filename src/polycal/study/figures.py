"""The names of the figures that are drawn of each task and scoring."""

FIGURES = (
    "coverage",
    "decomposition",
    "doses",
    "dumbbell",
    "forest",
    "front",
    "heatmap",
    "levels",
    "premium",
    "reliability",
    "temperature",
)
