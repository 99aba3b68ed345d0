"""What each verb of the command line takes: flags, and how they become arguments."""

import dataclasses
import types
import typing
from collections.abc import Callable
from pathlib import Path

from polycal.flags import finite, json_object, true_or_false
from polycal.reporting_verbs import add_reporting
from polycal.study.recipe import Recipe, Rendering
from polycal.study.scorings import SCORINGS

_NEW_FOLDER = "folder to write: a new or empty one, or one that polycal made"


def add_verbs(add: Callable) -> None:
    """Add every verb.

    Args:
        add: adds a verb of a name, run by a function or by its namesake in a module,
            with a help text and, as a format string over its flags, the path that it
            makes, and whether pandas is of no use to it; returns what adds flags to it.
    """
    _add_planning(add)
    _add_partial(add)
    _add_preparing(add)
    _add_running(add)
    _add_samples(add)
    add_reporting(add)


def _add_planning(add: Callable) -> None:
    flag = add(
        "plan", "polycal.planning.plan", "Tell what a study costs before it is run."
    )
    flag("--config", type=Path, default=Path("config.yaml"), help="the study's file")
    flag("--gpu", default="h200", help="type of GPU; an unknown one lists the known")
    flag("--gpus", type=int, default=1, help="how many of them work at a time")
    _add_folders(flag)

    flag = add("status", "polycal.planning.status", "Tell how far a study is.")
    flag("--config", type=Path, default=Path("config.yaml"), help="the study's file")
    _add_folders(flag)
    flag("--logs", type=Path, default=Path("logs"), help="folder of the jobs' logs")


def _add_partial(add: Callable) -> None:
    flag = add(
        "partial_report",
        "polycal.reporting.partial_report",
        "Write the report of what is measured so far.",
    )
    flag("--config", type=Path, default=Path("config.yaml"), help="the study's file")
    text = "folder that the workflow writes into"
    flag("--results", type=Path, default=Path("results"), help=text)
    flag("--out", type=Path, help="folder to write into; none: RESULTS/partial")


