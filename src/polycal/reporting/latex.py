"""Tables and figures for a paper in LaTeX, from what the page shows.

They need the packages booktabs and longtable. Tables span both columns of a two-column
class and fit the text width of `article`; the languages take pages of their own.
"""

import re
from collections.abc import Iterable, Sequence

import pandas as pd

from polycal.comparing.verdicts import EXPLORATORY, NOT_JUDGED
from polycal.reporting.report_tables import NOTHING, SHORT

_SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}"}
_SPECIAL |= {"^": r"\textasciicircum{}"} | {sign: f"\\{sign}" for sign in "&%$#_{}"}
_SPECIAL |= {"−": "$-$", NOTHING: "--", "→": r"$\to$", "≤": r"$\leq$"}
_METRICS = r"accuracy (\%) & confidence (\%) & gap (pp) & ECE (\%)"
_NARROW = r"acc. (\%) & conf. (\%) & gap (pp) & ECE (\%)"
_CHANGES = "accuracy & confidence & gap & ECE"
# Of which values of a level the best one is bold: how good a value is.
_GOODNESS = {
    "accuracy": lambda value: value,
    "gap": lambda value: -abs(value),
    "ece": lambda value: -value,
}


def escape(text: str) -> str:
    """Return plain text as LaTeX shows it."""
    return "".join(_SPECIAL.get(sign, sign) for sign in text)


def write_levels(tables: Iterable[tuple[str, dict]], title: str) -> str:
    """Return conditions by resource level; the best value of a level is bold.

    Args:
        tables: facets with their `level_table`.
        title: what the numbers belong to.
    """
    return "\n".join(_levels(table, f"{facet}; {title}") for facet, table in tables)


def _levels(table: dict, about: str) -> str:
    lines = []
    for group in table["groups"]:
        n, rows = group["n"], group["rows"]
        level = "all" if group["level"] == "all" else f"{group['level']} resource"
        lines.append(_group(f"{level} ({n})", 5))
        best = _find_best(rows)
        for index, row in enumerate(rows):
            cells = [
                _cell(cell["text"], cell["interval"], bold=(index, name) in best)
                for name, cell in zip(SHORT, row["cells"], strict=False)
            ]
            mark = r"$^\dagger$" if row["single"] else ""
            lines.append(_row([escape(row["label"]) + mark, *cells]))
    caption = (
        f"Calibration by resource level: {about}. Means over languages, with "
        "intervals in brackets; in bold the best accuracy and ECE of a level and the "
        "gap nearest to 0; a dagger marks a single seed."
    )
    return _table("lrrrr", f"condition & {_METRICS}", lines, caption, f"levels {about}")


def _find_best(rows: Sequence[dict]) -> set[tuple[int, str]]:
    best = set()
    for place, name in enumerate(SHORT):
        good = _GOODNESS.get(name)
        values = [row["cells"][place]["value"] for row in rows]
        if good and len(rows) > 1 and not any(map(pd.isna, values)):
            best.add((max(range(len(rows)), key=lambda at: good(values[at])), name))
    return best


def write_differences(tables: Iterable[tuple[str, list]], title: str) -> str:
    """Return changes by resource level; those whose interval leaves 0 out are bold.

    Args:
        tables: facets with their `difference_table`.
        title: what the numbers belong to.
    """
    return "\n".join(_differences(rows, f"{facet}; {title}") for facet, rows in tables)


def _differences(rows: Sequence[dict], about: str) -> str:
    lines, comparison = [], None
    for row in rows:
        if row["comparison"] != comparison:
            comparison = row["comparison"]
            lines.append(_group(comparison, 5))
        cells = [
            _cell(cell["text"], cell["interval"], bold=cell["bold"])
            for cell in row["cells"]
        ]
        lines.append(_row([f"{row['level']} ({row['n']})", *cells]))
    caption = (
        f"Changes by resource level: {about}. Percentage points, means over "
        "languages, with intervals in brackets; bold where the interval leaves 0 out."
    )
    head = f"resources & {_CHANGES}"
    return _table("lrrrr", head, lines, caption, f"differences {about}")


def write_claims(tables: Iterable[tuple[str, list]], title: str) -> str:
    """Return every claim with its verdict and the difference that decided.

    Args:
        tables: facets with what `list_claims` returns of each.
        title: what the numbers belong to.
    """
    return "\n".join(_claims(claims, f"{facet}; {title}") for facet, claims in tables)


