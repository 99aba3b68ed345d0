"""From predictions with a known truth to contrasts and verdicts."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy.stats import norm

from polycal import calibration
from polycal.comparing import contrasts
from polycal.comparing.aggregate import aggregate
from polycal.comparing.contrasts import (
    _Facts,
    _letter_shares,
    _pooled_effects,
    contrast,
)
from polycal.comparing.pairing import Comparison
from polycal.comparing.replicates import MeasuredRun, MetricKey, RunMetric
from polycal.errors import InputError
from polycal.measuring.measure import measure
from polycal.storage import tables
from polycal.storage.provenance import digest_facts

LANGUAGES = {"de": "high", "en": "high", "sn": "low", "sw": "low"}
N = 500
BASE = ("none", 0.0, 0)


def make_answers(*, sharpness: float, learned: float = 0.0) -> dict[str, np.ndarray]:
    """Scores [N, 4] per language of one model; the right option is always the first.

    With sharpness 1 and nothing learned the answers are exactly as often right as they
    claim to be. All models share the questions and what they find hard.

    Args:
        sharpness: what the scores are multiplied by.
        learned: added to the right option's score.
    """
    scores = {}
    for number, language in enumerate(LANGUAGES):
        noise = np.random.default_rng(number)
        own = noise.normal(size=(N, 4)) * 1.2
        probs = calibration.probabilities(own)
        right = (noise.random((N, 1)) > probs.cumsum(axis=1)).sum(axis=1)
        order = (np.arange(4) + right[:, None]) % 4  # the right one comes first
        own = np.take_along_axis(own, order, axis=1)
        own[:, 0] += learned
        scores[language] = own * sharpness
    return scores


def save_run(
    folder: Path,
    run: tuple,
    answers: dict[str, np.ndarray],
    *,
    model: str = "m",
    task: str = "t",
    **options: object,
) -> dict:
    """Predictions of a run, and what is measured of them."""
    sft, smoothing, seed = run
    place = {"model": model, "sft": sft, "smoothing": smoothing, "seed": seed}
    place |= {"task": task, "scoring": "letters", "gold": 0, "log_mass": None}
    place |= {"n_tokens": [1] * 4, "n_bytes": [1] * 4, "truncated": False}
    place |= dict.fromkeys(("subject", "category", "culture"))
    rows = [
        place | {"language": code, "question_id": str(i), "logprobs": values.tolist()}
        for code, own in answers.items()
        for i, values in enumerate(own - own.max())  # log-likelihoods are below 0
    ]
    folder.mkdir()
    origin = dict.fromkeys(answers, "a file")
    table = pa.Table.from_pylist(rows, tables.SCHEMAS["predictions"])
    tables.write(table, folder / "p.parquet", "predictions", questions=origin)
    check = {"kind": "check", "task": task, "policy": "own", "digest": None}
    check |= {"n_all": N, "n_common": None}
    check |= {"languages": {code: {"questions": "a file"} for code in answers}}
    check |= {"test": {"missing": [], "differing": []}}
    (folder / "c.json").write_text(json.dumps(check | {"content": digest_facts(check)}))
    kinds = ("metrics", "reliability", "replicates")
    paths = {kind: folder / f"{kind}.parquet" for kind in kinds}
    measure(
        predictions=[folder / "p.parquet"],
        check=folder / "c.json",
        n_replicates=200,
        seed=0,
        confidence=0.95,
        **paths,
        **options,
    )
    return paths


def finish(
    folder: Path,
    measured: dict[tuple, dict],
    *,
    languages: Iterable[str] = LANGUAGES,
    tasks: Iterable[str] = ("t",),
    **more: object,
) -> dict[str, pd.DataFrame]:
    """The study's contrasts and claims, read back."""
    files = list(measured.values())
    aggregate(
        metrics=[each["metrics"] for each in files],
        reliability=[each["reliability"] for each in files],
        keep=[f"{task}={'+'.join(languages)}" for task in tasks],
        out=folder,
    )
    contrast(
        metrics=folder / "metrics.parquet",
        replicates=[each["replicates"] for each in files],
        margin=0.02,
        confidence=0.95,
        out=folder,
        **more,
    )
    return {
        kind: tables.read(folder / f"{kind}.parquet", kind).to_pandas()
        for kind in ("contrasts", "claims")
    }


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Two SFT sets after one base model, each measured by itself.

    `bold` answers as the base model, but far too confidently, and smoothing undoes
    most of that; `taught` learns but grows doubtful, and smoothing makes it forget and
    boast.
    """
    folder = tmp_path_factory.mktemp("measured")
    models = {
        BASE: make_answers(sharpness=1),
        ("bold", 0.0, 0): make_answers(sharpness=3),
        ("bold", 0.1, 0): make_answers(sharpness=1.3),
        ("taught", 0.0, 0): make_answers(sharpness=0.4, learned=1),
        ("taught", 0.1, 0): make_answers(sharpness=4, learned=-1),
        ("bold", 0.0, 1): make_answers(sharpness=3.02),
        ("bold", 0.1, 1): make_answers(sharpness=1.29),
    }
    return {
        run: save_run(folder / str(number), run, answers)
        for number, (run, answers) in enumerate(models.items())
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the tables of `study` are."""
    return tmp_path_factory.mktemp("study")


