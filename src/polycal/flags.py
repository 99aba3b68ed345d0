"""Types of flags, from text to value; argparse names the type that refuses a text."""

import json
import math


def finite(text: str) -> float:
    """Return a number that is neither infinite nor NaN."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return value


def true_or_false(text: str) -> bool:
    """Return a truth value, as YAML or Python spell it."""
    if text.lower() not in ("true", "false"):
        raise ValueError
    return text.lower() == "true"


def json_object(text: str) -> dict[str, object]:
    """Return a JSON object."""
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError
    return found
