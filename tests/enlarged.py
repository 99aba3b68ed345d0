"""The page of a study of the paper's size, from the tables of a small made-up one.

The rows of one model, SFT set and five languages are repeated under the names of three
models with three SFT sets, and of all languages of both benchmarks: to measure and
compare so many takes a quarter of an hour, and the page is as large.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
from made_up import CODES, make_study, new_folder

from polycal.reporting.report import TABLES, report
from polycal.storage import tables
from polycal.study import layout
from polycal.study.figures import FIGURES
from polycal.study.grid import BASE
from polycal.study.languages import load_languages
from polycal.study.scorings import HEADLINE

MODELS, SETS = ("gemma", "llama", "mistral"), ("alpaca", "hermes", "tulu")
SVG = '<svg xmlns="http://www.w3.org/2000/svg"><path d="M 0 0"/></svg>'
_KNOWN = load_languages()


def languages() -> dict[str, list[str]]:
    """Return the languages of both benchmarks."""
    known = _KNOWN.values()
    return {
        "global_mmlu": [each.code for each in known if each.in_global_mmlu],
        "mmlu_prox": [each.code for each in known if each.in_mmlu_prox],
    }


def write_enlarged(folder: Path) -> Path:
    """Write tables, stand-ins of figures and the page; return the page's path."""
    small = new_folder()
    asked = languages()
    options = {"smoothing": (0.0, 0.1, 0.2), "scorings": list(HEADLINE)}
    make_study(small, tasks=dict.fromkeys(asked, CODES), **options)
    for kind in TABLES:
        table = tables.read(small / f"{kind}.parquet", kind)
        frame = table.to_pandas()
        # A claim names the language that decided it.
        for column in {"language", "level"} & set(frame) if kind != "claims" else ():
            frame = pd.concat(_translate(frame, column, asked), ignore_index=True)
        frame = pd.concat(_copy(frame), ignore_index=True)
        table = pa.Table.from_pandas(frame, table.schema, preserve_index=False)
        facts = tables.read_metadata(small / f"{kind}.parquet")
        own = {name: facts[name] for name in ("asked", "confidence") if name in facts}
        tables.write(table, folder / f"{kind}.parquet", kind, **own)
    for task, scoring in itertools.product(asked, HEADLINE):
        about = {"task": task, "scoring": scoring, "normaliser": HEADLINE[scoring]}
        place = folder / "report/figures" / layout.SHOWN_TAIL.format_map(about)
        place.mkdir(parents=True)
        for name in FIGURES:
            (place / f"{name}.svg").write_text(SVG)
    report(
        study="of the paper's size",
        scoring=["letters", "text"],
        tables=folder,
        checks=[small / f"{task}.json" for task in asked],
        figures=folder / "report/figures",
        papers=folder / "report/tables",
        out=folder / "report/index.html",
    )
    return folder / "report/index.html"


def _copy(rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Yield rows under the name of every model and SFT set; untuned once per model."""
    for model in MODELS:
        yield rows[rows["sft"] == BASE].assign(model=model)
        for sft in SETS:
            yield rows[rows["sft"] != BASE].assign(model=model, sft=sft)


def _translate(
    rows: pd.DataFrame, column: str, asked: dict[str, list[str]]
) -> Iterator[pd.DataFrame]:
    """Yield the rows of each language under the names of all languages of its level."""
    yield rows[~rows[column].isin(CODES)]
    for task, codes in asked.items():
        for index, code in enumerate(codes):
            alike = [own for own in CODES if _KNOWN[own].level == _KNOWN[code].level]
            chosen = code if code in CODES else alike[index % len(alike)]
            own = rows[(rows[column] == chosen) & (rows["task"] == task)]
            yield own.assign(**{column: code})