@pytest.fixture(scope="module")
def study(measured, folder):
    return finish(folder, measured)


def verdicts(claims: pd.DataFrame, sft: str) -> dict[str, str]:
    own = claims[claims["sft"] == sft]
    assert not own["claim"].duplicated().any()
    return dict(zip(own["claim"], own["verdict"], strict=True))


def test_what_the_paper_claims_is_found_where_it_is_true(study):
    """Confidence rises, accuracy stays; smoothing undoes it at no cost."""
    assert verdicts(study["claims"], "bold") == {
        "confidence": "holds",
        "accuracy": "holds",
        "overconfidence": "holds",
        "calibration": "holds",
        "smoothing": "holds",
        "everywhere": "holds",
        "smoothed_calibration": "holds",
        "vocabulary": "not judged",
        "cost": "holds",
        # Both SFTs sharpen the same scores, so a temperature makes them alike.
        "against_temperature": "inconclusive",
        "against_temperature_brier": "negligible",
        "beyond_temperature": "inconclusive",
        "beyond_temperature_brier": "negligible",
    }


def test_smoothing_is_compared_with_a_temperature_fitted_on_english(study, measured):
    """Raw smoothing against scaled plain SFT, by hand; nothing else is mixed.

    A temperature undoes all of SFT's sharpening and smoothing most of it, so smoothing
    is left with more over-confidence.
    """
    row = one(
        study["contrasts"], sft="bold", reference="scaled", level="sw", metric="nll"
    )
    values = []
    for smoothing, calibrator in ((0.0, "ts_en"), (0.1, "none")):
        for seed in (0, 1):
            table = tables.read(measured["bold", smoothing, seed]["metrics"], "metrics")
            own = tables.where(table, language="sw", metric="nll", subset="all")
            own = tables.where(own, calibrator=calibrator)
            values.append(own["value"][0].as_py())
    assert row["before"] == pytest.approx(np.mean(values[:2]))
    assert row["after"] == pytest.approx(np.mean(values[2:]))
    assert row["after"] > row["before"]
    scaled = study["contrasts"].query("reference == 'scaled'")
    assert set(scaled["smoothing"]) == {0.1}
    assert set(scaled["calibrator"]) == {"none"}
    gap = one(scaled, sft="bold", level="all", metric="gap")
    assert gap["ci_low"] > 0


