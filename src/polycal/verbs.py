"""What each verb of the command line takes: flags, and how they become arguments."""

import dataclasses
import json
import types
import typing
from collections.abc import Callable
from pathlib import Path

from polycal.errors import InputError
from polycal.prompts import SCORINGS
from polycal.recipe import Recipe, Rendering


def add_verbs(add: Callable) -> None:
    """Add every verb.

    Args:
        add: adds a verb of a name, run by a function or by its namesake in a module,
            with a help text, and returns what adds flags to it.
    """
    _add_planning(add)
    _add_preparing(add)
    _add_running(add)
    _add_reporting(add)


def _add_planning(add: Callable) -> None:
    flag = add("plan", "polycal.plan", "Tell what a study costs before it is run.")
    flag("--config", type=Path, default=Path("config.yaml"), help="the study's file")
    flag("--gpu", default="h200", help="type of GPU; an unknown one lists the known")
    flag("--gpus", type=int, default=1, help="how many of them work at a time")
    flag(
        "--timings",
        type=Path,
        default=Path("results/timings"),
        help="folder of what finished jobs took; it may be absent",
    )
    flag(
        "--resources",
        type=Path,
        default=Path("resources"),
        help="folder of prepared models and data, whose sizes are exact; may be absent",
    )


def _add_preparing(add: Callable) -> None:
    flag = add(
        "make_miniature",
        "polycal.miniature",
        "Make the embedded study's model, SFT set and tasks.",
    )
    flag("--seed", type=int, default=0, help="everything is a function of it")
    flag("--pretrain-steps", type=int, default=600, help="of the base model")
    for name in ("model", "sft", "global-mmlu", "mmlu-prox"):
        flag(f"--{name}", type=Path, required=True, help="directory to write")

    flag = add(
        "prepare_model",
        "polycal.snapshot",
        "Bring a base model into a directory of its own.",
    )
    _add_repo(flag)
    flag("--model", required=True, help="short name of the model")
    flag("--out", type=Path, required=True, help="directory to write")

    flag = add(
        "prepare_sft",
        "polycal.sft",
        "Read an SFT set into polycal's conversations table.",
    )
    _add_repo(flag)
    flag("--format", required=True, help="alpaca, messages or sharegpt")
    flag("--sft", required=True, help="short name of the SFT set")
    flag(
        "--filter",
        type=json_object,
        metavar="JSON",
        help='rows to read: {"column": NAME, "keep": [VALUE, ...]}, or drop',
    )
    flag("--max-examples", type=int, help="take so many, by chance; else all")
    flag("--out", type=Path, required=True, help="Parquet file to write")

    flag = add("tokenize", _tokenize, "Tokenise an SFT set for a model, with a report.")
    flag("--base", type=Path, required=True, help="directory of the base model")
    flag("--conversations", type=Path, required=True, help="conversations table")
    flag("--model", required=True, help="short name of the base model")
    flag("--sft", required=True, help="short name of the SFT set")
    _add_settings(flag, Rendering)
    flag("--out", type=Path, required=True, help="directory to write")

    flag = add(
        "prepare_task",
        "polycal.tasks",
        "Read a benchmark's language into a questions table.",
    )
    _add_repo(flag)
    text = "global_mmlu, mmlu_prox, or a description as JSON"
    flag("--format", required=True, help=text)
    flag("--task", required=True, help="short name of the benchmark")
    flag("--language", required=True, help="code of the language")
    flag("--name", help="the language's config, where it is not the code")
    flag("--out", type=Path, required=True, help="Parquet file to write")

    flag = add(
        "check_task",
        "polycal.checks",
        "Find out which questions a benchmark's languages share.",
    )
    flag("--questions", type=Path, nargs="+", required=True, help="questions tables")
    policies = ("intersection", "identical", "own")
    text = "measure what all share; stop if they differ; or each language its own"
    flag("--policy", choices=policies, required=True, help=text)
    flag("--out", type=Path, required=True, help="JSON file to write")

    flag = add(
        "show_prompt",
        "polycal.preview",
        "Print a prompt exactly as a model sees it.",
    )
    flag("--config", type=Path, default=Path("config.yaml"), help="the study")
    flag("--task", required=True, help="short name of the benchmark")
    flag("--language", required=True, help="code of the language")
    flag("--shots", type=int, help="answered questions, if not the task's number")
    flag("--scoring", choices=SCORINGS, help="if not the study's first")
    flag("--question", help="id of a test question, if not the first")
    flag("--model", help="short name of a model, if not the first")


