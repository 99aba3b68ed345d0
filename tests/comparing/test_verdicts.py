"""Verdicts on made-up contrasts, each at a known distance from 0 and the margin."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from polycal.comparing.claims import CLAIMS, EACH
from polycal.comparing.inference import Noise, p_above
from polycal.comparing.released import NONE_RELEASED, Released
from polycal.comparing.verdicts import Primary, judge

MARGIN, SE = 0.01, 0.001
PRIMARY = Primary("t", "text")


def contrast(
    claim: str,
    estimate: float,
    se: float = SE,
    *,
    before: float = 0.1,
    se_seeds: float = SE / 10,
    bias: float = 0.0,
    **changes: object,
) -> dict:
    """The contrasts row that carries a claim; `level` for a single language."""
    about = CLAIMS[claim]
    noise = Noise(se, se_seeds if se_seeds == se_seeds else 0.0, 1e6)
    after = before + estimate
    return {
        "model": "m",
        "sft": "s",
        "smoothing": 0.0 if about.reference == "base" else 0.1,
        "reference": about.reference,
        "task": "t",
        "level": about.level,
        "scoring": about.scoring or "text",
        "normaliser": "sum" if about.scoring else "token",
        "calibrator": about.calibrator,
        "metric": about.metric,
        "before": before,
        "after": after,
        "estimate": estimate,
        "low": estimate - bias,
        "high": estimate + bias,
        "se_seeds": se_seeds,
        "margin": MARGIN,
        "sim_low": estimate if about.level == EACH else np.nan,
        "p_before": float(p_above(before, noise, 0.0)),
        "p_after": float(p_above(after, noise, 0.0)),
        "p_adjusted": np.nan,
        **{"n_seeds": 2, "n_questions": 500, "n_languages": 1},
        **noise._asdict(),
        **changes,
    }


def judged(
    *rows: dict, primary: Primary = PRIMARY, released: Released = NONE_RELEASED
) -> pd.DataFrame:
    """The rows of the claims that the rows are about."""
    about = {"primary": primary, "alpha": 0.05, "released": released}
    found = judge(pd.DataFrame(rows), **about)[1]
    return found[found["estimate"].notna()].reset_index(drop=True)


def verdicts(*rows: dict) -> list[str]:
    return judged(*rows)["verdict"].tolist()


@pytest.mark.parametrize(
    ("claim", "estimate", "verdict"),
    [
        ("confidence", 0.05, "holds"),
        ("confidence", 0.004, "holds"),  # sure, if less than the margin
        ("confidence", 0.0, "negligible"),
        ("confidence", -0.004, "reversed"),
        ("confidence", -0.05, "reversed"),
        ("confidence", 0.0015, "negligible"),  # it may be 0, but not the margin
        ("accuracy", 0.0, "holds"),
        ("accuracy", 0.0085, "inconclusive"),
        ("accuracy", 0.05, "reversed"),
        ("accuracy", -0.05, "reversed"),
        ("overconfidence", 0.05, "holds"),
        ("overconfidence", -0.05, "reversed"),
        ("calibration", 0.05, "holds"),
        ("calibration", -0.05, "reversed"),
        ("smoothing", -0.05, "holds"),
        ("smoothing", 0.0, "negligible"),
        ("smoothing", 0.05, "reversed"),
        ("smoothed_calibration", -0.05, "holds"),
        ("smoothed_calibration", 0.05, "reversed"),
        ("against_temperature", -0.05, "holds"),
        ("against_temperature", 0.05, "reversed"),
        ("against_temperature_brier", -0.05, "holds"),
        ("against_temperature_brier", 0.05, "reversed"),
        ("against_temperature_brier", 0.0, "negligible"),
        ("beyond_temperature", -0.05, "holds"),
        ("beyond_temperature", 0.05, "reversed"),
        ("beyond_temperature_brier", -0.05, "holds"),
        ("beyond_temperature_brier", 0.05, "reversed"),
        ("cost", 0.05, "holds"),
        ("cost", -0.0085, "inconclusive"),
        ("cost", -0.05, "reversed"),
    ],
)
def test_a_claim_alone(claim, estimate, verdict):
    """Against 0 or against the margin, as docs/statistics.md tells."""
    assert verdicts(contrast(claim, estimate)) == [verdict]


@pytest.mark.parametrize("claim", [name for name in CLAIMS if name != "everywhere"])
def test_few_questions_are_inconclusive(claim):
    """A standard error of five margins decides nothing."""
    assert verdicts(contrast(claim, 0.0, 5 * MARGIN)) == ["inconclusive"]


@pytest.mark.parametrize("side", [1, -1])
def test_holding_and_reversing_take_the_same_evidence(side):
    """Two-sided 5 %: 1.9 standard errors are too few either way, 2 are enough."""
    for errors, decided in ((1.9, False), (2.0, True)):
        (verdict,) = verdicts(contrast("confidence", side * errors * 0.02, 0.02))
        shown = {1: "holds", -1: "reversed"}[side]
        assert verdict == (shown if decided else "inconclusive")


def test_a_bias_that_is_not_known_counts_against_both_directions():
    """From -0.01 to 0.05 the difference may be either."""
    for estimate in (0.02, -0.02):
        assert verdicts(contrast("calibration", estimate, bias=0.03)) == [
            "inconclusive"
        ]
        assert verdicts(contrast("calibration", estimate, bias=0.01)) != [
            "inconclusive"
        ]


def test_the_questions_that_decide_an_ece_shrink_its_bias_too():
    """0.05 with a bias of 0.045: half a point is beyond it, with an error of 0.2.

    (1.96 + 0.84) * 0.002 + 0.045 has to become the 0.0497 that 0.0001 of noise over
    trainings leaves: 500 questions * (0.0506 / 0.0497)^2.
    """
    (row,) = judged(contrast("calibration", 0.05, 0.002, bias=0.045)).to_dict("records")
    assert row["verdict"] == "holds"
    assert row["n_questions_needed"] == 518
    assert row["detectable"] == pytest.approx(0.045 + 2.8016 * 0.0020025, abs=1e-5)


@pytest.mark.parametrize(
    ("claim", "before", "estimate", "verdict", "reason"),
    [
        # Base -24 pp, SFT -4: less under-confident, not over-confident.
        ("overconfidence", -0.24, 0.20, "not judged", "under-confident"),
        # SFT -4, smoothing -24: no over-confidence that smoothing could lower.
        ("smoothing", -0.04, -0.20, "not judged", "under-confident"),
        # No change of a model that is under-confident is no claim's, either.
        ("overconfidence", -0.24, 0.0, "not judged", "under-confident"),
        ("smoothing", -0.24, 0.0, "not judged", "under-confident"),
        ("smoothing", 0.0, 0.0, "negligible", None),
        ("smoothing", 0.04, -0.28, "holds", None),
        ("overconfidence", -0.24, 0.28, "holds", None),
        ("overconfidence", 0.04, -0.28, "reversed", None),
        ("smoothing", -0.24, 0.28, "reversed", None),
        # The larger gap is 0.1 pp, a standard error from 0.
        (
            "overconfidence",
            -0.05,
            0.051,
            "inconclusive",
            "over-confidence is not shown",
        ),
        ("smoothing", 0.001, -0.05, "inconclusive", "over-confidence is not shown"),
    ],
)
def test_over_confidence_has_to_be_there(claim, before, estimate, verdict, reason):
    """The larger of the two gaps is shown above 0, or nothing is said of it."""
    (found,) = judged(contrast(claim, estimate, before=before)).to_dict("records")
    assert found["verdict"] == verdict
    assert (found["before"], found["after"]) == (before, before + estimate)
    assert (reason or "nan") in str(found["reason"] or "nan")
    # More questions about the difference would not show over-confidence.
    if reason == "over-confidence is not shown":
        assert pd.isna(found["n_questions_needed"])
        assert pd.isna(found["n_seeds_needed"])
        assert pd.isna(found["detectable"])


def test_the_tipping_point_is_left_open_where_over_confidence_is_less_sure():
    """A large change from or to a gap just above 0 is undone by little."""
    for claim, estimate, before, is_known in (
        ("smoothing", -0.2, 0.026, False),
        ("smoothing", -0.2, 0.3, True),
        ("overconfidence", 0.2, -0.174, False),
        ("overconfidence", 0.2, 0.1, True),
    ):
        asked = contrast(claim, estimate, before=before, se_seeds=np.nan)
        (found,) = judged(asked).to_dict("records")
        assert found["verdict"] == "holds for this training"
        assert pd.notna(found["tipping_sd"]) == is_known


def test_a_verdict_on_a_released_checkpoint_is_about_it():
    """No training is drawn, so none undoes the verdict; its numbers stay."""
    rows = [
        contrast("confidence", 0.05, se_seeds=np.nan),
        contrast("accuracy", 0.0085, se_seeds=np.nan),
        contrast("calibration", -0.05, se_seeds=np.nan),
    ]
    trained = judged(*rows).set_index("claim")
    released = Released(frozenset({("m", "s")}))
    found = judged(*rows, released=released).set_index("claim")
    assert found["verdict"].to_dict() == {
        "confidence": "holds for this checkpoint",
        "accuracy": "inconclusive",
        "calibration": "reversed for this checkpoint",
    }
    assert "tipping_sd" not in found.dropna(axis=1, how="all")
    same = ["estimate", "ci_low", "ci_high", "p_adjusted", "detectable"]
    assert found[same].equals(trained[same])


def test_a_released_checkpoint_has_no_smoothing_to_judge():
    """The claims are listed, with the reason; those of another SFT set are judged."""
    rows = [contrast("confidence", 0.05), contrast("confidence", 0.05, sft="r")]
    rows += [contrast("smoothing", -0.05)]
    released = Released(frozenset({("m", "r")}))
    primary = {"primary": PRIMARY, "alpha": 0.05}
    found = judge(pd.DataFrame(rows), **primary, released=released)[1]
    own = found[(found["sft"] == "r") & (found["claim"] == "smoothing")]
    assert set(own["verdict"]) == {"not judged"}
    assert own["reason"].str.contains("the checkpoint is released").all()
    other = found[(found["sft"] == "s") & (found["claim"] == "smoothing")]
    assert set(other["verdict"]) == {"holds"}


def test_another_tokenizer_is_not_compared_by_its_tokens():
    """By letters, and in the checkpoint with its base model's tokenizer, it is."""
    how = {"scoring": "letters", "normaliser": "sum"}
    rows = [
        contrast("confidence", 0.05),
        contrast("confidence", 0.05, **how),
        contrast("confidence", 0.05, sft="r"),
    ]
    names = frozenset({("m", "s"), ("m", "r")})
    released = Released(names, frozenset({("m", "s")}))
    primary = {"primary": PRIMARY, "alpha": 0.05}
    found = judge(pd.DataFrame(rows), **primary, released=released)[1]
    found = found[found["claim"] == "confidence"].set_index(["sft", "scoring"])
    verdicts = found["verdict"].to_dict()
    assert verdicts.pop(("s", "text")) == "not judged"
    assert "its tokenizer is not" in found.loc[("s", "text"), "reason"]
    assert verdicts == dict.fromkeys(
        [("s", "letters"), ("r", "text")], "holds for this checkpoint"
    )