def test_without_english_there_is_no_temperature_to_compare_with(measured, tmp_path):
    """The claims stay in the table, with the reason."""
    runs = [run for run in measured if run[0] != "taught"]
    foreign = {
        run: save_run(
            tmp_path / str(number),
            run,
            {"de": make_answers(sharpness=1 + number)["de"]},
        )
        for number, run in enumerate(runs)
    }
    rows = finish(tmp_path, foreign, languages=["de"])["claims"]
    rows = rows[rows["claim"].str.contains("temperature")]
    assert len(rows) == 4
    assert set(rows["verdict"]) == {"not judged"}
    assert rows["reason"].str.contains("no English to fit the temperature on").all()


def test_a_model_that_smoothing_helps_less_is_found(measured, study, tmp_path):
    """With the larger vocabulary; the contrasts stay those within the models."""
    answers = {
        BASE: make_answers(sharpness=1),
        ("bold", 0.0, 0): make_answers(sharpness=3),
        ("bold", 0.1, 0): make_answers(sharpness=2.8),
    }
    wide = {
        ("wide", *run): save_run(tmp_path / str(number), run, own, model="wide")
        for number, (run, own) in enumerate(answers.items())
    }
    sizes = [
        {"model": model, "sft": "none", "vocabulary": n}
        for model, n in (("m", 32), ("wide", 256))
    ]
    table = pa.Table.from_pylist(sizes, tables.SCHEMAS["runs"])
    tables.write(table, tmp_path / "runs.parquet", "runs")
    one_seed = {run: paths for run, paths in measured.items() if not run[-1]}
    both = finish(tmp_path, one_seed | wide, runs=tmp_path / "runs.parquet")
    rows = both["claims"].query("claim == 'vocabulary' and estimate.notna()")
    (row,) = rows.to_dict("records")
    assert (row["model"], row["sft"]) == ("wide", "bold")
    assert row["verdict"] == "holds for this training"
    gaps = both["contrasts"].query("metric == 'gap' and level == 'all'")
    gaps = gaps.query("reference == 'sft' and sft == 'bold' and calibrator == 'none'")
    gaps = gaps.set_index("model")
    kept = gaps.loc["m", "after"] / gaps.loc["m", "before"]
    assert row["before"] == pytest.approx(gaps.loc["wide", "before"] * kept)
    assert row["after"] == pytest.approx(gaps.loc["wide", "after"])
    assert row["estimate"] == pytest.approx(row["after"] - row["before"])
    assert set(both["contrasts"]["reference"]) == {"base", "sft", "scaled"}
    alone = study["claims"].query("claim == 'vocabulary'")
    assert set(alone["verdict"]) == {"not judged"}


def test_and_is_denied_where_it_is_not(study):
    """Confidence falls, accuracy rises; smoothing makes it boast and forget.

    SFT has one seed there: it turns slight over-confidence into under-confidence, which
    is another calibration error and no over-confidence.
    """
    found = verdicts(study["claims"], "taught")
    reversed_ = {name for name, own in found.items() if own.startswith("reversed")}
    assert reversed_ == {
        *("confidence", "accuracy", "smoothing", "everywhere"),
        *("smoothed_calibration", "cost", "beyond_temperature_brier"),
        *("against_temperature", "against_temperature_brier"),
    }
    assert {found[name] for name in reversed_} == {"reversed for this training"}
    assert found["calibration"] == "holds for this training"
    assert found["overconfidence"] == "inconclusive"
    own = study["claims"].query("sft == 'taught' and verdict.str.contains('training')")
    assert (own["tipping_sd"].dropna() > 0).all()
    # Over-confidence has a noise of its own, which may undo a verdict earlier.
    assert own.query("metric != 'gap'")["tipping_sd"].notna().all()
    assert study["claims"].query("sft == 'bold'")["tipping_sd"].isna().all()


