"""Every path below `results/` and `resources/`, spelt once, as a pattern over names.

The workflow takes the patterns as its wildcard paths; Python fills in names by
`str.format` or `below`. Standard library only.
"""

from decimal import Decimal
from pathlib import Path

RESULTS = "results"
RESOURCES = "resources"  # stands beside `results`
RUN_TAIL = "{model}/{sft}/ls-{smoothing}/seed-{seed}"
CANDIDATE_TAIL = "{model}/{sft}/ls-{smoothing}/lr-{lr}/seed-{seed}"
SCORED_TAIL = f"{RUN_TAIL}/{{task}}/{{languages}}"
# A task under a scoring, with what an option's score is divided by.
SHOWN_TAIL = "{task}/{scoring}-{normaliser}"

MINIATURE = "resources/miniature/{part}"
MODEL = "resources/models/{model}"
RELEASED = "resources/released/{model}/{sft}"
SFT = "resources/sft/{sft}.parquet"
QUESTIONS = "resources/tasks/{task}/{language}.parquet"
EXAMPLES = "resources/examples/{model}/{sft}"
CHECK = "results/checks/{task}.json"
CANDIDATES = "results/candidates"
CANDIDATE = f"{CANDIDATES}/{CANDIDATE_TAIL}"
CHECKPOINTS = "results/checkpoints"
CHECKPOINT = f"{CHECKPOINTS}/{CANDIDATE_TAIL}"
RUN = f"results/runs/{RUN_TAIL}"
PREDICTIONS = f"results/predictions/{SCORED_TAIL}.parquet"
MEASURED = f"results/{{kind}}/{RUN_TAIL}/{{task}}.parquet"
SHIFTS = "results/shifts/{model}/{sft}/{task}.parquet"
TAUGHT = "results/taught/{model}/{sft}/{task}.parquet"
TABLE = "results/{table}.{suffix}"  # of the whole study
FIGURES = "results/report/figures"
FIGURE = f"{FIGURES}/{SHOWN_TAIL}/{{figure}}.{{suffix}}"
PAPER_TABLES = "results/report/tables"
PAPER_TABLE = f"{PAPER_TABLES}/{SHOWN_TAIL}/{{table}}.{{suffix}}"
PAGE = "results/report/index.html"
PARTIAL_REPORT = "results/partial"
SOURCES = "results/sources.json"  # what local sources were seen with
STAMP = "resources/sources/{source}.txt"  # of a local source that has changed
STUDIES = "results/studies"  # what each study of the folder asks for
TIMINGS = "results/timings"

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


def measured(kind: str) -> str:
    """Return the pattern of what is measured of one run and task.

    Args:
        kind: metrics, reliability or replicates.
    """
    return MEASURED.replace("{kind}", kind)


def table(name: str, suffix: str = "parquet") -> str:
    """Return the path of a table of the whole study."""
    return TABLE.format(table=name, suffix=suffix)


def timing(stage: str, tail: str = "") -> str:
    """Return the pattern of what a stage's job took, at the tail of its product."""
    return f"{TIMINGS}/{stage}{tail and '/'}{tail}.tsv"


def below(folder: Path, pattern: str, **names: object) -> Path:
    """Return a pattern's path with a folder in place of `results` or `resources`."""
    _, _, tail = pattern.partition("/")
    return folder / tail.format_map(names)


def number(value: float) -> str:
    """Return the one spelling of a number in paths and flags: 0.1, 1e-5."""
    text = f"{Decimal(repr(value)).normalize():f}"
    if float(value) == 0 or 1e-3 <= abs(value) < 1e6:
        return text
    mantissa, exponent = f"{Decimal(repr(value)).normalize():e}".split("e")
    return f"{mantissa}e{int(exponent)}"
