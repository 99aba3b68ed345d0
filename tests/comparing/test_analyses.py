"""The study's further tables, from numbers and replicates whose answer is known."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from confidences import measure_answers

from polycal.calibration import answer
from polycal.comparing.analyses import analyse
from polycal.comparing.cultures import cultures
from polycal.comparing.decompositions import decompose, decompositions
from polycal.comparing.doses import doses
from polycal.comparing.fronts import fronts
from polycal.comparing.level_means import level_means
from polycal.comparing.new_languages import new_languages
from polycal.comparing.paired import Condition, Numbers, average_seeds
from polycal.comparing.replicates import (
    MeasuredRun,
    MetricKey,
    Replicates,
    RunMetric,
)
from polycal.comparing.shares import shares
from polycal.comparing.slopes import predictors_of, slopes
from polycal.errors import InputError
from polycal.storage import tables

CODES = ("en", "de", "fr", "hi", "sw", "yo", "ny")
WAY = {"task": "t", "scoring": "text", "normaliser": "token", "calibrator": "none"}
# Condition -> accuracy, confidence, ECE; every language is a bit off in the same way.
CONDITIONS = {
    ("none", 0.0): (0.40, 0.45, 0.08),
    ("s", 0.0): (0.42, 0.70, 0.30),
    ("s", 0.1): (0.42, 0.55, 0.14),
    ("s", 0.2): (0.40, 0.30, 0.12),
}


def made_up(n_seeds: int = 2, draws: int = 400) -> tuple[pa.Table, pa.Table]:
    """Metrics and replicates of a study; noise of .005 shared by all conditions."""
    random = np.random.default_rng(0)
    numbers, replicates = [], []
    common = {code: random.normal(size=draws) * 0.005 for code in CODES}
    for (sft, smoothing), (accuracy, confidence, ece) in CONDITIONS.items():
        for seed in range(n_seeds):
            for place, code in enumerate(CODES):
                own = {
                    "accuracy": accuracy - place / 100,
                    "confidence": confidence + (seed - (n_seeds - 1) / 2) / 100,
                    "ece": ece + place / 100,
                }
                own["gap"] = own["confidence"] - own["accuracy"]
                where = {
                    "model": "m",
                    "sft": sft,
                    "smoothing": smoothing,
                    "seed": seed,
                    "language": code,
                    "subset": "all",
                }
                for metric, value in own.items():
                    row = WAY | where | {"metric": metric}
                    numbers.append(row | {"value": value})
                    noise = common[code] + random.normal(size=draws) * 0.001
                    replicates.append(row | {"values": (value + noise).tolist()})
                    numbers.append(row | {"value": 9.0, "subset": "CS"})
    schema = pa.schema([("values", pa.list_(pa.float32()))])
    drawn = pa.Table.from_pylist(replicates)
    place = drawn.column_names.index("values")
    drawn = drawn.set_column(
        place, "values", drawn["values"].cast(schema.field(0).type)
    )
    return pa.Table.from_pylist(numbers), drawn


def save(folder: Path, measured: pa.Table, drawn: pa.Table) -> list[Path]:
    """Write the metrics table, and a replicates table of each run: their paths."""
    tables.write(complete(measured, "metrics"), folder / "metrics.parquet", "metrics")
    paths = []
    runs = drawn.select(MeasuredRun._fields).group_by([*MeasuredRun._fields])
    for number, run in enumerate(runs.aggregate([]).to_pylist()):
        paths.append(folder / f"replicates-{number}.parquet")
        own = complete(tables.where(drawn, **run), "replicates")
        tables.write(own, paths[-1], "replicates")
    return paths


def complete(table: pa.Table, kind: str) -> pa.Table:
    """The table with the columns that it lacks, empty."""
    for field in tables.SCHEMAS[kind]:
        if field.name not in table.column_names:
            table = table.append_column(field, pa.nulls(len(table), field.type))
    return table


def gather(measured: pa.Table, drawn: pa.Table) -> dict:
    """All conditions by subset, from files."""
    with TemporaryDirectory() as folder:
        paths = save(Path(folder), measured, drawn)
        loader = Replicates(complete(measured, "metrics"), paths)
        return average_seeds(loader, loader.runs)


@pytest.fixture(scope="module")
def study():
    return gather(*made_up())["all"]


@pytest.fixture(scope="module")
def one_seed():
    return gather(*made_up(n_seeds=1))["all"]


def only(rows: list[dict], **values: object) -> dict:
    (found,) = [row for row in rows if row.items() >= values.items()]
    return found


def test_seeds_are_averaged_and_subsets_left_out(study):
    """Confidences .005 below and above, none of the 9s of the subset."""
    assert len(study) == 4
    numbers = next(held for place, held in study.items() if place.sft == "none")
    assert numbers["confidence"].value["sw"] == pytest.approx(0.45)
    assert numbers["accuracy"].draws["sw"].shape == (400,)
    assert numbers["confidence"].draws["sw"].mean() == pytest.approx(0.45, abs=0.001)


def test_decompositions_add_up_and_say_what_moved(one_seed):
    """Base to SFT: confidence +.25, accuracy -.02 of it, the rest cancellation."""
    rows = decompositions(one_seed, 0.95)
    place = {"reference": "base", "smoothing": 0.0, "level": "en"}
    parts = {
        part: only(rows, part=part, **place)
        for part in ("confidence", "accuracy", "cancellation")
    }
    assert parts["confidence"]["estimate"] == pytest.approx(0.25)
    assert parts["accuracy"]["estimate"] == pytest.approx(-0.02)
    total = sum(each["estimate"] for each in parts.values())
    assert total == pytest.approx(0.30 - 0.08)
    assert parts["confidence"]["se"] == pytest.approx(0.0014, rel=0.1)  # it is paired
    overall = only(rows, reference="sft", smoothing=0.1, level="all", part="confidence")
    assert overall["estimate"] == pytest.approx(-0.15)
    assert overall["ci_low"] < -0.15 < overall["ci_high"]
    references = {(each["reference"], each["smoothing"]) for each in rows}
    assert references == {("base", x) for x in (0.0, 0.1, 0.2)} | {
        ("sft", 0.1),
        ("sft", 0.2),
    }


def test_the_parts_of_a_change_know_other_trainings(study, one_seed):
    """Confidence is 0.01 higher in the second seed of each condition.

    So no change of a gap that keeps its sign differs between seeds. With smoothing 0.2
    the gap turns its sign in some languages, where the change of |gap| does; the three
    smoothing values are pooled.
    """
    place = {"reference": "base", "smoothing": 0.0, "level": "all"}
    several, alone = (
        {
            row["part"]: row
            for row in decompositions(held, 0.95)
            if place.items() <= row.items()
        }
        for held in (study, one_seed)
    )
    for part, row in several.items():
        assert row["estimate"] == pytest.approx(alone[part]["estimate"], abs=1e-6)
    accuracies = 0.40 - np.arange(7) / 100
    turned = [
        decompose(
            confidence=(0.45 + seed, 0.30 + seed),
            accuracy=(accuracies, accuracies),
            ece=(0.1, 0.1),
        ).confidence.mean()
        for seed in (-0.005, 0.005)
    ]
    variance = np.var(turned, ddof=1) / 3
    assert np.sqrt(variance / 2) > 0.001
    # The means of two seeds have less noise of questions than one.
    questions = alone["confidence"]["se"] / np.sqrt(2)
    expected = np.hypot(questions, np.sqrt(variance / 2))
    assert several["confidence"]["se"] == pytest.approx(expected, rel=0.02)


def test_a_base_model_has_one_seed_for_all(study):
    """It is not trained: each seed of SFT changes from it, the second by 0.01 more."""
    alone = {
        condition: {
            name: own._replace(seeds={c: s[:1] for c, s in own.seeds.items()})
            for name, own in metrics.items()
        }
        if condition.sft == "none"
        else metrics
        for condition, metrics in study.items()
    }
    place = {"reference": "base", "smoothing": 0.0, "level": "en"}
    place |= {"part": "confidence"}
    one, several = (only(decompositions(own, 0.95), **place) for own in (alone, study))
    assert one["estimate"] == several["estimate"]
    assert one["se"] > 0.9 * 0.01 / 2  # an sd of 0.01 / sqrt(2), of two seeds


def test_doses_find_the_optimum(study):
    """|gap| is least at 0.2 for level all (.07 for .16), ECE too; a gap has a sign."""
    rows = doses(study, 0.95)
    found = only(rows, metric="ece", level="all")
    assert found["smoothings"] == [0.0, 0.1, 0.2]
    np.testing.assert_allclose(found["values"], [0.33, 0.17, 0.15])
    assert found["optimum"] == 0.2
    assert found["monotone"] == 1
    gap = only(rows, metric="gap", level="all")
    np.testing.assert_allclose(gap["values"], [0.31, 0.16, 0.07])
    assert {each["metric"] for each in rows} == {"gap", "ece"}
    assert {"all", "high", "low"} <= {each["level"] for each in rows}


def test_sft_sets_and_readings_have_doses_of_their_own(study):
    """Another set, another scoring: as many rows of each, with the same numbers."""
    more = {
        condition._replace(**change): own
        for condition, own in study.items()
        if condition.sft != "none"
        for change in ({"sft": "u"}, {"scoring": "letters"})
    }
    rows, both = doses(study, 0.95), doses(study | more, 0.95)
    assert len(both) == 3 * len(rows)
    same = [{**row, "sft": "s", "scoring": "text"} for row in both]
    for row in rows:
        assert sum(np.array_equal(row["values"], x["values"]) for x in same) >= 3


def test_the_size_of_the_gap_is_that_of_each_language():
    """A gap of +.1 and one of -.1 are no gap of 0 on average."""
    draws = {code: np.full(50, value) for code, value in (("en", 0.1), ("de", -0.1))}
    gaps = Numbers({"en": 0.1, "de": -0.1}, draws, {}, {})
    plain, smooth = (Condition("m", "s", x, *WAY.values()) for x in (0.0, 0.1))
    rows = doses({plain: {"gap": gaps}, smooth: {"gap": gaps}}, 0.95)
    np.testing.assert_allclose(only(rows, level="all")["values"], [0.1, 0.1])


def test_cultures_are_compared_in_each_condition_and_in_its_change():
    """The gap is .1 larger on sensitive questions, after SFT .15: .05 more."""
    measured, drawn = (made.to_pylist() for made in made_up())
    for row in measured + drawn:
        row["subset"] = "CA"
    both = [row | {"subset": "CS"} for row in measured if row["value"] != 9]
    more = {("none", 0.0): 0.1, ("s", 0.0): 0.15, ("s", 0.1): 0.1, ("s", 0.2): 0.1}
    for row in both:
        raised = row["metric"] in ("gap", "confidence")
        row["value"] += more[row["sft"], row["smoothing"]] * raised
    tables_of = {
        "CA": [row for row in measured if row["value"] != 9],
        "CS": both,
    }
    noise = {"CA": 0, "CS": 1}
    rows, replicates = [], []
    for subset, own in tables_of.items():
        random = np.random.default_rng(noise[subset])
        rows += own
        replicates += [
            row | {"values": row["value"] + random.normal(size=200) * 0.01}
            for row in own
        ]
    for row in replicates:
        del row["value"]
    studies = gather(pa.Table.from_pylist(rows), pa.Table.from_pylist(replicates))
    sensitive, agnostic = studies["CS"], studies["CA"]
    rows = cultures(sensitive, agnostic, 0.95)
    place = {"metric": "gap", "level": "en"}
    within = only(rows, reference=None, sft="s", smoothing=0.0, **place)
    assert within["estimate"] == pytest.approx(0.15)
    # Seeds of both subsets are averaged: .01 over the root of 2, twice.
    assert within["se"] == pytest.approx(0.01, rel=0.2)
    change = only(rows, reference="base", smoothing=0.0, **place)
    assert change["estimate"] == pytest.approx(0.05)
    assert change["ci_low"] < 0.05 < change["ci_high"]
    overall = only(rows, reference="sft", smoothing=0.1, metric="gap", level="all")
    assert overall["estimate"] == pytest.approx(-0.05)
    still = only(rows, reference="base", smoothing=0.0, metric="accuracy", level="en")
    assert still["estimate"] == pytest.approx(0)


def test_cultures_have_the_noise_of_trainings():
    """What moves both kinds of questions alike cancels; the rest is in the interval."""
    base, plain, smooth = (
        Condition("m", sft, x, *WAY.values())
        for sft, x in (("none", 0.0), ("s", 0.0), ("s", 0.1))
    )

    def numbers(*seeds: float) -> dict:
        draws = {"en": np.mean(seeds) + np.linspace(-1e-6, 1e-6, 50)}
        by_seed = {"en": np.array(seeds)}
        return {"gap": Numbers({"en": np.mean(seeds)}, draws, {}, by_seed)}

    agnostic = {base: numbers(0.0), plain: numbers(0.0, 0.2), smooth: numbers(0.1, 0.1)}
    sensitive = {
        base: numbers(0.1),
        plain: numbers(0.3, 0.5),  # 0.3 more in both seeds
        smooth: numbers(0.2, 0.6),  # 0.1 and 0.5 more
    }
    rows = cultures(sensitive, agnostic, 0.95)
    within = only(rows, reference=None, sft="s", smoothing=0.1, level="en")
    # Variances over seeds 0 and 0.08, pooled and of two seeds: the root of 0.04 / 2.
    assert within["estimate"] == pytest.approx(0.3)
    assert within["se"] == pytest.approx(np.sqrt(0.02), rel=1e-3)
    same = only(rows, reference=None, sft="s", smoothing=0.0, level="en")
    assert same["se"] == pytest.approx(np.sqrt(0.02), rel=1e-3)
    alone = only(rows, reference=None, sft="none", level="en")
    assert alone["se"] < 1e-5  # no training
    change = only(rows, reference="sft", smoothing=0.1, level="en")
    assert change["estimate"] == pytest.approx(0.0)
    # Seeds are paired: -0.2 and +0.2, alone in their pool.
    assert change["se"] == pytest.approx(0.2, rel=1e-3)
    half = (change["ci_high"] - change["ci_low"]) / 2
    assert half == pytest.approx(12.706 * 0.2, rel=1e-3)  # one degree of freedom


def test_seeds_that_nothing_pairs_give_no_noise():
    """Two seeds of plain SFT, three of smoothing: the means differ, and that is all."""
    plain, smooth = (Condition("m", "s", x, *WAY.values()) for x in (0.0, 0.1))

    def numbers(*seeds: float) -> dict:
        draws = {"en": np.mean(seeds) + np.linspace(-1e-6, 1e-6, 50)}
        by_seed = {"en": np.array(seeds)}
        return {"gap": Numbers({"en": np.mean(seeds)}, draws, {}, by_seed)}

    agnostic = {plain: numbers(0.0, 0.0), smooth: numbers(0.0, 0.0, 0.0)}
    sensitive = {plain: numbers(0.1, 0.3), smooth: numbers(0.4, 0.5, 0.9)}
    change = only(cultures(sensitive, agnostic, 0.95), reference="sft", level="en")
    assert change["estimate"] == pytest.approx(0.6 - 0.2)
    assert change["se"] < 1e-5


def test_the_parts_of_a_change_keep_every_replicate():
    """Confidence 0.5 in all, then 0.6, 0.7, 0.8 and 1.0: their standard deviation."""
    base = Condition("m", "none", 0.0, *WAY.values())

    def numbers(confidence: list[float]) -> dict[str, Numbers]:
        made = {"confidence": np.array(confidence), "accuracy": np.full(4, 0.4)}
        made["ece"] = made["confidence"] - 0.4
        return {
            name: Numbers({"en": draws.mean()}, {"en": draws}, {}, {})
            for name, draws in made.items()
        }

    study = {base: numbers([0.5] * 4)}
    study[base._replace(sft="s")] = numbers([0.6, 0.7, 0.8, 1.0])
    row = only(decompositions(study, 0.95), level="en", part="confidence")
    assert row["estimate"] == pytest.approx(0.275)
    assert row["se"] == pytest.approx(np.std([0.6, 0.7, 0.8, 1.0], ddof=1))


def test_slopes_over_what_is_known_of_languages(study):
    """No effect differs between languages here; without a premium, no such line."""
    rows = slopes(study, predictors_of(made_up()[0]), 0.95)
    assert {each["predictor"] for each in rows} == {"joshi_class"}
    found = only(rows, reference="base", smoothing=0.0, metric="confidence")
    assert found["n_languages"] == len(CODES)
    assert found["slope"] == pytest.approx(0, abs=1e-9)
    effects = slopes(study, {"place": lambda _, code: CODES.index(code) / 10}, 0.95)
    assert len(effects) == len(rows)


def test_the_token_premium_is_of_the_model_and_the_task():
    """Its log, where it was measured; None elsewhere."""
    row = {"model": "m", "task": "t", "language": "sw", "metric": "token_premium"}
    measured = pa.Table.from_pylist([row | {"subset": "all", "value": 2.0}])
    condition = Condition("m", "s", 0.0, *WAY.values())
    predict = predictors_of(measured)["log_token_premium"]
    assert predict(condition, "sw") == pytest.approx(np.log(2))
    assert predict(condition, "yo") is None
    assert predictors_of(measured)["joshi_class"](condition, "en") == 5


def test_fronts_hold_what_is_not_beaten(study):
    """Base (.40, .08) and SFT .1 (.42, .14) stay. Plain SFT and .2 are beaten by one of
    the same accuracy, which a replicate confirms about every other time. The ECE of .2
    may be its |gap|, about .07, and so beat the base as often."""
    rows = [row for row in fronts(study) if row["level"] == "all"]
    held = {(row["sft"], row["smoothing"]): row for row in rows}
    assert {place for place, row in held.items() if row["front"]} == {
        ("none", 0.0),
        ("s", 0.1),
    }
    assert held["none", 0.0]["probability"] == pytest.approx(0.5, abs=0.1)
    assert held["s", 0.1]["probability"] > 0.9
    assert held["s", 0.2]["probability"] == pytest.approx(0.5, abs=0.1)
    assert held["s", 0.0]["probability"] == pytest.approx(0.5, abs=0.1)


def test_the_tables_are_written_in_their_schemas(tmp_path, study):
    """From files to files; each holds what its function gives."""
    paths = save(tmp_path, *made_up())
    analyse(
        metrics=tmp_path / "metrics.parquet",
        replicates=paths,
        confidence=0.9,
        out=tmp_path,
    )
    for kind, rows in (
        ("decompositions", decompositions(study, 0.9)),
        ("doses", doses(study, 0.9)),
        ("slopes", slopes(study, predictors_of(made_up()[0]), 0.9)),
        ("fronts", fronts(study)),
        ("cultures", []),
        ("level_means", level_means(study, 0.9)),
        ("new_languages", new_languages(study, 0.9)),
        ("shares", shares(study, 0.9)),
    ):
        table = tables.read(tmp_path / f"{kind}.parquet", kind)
        assert len(table) == len(rows), kind
        if rows:
            assert set(rows[0]) == set(tables.SCHEMAS[kind].names), kind
            first = {name: value for name, value in rows[0].items()}
            np.testing.assert_equal(table.to_pylist()[0], first, kind)


def test_intervals_have_the_confidence_that_is_asked_for(one_seed):
    """A normal interval of 90 % is shorter than one of 95 % by 1.645 / 1.960.

    That of a slope over seven languages by 2.015 / 2.571 (t, 5 degrees of freedom).
    """
    for rows, ratio in (
        (
            lambda confidence: decompositions(one_seed, confidence),
            1.6448536 / 1.9599640,
        ),
        (
            lambda confidence: slopes(
                one_seed, {"place": lambda _, code: CODES.index(code) / 10}, confidence
            ),
            2.0150484 / 2.5705818,
        ),
    ):
        narrow, wide = (
            [
                row["ci_high"] - row["ci_low"]
                for row in rows(confidence)
                if row.get("part") != "cancellation"  # which has a bias, too
            ]
            for confidence in (0.9, 0.95)
        )
        np.testing.assert_allclose(narrow, np.array(wide) * ratio, rtol=1e-6)
    narrow, wide = (doses(one_seed, confidence) for confidence in (0.5, 0.95))
    assert all(
        n["slope_high"] - n["slope_low"] < w["slope_high"] - w["slope_low"]
        for n, w in zip(narrow, wide, strict=True)
    )


def test_a_front_is_of_one_reading():
    """The letters' base model is better than both others, which are not its rivals."""

    def numbers(accuracy: float, ece: float) -> dict[str, Numbers]:
        made = {"accuracy": accuracy, "ece": ece}
        return {
            k: Numbers({"en": v}, {"en": np.full(9, v)}, {}, {})
            for k, v in made.items()
        }

    def place(sft: str, **changes: str) -> Condition:
        return Condition("m", sft, 0.0, *(WAY | changes).values())

    ways = {"scoring": {"scoring": "letters"}, "normaliser": {"normaliser": "sum"}}
    ways |= {"task": {"task": "another"}}
    for changes in ways.values():
        assert changes.items().isdisjoint(WAY.items())
        study = {
            place("none"): numbers(0.4, 0.2),
            place("s"): numbers(0.5, 0.3),
            place("none", **changes): numbers(0.9, 0.1),
        }
        assert [row["front"] for row in fronts(study) if row["level"] == "all"] == [
            True,
            True,
            True,
        ]


