"""The verbs that need no GPU: from stored scores to tables, figures and the page."""

from collections.abc import Callable
from pathlib import Path

from polycal.errors import InputError
from polycal.flags import finite
from polycal.study.scorings import SCORINGS


def add_reporting(add: Callable) -> None:
    """Add the verbs from `measure` on; `add` is as in `polycal.verbs`."""
    flag = add(
        "measure",
        "polycal.measuring.measure",
        "Compute the calibration metrics of one run and task.",
        makes="{metrics}",
    )
    text = "the run's predictions tables of the task"
    flag("--predictions", type=Path, nargs="+", required=True, help=text)
    flag("--check", type=Path, required=True, help="what check_task wrote of the task")
    flag("--metrics", type=Path, required=True, help="metrics table to write")
    flag("--reliability", type=Path, required=True, help="reliability table to write")
    flag("--replicates", type=Path, required=True, help="replicates table to write")
    flag("--n-replicates", type=int, required=True, help="of each metric")
    flag("--seed", type=int, required=True, help="of the replicates; one for a study")
    flag("--confidence", type=finite, required=True, help="of intervals")
    text = "definitions of confidence from option texts"
    names = ("sum", "token", "byte", "english")
    flag("--normalisers", nargs="+", choices=names, default=list(names), help=text)

    flag = add(
        "aggregate",
        _aggregate,
        "Gather the tables of a whole study.",
        makes="{out}/metrics.parquet",
    )
    flag("--metrics", type=Path, nargs="+", required=True, help="metrics tables")
    flag("--reliability", type=Path, nargs="+", required=True, help="their bins")
    flag("--keep", nargs="+", required=True, metavar="TASK=DE+FR", help="languages")
    flag("--out", type=Path, required=True, help="directory to write into")

    flag = add(
        "list_runs",
        "polycal.comparing.runs",
        "Tell how each run came about.",
        makes="{out}",
        without_pandas=True,
    )
    text = "directories of prepare_model, or short names of the base models"
    flag("--models", type=Path, nargs="+", required=True, help=text)
    flag("--runs", type=Path, nargs="*", default=[], help="directories of select")
    flag("--out", type=Path, required=True, help="Parquet file to write")

    add("show_tables", "polycal.storage.data_page", "Print the columns of every table.")

    flag = add(
        "contrast",
        "polycal.comparing.contrasts",
        "Compare conditions, and judge the claims.",
        makes="{out}/contrasts.parquet",
    )
    flag("--metrics", type=Path, required=True, help="the study's metrics table")
    text = "replicates tables of all runs and tasks"
    flag("--replicates", type=Path, nargs="+", required=True, help=text)
    text = "what list_runs wrote: it tells the models' vocabularies"
    flag("--runs", type=Path, help=text)
    text = "fractions that differ by less are equivalent"
    flag("--margin", type=finite, required=True, help=text)
    text = "of intervals, bands and verdicts"
    flag("--confidence", type=finite, required=True, help=text)
    flag("--out", type=Path, required=True, help="directory to write into")

    flag = add(
        "analyse",
        "polycal.comparing.analyses",
        "Tell where changes come from.",
        makes="{out}/decompositions.parquet",
    )
    flag("--metrics", type=Path, required=True, help="the study's metrics table")
    text = "replicates tables of all runs and tasks"
    flag("--replicates", type=Path, nargs="+", required=True, help=text)
    flag("--confidence", type=finite, required=True, help="of the intervals")
    flag("--out", type=Path, required=True, help="directory to write into")

    text = "Find the questions whose confidence SFT changed most."
    flag = add("find_shifts", "polycal.comparing.shifts", text, makes="{out}")
    text = "of a base model, and of one run per smoothing value"
    flag("--predictions", type=Path, nargs="+", required=True, help=text)
    flag("--questions", type=Path, nargs="+", required=True, help="the task's tables")
    flag("--check", type=Path, required=True, help="what check_task wrote of the task")
    flag("--scoring", required=True, choices=SCORINGS, help="which scores")
    flag("--out", type=Path, required=True, help="Parquet file to write")

    flag = add(
        "draw",
        "polycal.reporting.figures",
        "Draw figures from a study's tables.",
        makes="{out[0]}",
    )
    flag("--metrics", type=Path, required=True, help="the study's metrics table")
    flag("--reliability", type=Path, required=True, help="the study's bins")
    flag("--contrasts", type=Path, required=True, help="the study's contrasts")
    _add_analyses(flag)
    _add_place(flag)
    text = "files to write, such as forest.svg or forest.pdf; another name lists all"
    flag("--out", type=Path, nargs="+", required=True, help=text)

    flag = add(
        "tabulate",
        "polycal.reporting.tabulate",
        "Write tables for a paper.",
        makes="{out[0]}",
    )
    flag("--metrics", type=Path, required=True, help="the study's metrics table")
    flag("--summary", type=Path, required=True, help="the study's summary table")
    flag("--contrasts", type=Path, required=True, help="the study's contrasts table")
    flag("--claims", type=Path, required=True, help="the study's claims table")
    _add_place(flag)
    text = "files to write: levels, differences, languages or claims; .csv, .md or .tex"
    flag("--out", type=Path, nargs="+", required=True, help=text)

    flag = add(
        "report", "polycal.reporting.report", "Write the study's page.", makes="{out}"
    )
    flag("--study", required=True, help="name of the study")
    flag("--scoring", nargs="+", choices=SCORINGS, required=True, help="first leads")
    flag("--summary", type=Path, required=True, help="the study's summary table")
    flag("--metrics", type=Path, required=True, help="the study's metrics table")
    flag("--reliability", type=Path, required=True, help="the study's bins")
    flag("--contrasts", type=Path, required=True, help="the study's contrasts table")
    _add_analyses(flag)
    flag("--claims", type=Path, required=True, help="the study's claims table")
    flag("--runs", type=Path, required=True, help="what list_runs wrote")
    flag("--shifts", type=Path, nargs="*", default=[], help="what find_shifts wrote")
    flag("--checks", type=Path, nargs="+", required=True, help="check_task's files")
    flag("--figures", type=Path, required=True, help="folder that draw wrote to")
    flag("--out", type=Path, required=True, help="HTML file to write")


def _add_place(flag: Callable) -> None:
    """Which numbers of a study are shown."""
    flag("--task", required=True, help="short name of the benchmark")
    flag("--scoring", required=True, choices=SCORINGS, help="which scores")
    flag("--normaliser", required=True, choices=("sum", "token"), help="of the scores")


def _add_analyses(flag: Callable) -> None:
    """The tables of `analyse` that figures start from."""
    for name in ("decompositions", "doses", "fronts"):
        flag(f"--{name}", type=Path, required=True, help=f"the study's {name} table")


def _aggregate(*, keep: list[str], **options: object) -> None:
    from polycal.comparing.aggregate import aggregate

    languages = {}
    for each in keep:
        task, equals, held = each.partition("=")
        if not equals:
            raise InputError(f"--keep takes TASK=DE+FR, not {each}")
        languages[task] = held.split("+")
    aggregate(keep=languages, **options)