def test_one_seed_speaks_of_this_training_only():
    """And the sd over trainings that would undo it stands beside it.

    By hand: 5 pp, and an interval that just reaches 0 with a standard error of
    5 / 1.96 = 2.55 pp, of which 0.1 come from the questions.
    """
    rows = [
        contrast("confidence", 0.05, se_seeds=np.nan),
        contrast("accuracy", 0.004, se_seeds=np.nan),
        contrast("smoothing", 0.0, se_seeds=np.nan),
        contrast("cost", -0.0085, se_seeds=np.nan),
    ]
    found = judged(*rows).set_index("claim")
    assert found["verdict"].to_dict() == {
        "confidence": "holds for this training",
        "accuracy": "holds for this training",
        "smoothing": "negligible for this training",
        "cost": "inconclusive",
    }
    z = stats.norm.isf(0.025)
    sd = found["tipping_sd"]
    assert sd["confidence"] == pytest.approx(np.sqrt((0.05 / z) ** 2 - SE**2))
    assert sd["accuracy"] == pytest.approx(np.sqrt((0.006 / z) ** 2 - SE**2))
    assert sd["smoothing"] == pytest.approx(np.sqrt((0.01 / z) ** 2 - SE**2))
    assert np.isnan(sd["cost"])
    several = judged(contrast("confidence", 0.05))
    assert several["verdict"].tolist() == ["holds"]
    assert "tipping_sd" not in several