def test_a_run_without_its_metrics_is_refused(tmp_path):
    """As `contrast` refuses it: the tables do not belong together."""
    measured, drawn = made_up()
    others = measured.filter(pc.not_equal(measured["smoothing"], 0.1))
    with pytest.raises(InputError, match=r"metrics table lacks what .*replicates"):
        analyse(
            metrics=tmp_path / "metrics.parquet",
            replicates=save(tmp_path, others, drawn),
            confidence=0.9,
            out=tmp_path,
        )


def test_replicates_of_an_earlier_training_are_refused(tmp_path):
    """The metrics were measured again, one file of replicates was not."""
    measured, drawn = made_up()
    paths = save(tmp_path, measured, drawn)
    metrics = complete(measured, "metrics")
    first = Replicates(metrics, paths).runs[0]
    known = {tuple(first)[:-1]: "now"}
    with pytest.raises(InputError, match=r"replicates-\d.* from another checkpoint"):
        Replicates(metrics, paths, known)
    for path in paths:
        own = tables.read(path, "replicates")
        tables.write(own, path, "replicates", checkpoint="now")
    assert first in Replicates(metrics, paths, known).runs


def test_one_run_is_in_memory_at_a_time(tmp_path):
    """The seeds' replicates are summed as they are read, in the order of the runs."""
    measured, drawn = made_up(n_seeds=3, draws=2000)
    paths = save(tmp_path, measured, drawn)
    loader = Replicates(complete(measured, "metrics"), paths[::-1])
    assert loader.runs == sorted(loader.runs)
    before, held = pa.total_allocated_bytes(), []

    def watched():
        for run in loader.runs:
            held.append(pa.total_allocated_bytes() - before)
            yield run

    average_seeds(loader, watched())
    assert len(held) == 4 * 3
    size = max(path.stat().st_size for path in paths)
    assert max(held) < 3 * size


