"""Each verdict stands in the row and the column that it belongs to."""

import numpy as np
import pandas as pd

from polycal.comparing.claims import CLAIMS
from polycal.reporting.claims_tables import (
    add_seeds,
    arrange_claims,
    find_conflicts,
    list_claims,
)


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
        **{"n_seeds_needed": None, "n_seeds": 3},
        **changes,
    }


def frame(*rows: dict) -> pd.DataFrame:
    numbers = ("tipping_sd", "n_questions_needed", "n_seeds_needed")
    return pd.DataFrame(rows).astype(dict.fromkeys(numbers, float))


def test_a_chip_stands_where_its_claim_and_its_condition_meet():
    """One model: a claim about SFT has no smoothing, others one column for each."""
    matrix = arrange_claims(
        frame(
            row("It rises.", "t", 0.0, estimate=0.05, verdict="reversed"),
            row("It falls.", "t", 0.1),
            row("It falls.", "t", 0.2, estimate=-0.031, verdict="inconclusive"),
        )
    )
    assert matrix["columns"] == ["SFT", "smoothing 0.1", "smoothing 0.2"]
    assert not matrix["compact"]
    rises, falls = matrix["rows"]
    assert (rises["statement"], falls["statement"]) == ("It rises.", "It falls.")
    (chip,), *nothing = rises["cells"]
    assert (chip["mark"], chip["short"]) == ("✗", "+5.0 pp")
    assert nothing == [[], []]
    empty, (first,), (second,) = falls["cells"]
    assert empty == []
    assert [
        (each["text"][:13], each["mark"], each["short"]) for each in (first, second)
    ] == [
        ("smoothing 0.1", "✓", "\N{MINUS SIGN}12.0 pp"),
        ("smoothing 0.2", "?", "\N{MINUS SIGN}3.1 pp"),
    ]
    start = "smoothing 0.1: holds (gap +30.0 pp"
    assert first["text"].startswith(start)
    marks = {"✓": "holds", "✗": "reversed", "?": "inconclusive"}
    assert dict(matrix["marks"]) == marks


def test_an_opposite_verdict_under_another_scoring_is_told():
    """One of the same task and smoothing that is decided in both scorings."""
    rows = frame(
        row("It falls.", "t", 0.1),
        row("It falls.", "t", 0.1, scoring="text", verdict="reversed"),
        row("It stays.", "t", 0.1, verdict="inconclusive"),
        row("It stays.", "t", 0.1, scoring="text", verdict="reversed"),
        row("It rises.", "t", 0.2, verdict="reversed"),
        row("It rises.", "t", 0.1, scoring="text"),
        row("It falls.", "u", 0.1, scoring="text"),
    )
    told = "Scored by text, the verdict is the opposite: “It falls.”"
    assert find_conflicts(rows, "t", "letters") == [told]
    assert find_conflicts(rows, "u", "text") == []


def test_several_models_have_columns_of_their_own():
    """Model and SFT set stand in the heading; the smoothing values share a cell."""
    rows = [row("It.", "t", value) for value in (0.1, 0.2)]
    matrix = arrange_claims(frame(*rows, row("It.", "t", 0.1, model="n")))
    assert matrix["columns"] == ["s", "s"]
    assert matrix["models"] == {"m": 1, "n": 1}
    assert matrix["compact"]
    both, one = matrix["rows"][0]["cells"]
    assert matrix["smoothing"] == "0.1 and 0.2"
    named = [chip["text"].partition(": holds")[0] for chip in both]
    assert named == ["m, SFT: s, smoothing 0.1", "m, SFT: s, smoothing 0.2"]
    assert len(one) == 1
    assert one[0]["text"].startswith("n, SFT: s, smoothing 0.1: holds (")