def test_one_training_shows_an_effect_that_trainings_do_not_have():
    """No effect on average, an sd over trainings of 1 pp, noise of questions 0.014 pp.

    A rise is shown in about half of the studies, as it was before; the verdict says
    that it is this training's, and the tipping point is below that sd in all but few.
    """
    chance = np.random.default_rng(0)
    rows = [
        contrast("confidence", value, 0.00014, se_seeds=np.nan, task=f"t{number}")
        for number, value in enumerate(chance.normal(0, 0.01, 60))
    ]
    found = judged(*rows)
    shown = found["verdict"].value_counts()
    assert 20 <= shown["holds for this training"] <= 36
    assert (
        shown.filter(like="for this training").sum() + shown.get("inconclusive", 0)
        == 60
    )
    assert (found["tipping_sd"] > 0.01).sum() <= 6  # 5 % of 60, on either side


def test_many_cases_of_a_claim_need_more_evidence():
    """p = 0.03 is enough alone, and not among two; the interval shown is at 97.5 %."""
    row = contrast("confidence", 2.17 * MARGIN, MARGIN, se_seeds=0.0)
    (alone,) = judged(row).to_dict("records")
    assert (alone["verdict"], alone["confidence"]) == ("holds", 0.95)
    assert alone["p_adjusted"] == pytest.approx(0.03, abs=1e-3)
    assert alone["ci_low"] == pytest.approx(0.0217 - 1.959964 * MARGIN)
    other = row | {"model": "n"}
    contrasts, claims = judge(pd.DataFrame([row, other]), primary=PRIMARY, alpha=0.05)
    claims = claims[claims["estimate"].notna()]
    assert claims["verdict"].tolist() == ["inconclusive"] * 2
    assert claims["p_adjusted"].tolist() == pytest.approx([0.06] * 2, abs=2e-3)
    assert claims["confidence"].tolist() == pytest.approx([0.975] * 2)
    assert (claims["ci_low"] < 0).all()  # as the verdict says, where the 95 % would not
    assert contrasts["p_adjusted"].tolist() == claims["p_adjusted"].tolist()


