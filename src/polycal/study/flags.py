"""Settings of a study as flags of the command line."""

import json
import shlex
from collections.abc import Mapping

from polycal.study.layout import number


def cli_flags(settings: Mapping) -> str:
    """`{"batch_size": 64}` -> `--batch-size 64`, quoted; null gives no flag.

    In the order of the names: keys in another order are the same study. A mapping is
    written as JSON.
    """
    return " ".join(
        f"--{key.replace('_', '-')} {shlex.quote(_spell(value))}"
        for key, value in sorted(settings.items())
        if value is not None
    )


def _spell(value: object) -> str:
    if isinstance(value, Mapping):
        return json.dumps(value, sort_keys=True, ensure_ascii=False)
    return number(value) if isinstance(value, float) else str(value)
