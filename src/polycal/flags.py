"""From a function's signature and docstring to flags of the command line."""

import argparse
import dataclasses
import inspect
import json
import math
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_MOST = 2**31 - 1
# The smallest and the largest value of flags, by name, as the study's schema has them.
_BOUNDS: dict[str, tuple[float, float]] = {
    "seed": (0, _MOST),
    "question_seed": (0, _MOST),
    "smoothing": (0, 1),
    "shots": (0, 1000),
    "count": (0, 1024),
    "max_dropped": (0, 1),
    "max_questions": (1, _MOST),
    "max_tokens": (1, _MOST),
    "max_examples": (2, _MOST),
    "pretrain_steps": (1, _MOST),
    "checkpoint_minutes": (0, _MOST),
    "gpus": (1, _MOST),
    "nodes": (1, 4096),
    "processes": (1, 4096),
}


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


def json_object(text: str) -> dict[str, Any]:
    """Return a JSON object."""
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError
    return value


def add_flags(parser: argparse.ArgumentParser, function: Callable) -> None:
    """Add a flag for each parameter; a dataclass gives one for each of its fields."""
    texts = read_args(inspect.getdoc(function) or "")
    for name, parameter in inspect.signature(function).parameters.items():
        if dataclasses.is_dataclass(parameter.annotation):
            for field in dataclasses.fields(parameter.annotation):
                kind = typing.get_type_hints(parameter.annotation)[field.name]
                text = field.metadata["help"]
                _add_flag(parser, f"--{field.name}", kind, field.default, text)
        else:
            by_position = parameter.kind is not parameter.KEYWORD_ONLY
            flag = name if by_position else f"--{name}"
            default = parameter.default
            if default is parameter.empty:
                default = dataclasses.MISSING
            _add_flag(parser, flag, parameter.annotation, default, texts[name])


def collect(function: Callable, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return a function's arguments, with the fields of each dataclass made one."""
    arguments = {}
    for name, parameter in inspect.signature(function).parameters.items():
        kind = parameter.annotation
        if dataclasses.is_dataclass(kind):
            names = [field.name for field in dataclasses.fields(kind)]
            made = {each: options[each] for each in names}
            arguments[name] = parameter.annotation(**made)
        else:
            arguments[name] = options[name]
    return arguments


def read_args(docstring: str) -> dict[str, str]:
    """Return the texts of a docstring's `Args:` section (Google's style) by name."""
    section = re.search(r"^Args:\n((?: +.*\n|\n)*)", docstring + "\n", re.MULTILINE)
    parts = re.split(r"^ {4}(\w+): ", section[1] if section else "", flags=re.MULTILINE)
    pairs = zip(parts[1::2], parts[2::2], strict=True)
    return {name: " ".join(text.split()).rstrip(".") for name, text in pairs}


def _between(
    low: float, high: float, read: Callable[[str], float]
) -> Callable[[str], float]:
    """Return a reader of numbers that refuses those out of bounds."""

    def read_bounded(text: str) -> float:
        value = read(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not from {low} to {high}")
        return value

    read_bounded.__name__ = read.__name__  # argparse's own message names the type
    return read_bounded


def _add_flag(
    parser: argparse.ArgumentParser,
    flag: str,
    kind: Any,
    default: Any,
    text: str,
) -> None:
    settings: dict[str, Any] = {}
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        # `int | None`: the flag takes an int; `int | bool`: it may stand alone.
        kinds = [k for k in typing.get_args(kind) if k is not types.NoneType]
        if bool in kinds[1:]:
            settings |= {"nargs": "?", "const": True}
        kind = kinds[0]
    required = default is dataclasses.MISSING
    if typing.get_origin(kind) in (list, Sequence):
        (kind,) = typing.get_args(kind)
        settings["nargs"] = "+" if required or default else "*"
    if typing.get_origin(kind) is typing.Literal:
        settings["choices"] = typing.get_args(kind)
        kind = str
    if Mapping in (kind, typing.get_origin(kind)):
        settings["metavar"] = "JSON"
        kind = json_object
    readers: dict[Any, Any] = {bool: true_or_false, float: finite}
    settings["type"] = readers.get(kind, kind)
    if bounds := _BOUNDS.get(flag.removeprefix("--")):
        settings["type"] = _between(*bounds, settings["type"])
    if flag.startswith("--"):
        flag = flag.replace("_", "-")
        settings |= {"required": required, "default": None if required else default}
        if not required and default not in (None, ()):
            shown = default if isinstance(default, tuple) else [default]
            text = f"{text} (default: {' '.join(map(str, shown))})"
    parser.add_argument(flag, help=text.replace("%", "%%"), **settings)