def test_holding_and_reversing_share_the_level_of_a_family():
    """p = 0.03 for a claim and 0.04 against another: 0.025 is asked of the first."""
    for_claim, against = (-stats.norm.ppf(p / 2) * 0.02 for p in (0.03, 0.04))
    one = contrast("confidence", for_claim, 0.02, se_seeds=0.0)
    other = contrast("confidence", -against, 0.02, se_seeds=0.0, model="n")
    assert verdicts(one) == ["holds"]
    assert verdicts(other) == ["reversed"]
    assert verdicts(one, other) == ["inconclusive"] * 2
    surer = contrast("confidence", 2.3 * 0.02, 0.02, se_seeds=0.0)
    assert verdicts(surer, other) == ["holds", "reversed"]


def test_unrelated_claims_tasks_and_scorings_cost_nothing():
    """They are families of their own, and exploratory."""
    row = contrast("confidence", 2.17 * MARGIN, MARGIN)
    others = [
        row | {"task": "u"},
        row | {"scoring": "letters", "normaliser": "sum"},
        contrast("smoothing", 0.0, MARGIN),
    ]
    found = judged(row, *others)
    first = found[(found["claim"] == "confidence") & (found["task"] == "t")]
    first = first.set_index("scoring")
    assert first["verdict"].tolist() == ["holds", "holds"]
    assert first["family"].to_dict() == {"text": "primary", "letters": "exploratory"}
    assert found.query("task == 'u'")["family"].tolist() == ["exploratory"]
    chosen = judged(row, *others, primary=Primary("u", "text"))
    primary = chosen[chosen["family"] == "primary"]
    assert primary["task"].tolist() == ["u"]
    # By default the first of each; the vocabulary claim has one scoring only.
    default = judged(row, *others, contrast("vocabulary", 0.0), primary=Primary())
    primary = default[default["family"] == "primary"]
    assert set(
        zip(primary["claim"], primary["task"], primary["scoring"], strict=True)
    ) == {
        ("confidence", "t", "letters"),
        ("vocabulary", "t", "letters"),
    }


