"""The sweep: from a checked config to runs, candidates, batches and their names.

Standard library only: what the workflow asks at every start is quick to import.
"""

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from polycal.errors import InputError
from polycal.languages import explain_unknown, load_languages

# A stage whose results would change gets a new number here. It is a parameter of the
# stage's rule, so the bump, and not a comment, is what makes Snakemake run it again.
STAGES = {
    "make_miniature": 2,
    "prepare_model": 1,
    "prepare_sft": 2,
    "prepare_task": 3,
    "check_task": 3,
    "tokenize": 1,
    "tune": 5,
    "select": 2,
    "score": 4,
    "measure": 8,
    "aggregate": 2,
    "contrast": 4,
    "analyse": 3,
    "list_runs": 2,
    "find_shifts": 2,
    "draw": 7,
    "tabulate": 1,
    "report": 9,
}

BASE = "none"  # the name of the sft that is no SFT: the untouched base model

_LANGUAGE = r"[a-z]{2,3}(?:-[A-Za-z0-9]+)?"
WILDCARDS = {
    "model": r"[a-z0-9][a-z0-9._-]*",
    "sft": r"[a-z0-9][a-z0-9._-]*",
    "task": r"[a-z0-9][a-z0-9._-]*",
    "smoothing": r"[0-9.e-]+",
    "lr": r"[0-9.e-]+",
    "seed": r"[0-9]+",
    "language": _LANGUAGE,
    "languages": rf"{_LANGUAGE}(?:\+{_LANGUAGE})*",
    "scoring": r"letters|text",
    "normaliser": r"sum|token",
}

# The normaliser that each scoring is drawn with: a letter is one token, so its sum is
# its mean; for option texts the mean is the paper's normalised perplexity.
HEADLINE = {"letters": "sum", "text": "token"}

# The figures that are drawn of each task and scoring.
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


def number(value: float) -> str:
    """The one spelling of a number in paths and flags: 0.10 -> 0.1, 1e-05 -> 1e-5."""
    text = f"{Decimal(repr(value)).normalize():f}"
    if float(value) == 0 or 1e-3 <= abs(value) < 1e6:
        return text
    mantissa, exponent = f"{Decimal(repr(value)).normalize():e}".split("e")
    return f"{mantissa}e{int(exponent)}"


@dataclass(frozen=True)
class Run:
    """A model that is evaluated; `smoothing` is spelt as in its path."""

    model: str
    sft: str
    smoothing: str
    seed: int

    @property
    def path(self) -> str:
        """Its address below `results/runs`, `results/predictions`, ..."""
        return f"{self.model}/{self.sft}/ls-{self.smoothing}/seed-{self.seed}"


def expand_runs(config: Mapping) -> list[Run]:
    """Every run of the study: each base model, then its tuned models."""
    runs = []
    for model in config["models"]:
        runs.append(Run(model["name"], BASE, "0", 0))
        runs += [
            Run(model["name"], sft["name"], number(smoothing), seed)
            for sft in config["sft"]
            for smoothing in config["smoothing"]
            for seed in config["seeds"]
        ]
    return runs


def candidate_paths(config: Mapping, model: str, sft: str, smoothing: str) -> list[str]:
    """Addresses of the training runs among which the learning rate is selected."""
    return [
        f"{model}/{sft}/ls-{smoothing}/lr-{number(lr)}/seed-{seed}"
        for lr in config["recipe"]["lr"]
        for seed in config["seeds"]
    ]


def batch_languages(
    languages: Sequence[str], existing: Iterable[str], per_job: int
) -> list[str]:
    """Name the scoring jobs of one run and task, each by the languages it holds.

    A language stays in the file that already holds it; the others are cut into new
    files of at most `per_job`. So an added language is one small new job, and nothing
    else has a reason to run.

    Args:
        languages: the languages that the study asks for.
        existing: names of files that exist, such as `de+fr+hi`.
        per_job: languages in a new file, at most.

    Returns:
        Names that together hold each language exactly once (and perhaps languages
        that the study no longer asks for), sorted.
    """
    wanted, covered, names = set(languages), set(), []
    for name in sorted(existing, key=lambda name: (-name.count("+"), name)):
        held = set(name.split("+"))
        if held & wanted and not held & covered:
            names.append(name)
            covered |= held
    left = sorted(wanted - covered)
    names += ["+".join(left[i : i + per_job]) for i in range(0, len(left), per_job)]
    return sorted(names)


def entry(entries: Iterable[Mapping], name: str) -> Mapping:
    """The entry of a config list that carries this name.

    Raises:
        InputError: there is none.
    """
    for each in entries:
        if each["name"] == name:
            return each
    raise InputError(f"the config has no entry named {name!r}")


def count_gpus(model: Mapping) -> int:
    """GPUs that a training of a model's entry holds on all its nodes."""
    return model["gpus"] * model["nodes"]


def is_local(repo: str) -> bool:
    """Whether `repo` is a path on this machine and not a Hub id such as owner/name."""
    return repo.startswith(("/", "./", "../", "~")) or repo.count("/") != 1


def local_path(repo: str) -> list[str]:
    """The path that a rule has to wait for: none for a Hub id."""
    return [repo.removeprefix("./")] if is_local(repo) else []


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
