"""The sweep: from a checked config to runs, candidates, batches and their names.

Standard library only: what the workflow asks at every start is quick to import.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from polycal.errors import InputError
from polycal.study.layout import CANDIDATE_TAIL, RUN_TAIL, number

BASE = "none"  # the name of the sft that is no SFT: the untouched base model


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
        return RUN_TAIL.format_map(vars(self))


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
        CANDIDATE_TAIL.format(
            model=model, sft=sft, smoothing=smoothing, lr=number(lr), seed=seed
        )
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
