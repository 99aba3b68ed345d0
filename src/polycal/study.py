"""A study: one config file, read, filled with defaults, and checked as a whole."""

import copy
import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path

import jsonschema
import yaml

from polycal import grid
from polycal.errors import InputError

_SCHEMA = files("polycal") / "data" / "config.schema.yaml"


def load_study(path: Path) -> dict:
    """Read a config file.

    Returns:
        The config with every default filled in, as `complete` makes it.

    Raises:
        InputError: the file is not YAML, or not a study; one line says where.
        FileNotFoundError: there is no such file.
    """
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise InputError(
            f"{path} is not YAML: {' '.join(str(error).split())}"
        ) from None
    if not isinstance(config, Mapping):
        raise InputError(f"{path} is not a study: it has no keys")
    try:
        return complete(config)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def complete(config: Mapping) -> dict:
    """A copy of a config with every default filled in, checked.

    Raises:
        InputError: something in it has no meaning; one line says where and what to do.
    """
    config = copy.deepcopy(dict(config))
    schema = yaml.safe_load(_SCHEMA.read_text(encoding="utf-8"))
    found = _validator(schema).iter_errors(config)
    error = jsonschema.exceptions.best_match(found)
    if error:
        known = error.schema.get("properties", ())
        line = explain(error.absolute_path, error.message, error.instance, known=known)
        raise InputError(line)
    config = grid.whole_numbers(config)
    grid.check(config)
    return config


def _validator(schema: Mapping) -> jsonschema.protocols.Validator:
    """A validator that gives an absent key the schema's default before it looks."""
    plain = jsonschema.Draft202012Validator.VALIDATORS["properties"]

    def fill(
        validator: jsonschema.protocols.Validator,
        keys: Mapping,
        instance: object,
        inner: Mapping,
    ) -> Iterator[jsonschema.ValidationError]:
        if isinstance(instance, dict):
            for key, value in keys.items():
                name = value.get("$ref", "").removeprefix("#/$defs/")
                value = schema["$defs"].get(name, {}) | value
                if "default" in value:
                    instance.setdefault(key, copy.deepcopy(value["default"]))
        yield from plain(validator, keys, instance, inner)

    kind = jsonschema.validators.extend(
        jsonschema.Draft202012Validator, {"properties": fill}
    )
    return kind(schema)


def explain(
    place: Iterable[str | int],
    message: str,
    value: object,
    *,
    known: Iterable[str] = (),
) -> str:
    """One line about a value that the schema refuses, with the usual YAML surprises.

    Args:
        place: keys and list positions that lead to the value.
        message: what the schema says of it.
        value: the value itself.
        known: the keys that are allowed there.
    """
    keys = [str(key) for key in place]
    where = ".".join(keys) or "the study"
    if "languages" in keys and isinstance(value, bool):
        word = "yes/on" if value else "no/off"
        return f"{where}: YAML reads an unquoted {word} as {value}; put it in quotes"
    if isinstance(value, str) and re.fullmatch(r"[0-9.]+[eE][+-]?[0-9]+", value):
        return (
            f"{where}: YAML reads {value} as text, not as a number; write it with a "
            f"decimal point and a signed exponent, such as {float(value):.1e}"
        )
    unknown = set(value) - set(known) if isinstance(value, Mapping) else set()
    for key in sorted(unknown, key=str):
        near = difflib.get_close_matches(str(key), known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
        return f"{where}: there is no key {key!r}; {hint}"
    return f"{where}: {message.strip().splitlines()[0]}"
