"""The sweep: from a checked config to runs, candidates and scoring jobs.

Standard library only, because the workflow imports it at every start.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from polycal.errors import InputError
from polycal.study.layout import CANDIDATE_TAIL, RUN_TAIL, number

_HOW_ASKED = {"name", "shots", "prompt", "shots_as"}
BASE = "none"  # sft of the untouched base model
_LONGEST_NAME = 255  # bytes of a file's name
_ROOM = 160  # of them for languages; 48 of polycal's own table take 152 at most


@dataclass(frozen=True)
class Run:
    """A run: the checkpoint to evaluate; `smoothing` is spelt as in its path."""

    model: str
    sft: str
    smoothing: str
    seed: int

    @property
    def path(self) -> str:
        """Return its address below `results/runs`, `results/predictions`, ..."""
        return RUN_TAIL.format_map(vars(self))


def is_released(sft: Mapping) -> bool:
    """Return whether an entry of `sft` names released checkpoints, not a data set."""
    return "checkpoints" in sft


def list_data_sets(config: Mapping) -> list[Mapping]:
    """Return the entries of `sft` that the study tunes on."""
    return [sft for sft in config["sft"] if not is_released(sft)]


def expand_runs(config: Mapping) -> list[Run]:
    """Return every run of the study: each base model, then what was tuned from it."""
    runs = []
    for model in config["models"]:
        runs.append(Run(model["name"], BASE, "0", 0))
        for sft in config["sft"]:
            runs += _expand_sft(config, model["name"], sft)
    return runs


def _expand_sft(config: Mapping, model: str, sft: Mapping) -> list[Run]:
    """Return a model's runs of one entry of `sft`; a released checkpoint is one run."""
    if is_released(sft):
        return [Run(model, sft["name"], "0", 0)] if model in sft["checkpoints"] else []
    return [
        Run(model, sft["name"], number(smoothing), seed)
        for smoothing in config["smoothing"]
        for seed in config["seeds"]
    ]


def expand_trained(config: Mapping) -> list[Run]:
    """Return the runs that the study trains: all but base models and released ones."""
    names = {sft["name"] for sft in list_data_sets(config)}
    return [run for run in expand_runs(config) if run.sft in names]


def expand_released(config: Mapping) -> list[Run]:
    """Return the runs that are released checkpoints."""
    names = {sft["name"] for sft in config["sft"] if is_released(sft)}
    return [run for run in expand_runs(config) if run.sft in names]


def list_stages(config: Mapping) -> dict[str, str]:
    """Return the entries of `sft` that were tuned from another one, by name."""
    return {sft["name"]: sft["from"] for sft in config["sft"] if sft.get("from")}


def get_checkpoint(config: Mapping, model: str, sft: str) -> Mapping:
    """Return `repo` and `revision` of a released checkpoint.

    Raises:
        InputError: the study has no such entry of `sft`.
    """
    return entry(config["sft"], sft)["checkpoints"][model]


def list_repositories(config: Mapping) -> Iterator[tuple[str, Mapping]]:
    """Yield the key of each repository in the config, and its `repo` and `revision`."""
    for section in ("models", "sft", "tasks"):
        for item in config[section]:
            key = f"{section}.{item['name']}"
            if section == "sft" and is_released(item):
                for model, checkpoint in item["checkpoints"].items():
                    yield f"{key}.checkpoints.{model}", checkpoint
            else:
                yield key, item


def candidate_paths(config: Mapping, model: str, sft: str, smoothing: str) -> list[str]:
    """Return the addresses of the candidates of one condition: every rate and seed."""
    return [
        CANDIDATE_TAIL.format(
            model=model, sft=sft, smoothing=smoothing, lr=number(lr), seed=seed
        )
        for lr in config["recipe"]["lr"]
        for seed in config["seeds"]
    ]


def count_room(run: Mapping[str, Any], task: str) -> int:
    """Return the characters that the name of a scoring job's languages may have.

    File systems allow 255 bytes. A temporary file adds a host and a process to a name;
    SLURM's plugin names a folder by all that tells a job apart.
    """
    others = "_".join(map(str, (*run.values(), task, "")))
    return min(_ROOM, _LONGEST_NAME - len(others))


def batch_languages(
    languages: Sequence[str],
    existing: Iterable[str],
    per_job: int,
    room: int = _ROOM,
) -> list[str]:
    """Name the scoring jobs of one run and task by the languages that each holds.

    A language stays in the file that already holds it; the others go into new files of
    at most `per_job` languages. So an added language is one small new job, and no other
    job has a reason to run.

    Args:
        languages: languages that the study asks for.
        existing: names of existing files, such as `de+fr+hi`.
        per_job: maximum number of languages in a new file.
        room: characters that a new name may have, if it is of several languages.

    Returns:
        Sorted names that together hold each language exactly once, and perhaps
        languages that the study no longer asks for.
    """
    wanted, names = set(languages), []
    covered: set[str] = set()
    for name in sorted(existing, key=lambda name: (-name.count("+"), name)):
        in_file = set(name.split("+"))
        if in_file & wanted and not in_file & covered:
            names.append(name)
            covered |= in_file
    new: list[list[str]] = []
    for language in sorted(wanted - covered):
        if new and len(new[-1]) < per_job:
            joined = "+".join([*new[-1], language])
            if len(joined) <= room:
                new[-1].append(language)
                continue
        new.append([language])
    return sorted([*names, *map("+".join, new)])


def same_questions(tasks: Iterable[Mapping]) -> dict[str, str]:
    """Return the tasks that ask the questions of an earlier one in another way.

    Returns:
        Task -> the first task with its questions.
    """
    first: dict[str, str] = {}
    same = {}
    for task in tasks:
        questions = {key: task[key] for key in task.keys() - _HOW_ASKED}
        earlier = first.setdefault(json.dumps(questions, sort_keys=True), task["name"])
        if earlier != task["name"]:
            same[task["name"]] = earlier
    return same


def reference_language(task: Mapping) -> str | None:
    """Return the language in which a part of a task's questions is chosen.

    None where every language has its own, or where all questions are asked.
    """
    if task["max_questions"] is None or task["questions"] == "own":
        return None
    languages = task["languages"]
    return "en" if "en" in languages else languages[0]


def entry(entries: Iterable[Mapping], name: str) -> Mapping:
    """Return the entry of a config list with this name.

    Raises:
        InputError: there is none.
    """
    named = {item["name"]: item for item in entries}
    if name not in named:
        raise InputError(f"the study has no {name!r}; it has {', '.join(named)}")
    return named[name]


def count_gpus(model: Mapping) -> int:
    """Return the number of GPUs that a training of a model takes on all its nodes."""
    return model["gpus"] * model["nodes"]


def is_local(repo: str) -> bool:
    """Return whether `repo` is a path on this machine, not a Hub id (owner/name).

    Raises:
        InputError: it is a web address. The message does not repeat it, because it may
            hold a password, and messages are written into logs.
    """
    if "://" in repo:
        raise InputError(
            "a web address is not read: write owner/name for a repository of the Hub "
            "(HF_TOKEN is read from the environment), or fetch it and name its folder"
        )
    return repo.startswith(("/", "./", "../", "~")) or repo.count("/") != 1


def local_path(repo: str) -> list[str]:
    """Return the path that a rule must wait for; empty for a Hub id."""
    path = os.path.expanduser(repo).removeprefix("./")
    return [path] if is_local(repo) else []