@pytest.mark.parametrize(
    ("estimates", "decisive", "verdict"),
    [
        ([-0.05, -0.03, -0.04], "l1", "holds"),
        ([-0.05, 0.03, 0.02], "l1", "reversed"),
        ([-0.05, -0.0085, -0.04], "l1", "holds"),
        (
            [-0.05, -0.0015, -0.04],
            "l1",
            "inconclusive",
        ),  # less than the margin falls, too
        ([-0.05, 0.0015, -0.04], "l1", "inconclusive"),
        ([0.0002, -0.0002, 0.0011], "l2", "negligible"),
    ],
)
def test_every_language_counts(estimates, decisive, verdict):
    """The row is that of the language that decided, or speaks most against it."""
    rows = [
        contrast("everywhere", value, level=f"l{number}")
        for number, value in enumerate(estimates)
    ]
    assert judged(*rows)[["claim", "level", "verdict"]].to_numpy().tolist() == [
        ["everywhere", decisive, verdict]
    ]


@pytest.mark.parametrize(("others", "verdict"), [(1, "reversed"), (2, "inconclusive")])
def test_one_language_of_many_may_move_the_other_way_by_chance(others, verdict):
    """p = .02 in one language: .04 of two languages, .06 of three.

    The interval that is shown is at that level.
    """
    se = 0.006
    against = contrast("everywhere", 2.3263 * se, se, level="l0", se_seeds=0.0)
    rest = [contrast("everywhere", -0.05, level=f"l{n}") for n in range(1, others + 1)]
    (found,) = judged(against, *rest).to_dict("records")
    assert (found["level"], found["verdict"]) == ("l0", verdict)
    assert (found["ci_low"] > 0) == (verdict == "reversed")
    if verdict == "reversed":
        assert found["confidence"] == pytest.approx(0.975)


@pytest.mark.parametrize(
    ("estimates", "verdict", "errors"),
    [
        ((-0.05, -0.05), "holds", 1.959964 + 1.250421),  # both: 0.8944 = 0.8^(1/2) each
        ((0.0, 0.0), "negligible", 1.959964 + 1.250421),  # both, too
        ((-0.05, 0.05), "reversed", 2.241403 + 0.841621),  # one, at 2.5 %
        ((-0.05,), "holds", 1.959964 + 0.841621),
    ],
)
def test_what_every_language_has_to_show_needs_more(estimates, verdict, errors):
    """The power is that of the claim, not that of one of its languages."""
    rows = [
        contrast("everywhere", value, level=f"l{number}", se_seeds=0.0)
        for number, value in enumerate(estimates)
    ]
    (found,) = judged(*rows).to_dict("records")
    assert found["verdict"] == verdict
    assert found["detectable"] == pytest.approx(errors * SE, rel=1e-5)


def test_a_claim_that_falls_everywhere_is_never_reversed():
    """All of 42 languages fall by 0.2 to 2.3 pp, with questions' noise of 0.5 pp."""
    chance = np.random.default_rng(0)
    truth = -np.linspace(0.002, 0.023, 42)
    verdict = []
    for _ in range(40):
        rows = [
            contrast("everywhere", value, 0.005, level=f"l{n}", se_seeds=0.0)
            for n, value in enumerate(truth + 0.005 * chance.normal(size=42))
        ]
        verdict += verdicts(*rows)
    assert verdict.count("reversed") <= 1
    assert verdict.count("holds") <= 1  # 0.2 pp cannot be shown


def test_only_the_headline_reading_is_judged():
    """Other normalisers and calibrated probabilities are described, not tested."""
    row = contrast("confidence", 0.05)
    others = [row | {"normaliser": "sum"}, row | {"calibrator": "ts_en"}]
    frame = pd.DataFrame([row, *others])
    contrasts, claims = judge(frame, primary=PRIMARY, alpha=0.05)
    assert claims["estimate"].notna().sum() == 1
    assert contrasts["p_adjusted"].notna().tolist() == [True, False, False]