def test_the_bias_of_ece_is_no_finding(measured, study):
    """Where both models are calibrated, wider confidences show a larger ECE.

    The interval reaches over what that may be, on each side what a calibrated model
    would show.
    """
    place = {"sft": "taught", "smoothing": 0.0, "reference": "base", "metric": "ece"}
    row = one(study["contrasts"], **place, level="sw")
    half = 1.959964 * row["se"]
    bounds = []
    for run in (BASE, ("taught", 0.0, 0)):
        table = tables.read(measured[run]["metrics"], "metrics").to_pandas()
        kept = (table["language"] == "sw") & (table["calibrator"] == "none")
        own = table[kept & (table["subset"] == "all")].set_index("metric")
        null = own.loc["ece", "null_mean"]
        gap, se = abs(own.loc["gap", "value"]), own.loc["gap", "se"]
        # The cross-fitted gap, not the observed one.
        known = gap * (2 * norm.cdf(gap / se) - 1) - 2 * se * norm.pdf(gap / se)
        bounds.append(min(null, own.loc["ece", "value"] - known))
    # All bins of the doubtful model err to one side, so its ECE is its |gap|.
    assert bounds[0] > 0.03
    assert bounds[1] == pytest.approx(0, abs=1e-9)
    assert row["ci_low"] == pytest.approx(row["estimate"] - bounds[1] - half, abs=1e-6)
    assert row["ci_high"] == pytest.approx(row["estimate"] + bounds[0] + half, abs=1e-6)


def one(frame: pd.DataFrame, **values: object) -> pd.Series:
    for name, value in ({"calibrator": "none"} | values).items():
        frame = frame[frame[name] == value]
    assert len(frame) == 1
    return frame.iloc[0]


def test_a_difference_is_that_of_the_metrics_and_paired(study, measured):
    """The estimate by hand; the same choices move accuracy by exactly nothing."""
    place = {"sft": "taught", "smoothing": 0.0, "reference": "base", "level": "sw"}
    row = one(study["contrasts"], **place, metric="accuracy")
    values = []
    for run in (BASE, ("taught", 0.0, 0)):
        table = tables.read(measured[run]["metrics"], "metrics")
        found = tables.where(table, language="sw", metric="accuracy", subset="all")
        values.append(tables.where(found, calibrator="none")["value"][0].as_py())
    assert row["estimate"] == pytest.approx(values[1] - values[0])
    assert row["sim_low"] < row["ci_low"] < row["estimate"] < row["ci_high"]
    assert (row["verdict"], row["n_seeds"], row["n_languages"]) == ("increase", 1, 1)
    assert np.isnan(row["sd_seeds"])

    place |= {"sft": "bold", "metric": "accuracy"}
    row = one(study["contrasts"], **place)
    assert (row["estimate"], row["p_value"]) == (0, 1)
    assert row["verdict"] == "equivalent"


def test_levels_are_means_over_languages(study):
    """High, low, all; nothing is said of a level without a language."""
    place = {"sft": "bold", "smoothing": 0.0, "reference": "base", "metric": "gap"}
    rows = study["contrasts"]
    assert set(rows["level"]) == {*LANGUAGES, "high", "low", "all"}
    by_code = {code: one(rows, **place, level=code)["estimate"] for code in LANGUAGES}
    for level in ("high", "low", "all"):
        row = one(rows, **place, level=level)
        held = [
            by_code[code] for code, own in LANGUAGES.items() if level in (own, "all")
        ]
        assert row["estimate"] == pytest.approx(np.mean(held))
        assert row["n_languages"] == len(held)
        assert np.isnan(row["sim_low"])


def test_seeds_are_paired_and_add_their_own_noise(study):
    """Smoothing against plain SFT of the same seed; sd of the seeds' differences."""
    place = {"sft": "bold", "smoothing": 0.1, "reference": "sft", "metric": "gap"}
    row = one(study["contrasts"], **place, level="all")
    assert row["n_seeds"] == 2
    assert row["sd_seeds"] > 0
    assert row["se"] > row["sd_seeds"] / np.sqrt(2)
    bounds = row["ci_high"] - row["estimate"], row["estimate"] - row["ci_low"]
    assert min(bounds) > 1.96 * row["se"]  # a t distribution's