def _add_running(add: Callable) -> None:
    flag = add("with_gpus", "polycal.gpus", "Run a command with GPUs of its own.")
    flag("--count", type=int, required=True, help="GPUs that the command needs")
    flag("command", nargs="+", help="the command, after --")

    flag = add("tune", _tune, "Fine-tune a model with label smoothing.")
    flag("--base", type=Path, required=True, help="directory of the base model")
    flag("--examples", type=Path, required=True, help="directory that tokenize made")
    _add_run(flag)
    _add_settings(flag, Recipe)
    flag("--out", type=Path, required=True, help="directory to write")
    flag("--checkpoints", type=Path, help="folder to go on from; none: OUT.checkpoints")
    flag("--checkpoint-minutes", type=float, default=15, help="between two checkpoints")
    flag("--processes", type=int, default=1, help="at work, each on a GPU of its own")

    flag = add(
        "select",
        "polycal.selection",
        "Take the candidate with the best learning rate as the run.",
    )
    flag("--candidates", type=Path, nargs="+", required=True, help="directories")
    flag("--seed", type=int, required=True, help="the seed of the run")
    flag("--out", type=Path, required=True, help="directory to write")

    flag = add("score", "polycal.score", "Score every option of every question.")
    flag("--checkpoint", type=Path, required=True, help="model or adapter directory")
    flag("--base", type=Path, help="base model of an adapter")
    flag("--questions", type=Path, nargs="+", required=True, help="questions tables")
    flag("--scoring", nargs="+", choices=SCORINGS, default=list(SCORINGS), help="how")
    flag("--shots", type=int, default=0, help="answered questions before each")
    _add_run(flag)
    flag("--dtype", default="auto", help="auto: bfloat16 on a GPU, else float32")
    flag("--max-tokens", type=int, help="of a forward pass; default: what fits the GPU")
    flag("--stage", type=int, default=1, help="version of the scoring stage")
    flag("--store", type=Path, required=True, help="directory of finished languages")
    flag("--out", type=Path, required=True, help="Parquet file to write")


def _add_reporting(add: Callable) -> None:
    flag = add(
        "measure",
        "polycal.measure",
        "Compute the calibration metrics of one run and task.",
    )
    text = "the run's predictions tables of the task"
    flag("--predictions", type=Path, nargs="+", required=True, help=text)
    flag("--check", type=Path, required=True, help="what check_task wrote of the task")
    flag("--metrics", type=Path, required=True, help="metrics table to write")
    flag("--reliability", type=Path, required=True, help="reliability table to write")
    flag("--replicates", type=Path, required=True, help="replicates table to write")
    flag("--n-replicates", type=int, required=True, help="of each metric")
    flag("--seed", type=int, required=True, help="of the replicates; one for a study")
    flag("--confidence", type=float, required=True, help="of intervals")

    flag = add("aggregate", _aggregate, "Gather the tables of a whole study.")
    flag("--metrics", type=Path, nargs="+", required=True, help="metrics tables")
    flag("--reliability", type=Path, nargs="+", required=True, help="their bins")
    flag("--keep", nargs="+", required=True, metavar="TASK=DE+FR", help="languages")
    flag("--out", type=Path, required=True, help="directory to write into")

    flag = add("list_runs", "polycal.runs", "Tell how each run came about.")
    flag("--models", nargs="+", required=True, help="short names of the base models")
    flag("--runs", type=Path, nargs="*", default=[], help="directories of select")
    flag("--out", type=Path, required=True, help="Parquet file to write")

    add("show_tables", "polycal.data_page", "Print the columns of every table.")

    flag = add(
        "contrast", "polycal.contrasts", "Compare conditions, and judge the claims."
    )
    flag("--metrics", type=Path, required=True, help="the study's metrics table")
    text = "replicates tables of all runs and tasks"
    flag("--replicates", type=Path, nargs="+", required=True, help=text)
    text = "fractions that differ by less are equivalent"
    flag("--margin", type=float, required=True, help=text)
    text = "of intervals, bands and verdicts"
    flag("--confidence", type=float, required=True, help=text)
    flag("--out", type=Path, required=True, help="directory to write into")

    flag = add("analyse", "polycal.analyses", "Tell where changes come from.")
    flag("--metrics", type=Path, required=True, help="the study's metrics table")
    text = "replicates tables of all runs and tasks"
    flag("--replicates", type=Path, nargs="+", required=True, help=text)
    flag("--out", type=Path, required=True, help="directory to write into")

    text = "Find the questions whose confidence SFT changed most."
    flag = add("find_shifts", "polycal.shifts", text)
    text = "of a base model, and of one run per smoothing value"
    flag("--predictions", type=Path, nargs="+", required=True, help=text)
    flag("--questions", type=Path, nargs="+", required=True, help="the task's tables")
    flag("--check", type=Path, required=True, help="what check_task wrote of the task")
    flag("--scoring", required=True, choices=SCORINGS, help="which scores")
    flag("--out", type=Path, required=True, help="Parquet file to write")

    flag = add("draw", "polycal.figures", "Draw one figure from a study's tables.")
    flag("--figure", required=True, help="such as dumbbell; another lists all")
    flag("--metrics", type=Path, required=True, help="the study's metrics table")
    flag("--reliability", type=Path, required=True, help="the study's bins")
    flag("--contrasts", type=Path, required=True, help="the study's contrasts")
    flag("--task", required=True, help="short name of the benchmark")
    flag("--scoring", required=True, choices=SCORINGS, help="which scores")
    flag("--normaliser", required=True, choices=("sum", "token"), help="of the scores")
    flag("--out", type=Path, required=True, help="SVG, PDF or PNG file to write")

    flag = add("report", "polycal.report", "Write the study's page.")
    flag("--study", required=True, help="name of the study")
    flag("--scoring", nargs="+", choices=SCORINGS, required=True, help="first leads")
    flag("--summary", type=Path, required=True, help="the study's summary table")
    flag("--metrics", type=Path, required=True, help="the study's metrics table")
    flag("--reliability", type=Path, required=True, help="the study's bins")
    flag("--contrasts", type=Path, required=True, help="the study's contrasts table")
    flag("--claims", type=Path, required=True, help="the study's claims table")
    flag("--runs", type=Path, required=True, help="what list_runs wrote")
    flag("--shifts", type=Path, nargs="*", default=[], help="what find_shifts wrote")
    flag("--checks", type=Path, nargs="+", required=True, help="check_task's files")
    flag("--figures", type=Path, required=True, help="folder that draw wrote to")
    flag("--out", type=Path, required=True, help="HTML file to write")


