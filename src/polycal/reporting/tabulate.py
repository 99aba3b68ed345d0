"""The study's numbers as tables for a paper: CSV, Markdown and LaTeX (booktabs)."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd

from polycal.comparing.conditions import (
    in_resource_order,
    label,
    language_of,
    per_change,
    per_language,
    per_level,
    rows_of,
    select,
)
from polycal.reporting.claim_sentences import describe_claims
from polycal.reporting.report_tables import (
    COLUMNS,
    SHORT,
    difference_table,
    level_table,
)
from polycal.storage.files import check_outputs, replacing
from polycal.study.scorings import Normaliser, Scoring
from polycal.verb import verb

NAMES = ("levels", "differences", "languages", "claims")
# How each sign of the cells is spelt in LaTeX, and in files that programs read.
_LATEX = {"−": "$-$", "±": r"$\pm$", "–": "--"}
_PLAIN = {"−": "-", "±": "+-", "–": ""}


@verb(makes="{out[0]}")
def tabulate(
    *,
    metrics: Path,
    summary: Path,
    contrasts: Path,
    claims: Path,
    task: str,
    scoring: Scoring,
    normaliser: Normaliser,
    out: list[Path],
) -> None:
    """Write tables of one task and scoring; their cells are those of the page.

    Args:
        metrics: the study's metrics table.
        summary: the study's summary table.
        contrasts: the study's differences between conditions.
        claims: what the study says about the paper's claims.
        task: short name of the benchmark.
        scoring: letters or text.
        normaliser: of the scores.
        out: files named by one of `NAMES`, with .csv, .md or .tex.

    Raises:
        InputError: a file of another name or kind, no rows for this selection, or a
            table is not what it should be.
    """
    check_outputs(out, "table", NAMES, _SPELT)
    place = {"task": task, "scoring": scoring, "normaliser": normaliser}
    make: dict[str, Callable[[], pd.DataFrame]] = {
        "levels": lambda: tabulate_levels(
            per_level(select(summary, "summary", **place))
        ),
        "differences": lambda: tabulate_differences(
            per_change(rows_of(contrasts, "contrasts", **place, calibrator="none"))
        ),
        "languages": lambda: tabulate_languages(
            per_language(select(metrics, "metrics", **place))
        ),
        "claims": lambda: tabulate_claims(rows_of(claims, "claims", **place)),
    }
    made = {name: make[name]() for name in {path.stem for path in out}}
    for path in out:
        title = f"{path.stem}, {task}, {scoring} ({normaliser})"
        text = _SPELT[path.suffix](made[path.stem], title)
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")


def tabulate_levels(levels: pd.DataFrame) -> pd.DataFrame:
    """Resource level x condition: a row each, of every model and SFT set.

    Args:
        levels: as `per_level` returns it.
    """
    rows = []
    for facet, own in levels.groupby("facet"):
        found = level_table(own)
        for group in found["groups"]:
            for row in group["rows"]:
                cells = [cell["text"] + cell["spread"] for cell in row["cells"]]
                rows.append([facet, group["level"], group["n"], row["label"], *cells])
    metrics = [name for key, name, _ in COLUMNS if key in levels]
    columns = ["model and SFT set", "level", "languages", "condition", *metrics]
    return pd.DataFrame(rows, columns=columns)


def tabulate_differences(changes: pd.DataFrame) -> pd.DataFrame:
    """The changes between conditions by level, with intervals, in percentage points.

    Args:
        changes: as `per_change` returns it.
    """
    rows = [
        [
            facet,
            row["comparison"],
            row["level"],
            row["n"],
            *(f"{cell['text']} {cell['interval']}" for cell in row["cells"]),
        ]
        for facet, own in changes.groupby("facet")
        for row in difference_table(own)
    ]
    columns = ["model and SFT set", "comparison", "level", "languages"]
    return pd.DataFrame(rows, columns=[*columns, *(f"{name} (pp)" for name in SHORT)])


def tabulate_languages(values: pd.DataFrame) -> pd.DataFrame:
    """Language x condition, from high to low resources.

    Args:
        values: as `per_language` returns it.
    """
    chosen = [each for each in COLUMNS if each[0] in SHORT]
    held = values.set_index(["facet", "language", "rank"]).sort_index()
    rows = []
    for facet in sorted(values["facet"].unique()):
        for code in in_resource_order(held.loc[facet].index.get_level_values(0)):
            language = language_of(code)
            for rank, row in held.loc[(facet, code)].iterrows():
                cells = [spell(row[metric]) for metric, _, spell in chosen]
                first = [facet, language.name, code, language.level, label(rank)]
                rows.append([*first, *cells])
    columns = ["model and SFT set", "language", "code", "level", "condition"]
    return pd.DataFrame(rows, columns=[*columns, *(name for _, name, _ in chosen)])


def tabulate_claims(claims: pd.DataFrame) -> pd.DataFrame:
    """What the study says about each claim.

    Args:
        claims: rows of a claims table.
    """
    rows = [
        [each["statement"], case["where"], case["verdict"], case["text"]]
        for each in (describe_claims(claims) if len(claims) else [])
        for case in each["cases"]
    ]
    return pd.DataFrame(rows, columns=["claim", "where", "verdict", "numbers"])


def _spell(frame: pd.DataFrame, signs: dict[str, str]) -> pd.DataFrame:
    """Every cell as text, its signs in another spelling."""
    for sign, spelt in signs.items():
        frame = frame.map(lambda cell, a=sign, b=spelt: str(cell).replace(a, b))
    return frame


def _csv(frame: pd.DataFrame, _: str) -> str:
    return _spell(frame, _PLAIN).to_csv(index=False, lineterminator="\n")


def _markdown(frame: pd.DataFrame, title: str) -> str:
    body = _spell(frame, {"|": r"\|"}).to_markdown(index=False, disable_numparse=True)
    return f"{title[0].upper()}{title[1:]}\n\n{body}\n"


def _latex(frame: pd.DataFrame, title: str) -> str:
    """A longtable, which a paper may break over pages; numbers are set to the right."""
    escaped = pd.DataFrame(
        [[_escape(str(cell)) for cell in row] for row in frame.to_numpy()],
        columns=[_escape(name) for name in frame.columns],
    )
    text = escaped.to_latex(
        index=False,
        longtable=True,
        column_format="".join(_COLUMNS.get(name, "r") for name in frame.columns),
        caption=_escape(f"{title[0].upper()}{title[1:]}."),
        label="tab:" + re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-"),
    )
    return f"% \\usepackage{{booktabs,longtable}}\n{text}"


_WORDS = ("model and SFT set", "comparison", "level", "condition", "language", "code")
_COLUMNS = dict.fromkeys((*_WORDS, "verdict"), "l")
_COLUMNS |= dict.fromkeys(("claim", "where", "numbers"), "p{0.26\\linewidth}")
_SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}"}
_SPECIAL |= {"^": r"\textasciicircum{}"} | {sign: f"\\{sign}" for sign in "&%$#_{}"}
_SPELT: dict[str, Callable[[pd.DataFrame, str], str]] = {
    ".csv": _csv,
    ".md": _markdown,
    ".tex": _latex,
}


def _escape(text: str) -> str:
    """As LaTeX's text, signs of `_LATEX` included."""
    return "".join(_pieces(text))


def _pieces(text: str) -> Iterator[str]:
    for sign in text:
        yield _SPECIAL.get(sign) or _LATEX.get(sign) or sign