def test_a_slope_is_that_of_the_changes():
    """After minus before: +.1 and +.02 a step in six languages; the last is unknown.

    The two share their noise but for errors of .001 in each language, so that the
    slope's standard error is .001 over the root of sum (x - mean)^2 = 5.5.
    """
    random = np.random.default_rng(0)
    steps = {"en": 0, "de": 1, "sw": 2, "yo": 3, "fr": 1, "ny": 2, "hi": None}
    errors = random.normal(size=(7, 4000)) * 0.001
    shared_noise = random.normal(size=(7, 4000))
    values = dict(zip(steps, (0.5, 0.2, 0.3, 0.6, 0.1, 0.7, 0.9), strict=True))
    raised = dict(zip(steps, (0.6, 0.32, 0.44, 0.76, 0.22, 0.84, 0.0), strict=True))
    before = Numbers(values, dict(zip(steps, shared_noise, strict=True)), {}, {})
    after = Numbers(
        raised, dict(zip(steps, shared_noise + errors, strict=True)), {}, {}
    )
    base = Condition("m", "none", 0.0, *WAY.values())
    tuned = base._replace(sft="s")
    study = {base: {"gap": before, "ece": after}, tuned: {"gap": after}}

    def predict(condition: Condition, code: str) -> float | None:
        assert condition == tuned
        return steps[code]

    (row,) = slopes(study, {"nothing": lambda *_: None, "step": predict}, 0.95)
    place = {"reference": "base", "metric": "gap", "predictor": "step"}
    assert (tuned._asdict() | place).items() <= row.items()
    assert row["n_languages"] == 6
    assert row["intercept"] == pytest.approx(0.1)
    assert row["slope"] == pytest.approx(0.02)
    assert row["se"] == pytest.approx(0.001 / np.sqrt(5.5), rel=0.05)
    assert row["tau"] == pytest.approx(0, abs=1e-9)
    # Too few replicates for an inverse, and nothing to differ in: no line, no error.
    few = {
        place: {
            "gap": held["gap"]._replace(
                draws={c: d[:3] for c, d in held["gap"].draws.items()}
            )
        }
        for place, held in study.items()
    }
    assert slopes(few, {"step": predict}, 0.95) == []
    rows = slopes(study, {"alike": lambda *_: 1.0, "step": predict}, 0.95)
    assert [each["predictor"] for each in rows] == ["step"]


