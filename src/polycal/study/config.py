"""A study's config file: read it, fill in defaults, and check it as a whole."""

import copy
import difflib
import functools
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema

from polycal.errors import InputError
from polycal.study.formats import load_known, make_format
from polycal.study.grid import BASE, list_data_sets
from polycal.study.languages import (
    explain_unknown,
    find_lead_in,
    load_languages,
    use_languages,
)
from polycal.study.layout import number
from polycal.study.reading import load_yaml, read_config
from polycal.study.source_checks import find_misplaced, find_unpinned

_SCHEMA = files("polycal") / "data" / "config.schema.yaml"


def load_study(path: Path) -> dict:
    """Read a config file.

    Raises:
        InputError: the file is not YAML, or not a study; one line says where.
        FileNotFoundError: there is no such file.
    """
    config = read_config(path)
    if not isinstance(config, Mapping):
        raise InputError(f"{path} is not a study: it has no keys")
    try:
        return complete(config)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def complete(config: Mapping) -> dict:
    """Return a copy of a config with every default filled in, checked.

    The study's own languages are known from then on, in processes that are started,
    too.

    Raises:
        InputError: a value has no meaning; one line says where and what to do.
    """
    copied = copy.deepcopy(dict(config))
    _fill(copied, _read_schema())
    config = _whole_numbers(copied)
    statistics = config["statistics"]
    statistics.setdefault("primary_task", config["tasks"][0]["name"])
    statistics.setdefault("primary_scoring", config["scoring"][0])
    use_languages(config.get("languages", ()))
    check_consistency(config)
    for task in config["tasks"]:
        limits = (task["max_questions"], config["max_questions"])
        task["max_questions"] = min(filter(None, limits), default=None)
        try:
            read = make_format(complete_format(task["format"]))
            for language in task["languages"]:
                find_lead_in(read.lead_in, language)
        except InputError as error:
            raise InputError(f"tasks.{task['name']}: {error}") from None
        if task["shots"] and (task["prompt"], task["shots_as"]) == ("plain", "turns"):
            raise InputError(
                f"tasks.{task['name']}.shots_as: only a chat prompt has turns; set "
                "prompt: chat, or shots_as: text"
            )
        if task["shots"] and "dev" not in read.splits:
            raise InputError(
                f"tasks.{task['name']}.shots: shots are taken from the dev split; name "
                "it in format.splits"
            )
    return config


@functools.cache
def _read_schema() -> Mapping:
    """Return the schema of a study; a part of it is the schema of a format."""
    return load_yaml(_SCHEMA.read_text(encoding="utf-8"))


def complete_format(format: str | Mapping) -> dict:
    """Return a format's description with every default filled in, checked.

    A format is the name of a known one, a description, or a description as JSON.

    Raises:
        InputError: the name is not known, or the description does not fit the schema.
    """
    if isinstance(format, str) and format.lstrip().startswith("{"):
        try:
            format = json.loads(format)
        except json.JSONDecodeError as error:
            raise InputError(f"format: {format} is not JSON ({error})") from None
    if isinstance(format, str):
        format = load_known(format)
    format = copy.deepcopy(dict(format))
    _fill(format, _read_schema()["$defs"]["format"], prefix=["format"])
    return format


def check_setting(name: str, value: object) -> None:
    """Refuse a value that the schema refuses, of a recipe or of a study's own key.

    Of a list, such as `lr`, it is one item.

    Raises:
        InputError: the value has no meaning.
    """
    keys = _read_schema()["properties"]
    part = (keys | keys["recipe"]["properties"])[name]
    _fill(value, part.get("items", part), prefix=[name])


def _fill(value: object, schema: Mapping, *, prefix: Iterable[str] = ()) -> None:
    """Set every absent key to its default, in place."""
    schema = {**schema, "$defs": _read_schema()["$defs"]}
    error = jsonschema.exceptions.best_match(_validator(schema).iter_errors(value))
    if error:
        keys = [*prefix, *error.absolute_path]
        known = error.schema.get("properties", ())
        raise InputError(explain(keys, error.message, error.instance, known=known))


def _validator(schema: Mapping) -> jsonschema.protocols.Validator:
    """Return a validator that sets absent keys to the schema's defaults first."""
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

    checker = jsonschema.Draft202012Validator.TYPE_CHECKER
    kind = jsonschema.validators.extend(
        jsonschema.Draft202012Validator,
        {"properties": fill},
        # Every bound is false for NaN, so a bound alone would let it pass.
        type_checker=checker.redefine(
            "number",
            lambda _, value: checker.is_type(value, "number") and math.isfinite(value),
        ),
    )
    return kind(schema)