def test_only_hypotheses_are_adjusted(study):
    """Those of the claims, of all conditions together, and upwards."""
    rows = study["contrasts"]
    carried = rows[rows["p_adjusted"].notna()]
    claims = study["claims"][study["claims"]["claim"] != "everywhere"]
    claims = claims[claims["estimate"].notna()]
    assert len(carried) == len(claims) == 2 * 11
    # The p-value of a negligible difference is that of being within the margin.
    moved = claims[claims["verdict"] != "negligible"]
    assert Counter(moved["p_adjusted"]) <= Counter(carried["p_adjusted"])
    assert len(moved) == 20
    rising = carried[carried["metric"] == "confidence"]
    assert (rising["p_adjusted"] >= rising["p_value"]).all()


def test_csv_holds_what_parquet_holds(study, folder):
    """Row by row, verdicts included."""
    for kind, frame in study.items():
        again = pd.read_csv(folder / f"{kind}.csv")
        assert list(again.columns) == list(frame.columns)
        assert again["verdict"].tolist() == frame["verdict"].tolist()


@pytest.mark.parametrize(
    ("kept", "references"),
    [
        ([BASE], set()),
        ([BASE, ("bold", 0.1, 0)], {"base"}),
        ([("bold", 0.0, 0), ("bold", 0.1, 0)], {"sft", "scaled"}),
    ],
    ids=["only base models", "no plain SFT", "no base model"],
)
def test_a_study_gets_what_it_has_runs_for(measured, tmp_path, kept, references):
    """Tables of no rows are tables, too."""
    found = finish(tmp_path, {run: measured[run] for run in kept})
    assert set(found["contrasts"]["reference"]) == references
    judged = found["claims"][found["claims"]["estimate"].notna()]
    assert set(judged["smoothing"]) == ({0.1} if "sft" in references else set())


@pytest.mark.parametrize(
    ("name", "value"),
    [("confidence", 1), ("confidence", 0), ("margin", 0), ("margin", -0.1)],
)
def test_settings_without_a_meaning_are_refused(tmp_path, name, value):
    """Before a table is read: at a confidence of 1 every interval is infinite."""
    settings = {"margin": 0.03, "confidence": 0.95, name: value}
    with pytest.raises(InputError, match=rf"{name} is {value}; it must be above 0 and"):
        contrast(
            metrics=tmp_path / "m.parquet", replicates=[], out=tmp_path, **settings
        )


def test_tables_that_do_not_belong_together_are_refused(measured, tmp_path):
    """A run that was not aggregated; a run that is given twice."""
    finish(tmp_path, {BASE: measured[BASE]})
    paths = [each["replicates"] for each in measured.values()]
    settings = {"margin": 0.02, "confidence": 0.95, "out": tmp_path}
    metrics = tmp_path / "metrics.parquet"
    with pytest.raises(InputError, match=r"metrics table lacks what .*\.parquet"):
        contrast(metrics=metrics, replicates=paths, **settings)
    with pytest.raises(InputError, match="are of the same run"):
        contrast(metrics=metrics, replicates=[paths[0]] * 2, **settings)


def test_verdicts_do_not_depend_on_the_order_of_files(study, measured, tmp_path):
    """Equal to the last bit."""
    found = finish(tmp_path, dict(reversed(list(measured.items()))))
    for kind, frame in found.items():
        pd.testing.assert_frame_equal(frame, study[kind])