def test_a_premium_is_the_mean_over_runs_of_all_questions():
    """2 and 4 tokens for one of English; a subset's 9 does not count."""
    row = {"model": "m", "task": "t", "language": "sw", "metric": "token_premium"}
    rows = [row | {"subset": "all", "value": value} for value in (2.0, 4.0)]
    rows += [row | {"subset": "CS", "value": 9.0}]
    rows += [row | {"subset": "all", "metric": "ece", "value": 9.0}]
    predict = predictors_of(pa.Table.from_pylist(rows))["log_token_premium"]
    condition = Condition("m", "s", 0.0, *WAY.values())
    assert predict(condition, "sw") == pytest.approx(np.log(3))
    assert predict(condition._replace(model="n"), "sw") is None
    assert predict(condition._replace(task="u"), "sw") is None


def test_what_lacks_a_metric_is_passed_over():
    """One condition without ECE does not hide the others."""

    def numbers(*names: str) -> dict[str, Numbers]:
        return {k: Numbers({"en": 0.5}, {"en": np.full(5, 0.5)}, {}, {}) for k in names}

    whole = ("accuracy", "confidence", "ece", "gap")
    base = Condition("m", "none", 0.0, *WAY.values())
    study = {base: numbers(*whole)}
    for smoothing in (0.0, 0.1, 0.2):
        held = whole if smoothing else ("accuracy", "gap")
        study[base._replace(sft="s", smoothing=smoothing)] = numbers(*held)
    parts = {(row["smoothing"], row["reference"]) for row in decompositions(study, 0.9)}
    assert parts == {(0.1, "base"), (0.2, "base")}
    assert {row["metric"] for row in doses(study, 0.9)} == {"gap"}
    assert {row["smoothing"] for row in fronts(study) if row["sft"] == "s"} == {
        0.1,
        0.2,
    }
    del study[base._replace(sft="s", smoothing=0.1)]
    del study[base._replace(sft="s", smoothing=0.2)]
    assert doses(study, 0.9) == []