def _claims(claims: Iterable[dict], about: str) -> str:
    lines = []
    for claim in claims:
        heading = claim["statement"]
        if claim["cases"][0]["family"] == EXPLORATORY:
            heading += f" ({EXPLORATORY})"
        # A statement may be longer than a line.
        lines.append(_group(heading, 4, r"p{0.95\textwidth}"))
        for case in claim["cases"]:
            number = _cell(case["difference"], case["interval"], bold=False)
            verdict = case["verdict"]
            if case["kind"] == NOT_JUDGED:  # other notes would not fit on the page
                verdict += f": {case['note']}"
            # The caption names task and scoring, and the difference has its unit.
            values = case["values"].replace(" pp", "")
            words = map(escape, (case["condition"], verdict, values))
            lines.append(_row([*words, number]))
    caption = (
        f"Claims: {about}. The difference that decided, with its interval at the level "
        "that decided."
    )
    head = "case & verdict & before, after & difference"
    columns = r"lp{0.26\textwidth}rr"
    return _table(columns, head, lines, caption, f"claims {about}")


def write_languages(frame: pd.DataFrame, title: str) -> str:
    """Return a row per language and condition on pages of one column.

    Args:
        frame: as `tabulate_languages` returns it.
        title: what the numbers belong to.
    """
    lines = []
    for facet, own in frame.groupby(frame.columns[0], sort=False):
        lines.append(_group(str(facet), 7))
        for row in own.to_numpy().tolist():
            language, code, level, condition, *numbers = map(escape, map(str, row[1:]))
            lines.append(_row([f"{language} ({code})", level, condition, *numbers]))
    head = _row(["language", "resources", "condition", _NARROW])
    caption = escape(f"Every language: {title}.")
    return "\n".join(
        [
            r"% \usepackage{booktabs,longtable}",
            r"\makeatletter\if@twocolumn\onecolumn\let\polycalback\twocolumn\else"
            r"\let\polycalback\relax\fi\makeatother",
            r"{\footnotesize\setlength{\tabcolsep}{3pt}",
            r"\begin{longtable}{lllrrrr}",
            rf"\caption{{{caption}}}\label{{{_label(f'languages {title}')}}}\\",
            r"\toprule",
            head,
            r"\midrule",
            r"\endfirsthead",
            r"\toprule",
            head,
            r"\midrule",
            r"\endhead",
            r"\bottomrule",
            r"\endfoot",
            *lines,
            r"\end{longtable}",
            "}",
            r"\polycalback",
            "",
        ]
    )


def write_figure(name: str, caption: str, about: str) -> str:
    """Return a figure across both columns, which includes a PDF beside it.

    Args:
        name: stem of the PDF.
        caption: plain text.
        about: what the numbers belong to.
    """
    return "\n".join(
        [
            r"% \usepackage{graphicx}",
            r"\begin{figure*}[t]",
            r"\centering",
            r"\includegraphics[width=\textwidth,height=0.8\textheight,keepaspectratio]"
            rf"{{{name}.pdf}}",
            rf"\caption{{{escape(caption)}}}",
            rf"\label{{{_label(f'{name} {about}', 'fig')}}}",
            r"\end{figure*}",
            "",
        ]
    )


def _table(
    columns: str, head: str, lines: Sequence[str], caption: str, name: str
) -> str:
    return "\n".join(
        [
            r"% \usepackage{booktabs}",
            r"\begin{table*}[t]",
            r"\centering\footnotesize\setlength{\tabcolsep}{3pt}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            rf"{head} \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            rf"\caption{{{escape(caption)}}}",
            rf"\label{{{_label(name)}}}",
            r"\end{table*}",
            "",
        ]
    )


def _row(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _group(text: str, width: int, column: str = "l") -> str:
    return rf"\multicolumn{{{width}}}{{{column}}}{{\itshape {escape(text)}}} \\"


def _cell(text: str, interval: str, *, bold: bool) -> str:
    number = rf"\textbf{{{escape(text)}}}" if bold else escape(text)
    return rf"{number} {{\tiny {escape(interval)}}}" if interval else number


def _label(name: str, kind: str = "tab") -> str:
    return f"{kind}:" + re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