def test_a_seed_is_compared_with_plain_sft_of_the_same_seed(study, measured):
    """Seeds 0 and 1 differ without smoothing, too: both differences by hand."""
    gaps = {}
    for smoothing in (0.0, 0.1):
        for seed in (0, 1):
            run = measured["bold", smoothing, seed]["metrics"]
            held = tables.where(
                tables.read(run, "metrics"), language="sw", metric="gap"
            )
            held = tables.where(held, subset="all", calibrator="none")
            (gaps[smoothing, seed],) = held["value"].to_pylist()
    assert gaps[0.0, 0] != gaps[0.0, 1]
    own = [gaps[0.1, seed] - gaps[0.0, seed] for seed in (0, 1)]
    place = {"sft": "bold", "smoothing": 0.1, "reference": "sft", "metric": "gap"}
    row = one(study["contrasts"], **place, level="sw")
    assert row["estimate"] == pytest.approx(np.mean(own), abs=1e-12)
    assert row["sd_seeds"] == pytest.approx(np.std(own, ddof=1), abs=1e-12)


GAP = MetricKey("all", "letters", "sum", "none", "gap")
ECE = GAP._replace(metric="ece")


def measured_as(
    *values: float, bias: float = 0.0, codes=("en", "sw"), n: int = 100
) -> RunMetric:
    """Two languages; each replicate is the value, plus .1 in the second one."""
    observed = np.array(values)
    draws = np.stack([observed, observed + 0.1], axis=1)
    nulls = np.full(len(values), bias)
    return RunMetric(list(codes), observed, nulls, np.full(len(values), n), draws)


def test_an_effect_is_the_mean_over_pairs_of_after_minus_before():
    """By hand: (.5 - .1, .7 - .4) in seed 0 and (.9 - .2, .8 - .5) in seed 1."""
    first, second, one, two = (
        MeasuredRun("m", "s", smoothing, seed, "t")
        for smoothing in (0, 0.1)
        for seed in (0, 1)
    )
    comparison = Comparison("sft", [(first, one), (second, two)])
    ece = {
        first: measured_as(0.1, 0.4, bias=0.01),
        second: measured_as(0.2, 0.5, bias=0.03),
        one: measured_as(0.5, 0.7, bias=0.05),
        two: measured_as(0.9, 0.8, bias=0.09),
    }
    # The gaps of English are far from 0 and 0.04 below the ECE; those of Swahili are 0.
    loaded = {
        run: {ECE: own, GAP: measured_as(own.values[0] - 0.04, 0.0)}
        for run, own in ece.items()
    }
    for run in loaded:
        loaded[run][GAP].replicates[:, 1] -= 0.0999
    loaded[two][ECE].replicates[:, 1] += 0.2
    for run in (one, two):  # read so in two of four runs only: passed over
        loaded[run] = {ECE._replace(scoring="text"): measured_as(1, 2)} | loaded[run]
    ((effect,), (gap,)) = _pooled_effects([comparison], loaded)
    assert effect.key == {
        **{"model": "m", "sft": "s", "smoothing": 0.1, "reference": "sft", "task": "t"},
        **{"scoring": "letters", "normaliser": "sum", "calibrator": "none"},
        "metric": "ece",
    }
    assert effect.languages == ["en", "sw"]
    assert effect.n_questions.tolist() == [100, 100]
    np.testing.assert_allclose(effect.before.seeds, [[0.1, 0.4], [0.2, 0.5]])
    np.testing.assert_allclose(effect.seeds, [[0.4, 0.3], [0.7, 0.3]])
    drawn = effect.after.replicates - effect.before.replicates
    np.testing.assert_allclose(drawn, [[0.55, 0.3], [0.65, 0.4]])
    # The smaller of what a calibrated model would show and of the cancellation.
    np.testing.assert_allclose(effect.before.bias, [0.02, 0.02], atol=1e-4)
    np.testing.assert_allclose(effect.after.bias, [(0.04 + 0.04) / 2, 0.07], atol=1e-4)
    assert gap.before.bias.tolist() == gap.after.bias.tolist() == [0, 0]
    loaded[second] = {ECE: measured_as(0.2, 0.5, codes=("en", "yo"))}
    with pytest.raises(InputError, match="m/s on t are of different languages"):
        list(_pooled_effects([comparison], loaded))