class Calibrated:
    """A study whose answers are right exactly as often as they claim to be.

    Confidences are 75 % on average and spread over 24, 15 and 4 points either way with
    smoothing 0, 0.1 and 0.2. So all conditions are equally accurate, and the plug-in
    ECE falls with smoothing by its bias alone. All share what they find hard.
    """

    SPREADS = (("none", 0.0, 0.1), ("s", 0.0, 0.24), ("s", 0.1, 0.15), ("s", 0.2, 0.04))

    def __init__(self, chance: np.random.Generator, n: int) -> None:
        metrics = ("accuracy", "confidence", "gap", "ece")
        places = {code: chance.uniform(-1, 1, n) for code in CODES}
        lots = {code: chance.uniform(size=n) for code in places}
        key = MetricKey("all", *[WAY[name] for name in list(WAY)[1:]], "")
        self._runs = {}
        for sft, smoothing, spread in self.SPREADS:
            answers = {}
            for code, place in places.items():
                confidence = 0.75 + spread * place
                scores = np.log(np.stack([confidence, 1 - confidence], axis=1))
                answers[code] = answer(scores, lots[code] > confidence)
            self._runs[MeasuredRun("m", sft, smoothing, 0, "t")] = {
                key._replace(metric=name): own
                for name, own in measure_answers(answers, metrics).items()
            }

    def load(self, run: MeasuredRun) -> dict[MetricKey, RunMetric]:
        return self._runs[run]

    def study(self) -> dict:
        return average_seeds(self, self._runs)["all"]