def test_a_claim_that_is_judged_nowhere_takes_no_row():
    """It is counted; all of them leave none."""
    unjudged = {"verdict": "not judged", "reason": "it is released"}
    unjudged |= dict.fromkeys(("estimate", "before", "after"), float("nan"))
    rows = [row("It falls.", "t", 0.0) | unjudged]
    matrix = arrange_claims(frame(*rows, row("It rises.", "t", 0.0)))
    assert [line["statement"] for line in matrix["rows"]] == ["It rises."]
    assert matrix["unjudged"] == 1
    assert dict(matrix["marks"]) == {"✓": "holds"}
    assert arrange_claims(frame(*rows))["rows"] == []
    # Where another case is judged, the sign of this one stands without a number.
    other = row("It falls.", "t", 0.0, model="n")
    (line,) = arrange_claims(frame(*rows, other))["rows"]
    assert [chip["short"] for (chip,) in line["cells"]] == ["", "−12.0 pp"]


def test_a_listed_case_has_what_was_seen_and_what_could_be():
    """Questions are needed only where the case is open."""
    open_case = {"verdict": "inconclusive", "n_questions_needed": 12345.0}
    open_case["n_seeds_needed"] = 5.0
    held = {"verdict": "holds for this training", "n_questions_needed": 12345.0}
    (claim,) = list_claims(
        frame(row("It.", "t", 0.1) | open_case, row("It.", "t", 0.2) | held)
    )
    first, second = claim["cases"]
    assert first == {
        **{"mark": "?", "kind": "inconclusive", "verdict": "inconclusive"},
        **{"where": "t, letters, smoothing 0.1", "note": ""},
        **{"condition": "smoothing 0.1", "family": "primary"},
        **{"values": "+30.0 pp → +18.0 pp", "difference": "−12.0 pp"},
        **{
            "interval": "[−20.0, −5.0] 95 %",
            "least": "10.0 pp",
            "needed": "12,345 questions or 5 seeds",
        },
    }
    assert (second["verdict"], second["needed"]) == ("holds for this training", "–")


def test_a_claim_that_is_judged_nowhere_is_listed_once():
    """Another reason, or a verdict in one of the cases, keeps them all."""
    reason = {"verdict": "not judged", "reason": "it has none"}
    rows = [row("It.", task, 0.1) | reason for task in "tu"]
    ((case,),) = [claim["cases"] for claim in list_claims(frame(*rows))]
    assert (case["where"], case["note"], case["least"]) == (
        "in every case",
        "it has none",
        "–",
    )
    for other in ({"reason": "it has another"}, {"verdict": "holds"}):
        (claim,) = list_claims(frame(rows[0], rows[1] | other))
        assert len(claim["cases"]) == 2


def test_each_seed_is_told_beside_the_difference_that_decided():
    """That of the claim's own reference, level and metric; a single seed is not."""
    claims = frame(row("It.", "t", 0.1, normaliser="sum"))
    reference = CLAIMS["smoothing"].reference
    place = {"model": "m", "sft": "s", "smoothing": 0.1, "task": "t", "level": "all"}
    place |= {"scoring": "letters", "normaliser": "sum", "calibrator": "none"}
    own = {**place, "reference": reference, "metric": "gap", "by_seed": [-0.2, 0.012]}
    others = [{"reference": "base"}, {"level": "low"}, {"metric": "ece"}]
    others.append({"calibrator": "ts_en"})
    rows = [own | other | {"by_seed": [9.0, 9.0]} for other in others]
    contrasts = pd.DataFrame([*rows, own])
    contrasts["by_seed"] = contrasts["by_seed"].map(np.array)
    ((case,),) = [each["cases"] for each in list_claims(add_seeds(claims, contrasts))]
    assert case["note"] == "by seed \N{MINUS SIGN}20.0, +1.2"
    contrasts["by_seed"] = contrasts["by_seed"].map(lambda seeds: seeds[:1])
    ((case,),) = [each["cases"] for each in list_claims(add_seeds(claims, contrasts))]
    assert case["note"] == ""
