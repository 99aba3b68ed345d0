"""What stands before an answer in each language: its own word for "answer".

Standard library only, as `polycal.study.languages`.
"""

import csv
import functools
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType

from polycal.errors import InputError

TABLE = "src/polycal/data/lead_ins.csv"
OWN = "own"  # the format's name for the language's own lead-in


@functools.cache
def load_lead_ins() -> Mapping[str, str]:
    """Language -> lead-in, such as `Antwort:`; read once, not to be changed.

    They are the words of MMLU-ProX's tasks in `lm_eval`, without the request to think
    step by step that follows them there.
    """
    table = files("polycal") / "data" / "lead_ins.csv"
    with table.open(encoding="utf-8-sig", newline="") as handle:
        rows = list(csv.DictReader(handle))
    return MappingProxyType({row["language"]: row["lead_in"] for row in rows})


def find_lead_in(lead_in: str, language: str) -> str:
    """What a format's `lead_in` is in a language: itself, or the language's own.

    Raises:
        InputError: the language has no lead-in of its own.
    """
    if lead_in != OWN:
        return lead_in
    own = load_lead_ins().get(language)
    if own is None:
        raise InputError(
            f"{language!r} has no lead-in of its own (its word for `Answer:`); add a "
            f"row to {TABLE}, or write `lead_in:` out in the task's format"
        )
    return own