def test_a_claim_that_cannot_be_judged_says_why():
    """No language of the level, no smoothing, no other model: all are listed."""
    row = contrast("confidence", 0.05, level="high")
    claims = judge(pd.DataFrame([row]), primary=PRIMARY, alpha=0.05)[1]
    reasons = claims.set_index("claim")["reason"]
    assert set(claims["verdict"]) == {"not judged"}
    assert claims["level"].tolist() == [claim.level for claim in CLAIMS.values()]
    assert reasons.index.tolist() == list(CLAIMS)  # each once
    assert set(claims["family"]) == {"primary"}
    assert reasons["vocabulary"] == "it is judged by letters only"
    assert reasons["confidence"] == "the study has no low-resource language"
    assert reasons["smoothing"] == "the study has no label smoothing with its plain SFT"
    assert claims["smoothing"].isna().sum() == 9
    no_smoothing = "the study has no label smoothing with its plain SFT, or no English "
    no_smoothing += "to fit the temperature on"
    assert reasons["against_temperature"] == no_smoothing
    assert reasons["beyond_temperature"] == no_smoothing
    assert reasons["calibration"] == "the study has no plain SFT with its base model"
    lettered = row | {"scoring": "letters", "normaliser": "sum"}
    claims = judge(pd.DataFrame([lettered]), primary=PRIMARY, alpha=0.05)[1]
    (reason,) = claims.query("claim == 'vocabulary'")["reason"]
    assert reason.startswith("it compares the model with the largest vocabulary")
    # Where letters are judged, texts do not tell it again.
    claims = judge(pd.DataFrame([row, lettered]), primary=PRIMARY, alpha=0.05)[1]
    (reason,) = claims.query("claim == 'vocabulary'")["reason"]
    assert reason.startswith("it compares the model with the largest vocabulary")


@pytest.mark.parametrize("sft", ["none", "s"])
def test_a_model_that_answers_one_letter_decides_no_claim(sft):
    """119 of 120 questions are answered by A: its confidence says nothing."""
    rows = pd.DataFrame([contrast("confidence", 0.05), contrast("smoothing", -0.05)])
    for share, verdict in ((119 / 120, "not judged"), (0.5, "holds")):
        shares = {
            ("m", sft, 0.0, "t", "text", level): share for level in ("low", "all")
        }
        _, claims = judge(rows, primary=PRIMARY, alpha=0.05, letter_shares=shares)
        found = claims.set_index("claim")
        assert found.loc["confidence", "verdict"] == verdict
        if verdict == "not judged":
            name = "the base model" if sft == "none" else "SFT, smoothing 0"
            assert found.loc["confidence", "reason"].startswith(
                f"{name} answers at one position (A, B, ...) in 99 % of"
            )
        # The base model's letters are no reason against smoothing and plain SFT.
        other = "holds" if sft == "none" else verdict
        assert found.loc["smoothing", "verdict"] == other


@pytest.mark.parametrize(
    ("level", "untold", "reason"),
    [
        ("low", ["confidence"], "99 % of the questions of the low-resource languages"),
        ("high", [], ""),
        ("sw", ["everywhere"], "99 % of the questions of Swahili"),
        ("all", ["smoothing"], "99 % of the questions"),
    ],
)
def test_one_letter_counts_where_the_claim_is(level, untold, reason):
    """Elsewhere it is 50 %; a mean over all languages would say 75 %."""
    levels = ("low", "high", "all", "de", "sw")
    shares = {
        ("m", "s", 0.0, "t", "text", each): 0.99 if each == level else 0.5
        for each in levels
    }
    rows = pd.DataFrame(
        [
            contrast("confidence", 0.05),
            contrast("smoothing", -0.05),
            contrast("everywhere", -0.05, level="de"),
            contrast("everywhere", -0.05, level="sw"),
        ]
    )
    _, claims = judge(rows, primary=PRIMARY, alpha=0.05, letter_shares=shares)
    claims = claims.set_index("claim").loc[["confidence", "smoothing", "everywhere"]]
    assert claims.index[claims["verdict"] == "not judged"].tolist() == untold
    assert claims["reason"].dropna().str.endswith(reason).tolist() == [True] * len(
        untold
    )
