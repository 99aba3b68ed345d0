"""Random values, and random faults of values, rows and files."""

import json
import random
from pathlib import Path

TEXTS = [
    "",
    " ",
    "None",
    "A",
    "B ",
    "é",
    "\ud800",
    "\u200b",
    "[1, 2",
    "*(",
    "0",
    "a\nb",
    "\0",
]
NUMBERS = [0, 1, -1, 4, 10**30, 1.5, -0.0, 1e308, float("nan"), float("inf")]
_KEYS = ["role", "content", "from", "value", "text", "arg_0", "arg_1", "question"]


def random_value(chance: random.Random, depth: int = 2) -> object:
    """Any value that JSON can hold, NaN and halves of characters included."""
    kind = chance.randrange(7 if depth else 5)
    if kind < 2:
        return chance.choice(TEXTS)
    if kind < 4:
        return chance.choice([*NUMBERS, True, False])
    if kind == 4:
        return None
    members = [random_value(chance, depth - 1) for _ in range(chance.randrange(4))]
    if kind == 5:
        return members
    return {chance.choice(_KEYS): member for member in members}


def spoil_value(chance: random.Random, value: object) -> object:
    """Return a value with a random part replaced, removed or added."""
    inner = isinstance(value, dict | list) and len(value) > 0
    if not inner or chance.random() < 0.2:
        return random_value(chance)
    copy = dict(value) if isinstance(value, dict) else list(value)
    key = chance.choice(list(copy) if isinstance(copy, dict) else range(len(copy)))
    if chance.random() < 0.1:
        del copy[key]
    else:
        copy[key] = spoil_value(chance, copy[key])
    return copy


def spoil_file(chance: random.Random, path: Path) -> None:
    """Cut a file off, or change some of its bytes."""
    data = bytearray(path.read_bytes())
    if chance.random() < 0.3:
        data = data[: chance.randrange(len(data))]
    for _ in range(chance.randrange(1, 4) if data else 0):
        place = chance.randrange(len(data))
        if chance.random() < 0.7:
            data[place] ^= 1 << chance.randrange(8)
        else:
            data[place:place] = chance.randbytes(chance.randrange(1, 5))
    path.write_bytes(data)


def spoil_rows(chance: random.Random, rows: list[dict]) -> list[object]:
    """Return rows of which one in eight, or all, have a fault."""
    often = chance.random() < 0.2
    return [
        spoil_value(chance, row) if often or chance.random() < 0.125 else row
        for row in rows
    ]


def spoil_json(chance: random.Random, path: Path) -> None:
    """Change a value somewhere in a file of JSON, or some of the file's bytes."""
    if chance.random() < 0.2:
        spoil_file(chance, path)
        return
    value = json.loads(path.read_text("utf-8"))
    for _ in range(chance.randrange(1, 3)):
        value = spoil_value(chance, value)
    path.write_text(json.dumps(value), "utf-8")