@pytest.mark.parametrize("resampled_as", ["t", None])
def test_two_ways_to_ask_the_same_are_paired(resampled_as, tmp_path):
    """Shared replicates know the difference better; every condition has its own."""
    tuned = ("bold", 0.1, 0)
    asked = {
        "t": {BASE: make_answers(sharpness=1), tuned: make_answers(sharpness=2)},
        "u": {BASE: make_answers(sharpness=1.5), tuned: make_answers(sharpness=2)},
    }
    measured = {
        (task, run): save_run(
            tmp_path / f"{task}-{run[0]}",
            run,
            answers,
            task=task,
            resampled_as=resampled_as if task == "u" else None,
        )
        for task, runs in asked.items()
        for run, answers in runs.items()
    }
    found = finish(tmp_path, measured, tasks=asked, same_questions=["u=t"])
    rows = found["contrasts"]
    assert set(found["claims"]["task"]) == {"t", "u"}
    rows = rows[(rows["reference"] == "task:t") & (rows["calibrator"] == "none")]
    assert set(rows["task"]) == {"u"}
    rows = rows.set_index(["sft", "smoothing", "metric", "level"])
    change = rows.loc["none", 0.0, "confidence", "all"]
    assert change["before"] < change["after"]
    assert change["estimate"] == pytest.approx(change["after"] - change["before"])
    assert change["ci_low"] > 0.01
    same = rows.loc["bold", 0.1, "confidence", "all"]
    assert same["estimate"] == 0
    if resampled_as:
        whole = finish(tmp_path, measured, tasks=asked)["contrasts"]
        assert not whole["reference"].str.startswith("task:").any()
        assert same["se"] == 0
        assert change["se"] < 0.004
    else:
        assert same["se"] > 0.004
        assert change["se"] > 0.0045


@pytest.mark.parametrize(
    ("flag", "what"), [("same_questions", "TASK=FIRST"), ("tuned_from", "SFT=EARLIER")]
)
def test_a_pair_has_an_equals_sign(measured, tmp_path, monkeypatch, flag, what):
    """One line, before anything is compared."""
    monkeypatch.setattr(contrasts, "describe", None)
    message = f"--{flag.replace('_', '-')} takes {what}, not u"
    with pytest.raises(InputError, match=message):
        finish(tmp_path, {BASE: measured[BASE]}, **{flag: ["u"]})


def test_models_as_they_are_are_compared_with_the_first(tmp_path):
    """Each minus the first, paired; not where a model is tuned or none is named."""
    sharpness = {"a": 1, "b": 2, "c": 1}
    measured = {
        model: save_run(tmp_path / model, BASE, make_answers(sharpness=s), model=model)
        for model, s in sharpness.items()
    }
    rows = finish(tmp_path, measured, first_model="b")["contrasts"]
    assert set(zip(rows["model"], rows["reference"], strict=True)) == {
        ("a", "model:b"),
        ("c", "model:b"),
    }
    rows = rows[rows["calibrator"] == "none"]
    change = rows.set_index(["model", "metric", "level"]).loc["a", "confidence", "all"]
    assert change["before"] > change["after"]
    assert change["estimate"] == pytest.approx(change["after"] - change["before"])
    assert change["ci_high"] < -0.01
    rows = finish(tmp_path, measured, first_model="a")["contrasts"]
    same = rows[(rows["model"] == "c") & (rows["metric"] == "confidence")]
    assert (same["estimate"] == 0).all()
    assert same["se"].max() < 1e-9
    assert finish(tmp_path, measured)["contrasts"].empty
    tuned = save_run(
        tmp_path / "s", ("s", 0.0, 0), make_answers(sharpness=1), model="a"
    )
    rows = finish(tmp_path, measured | {"s": tuned}, first_model="a")["contrasts"]
    assert set(rows["reference"]) == {"base"}