def _add_folders(flag: Callable) -> None:
    """What tells how much of a study is done and how large it is."""
    flag(
        "--results",
        type=Path,
        default=Path("results"),
        help="folder that the workflow writes into; it may be absent",
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
        makes="{model}/",
    )
    flag("--seed", type=int, default=0, help="everything is a function of it")
    flag("--pretrain-steps", type=int, default=600, help="of the base model")
    for name in ("model", "sft", "global-mmlu", "mmlu-prox"):
        flag(f"--{name}", type=Path, required=True, help=_NEW_FOLDER)

    flag = add(
        "prepare_model",
        "polycal.preparing.snapshot",
        "Bring a base model into a directory of its own.",
        makes="{out}/",
    )
    _add_repo(flag)
    flag("--model", required=True, help="short name of the model")
    flag("--out", type=Path, required=True, help=_NEW_FOLDER)

    flag = add(
        "prepare_sft",
        "polycal.preparing.sft",
        "Read an SFT set into polycal's conversations table.",
        makes="{out}",
        without_pandas=True,
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

    flag = add(
        "tokenize",
        _tokenize,
        "Tokenise an SFT set for a model, with a report.",
        makes="{out}/",
    )
    flag("--base", type=Path, required=True, help="directory of the base model")
    flag("--conversations", type=Path, required=True, help="conversations table")
    flag("--model", required=True, help="short name of the base model")
    flag("--sft", required=True, help="short name of the SFT set")
    _add_settings(flag, Rendering)
    flag("--out", type=Path, required=True, help=_NEW_FOLDER)

    flag = add(
        "prepare_task",
        "polycal.preparing.tasks",
        "Read a benchmark's language into a questions table.",
        makes="{out}",
        without_pandas=True,
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
        "polycal.preparing.checks",
        "Find out which questions a benchmark's languages share.",
        makes="{out}",
        without_pandas=True,
    )
    flag("--questions", type=Path, nargs="+", required=True, help="questions tables")
    policies = ("intersection", "identical", "own")
    text = "measure what all share; stop if they differ; or each language its own"
    flag("--policy", choices=policies, required=True, help=text)
    flag("--out", type=Path, required=True, help="JSON file to write")

    flag = add(
        "show_prompt",
        "polycal.preparing.preview",
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
    flag = add(
        "with_gpus", "polycal.models.gpus", "Run a command with GPUs of its own."
    )
    flag("--count", type=int, required=True, help="GPUs that the command needs")
    flag("command", nargs="+", help="the command, after --")

    flag = add("tune", _tune, "Fine-tune a model with label smoothing.", makes="{out}/")
    flag("--base", type=Path, required=True, help="directory of the base model")
    flag("--examples", type=Path, required=True, help="directory that tokenize made")
    _add_run(flag)
    _add_settings(flag, Recipe)
    flag("--out", type=Path, required=True, help=_NEW_FOLDER)
    flag("--checkpoints", type=Path, help="folder to go on from; none: OUT.checkpoints")
    flag(
        "--checkpoint-minutes", type=finite, default=15, help="between two checkpoints"
    )
    flag("--processes", type=int, default=1, help="at work, each on a GPU of its own")
    flag("--nodes", type=int, default=1, help="machines that this is called on")
    flag("--node-rank", type=int, help="of this machine, from 0; none: srun knows")
    flag("--rendezvous", help="HOST:PORT of the first machine, if there are several")
    text = "also shown in: wandb, tensorboard or others that transformers knows"
    flag("--report-to", nargs="*", default=[], help=text)

    flag = add(
        "remove_leftovers",
        "polycal.tuning.leftovers",
        "Remove checkpoints of trainings that are done or given up.",
    )
    flag("--results", type=Path, default=Path("results"), help="folder of the study")

    flag = add(
        "select",
        "polycal.tuning.selection",
        "Take the candidate with the best learning rate as the run.",
        makes="{out}/",
        without_pandas=True,
    )
    flag("--candidates", type=Path, nargs="+", required=True, help="directories")
    flag("--seed", type=int, required=True, help="the seed of the run")
    flag("--out", type=Path, required=True, help=_NEW_FOLDER)

    flag = add(
        "score",
        "polycal.scoring.score",
        "Score every option of every question.",
        makes="{out}",
    )
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
    flag("--timing", type=Path, help="table to write: questions scored, and seconds")
    flag("--out", type=Path, required=True, help="Parquet file to write")


def _add_samples(add: Callable) -> None:
    flag = add(
        "import_samples",
        "polycal.preparing.samples",
        "Read what lm_eval --log_samples has written.",
        makes="{out}",
    )
    flag("--samples", type=Path, required=True, help="a samples_*.jsonl of the harness")
    _add_run(flag)
    flag("--task", required=True, help="short name of the benchmark")
    flag("--language", required=True, help="code of the language")
    text = "field of the document that names a question in every language"
    flag("--question-id", default="doc_id", help=text)
    flag("--subject", help="field of the document with its subject")
    flag("--tokenizer", type=Path, help="the model's directory; needed for texts")
    flag("--questions", type=Path, required=True, help="questions table to write")
    flag("--out", type=Path, required=True, help="predictions table to write")

    flag = add(
        "export_samples",
        "polycal.preparing.samples",
        "Write predictions as lm_eval would log them.",
    )
    flag("--predictions", type=Path, required=True, help="a predictions table")
    flag("--questions", type=Path, required=True, help="a language's questions table")
    flag("--out", type=Path, required=True, help="folder to write into")


def _add_repo(flag: Callable) -> None:
    flag("--repo", required=True, help="Hub id (owner/name) or a local directory")
    flag("--revision", help="commit of the Hub repository")


def _add_run(flag: Callable) -> None:
    flag("--model", required=True, help="short name of the base model")
    flag("--sft", required=True, help="short name of the SFT set; none = base model")
    flag("--smoothing", type=finite, required=True, help="label-smoothing epsilon")
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
            type={bool: true_or_false, float: finite}.get(inner, inner),
            required=needed,
            default=None if needed else field.default,
            help=field.metadata["help"],
        )


def _take_settings(options: dict[str, object], kind: type) -> object:
    """The dataclass that the flags describe; its fields leave `options`."""
    return kind(
        **{each.name: options.pop(each.name) for each in dataclasses.fields(kind)}
    )


def _tokenize(**options: object) -> None:
    from polycal.tuning.tokenize import tokenize

    rendering = _take_settings(options, Rendering)
    tokenize(**options, rendering=rendering)


def _tune(**options: object) -> None:
    from polycal.tuning.tune import tune

    recipe = _take_settings(options, Recipe)
    tune(**options, recipe=recipe)