def _add_repo(flag: Callable) -> None:
    flag("--repo", required=True, help="Hub id (owner/name) or a local directory")
    flag("--revision", help="commit of the Hub repository")


def _add_run(flag: Callable) -> None:
    flag("--model", required=True, help="short name of the base model")
    flag("--sft", required=True, help="short name of the SFT set; none = base model")
    flag("--smoothing", type=float, required=True, help="label-smoothing epsilon")
    flag("--seed", type=int, required=True, help="seed of the training")


def _add_settings(flag: Callable, kind: type) -> None:
    """One flag per field of a dataclass, with the field's own type and default."""
    kinds = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        inner = kinds[field.name]
        if isinstance(inner, types.UnionType):  # "int | None": the flag takes an int
            inner = next(each for each in inner.__args__ if each is not type(None))
        needed = field.default is dataclasses.MISSING
        flag(
            f"--{field.name.replace('_', '-')}",
            type=true_or_false if inner is bool else inner,
            required=needed,
            default=None if needed else field.default,
            help=field.metadata["help"],
        )


def _take_settings(options: dict[str, object], kind: type) -> object:
    """The dataclass that the flags describe; its fields leave `options`."""
    return kind(
        **{each.name: options.pop(each.name) for each in dataclasses.fields(kind)}
    )


def true_or_false(text: str) -> bool:
    """A flag's truth value, as YAML or Python spell it; argparse quotes the name."""
    if text.lower() not in ("true", "false"):
        raise ValueError
    return text.lower() == "true"


def json_object(text: str) -> dict[str, object]:
    """A flag's JSON object; argparse quotes the name of this function."""
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError
    return found


def _tokenize(**options: object) -> None:
    from polycal.tokenize import tokenize

    rendering = _take_settings(options, Rendering)
    tokenize(**options, rendering=rendering)


def _tune(**options: object) -> None:
    from polycal.tune import tune

    recipe = _take_settings(options, Recipe)
    tune(**options, recipe=recipe)


def _aggregate(*, keep: list[str], **options: object) -> None:
    from polycal.aggregate import aggregate

    languages = {}
    for each in keep:
        task, equals, held = each.partition("=")
        if not equals:
            raise InputError(f"--keep takes TASK=DE+FR, not {each}")
        languages[task] = held.split("+")
    aggregate(keep=languages, **options)
