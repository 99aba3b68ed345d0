"""Find the multiple-choice tasks that lm-evaluation-harness logged into a folder.

A run writes `results_DATE.json` with its settings, and `samples_TASK_DATE.jsonl` for
each of its tasks; a group such as `global_mmlu_full_en` has one for each subject.
"""

import json
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polycal.errors import InputError
from polycal.study.config import suggest_name
from polycal.study.languages import load_languages

_CHOICE = "multiple_choice"
_BUILDERS = {"json", "csv", "parquet", "text", "arrow"}  # of files, not of a benchmark
# Arguments of a model that change how fast it is, and not what it computes.
_SPEED = {"device", "batch_size", "max_batch_size", "parallelize"}
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Logged:
    """The samples of one task of the harness."""

    path: Path  # the samples file
    model: str  # short name of the model
    task: str  # short name of the benchmark
    language: str  # its code
    part: str  # what the harness's name of the task adds to both, such as a subject
    n_samples: int | None  # number of samples that the run states; None: it does not
    facts: dict[str, Any]  # its settings: shots, chat template, versions


def find_logged(folder: Path, languages: Mapping[str, str]) -> list[Logged]:
    """Return the tasks of every model below a folder; of repeated runs, the newest.

    Args:
        folder: what `lm_eval --output_path` named.
        languages: the harness's name of a language, or of a task -> code of a language;
            for those that are not in polycal's table.

    Raises:
        InputError: a code is not in that table, there is no such run, a task has no
            samples or no known language, two models have one short name or were asked
            in different ways, or the runs of a model differ in its arguments or their
            limit.
    """
    known = load_languages()
    for name, code in languages.items():
        if str(code) not in known:
            raise InputError(
                f"--languages: {name} is {code!r}, which polycal's table of languages "
                f"lacks; it has {', '.join(known)}"
            )
    every: list[Logged] = []
    newest: dict[tuple[str, str], Logged] = {}
    owners: dict[str, str] = {}
    paths = sorted(folder.rglob("results_*.json"), key=lambda path: path.name)
    for path in paths:
        date = path.stem.removeprefix("results_")
        try:
            results = json.loads(path.read_text(encoding="utf-8"))
            full_name = str(results.get("model_name") or path.parent.name)
            configs = dict(results["configs"])
            kinds = {name: dict(own)["output_type"] for name, own in configs.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{path} is not what lm_eval writes of a run ({error!r}); remove it"
            ) from error
        model = _shorten(full_name.rstrip("/").split("/")[-1])
        if owners.setdefault(model, full_name) != full_name:
            raise InputError(
                f"{folder} has two models that are called {model}: {owners[model]} and "
                f"{full_name}; read their folders one by one"
            )
        others = sorted(name for name, kind in kinds.items() if kind != _CHOICE)
        if others:
            _logger.warning(
                "%s: no multiple-choice tasks, left out: %s", path, ", ".join(others)
            )
        asked = sorted(kinds.keys() - set(others))
        if again := [name for name in asked if (model, name) in newest]:
            _logger.warning(
                "%s: older samples of %d of its tasks are left out", path, len(again)
            )
        for name in asked:
            samples = path.parent / f"samples_{name}_{date}.jsonl"
            if not samples.exists():
                raise InputError(
                    f"there is no {samples}; run lm_eval with --log_samples"
                )
            every.append(
                _describe(samples, model, name, configs[name], results, languages)
            )
            newest[model, name] = every[-1]
    if not newest:
        raise InputError(
            f"{folder} has no results_*.json of a multiple-choice task; name the "
            "folder that lm_eval --output_path named"
        )
    # Other weights, or other questions, under one name: the older samples count, too.
    _compare(every, lambda own: own.model, ("model_args", "limit"))
    logged = [newest[key] for key in sorted(newest)]
    _check_alike(logged)
    return logged


def _describe(
    path: Path,
    model: str,
    name: str,
    config: Mapping,
    results: Mapping,
    languages: Mapping[str, str],
) -> Logged:
    task, language, part = _split_name(name, config, languages)

    def get(section: str, *keys: str) -> Any:
        """Return what stands under these keys; None where one is missing."""
        value = results.get(section)
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    shots = get("n-shot", name)
    facts = {
        "harness": get("lm_eval_version"),
        "model_name": get("model_name"),
        "model_args": _read_arguments(get("config", "model_args")),
        "limit": get("config", "limit"),
        "chat_template": get("chat_template_sha"),
        "system_instruction": get("system_instruction_sha"),
        "dataset": config.get("dataset_path"),
        "version": get("versions", name),
        "shots": shots,
        # What picks the shots; without any it changes nothing.
        "shot_seed": get("config", "fewshot_seed") if shots else None,
    }
    n_samples = get("n-samples", name, "effective")
    return Logged(path, model, task, language, part, n_samples, facts)


def _read_arguments(logged: object) -> object:
    """Return what picks a model's weights and how it computes, as texts by name."""
    if isinstance(logged, str):  # lm_eval's own spelling: pretrained=owner/name,...
        logged = dict(pair.partition("=")[::2] for pair in logged.split(",") if pair)
    if not isinstance(logged, dict):
        return logged
    return {key: str(value) for key, value in logged.items() if key not in _SPEED}


def _split_name(
    name: str, config: Mapping, languages: Mapping[str, str]
) -> tuple[str, str, str]:
    """Return the benchmark, the language and the rest of a task's name.

    The language is the data set's config, else a word of the task's name.
    """
    known = {code: code for code in load_languages()} | dict(languages)
    words = name.split("_")
    subset = str(config.get("dataset_name"))
    spelt = [subset] if subset in known else []
    spelt += [word for word in words if word in known]
    for candidate in spelt:
        if match := re.fullmatch(rf"(?:(.*?)_)?{re.escape(candidate)}(?:_(.*))?", name):
            dataset = str(config.get("dataset_path")).rstrip("/").split("/")[-1]
            stem = match[1] or (name if dataset in _BUILDERS else dataset)
            return _shorten(stem), known[candidate], match[2] or ""
    if name in languages or subset in known:
        return _shorten(name), languages.get(name) or known[subset], ""
    raise InputError(
        f"the language of the task {name} is not known (its data set's config is "
        f'{subset}); name it: --languages \'{{"{name}": "en"}}\''
    )


def _shorten(name: str) -> str:
    """Return a name that a path can hold."""
    return suggest_name(name) or "model"


def _check_alike(logged: Sequence[Logged]) -> None:
    """Refuse languages or models of a benchmark that were asked in different ways.

    A chat template belongs to a model, so only the languages of one model share it.
    """
    _compare(
        logged,
        lambda own: (own.model, own.task),
        ("shots", "shot_seed", "chat_template", "system_instruction", "harness"),
    )
    _compare(logged, lambda own: own.task, ("shots", "shot_seed"))
    _compare(logged, lambda own: (own.task, own.language, own.part), ("version",))


def _compare(
    logged: Iterable[Logged], group: Callable[[Logged], object], keys: Sequence[str]
) -> None:
    """Refuse samples of one group that differ in a fact."""
    first: dict[object, Logged] = {}
    for own in logged:
        other = first.setdefault(group(own), own)
        for key in keys:
            if own.facts[key] != other.facts[key]:
                raise InputError(
                    f"{own.path} and {other.path} differ in {key} ({own.facts[key]} "
                    f"and {other.facts[key]}); run lm_eval again for one of them, "
                    "or move it into a folder of its own"
                )
