"""Lists and conditions in the words of a sentence."""

import pandas as pd

from polycal.comparing.conditions import label


def join(parts: list[str]) -> str:
    """Return "a", "a and b", or "a, b and c"."""
    return " and ".join([*([", ".join(parts[:-1])] if parts[1:] else []), *parts[-1:]])


def per_condition(values: pd.Series) -> str:
    """Return "base: 3; SFT: 5", with the facet in front where there are several.

    Args:
        values: texts with the index levels `facet` and `rank`.
    """
    facets = {}
    for facet, own in values.groupby(level="facet"):
        parts = [
            f"{label(condition)}: {value}" for (_, condition), value in own.items()
        ]
        facets[facet] = "; ".join(parts)
    if len(facets) == 1:
        return next(iter(facets.values()))
    return "; ".join(f"{facet} ({text})" for facet, text in facets.items())