def find_effects(study: dict) -> np.ndarray:
    """Whether slope, optimum, cancellation and front of the ECE show a difference."""
    place = {"level": "all", "smoothing": 0.2}
    dose = only(doses(study, 0.95), level="all", metric="ece")
    part = {"reference": "sft", "part": "cancellation"}
    change = only(decompositions(study, 0.95), **place, **part)
    return np.array(
        [
            not dose["slope_low"] <= 0 <= dose["slope_high"],
            dose["chosen"].max() > 0.95,
            not change["ci_low"] <= 0 <= change["ci_high"],
            only(fronts(study), **place)["probability"] > 0.95,
        ]
    )


def test_calibrated_conditions_differ_in_no_analysis():
    """Where only the bias of ECE differs: at most one of 20 studies shows a difference.

    Without the bound on the bias, most have a slope and a part, and a fifth or more an
    optimum and a front.
    """
    chance = np.random.default_rng(0)
    studies = [Calibrated(chance, 150).study() for _ in range(20)]
    assert sum(map(find_effects, studies)).max() <= 1
    for study in studies:
        for metrics in study.values():
            metrics["ece"] = metrics["ece"]._replace(bias={})
    assert (sum(map(find_effects, studies)) >= [12, 4, 12, 4]).all()


@pytest.mark.parametrize("n_seeds", [2, 3])
def test_an_optimum_that_training_chose_by_chance_is_not_sure(n_seeds):
    """Three smoothing values, no effect, an sd over trainings of 1 pp.

    By the noise of questions alone, 0.1 pp, nearly every study has an optimum.
    """
    chance = np.random.default_rng(0)
    conditions = [Condition("m", "s", x, *WAY.values()) for x in (0.0, 0.1, 0.2)]
    sure = np.zeros(2)
    for _ in range(60):
        seeds = 0.1 + 0.01 * chance.normal(size=(3, n_seeds))
        for blind in (0, 1):
            study = {}
            for condition, own in zip(conditions, seeds, strict=True):
                drawn = {"sw": own.mean() + 0.001 * chance.normal(size=300)}
                known = {} if blind else {"sw": own}
                numbers = Numbers({"sw": own.mean()}, drawn, {}, known)
                study[condition] = {"ece": numbers}
            dose = only(doses(study, 0.95), level="all")
            sure[blind] += dose["chosen"].max() > 0.95
    assert sure[0] <= 0.05 * 60
    assert sure[1] >= 0.7 * 60
