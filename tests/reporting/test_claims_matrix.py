"""The claims matrix has each verdict in the row and the column that it belongs to."""

import pandas as pd

from polycal.reporting.claims_matrix import arrange_claims


def row(statement: str, task: str, smoothing: float, **changes: object) -> dict:
    return {
        **{"claim": "smoothing", "statement": statement, "model": "m", "sft": "s"},
        **{"family": "primary", "margin": 0.01, "reason": None, "task": task},
        **{"scoring": "letters"},
        **{"smoothing": smoothing, "level": "all", "metric": "gap"},
        **{"estimate": -0.12, "p_adjusted": 0.01, "verdict": "holds"},
        **{"ci_low": -0.2, "ci_high": -0.05, "before": 0.3, "after": 0.18},
        **{"confidence": 0.95, "tipping_sd": None, "detectable": 0.1},
        **{"n_questions_needed": None, "lr": 0.1, "lr_reference": 0.1},
        **{"n_seeds_needed": None},
        **changes,
    }


def arrange(*rows: dict) -> dict:
    return arrange_claims(
        pd.DataFrame(rows).astype(
            dict.fromkeys(("tipping_sd", "n_questions_needed", "n_seeds_needed"), float)
        )
    )


def test_a_chip_stands_where_its_claim_and_its_task_meet():
    """A claim is missing for one task; two smoothing values share a cell."""
    reason = {"verdict": "not judged", "reason": "no language", "smoothing": None}
    matrix = arrange(
        row("It rises.", "t", 0.0, estimate=0.05, verdict="reversed"),
        row("It falls.", "t", 0.1),
        row("It falls.", "t", 0.2, estimate=-0.031, verdict="inconclusive"),
        row("It falls.", "u", 0.0) | reason,
    )
    assert matrix["columns"] == ["t, letters", "u, letters"]
    rises, falls = matrix["rows"]
    assert (rises["statement"], falls["statement"]) == ("It rises.", "It falls.")
    (chip,), nothing = rises["cells"]
    assert (chip["mark"], chip["short"], chip["smoothing"]) == ("✗", "+5.0 pp", "")
    assert nothing == []
    both, (unjudged,) = falls["cells"]
    assert [(each["smoothing"], each["mark"], each["short"]) for each in both] == [
        ("0.1", "✓", "\N{MINUS SIGN}12.0 pp"),
        ("0.2", "?", "\N{MINUS SIGN}3.1 pp"),
    ]
    assert (unjudged["mark"], unjudged["short"]) == ("–", "")
    assert "no language" in unjudged["text"]
    assert both[0]["text"].startswith("t, letters, smoothing 0.1: holds (gap +30.0 pp")
    assert dict(matrix["marks"]) == {
        **{"✓": "holds", "✗": "reversed", "?": "inconclusive", "–": "not judged"}
    }


def test_several_models_have_columns_of_their_own():
    """Model and SFT set stand in the heading, in the order of the table."""
    matrix = arrange(row("It.", "t", 0.1), row("It.", "t", 0.1, model="n"))
    assert matrix["columns"] == ["t, letters, m, SFT: s", "t, letters, n, SFT: s"]
    assert [len(cell) for cell in matrix["rows"][0]["cells"]] == [1, 1]


def test_a_claim_that_is_judged_nowhere_takes_no_row():
    """It is counted, and in the list below the matrix; all of them leave none."""
    unjudged = {"verdict": "not judged", "reason": "it is released"}
    rows = [row("It falls.", task, 0.0) | unjudged for task in "tu"]
    matrix = arrange(*rows, row("It rises.", "t", 0.0))
    assert [line["statement"] for line in matrix["rows"]] == ["It rises."]
    assert matrix["columns"] == ["t, letters"]
    assert matrix["unjudged"] == 1
    assert dict(matrix["marks"]) == {"✓": "holds"}
    assert arrange(*rows)["rows"] == []