def explain(
    path: Iterable[str | int],
    message: str,
    value: object,
    *,
    known: Iterable[str] = (),
) -> str:
    """Return one line about a value that the schema refuses; name YAML's traps."""
    keys = [str(key) for key in path]
    where = ".".join(keys) or "the study"
    if "languages" in keys and isinstance(value, bool):
        word = "yes/on" if value else "no/off"
        return f"{where}: YAML reads an unquoted {word} as {value}; put it in quotes"
    if isinstance(value, str) and re.fullmatch(r"[0-9.]+[eE][+-]?[0-9]+", value):
        return (
            f"{where}: YAML reads {value} as text, not as a number; write it with a "
            f"decimal point and a signed exponent, such as {float(value):.1e}"
        )
    if isinstance(value, float) and not math.isfinite(value):
        return f"{where}: {value} is not a finite number"
    if keys[-1:] == ["name"] and isinstance(value, str) and "does not match" in message:
        return (
            f"{where}: {value!r} does not match the rule of names, which are part of "
            "paths: lower-case letters, digits, '.', '_' and '-', beginning with a "
            f"letter or a digit; write {suggest_name(value) or 'another one'}"
        )
    known = list(known)
    keys_of_value = value.keys() if isinstance(value, Mapping) and known else set()
    unknown = keys_of_value - set(known)
    for key in sorted(unknown, key=str):
        near = difflib.get_close_matches(str(key), known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
        return f"{where}: there is no key {key!r}; {hint}"
    return f"{where}: {message.strip().splitlines()[0]}"


def suggest_name(text: str, ending: str = "") -> str:
    """Return a text as a name that a study may use; empty if nothing is left of it.

    Args:
        text: any text; what is too long is cut.
        ending: comes after the text, and is never cut.
    """
    longest = _read_schema()["$defs"]["name"]["maxLength"] - len(ending)
    spelt = re.sub(r"[^a-z0-9._-]+", "-", text.lower()).lstrip("-._")
    return spelt[:longest].rstrip("-._") + ending


def _whole_numbers(value: Any) -> Any:
    """Return the config with 1.0 as 1: the schema accepts both, a path does not."""
    if isinstance(value, Mapping):
        return {key: _whole_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole_numbers(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def check_consistency(config: Mapping) -> None:
    """Check what the schema cannot: duplicate names, unknown languages, divisions.

    Raises:
        InputError: one line that names the key in the config.
    """
    for problem in _problems(config):
        raise InputError(problem)


def _problems(config: Mapping) -> Iterator[str]:
    for section in ("models", "sft", "tasks"):
        names = [entry["name"] for entry in config[section]]
        for name in names:
            if names.count(name) > 1:
                yield f"{section}: the name {name!r} is used twice; rename one"
        for entry in config[section]:
            chosen = entry.get("filter")
            if chosen and ("keep" in chosen) == ("drop" in chosen):
                yield f"sft.{entry['name']}.filter: give either `keep` or `drop`"
            if section == "sft" and entry["name"] == BASE:
                yield f"sft: the name {BASE!r} is the base model's; choose another name"
    yield from find_unpinned(config)
    yield from find_misplaced(config)
    is_trained = bool(list_data_sets(config))
    if is_trained and not config["smoothing"]:
        yield (
            "smoothing: the study tunes on a data set; list the label-smoothing values "
            "of its loss, such as [0, 0.1]"
        )
    is_shared = config["recipe"]["select"] == "shared"
    if is_trained and is_shared and 0 not in config["smoothing"]:
        yield (
            "recipe.select: shared takes the learning rate of smoothing 0, which the "
            "study does not have; add 0 to smoothing, or set select to each"
        )
    yield from _indivisible_batches(config)
    for section in ("smoothing", "seeds"):
        yield from _duplicates(section, config[section])
    yield from _duplicates("recipe.lr", config["recipe"]["lr"])
    statistics = config["statistics"]
    for key, known in (
        ("primary_task", [task["name"] for task in config["tasks"]]),
        ("primary_scoring", config["scoring"]),
    ):
        if statistics[key] not in known:
            yield (
                f"statistics.{key}: the study has no {statistics[key]!r}; take one of "
                f"{', '.join(known)}"
            )
    known = load_languages()
    for task in config["tasks"]:
        # A language that was removed from `languages` may stay in `configs`.
        for code in task["configs"]:
            if code not in known:
                yield f"tasks.{task['name']}.configs: {explain_unknown(code)}"
        for language in task["languages"]:
            if language not in known:
                yield f"tasks.{task['name']}.languages: {explain_unknown(language)}"


def _indivisible_batches(config: Mapping) -> Iterator[str]:
    """Yield a problem per model whose GPUs cannot share the recipe's batches."""
    recipe = config["recipe"]
    batch, micro = recipe["batch_size"], recipe["micro_batch_size"]
    for model in config["models"] if list_data_sets(config) else ():
        n_gpus = max(1, model["gpus"]) * model["nodes"]
        key = f"models.{model['name']}"
        if batch % (micro * n_gpus):
            yield (
                f"{key}: recipe.batch_size {batch} is not a multiple of "
                f"recipe.micro_batch_size {micro} x {n_gpus} GPUs; a step would not "
                "see batch_size sequences"
            )
        if recipe["load_in_4bit"] and n_gpus > 1:
            yield (
                f"{key}: recipe.load_in_4bit is for one GPU, not {n_gpus}; set gpus "
                "and nodes to 1, or load_in_4bit to false"
            )


def _duplicates(key: str, values: Sequence[float]) -> Iterator[str]:
    spellings = [number(value) for value in values]
    for value in spellings:
        if spellings.count(value) > 1:
            yield f"{key}: {value} is listed twice; remove one"
            return
