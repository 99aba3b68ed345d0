"""Tables for a paper hold the numbers of the study, and LaTeX takes them."""

import csv
import io
import re
import shutil
import subprocess

import pandas as pd
import pytest
from made_up import CODES, LEVELS, make_study, mean_by_hand

from polycal.errors import InputError
from polycal.reporting import latex
from polycal.reporting.tabulate import NAMES, _csv, tabulate
from polycal.storage import tables

SEEDS = (0, 1)
PLACE = {"task": "global_mmlu", "scoring": "text", "normaliser": "token"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Every table of a study in every format, and the study's metrics."""
    folder = tmp_path_factory.mktemp("study")
    sets = ("alpaca-en", "50%_&more")
    make_study(folder, sft=sets, seeds=SEEDS)
    out = [folder / f"{name}{end}" for name in NAMES for end in (".csv", ".md", ".tex")]
    tabulate(tables=folder, **PLACE, out=out)
    return folder


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


METRICS = {"accuracy": "accuracy (%)", "confidence": "confidence (%)"}
METRICS |= {"gap": "gap (pp)", "ece": "ECE (%)"}


def over_seeds(smoothing: float, codes: tuple, metric: str) -> float:
    """The mean over seeds and languages, in percentage points, by hand."""
    seeds = [
        mean_by_hand("alpaca-en", smoothing, codes, metric, seed=seed) for seed in SEEDS
    ]
    return 100 * sum(seeds) / len(seeds)


def own_rows(path, **cells: str) -> list[dict[str, str]]:
    """The rows of the model's first SFT set with these cells."""
    return [
        row
        for row in read(path)
        if "alpaca-en" in row["model and SFT set"] and row.items() >= cells.items()
    ]


def test_languages_hold_the_means_over_seeds(made):
    """Of every language and condition; minus signs are those that programs read."""
    for condition, smoothing in (("SFT", 0.0), ("SFT, smoothing 0.1", 0.1)):
        rows = own_rows(made / "languages.csv", condition=condition)
        assert [row["code"] for row in rows] == list(CODES)
        for row in rows:
            for metric, heading in METRICS.items():
                value = over_seeds(smoothing, (row["code"],), metric)
                expected = f"{value:+.1f}" if metric == "gap" else f"{value:.1f}"
                assert row[heading] == expected, (condition, row["code"], metric)


def test_levels_hold_the_means_over_languages(made):
    """With the interval of the mean, the lower end first."""
    means = tables.read(made / "level_means.parquet", "level_means")
    means = tables.where(means, **PLACE, calibrator="none", sft="alpaca-en")
    means = tables.where(means, smoothing=0.0)
    for level, codes in LEVELS.items():
        (row,) = own_rows(made / "levels.csv", condition="SFT", level=level)
        assert row["languages"] == str(len(codes))
        for metric, heading in METRICS.items():
            mean, *ends = map(float, re.findall(r"[-+]?[\d.]+", row[heading]))
            value = over_seeds(0.0, codes, metric)
            assert mean == pytest.approx(value, abs=0.051), (level, metric)
            (own,) = tables.where(means, level=level, metric=metric).to_pylist()
            expected = [100 * own["ci_low"], 100 * own["ci_high"]]
            assert ends == pytest.approx(expected, abs=0.051), (level, metric)
            assert ends[0] < ends[1]


def test_differences_are_after_minus_before(made):
    """Confidence falls with smoothing; the interval's lower end comes first."""
    contrasts = tables.read(made / "contrasts.parquet", "contrasts")
    contrasts = tables.where(contrasts, **PLACE, calibrator="none", reference="sft")
    contrasts = tables.where(contrasts, sft="alpaca-en", smoothing=0.1)
    for level, codes in LEVELS.items():
        (row,) = own_rows(
            made / "differences.csv", comparison="SFT, smoothing 0.1 - SFT", level=level
        )
        for metric in METRICS:
            cell = row[f"{metric} (pp)"]
            value, low, high = (float(each.strip("[],")) for each in cell.split())
            change = over_seeds(0.1, codes, metric) - over_seeds(0.0, codes, metric)
            assert value == pytest.approx(change, abs=0.051), (level, metric)
            (ends,) = tables.where(contrasts, level=level, metric=metric).to_pylist()
            expected = 100 * ends["ci_low"], 100 * ends["ci_high"]
            assert (low, high) == pytest.approx(expected, abs=0.051), (level, metric)
            assert low < high, (level, metric)


def test_claims_hold_the_verdicts_of_the_table(made):
    """Each with its number and interval, the lower end first."""
    rows = read(made / "claims.csv")
    claims = tables.read(made / "claims.parquet", "claims")
    assert len(rows) == len(claims)
    (found,) = [
        row
        for row in rows
        if "alpaca-en" in row["where"] and row["claim"].startswith("SFT raises conf")
    ]
    (own,) = tables.where(claims, claim="confidence", sft="alpaca-en").to_pylist()
    change = over_seeds(0.0, LEVELS["low"], "confidence")
    change -= 100 * mean_by_hand("none", 0.0, LEVELS["low"], "confidence")
    ends = f"[{100 * own['ci_low']:+.1f}, {100 * own['ci_high']:+.1f}]"
    assert found["verdict"] == own["verdict"]
    assert found["numbers"].startswith("holds (confidence ")
    assert f": {change:+.1f} pp {ends}, 95 % interval; adj" in found["numbers"]


def test_every_format_holds_the_same_cells(made):
    """But for how signs are spelt."""
    for name in NAMES:
        rows = read(made / f"{name}.csv")
        lines = (made / f"{name}.md").read_text().splitlines()[4:]
        assert rows, name
        for row, line in zip(rows, lines, strict=True):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            plain = [cell.replace("−", "-") for cell in cells]
            assert [cell.replace("–", "") for cell in plain] == list(row.values())
        body = (made / f"{name}.tex").read_text()
        assert body.count(r" \\") >= len(rows)
        assert r"\toprule" in body
        assert r"\bottomrule" in body


def test_a_csv_file_holds_no_formula_but_numbers():
    """A study names its own languages; an interval is no formula."""
    cells = ["=1+1", "-1+1", "-1 [@A1]", "@x", "\n=1", "–=1"]
    numbers = ["−0.9", "+1.25", "−0.9 [−1.8, +0.1]", "1.5"]
    lines = _csv(pd.DataFrame({"name": cells, "value": [*numbers, "", ""]}), "")
    names, values = zip(*csv.reader(io.StringIO(lines)), strict=True)
    escaped = ["'=1+1", "'-1+1", "'-1 [@A1]", "'@x", "'\n=1", "'=1"]
    assert list(names) == ["name", *escaped]
    plain = ["-0.9", "+1.25", "-0.9 [-1.8, +0.1]", "1.5"]
    assert list(values) == ["value", *plain, "", ""]


def test_names_are_escaped(made):
    """A percent sign would end the line of a table."""
    assert r"50\%\_\&more" in (made / "levels.tex").read_text()
    assert "50%_&more" in (made / "levels.csv").read_text()


def test_a_case_of_a_claim_is_one_line_in_latex():
    """So the claims of a study fit on a page: notes of a decided case are left out."""
    decided = {
        **{"condition": "smoothing 0.1", "kind": "holds", "family": "exploratory"},
        **{"verdict": "holds for this training", "note": "undone by an sd of 1 pp"},
        **{"values": "+30.0 pp → +18.0 pp", "difference": "−12.0 pp"},
        "interval": "[−20.0, −5.0] 95 %",
    }
    unjudged = {"kind": "not judged", "verdict": "not judged", "note": "it has none"}
    unjudged |= dict.fromkeys(("difference", "interval", "values"), "–")
    claim = {"statement": "It falls.", "cases": [decided, decided | unjudged]}
    written = latex.write_claims([("m", [claim])], "t, letters")
    assert "It falls. (exploratory)}" in written
    assert (
        r"smoothing 0.1 & holds for this training & +30.0 $\to$ +18.0 & $-$12.0 pp "
        r"{\tiny [$-$20.0, $-$5.0] 95 \%} \\"
    ) in written
    assert "smoothing 0.1 & not judged: it has none & -- & --" in written


CLASSES = {
    "one column": ("", ""),
    "two columns": ("[twocolumn]", ""),
    "like ACL's": ("[11pt,a4paper,twocolumn]", r"\usepackage[margin=2.5cm]{geometry}"),
}


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no pdflatex")
@pytest.mark.parametrize(("options", "more"), CLASSES.values(), ids=CLASSES)
def test_latex_sets_them_without_an_error_or_a_wide_line(made, tmp_path, options, more):
    """In one column and in two; a long table knows its widths in the third run."""
    inputs = "\n".join(rf"\input{{{made / name}.tex}}" for name in NAMES)
    (tmp_path / "all.tex").write_text(
        f"\\documentclass{options}{{article}}\n\\usepackage{{booktabs,longtable}}\n"
        f"{more}\n\\begin{{document}}\nbefore\n{inputs}\nafter\n\\end{{document}}\n"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    for _ in range(3):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-3000:]
    assert "Overfull" not in done.stdout
    assert "too large" not in done.stdout  # a float that leaves the page loses rows


def test_the_best_values_of_a_level_are_bold_in_latex(made):
    """Accuracy: the largest; ECE: the smallest; the gap nearest to 0; no confidence."""
    texts = (made / "levels.tex").read_text().split(r"\end{table*}")
    (text,) = (text for text in texts if "SFT: alpaca-en" in text)
    lines = text.partition("low resource")[2].splitlines()
    rows = [line.split(" & ") for line in lines[1:4]]
    values = {
        name: [
            100 * mean_by_hand("none", 0.0, LEVELS["low"], name),
            *(over_seeds(smoothing, LEVELS["low"], name) for smoothing in (0.0, 0.1)),
        ]
        for name in METRICS
    }
    wanted = [
        max(range(3), key=values["accuracy"].__getitem__),
        None,
        min(range(3), key=lambda at: abs(values["gap"][at])),
        min(range(3), key=values["ece"].__getitem__),
    ]
    for column, best in enumerate(wanted, start=1):
        bold = [r"\textbf" in row[column] for row in rows]
        assert bold == [index == best for index in range(3)]


def test_the_same_tables_give_the_same_bytes(made, tmp_path):
    """Nothing of a file depends on when it is written."""
    tabulate(tables=made, **PLACE, out=[tmp_path / "levels.tex"])
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
    with pytest.raises(InputError, match=re.escape(words)):
        tabulate(tables=made, **PLACE, out=[tmp_path / "levels.md", tmp_path / name])
    assert list(tmp_path.iterdir()) == []
