"""Check what a schema cannot: names used twice, unknown languages, divisions."""

from collections.abc import Iterator, Mapping, Sequence

from polycal.errors import InputError
from polycal.study.grid import BASE, is_local
from polycal.study.languages import explain_unknown, load_languages
from polycal.study.layout import number


def whole_numbers(value: object) -> object:
    """The config with 1.0 as 1: a schema takes both for an integer, a path does not."""
    if isinstance(value, Mapping):
        return {key: whole_numbers(each) for key, each in value.items()}
    if isinstance(value, list):
        return [whole_numbers(each) for each in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def check(config: Mapping) -> None:
    """Check what a schema cannot: names used twice, languages nobody knows.

    Raises:
        InputError: one line that names the place in the config.
    """
    for problem in _problems(config):
        raise InputError(problem)


def _problems(config: Mapping) -> Iterator[str]:
    for section in ("models", "sft", "tasks"):
        names = [each["name"] for each in config[section]]
        for name in names:
            if names.count(name) > 1:
                yield f"{section}: the name {name!r} is used twice; names must differ"
        for each in config[section]:
            if each["repo"].startswith("~"):
                yield (
                    f"{section}.{each['name']}.repo: Snakemake does not take '~' in a "
                    "path; write it out"
                )
            if not is_local(each["repo"]) and not each.get("revision"):
                yield (
                    f"{section}.{each['name']}: {each['repo']} is on the Hub and can "
                    "change at any time; pin it with `revision:` (a commit, or a "
                    "branch to be resolved to one), or begin a local path with ./"
                )
            chosen = each.get("filter")
            if chosen and ("keep" in chosen) == ("drop" in chosen):
                yield f"sft.{each['name']}.filter: give either `keep` or `drop`"
            if section == "sft" and each["name"] == BASE:
                yield f"sft: the name {BASE!r} means the base model; choose another"
    yield from _cannot_share(config)
    for section in ("smoothing", "seeds"):
        yield from _twice(section, config[section])
    yield from _twice("recipe.lr", config["recipe"]["lr"])
    known = load_languages()
    for task in config["tasks"]:
        # A language that is no longer asked for may keep its name.
        for code in task["configs"]:
            if code not in known:
                yield f"tasks.{task['name']}.configs: {explain_unknown(code)}"
        for language in task["languages"]:
            if language not in known:
                yield f"tasks.{task['name']}.languages: {explain_unknown(language)}"


def _cannot_share(config: Mapping) -> Iterator[str]:
    """Models whose training cannot be divided among the GPUs that they ask for."""
    recipe = config["recipe"]
    batch, micro = recipe["batch_size"], recipe["micro_batch_size"]
    for model in config["models"] if config["sft"] else ():
        ways = max(1, model["gpus"]) * model["nodes"]
        place = f"models.{model['name']}"
        if batch % (micro * ways):
            yield (
                f"{place}: recipe.batch_size {batch} is not a multiple of "
                f"recipe.micro_batch_size {micro} x {ways} GPUs; a step would not see "
                "batch_size sequences"
            )
        if recipe["load_in_4bit"] and ways > 1:
            yield (
                f"{place}: recipe.load_in_4bit is for one GPU, not {ways}; set gpus "
                "and nodes to 1, or load_in_4bit to false"
            )


def _twice(place: str, values: Sequence[float]) -> Iterator[str]:
    spelt = [number(value) for value in values]
    for value in spelt:
        if spelt.count(value) > 1:
            yield f"{place}: {value} is listed twice"
            return
