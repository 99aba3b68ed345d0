"""Tables for a paper hold the numbers of the study, and LaTeX takes them."""

import csv
import re
import shutil
import subprocess

import pandas as pd
import pytest
from made_up import make_study

from polycal.errors import InputError
from polycal.reporting.tabulate import NAMES, tabulate
from polycal.storage import tables

PLACE = {"task": "global_mmlu", "scoring": "text", "normaliser": "token"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Every table of a study in every format, and the study's metrics."""
    folder = tmp_path_factory.mktemp("study")
    paths = make_study(folder, sft=("alpaca-en", "50%_&more"), seeds=(0, 1))
    kinds = ("metrics", "summary", "contrasts", "claims")
    given = {kind: paths[kind] for kind in kinds}
    out = [folder / f"{name}{end}" for name in NAMES for end in (".csv", ".md", ".tex")]
    tabulate(**given, **PLACE, out=out)
    return folder


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_languages_hold_the_means_over_seeds(made):
    """Of every language and condition; minus signs are those that programs read."""
    rows = tables.read(made / "metrics.parquet", "metrics").to_pandas()
    rows = rows[(rows[list(PLACE)] == pd.Series(PLACE)).all(axis=1)]
    rows = rows[(rows["calibrator"] == "none") & (rows["subset"] == "all")]
    rows = rows[(rows["sft"] == "alpaca-en") & (rows["smoothing"] == 0.1)]
    found = [
        row
        for row in read(made / "languages.csv")
        if row["condition"] == "SFT, smoothing 0.1"
        and "alpaca-en" in row["model and SFT set"]
    ]
    assert {row["code"] for row in found} == set(rows["language"])
    for row in found:
        own = rows[rows["language"] == row["code"]].groupby("metric")["value"].mean()
        assert row["accuracy (%)"] == f"{100 * own['accuracy']:.1f}"
        assert float(row["gap (pp)"]) == pytest.approx(100 * own["gap"], abs=0.051)


def test_every_format_holds_the_same_cells(made):
    """But for how signs are spelt."""
    for name in NAMES:
        rows = read(made / f"{name}.csv")
        lines = (made / f"{name}.md").read_text().splitlines()[4:]
        assert rows, name
        for row, line in zip(rows, lines, strict=True):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            plain = [cell.replace("−", "-").replace("±", "+-") for cell in cells]
            assert [cell.replace("–", "") for cell in plain] == list(row.values())
        body = (made / f"{name}.tex").read_text()
        assert body.count(r" \\") >= len(rows)
        assert r"\toprule" in body
        assert r"\bottomrule" in body


def test_names_are_escaped(made):
    """A percent sign would end the line of a table."""
    assert r"50\%\_\&more" in (made / "levels.tex").read_text()
    assert "50%_&more" in (made / "levels.csv").read_text()


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no pdflatex")
def test_latex_takes_them(made):
    """All in one document, without an error."""
    inputs = "\n".join(rf"\input{{{name}.tex}}" for name in NAMES)
    (made / "all.tex").write_text(
        "\\documentclass[landscape]{article}\n\\usepackage{booktabs,longtable}\n"
        f"\\begin{{document}}\n{inputs}\n\\end{{document}}\n"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=made, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]


def test_the_same_tables_give_the_same_bytes(made, tmp_path):
    """Nothing of a file depends on when it is written."""
    given = {k: made / f"{k}.parquet" for k in ("metrics", "summary", "contrasts")}
    given["claims"] = made / "claims.parquet"
    tabulate(**given, **PLACE, out=[tmp_path / "levels.tex"])
    assert (tmp_path / "levels.tex").read_bytes() == (made / "levels.tex").read_bytes()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tables.md", "no table is called 'tables'; known: levels, differences"),
        ("claims.txt", "claims.txt: a table is a file that ends in .csv, .md, .tex"),
    ],
)
def test_a_file_of_another_name_is_refused_before_anything_is_written(
    made, tmp_path, name, words
):
    given = {
        kind: made / f"{kind}.parquet"
        for kind in ("metrics", "summary", "contrasts", "claims")
    }
    with pytest.raises(InputError, match=re.escape(words)):
        tabulate(**given, **PLACE, out=[tmp_path / "levels.md", tmp_path / name])
    assert list(tmp_path.iterdir()) == []