def test_stages_of_a_post_training_are_paired(measured, tmp_path):
    """`bold` from `taught`: it differs by what their changes from the base do."""
    stages = {key: own for key, own in measured.items() if key[1:] == (0, 0)}
    found = finish(tmp_path, stages, tuned_from=["bold=taught"])
    rows = found["contrasts"].query("calibrator == 'none' and smoothing == 0")
    rows = rows.set_index(["reference", "sft", "metric", "level"]).sort_index()
    stage = rows.loc["stage:taught"]
    assert set(stage.index.get_level_values("sft")) == {"bold"}
    bold, taught = (rows.loc["base", sft] for sft in ("bold", "taught"))
    change, expected = (
        stage.loc["bold", "estimate"],
        bold["estimate"] - taught["estimate"],
    )
    for key in (("confidence", "all"), ("accuracy", "low"), ("ece", "sw")):
        assert change[key] == pytest.approx(expected[key])
        assert abs(change[key]) > 0.01
    alone = finish(tmp_path, stages)
    assert alone["claims"].equals(found["claims"])
    assert "stage:taught" not in set(alone["contrasts"]["reference"])


def test_stages_are_compared_per_token_where_they_share_a_tokenizer():
    """`dpo` has that of `sft`; both have another than the base model."""
    runs = [
        {"model": "m", "sft": sft, "smoothing": 0.0, "tokenizer": tokenizer}
        | {"vocabulary": 9, "lr": None}
        for sft, tokenizer in (("none", "x"), ("sft", "y"), ("dpo", "y"), ("rl", "z"))
    ]
    compared = {"model": "m", "reference": "stage:sft", "normaliser": "token"}
    facts = _Facts(runs)
    assert facts.can_compare(compared | {"sft": "dpo"})
    assert not facts.can_compare(compared | {"sft": "rl"})
    assert facts.can_compare(compared | {"sft": "rl", "normaliser": "byte"})


def test_models_are_compared_per_token_where_they_share_a_tokenizer():
    """By letters, by sums and by bytes they are, whatever their tokenizers."""
    runs = [
        {"model": model, "sft": "none", "smoothing": 0.0, "tokenizer": tokenizer}
        | {"vocabulary": 9, "lr": None}
        for model, tokenizer in (("a", "x"), ("b", "x"), ("c", "y"), ("d", None))
    ]
    facts = _Facts([*runs, runs[3] | {"model": "e"}])
    allowed = {
        (model, normaliser)
        for model in "bcde"
        for normaliser in ("sum", "token", "byte", "english")
        if facts.can_compare(
            {"model": model, "reference": "model:a", "normaliser": normaliser}
            | {"sft": "none"}
        )
    }
    anyhow = {(model, way) for model in "bcde" for way in ("sum", "byte")}
    assert allowed == {*anyhow, ("b", "token"), ("b", "english")}
    unknown = {"model": "e", "reference": "model:d", "normaliser": "token"}
    unknown |= {"sft": "none"}
    assert not facts.can_compare(unknown)
    assert facts.can_compare(unknown | {"reference": "task:d"})


def test_shares_of_one_letter_are_by_level_and_language():
    """Swahili 0.99 and 0.97 by two seeds, German 0.5 and 0.3: 0.69 would hide it."""
    about = {"model": "m", "sft": "s", "smoothing": 0.0, "task": "t", "subset": "all"}
    about |= {"scoring": "letters", "normaliser": "sum", "calibrator": "none"}
    rows = [
        about
        | {"metric": "letter_share", "seed": seed, "language": code, "value": value}
        for code, values in {"sw": (0.99, 0.97), "de": (0.5, 0.3)}.items()
        for seed, value in enumerate(values)
    ]
    found = _letter_shares(pa.Table.from_pylist(rows, tables.SCHEMAS["metrics"]))
    key = ("m", "s", 0.0, "t", "letters")
    expected = {"sw": 0.98, "low": 0.98, "de": 0.4, "high": 0.4, "all": 0.69}
    assert found == {
        (*key, level): pytest.approx(share) for level, share in expected.items()
    }
