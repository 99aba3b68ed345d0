"""From raw scores to numbers: the right softmax over the right options."""

import functools
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from polycal.errors import InputError
from polycal.measuring import measure as module
from polycal.storage import tables
from polycal.storage.provenance import digest_facts

# What a study says if it says nothing.
measure = functools.partial(module.measure, n_replicates=1000, seed=0, confidence=0.95)

RUN = {"model": "m", "sft": "s", "smoothing": 0.1, "seed": 0, "task": "t"}


def row(language: str, scoring: str, gold: int, logprobs, n_tokens=None) -> dict:
    n = len(logprobs)
    mass = float(np.logaddexp.reduce(logprobs)) if scoring == "letters" else None
    return RUN | {
        "language": language,
        "scoring": scoring,
        "question_id": "q",
        "subject": "a",
        "category": "b",
        "culture": None,
        "gold": gold,
        "logprobs": list(map(float, logprobs)),
        "n_tokens": n_tokens or [1] * n,
        "n_bytes": [1] * n,
        "log_mass": mass,
        "truncated": False,
    }


def save_check(path: Path, languages: set[str], *, left_out: tuple = ()) -> Path:
    """As `check_task` writes it, as far as it is read here."""
    facts = {
        "kind": "check",
        "task": "t",
        "policy": "intersection",
        "digest": "of the ids",
        "n_all": 40,
        "n_common": 40,
        "languages": {code: {"questions": f"{code}'s file"} for code in languages},
        "test": {
            "missing": [{"languages": ["x"], "questions": list(left_out)}],
            "differing": [],
        },
    }
    path.write_text(json.dumps(facts | {"content": digest_facts(facts)}))
    return path


def run(folder: Path, rows: list[dict], *, left_out: tuple = ()) -> tuple[dict, list]:
    """Metrics by (language, scoring, normaliser, metric), and the bins."""
    table = pa.Table.from_pylist(rows, tables.SCHEMAS["predictions"])
    languages = {each["language"] for each in rows}
    origin = {code: f"{code}'s file" for code in languages}
    tables.write(table, folder / "p.parquet", "predictions", questions=origin)
    measure(
        predictions=[folder / "p.parquet"],
        check=save_check(folder / "c.json", languages, left_out=left_out),
        metrics=folder / "m.parquet",
        reliability=folder / "r.parquet",
        replicates=folder / "b.parquet",
        n_replicates=100,
    )
    metrics = tables.read(folder / "m.parquet", "metrics").to_pylist()
    names = ("language", "scoring", "normaliser", "metric")
    metrics = [each for each in metrics if each["subset"] == "all"]
    metrics = [each for each in metrics if each["calibrator"] == "none"]
    found = {tuple(each[name] for name in names): each for each in metrics}
    assert len(found) == len(metrics)
    bins = tables.read(folder / "r.parquet", "reliability")
    return found, tables.where(bins, calibrator="none").to_pylist()


def test_text_has_four_normalisers_and_letters_one(tmp_path):
    """By hand: sums .8/.2 for option 0, means 3/7 to 4/7 for option 1."""
    logprobs = np.log([0.64, 0.16])
    rows = [row("en", "text", 1, logprobs, [1, 3]), row("en", "letters", 1, logprobs)]
    found, _ = run(tmp_path, rows)
    assert {key[1:3] for key in found} == {
        *[("text", name) for name in ("sum", "token", "byte", "english")],
        ("letters", "sum"),
    }
    total = found["en", "text", "sum", "confidence"]["value"]
    assert total == pytest.approx(0.8)
    inverse = np.array([0.64, 0.16 ** (1 / 3)])  # 1 / perplexity
    by_token = found["en", "text", "token", "confidence"]["value"]
    assert by_token == pytest.approx(0.64 / inverse.sum())
    assert found["en", "text", "token", "accuracy"]["value"] == 0
    assert found["en", "letters", "sum", "brier"]["value"] == pytest.approx(2 * 0.64)
    assert found["en", "letters", "sum", "nll"]["value"] == pytest.approx(-np.log(0.2))
    mass = found["en", "letters", "sum", "log_mass"]["value"]
    assert mass == pytest.approx(np.log(0.8))
    assert ("en", "text", "sum", "log_mass") not in found
    # What carries no claim has an interval under the headline normaliser only.
    assert found["en", "text", "token", "brier_top"]["se"] is not None
    assert found["en", "text", "sum", "brier_top"]["se"] is None
    assert found["en", "text", "sum", "brier"]["se"] is not None


def test_questions_may_have_different_numbers_of_options(tmp_path):
    """Chance is the mean of 1/K; a missing option takes no probability."""
    rows = [
        row("en", "letters", 0, np.log([0.9, 0.1])),
        row("en", "letters", 3, np.log([0.1, 0.1, 0.2, 0.5, 0.1])),
    ]
    found, _ = run(tmp_path, rows)
    values = {key[3]: each["value"] for key, each in found.items()}
    assert values["chance"] == pytest.approx((1 / 2 + 1 / 5) / 2)
    assert values["confidence"] == pytest.approx((0.9 + 0.5) / 2)
    assert values["accuracy"] == 1
    assert values["gap"] == pytest.approx(0.7 - 1)
    assert found["en", "letters", "sum", "ece"]["n_questions"] == 2


def test_languages_are_measured_apart(tmp_path):
    """Interleaved rows do not mix, and every group has its 15 bins."""
    rows = []
    for index in range(6):
        rows.append(row("en", "letters", 0, np.log([0.8, 0.2])))
        rows.append(row("sw", "letters", index % 2, np.log([0.8, 0.2])))
    found, bins = run(tmp_path, rows)
    assert found["en", "letters", "sum", "accuracy"]["value"] == 1
    assert found["sw", "letters", "sum", "accuracy"]["value"] == 0.5
    assert len(bins) == 2 * 15
    filled = [each for each in bins if each["n"]]
    assert [each["sum_correct"] for each in filled] == [6, 3]
    assert [each["n"] for each in filled] == [6, 6]


def test_the_ece_can_be_computed_from_the_bins(tmp_path):
    """The two tables say the same, to the last digits."""
    random = np.random.default_rng(0)
    rows = [
        row("en", "text", int(random.integers(4)), random.normal(size=4) * 2 - 9)
        for _ in range(300)
    ]
    found, bins = run(tmp_path, rows)
    for normaliser in ("sum", "token"):
        own = [each for each in bins if each["normaliser"] == normaliser]
        gaps = [abs(each["sum_confidence"] - each["sum_correct"]) for each in own]
        value = found["en", "text", normaliser, "ece"]["value"]
        assert sum(gaps) / 300 == pytest.approx(value, abs=1e-12)


def test_the_tables_say_which_scores_they_are_from(tmp_path):
    """The digest of the checkpoint travels from the predictions to the metrics."""
    table = pa.Table.from_pylist(
        [row("en", "letters", 0, np.log([0.9, 0.1]))], tables.SCHEMAS["predictions"]
    )
    made_by = {"checkpoint": "abc", "shots": 5}
    origin = {"en": "en's file"}
    path = tmp_path / "p.parquet"
    tables.write(table, path, "predictions", questions=origin, **made_by)
    measure(
        predictions=[tmp_path / "p.parquet"],
        check=save_check(tmp_path / "c.json", {"en"}),
        metrics=tmp_path / "m.parquet",
        reliability=tmp_path / "r.parquet",
        replicates=tmp_path / "b.parquet",
        n_replicates=100,
    )
    for name in ("m", "r"):
        facts = tables.read_metadata(tmp_path / f"{name}.parquet")
        assert made_by.items() <= facts.items()
        assert facts["compared"] == {"policy": "intersection", "digest": "of the ids"}


def test_only_what_the_check_keeps_is_measured(tmp_path):
    """A question that one language lacks counts in none; the numbers say how many."""
    rows = [
        row(language, "letters", gold, np.log([0.9, 0.1])) | {"question_id": name}
        for language in ("en", "sw")
        for name, gold in (("1", 0), ("2", 1), ("3", 1))
    ]
    whole, _ = run(tmp_path, rows)
    part, bins = run(tmp_path, rows, left_out=("2", "3"))
    for language in ("en", "sw"):
        key = (language, "letters", "sum", "accuracy")
        assert (whole[key]["n_questions"], part[key]["n_questions"]) == (3, 1)
        assert (whole[key]["value"], part[key]["value"]) == (pytest.approx(1 / 3), 1)
    assert sum(each["n"] for each in bins) == 2


def test_a_language_that_left_the_study_is_not_measured(tmp_path):
    """Its scores stay in the file that holds them."""
    rows = [row(code, "letters", 0, np.log([0.9, 0.1])) for code in ("en", "sw")]
    run(tmp_path, rows)
    measure(
        predictions=[tmp_path / "p.parquet"],
        check=save_check(tmp_path / "c.json", {"sw"}),
        metrics=tmp_path / "m.parquet",
        reliability=tmp_path / "r.parquet",
        replicates=tmp_path / "b.parquet",
        n_replicates=100,
    )
    found = tables.read(tmp_path / "m.parquet", "metrics")
    assert set(found["language"].to_pylist()) == {"sw"}


def save(path: Path, rows: list[dict], **facts: object) -> Path:
    origin = {each["language"]: f"{each['language']}'s file" for each in rows}
    table = pa.Table.from_pylist(rows, tables.SCHEMAS["predictions"])
    tables.write(table, path, "predictions", questions=origin, **facts)
    return path


def measure_files(folder: Path, *predictions: Path) -> pa.Table:
    measure(
        predictions=list(predictions),
        check=save_check(folder / "c.json", {"en", "sw"}),
        metrics=folder / "m.parquet",
        reliability=folder / "r.parquet",
        replicates=folder / "b.parquet",
        n_replicates=100,
    )
    return tables.read(folder / "m.parquet", "metrics")


def test_files_of_one_run_are_measured_together(tmp_path):
    """However its languages were batched; the dtypes of all of them are noted."""
    rows = {code: row(code, "letters", 0, np.log([0.9, 0.1])) for code in ("en", "sw")}
    known = {"own_tokens": {"t, en, text": 2, "t, en, letters": 4, "t, fr, text": 9}}
    known["replaced_shots"] = {"sw": 3, "fr": 5}
    rows["sw"]["truncated"] = True
    whole = save(tmp_path / "w.parquet", list(rows.values()), dtype=["float32"])
    expected = measure_files(tmp_path, whole)
    parts = [
        save(tmp_path / f"{code}.parquet", [each], dtype=[dtype], **known)
        for (code, each), dtype in zip(
            rows.items(), ("float32", "bfloat16"), strict=True
        )
    ]
    assert measure_files(tmp_path, *parts).equals(expected)
    facts = tables.read_metadata(tmp_path / "m.parquet")
    assert facts["dtype"] == ["bfloat16", "float32"]
    assert (facts["own_tokens"], facts["cut_options"]) == (2 * (2 + 4), 0)
    assert (facts["replaced_shots"], facts["truncated"]) == (2 * 3, 1)


def test_scores_of_another_checkpoint_are_refused(tmp_path):
    """Such as those of another run, put in the place of this one's."""
    rows = [row("en", "letters", 0, np.log([0.9, 0.1]))]
    asked = {
        "predictions": [save(tmp_path / "p.parquet", rows, checkpoint="abc")],
        "check": save_check(tmp_path / "c.json", {"en"}),
        "checkpoint": tmp_path / "run",
        **{kind: tmp_path / kind for kind in ("metrics", "reliability", "replicates")},
    }
    (tmp_path / "run").mkdir()
    (tmp_path / "run/provenance.json").write_text('{"digest": "abc"}')
    measure(**asked, n_replicates=10)
    (tmp_path / "run/provenance.json").write_text('{"digest": "abd"}')
    with pytest.raises(InputError, match=r"p\.parquet holds scores of another .*run;"):
        measure(**asked, n_replicates=10)


@pytest.mark.parametrize(("base", "noted"), [("b1", "b1"), ("b1", None), (None, "b2")])
def test_an_adapter_on_another_base_model_is_refused(tmp_path, base, noted):
    """Its own files are the same; a full model's scores know no base model."""
    rows = [row("en", "letters", 0, np.log([0.9, 0.1]))]
    scores = save(tmp_path / "p.parquet", rows, checkpoint="abc", base=base)
    asked = {
        "predictions": [scores],
        "check": save_check(tmp_path / "c.json", {"en"}),
        "checkpoint": tmp_path / "run",
        **{kind: tmp_path / kind for kind in ("metrics", "reliability", "replicates")},
    }
    (tmp_path / "run").mkdir()
    known = {"digest": "abc", "base": noted}
    (tmp_path / "run/provenance.json").write_text(json.dumps(known))
    measure(**asked, n_replicates=10)
    save(tmp_path / "p.parquet", rows, checkpoint="abc", base="b3")
    if noted:
        with pytest.raises(InputError, match=r"another .*run on its base model;"):
            measure(**asked, n_replicates=10)


def test_what_is_asked_for_is_what_is_measured_and_noted(tmp_path):
    """Normalisers, interval, seed and number of replicates; each bin has its number."""
    rows = [row("en", "text", 0, np.log([0.9, 0.1])) | {"culture": "CS"}]
    asked = {"n_replicates": 40, "seed": 3, "confidence": 0.5}
    measure(
        predictions=[save(tmp_path / "p.parquet", rows)],
        check=save_check(tmp_path / "c.json", {"en"}),
        metrics=tmp_path / "m.parquet",
        reliability=tmp_path / "r.parquet",
        replicates=tmp_path / "b.parquet",
        normalisers=["token", "byte"],
        **asked,
    )
    metrics = tables.read(tmp_path / "m.parquet", "metrics")
    assert set(metrics["normaliser"].to_pylist()) == {"token", "byte"}
    noted = {"seed": 3, "confidence": 0.5, "replicates": 40}
    for name in ("m", "r", "b"):
        facts = tables.read_metadata(tmp_path / f"{name}.parquet")
        assert facts["statistics"] == noted
    bins = tables.read(tmp_path / "r.parquet", "reliability")
    own = tables.where(bins, normaliser="byte", calibrator="none")
    assert own["bin"].to_pylist() == list(range(15))
    assert own["n"].to_pylist() == [0] * 13 + [1, 0]  # 0.9 is 13.5 fifteenths


def test_an_interval_is_as_wide_as_its_confidence(tmp_path):
    """That of 50 % is narrower than that of 95 %, on the same replicates."""
    random = np.random.default_rng(0)
    rows = [
        row("en", "letters", int(random.integers(2)), random.normal(size=2) - 9)
        | {"question_id": str(number)}
        for number in range(100)
    ]
    predictions = [save(tmp_path / "p.parquet", rows)]
    outputs = {
        name: tmp_path / f"{name}.parquet"
        for name in ("metrics", "reliability", "replicates")
    }
    widths = []
    for confidence in (0.5, 0.95):
        check = save_check(tmp_path / "c.json", {"en"})
        measure(predictions=predictions, check=check, confidence=confidence, **outputs)
        table = tables.read(outputs["metrics"], "metrics")
        own = tables.where(table, metric="accuracy", calibrator="none").to_pylist()[0]
        widths.append(own["ci_high"] - own["ci_low"])
        drawn = tables.read(outputs["replicates"], "replicates")
        assert {len(each) for each in drawn["values"].to_pylist()} == {1000}
    se = own["se"]
    assert widths == pytest.approx([2 * 0.6745 * se, 2 * 1.96 * se], rel=0.15)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"n_replicates": 1}, "n_replicates is 1; it must be from 2 to 100000"),
        ({"n_replicates": 100_001}, "n_replicates is 100001"),
        ({"confidence": 0}, "confidence is 0; it must be above 0 and below 1"),
        ({"confidence": 1}, "confidence is 1; "),
    ],
)
def test_statistics_that_cannot_be_are_refused(tmp_path, asked, message):
    """Before anything is read."""
    names = ("check", "metrics", "reliability", "replicates")
    with pytest.raises(InputError, match=message):
        measure(predictions=[], **{name: tmp_path / name for name in names}, **asked)


@pytest.mark.parametrize(
    ("changes", "facts", "message"),
    [
        ({"language": "en"}, {"checkpoint": "a"}, r"b\.parquet: en is in another file"),
        ({}, {"checkpoint": "b"}, r"b\.parquet and .*a\.parquet differ in checkpoint"),
        ({}, {"checkpoint": "a", "max_questions": 20}, "differ in max_questions"),
        ({"seed": 1}, {"checkpoint": "a"}, "of several runs"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(
    tmp_path, changes, facts, message
):
    """Twice the same language, two checkpoints, other questions, two runs."""
    one = row("en", "letters", 0, np.log([0.9, 0.1]))
    other = one | {"language": "sw"} | changes
    first = save(tmp_path / "a.parquet", [one], checkpoint="a")
    second = save(tmp_path / "b.parquet", [other], **facts)
    with pytest.raises(InputError, match=message):
        measure_files(tmp_path, first, second)


def test_scores_of_other_questions_than_the_check_are_refused(tmp_path):
    """Also where a file does not tell which questions it scored."""
    rows = [row("en", "letters", 0, np.log([0.9, 0.1]))]
    table = pa.Table.from_pylist(rows, tables.SCHEMAS["predictions"])
    for facts in ({"questions": {"en": "another file"}}, {}):
        tables.write(table, tmp_path / "p.parquet", "predictions", **facts)
        with pytest.raises(
            InputError, match="t, en: the scores are of other questions"
        ):
            measure_files(tmp_path, tmp_path / "p.parquet")


def test_annotated_questions_are_also_measured_by_culture(tmp_path):
    """A subset holds its questions only; without annotations there is only `all`."""
    rows = [
        row("en", "letters", gold, np.log([0.9, 0.1])) | {"culture": culture}
        for gold, culture in ((0, "CS"), (1, "CS"), (0, "CA"), (1, None), (1, None))
    ]
    rows[2]["log_mass"] = np.log(0.4)
    rows.append(row("sw", "letters", 0, np.log([0.9, 0.1])))
    table = measure_files(tmp_path, save(tmp_path / "p.parquet", rows))
    found = [
        (each["language"], each["subset"], each["value"], each["n_questions"])
        for each in tables.where(table, calibrator="none").to_pylist()
        if each["metric"] == "accuracy"
    ]
    assert found == [
        ("en", "all", pytest.approx(0.4), 5),
        ("sw", "all", 1.0, 1),
        ("en", "CS", 0.5, 2),
        ("en", "CA", 1.0, 1),
    ]
    masses = {
        each["subset"]: each["value"]
        for each in tables.where(table, language="en", calibrator="none").to_pylist()
        if each["metric"] == "letter_mass"
    }
    assert masses == pytest.approx({"all": 0.88, "CS": 1.0, "CA": 0.4})
    drawn = tables.read(tmp_path / "b.parquet", "replicates")
    kept = {(row["subset"], row["calibrator"]) for row in drawn.to_pylist()}
    assert {("CS", "none"), ("CA", "none")} < kept
    assert {calibrator for subset, calibrator in kept if subset != "all"} == {"none"}
    compared = tables.where(drawn, subset="CS")["metric"].to_pylist()
    assert {"accuracy", "confidence", "gap"} <= set(compared)
    assert {"ece", "brier", "nll"}.isdisjoint(compared)  # biased, or without a margin


def test_calibrated_readings_are_measured_beside_the_plain_ones(tmp_path):
    """Primary metrics and the temperature; what is compared with English is plain."""
    random = np.random.default_rng(0)
    rows = [
        row(
            language, "letters", int(random.integers(3)), random.normal(size=3) * 3 - 20
        )
        | {"question_id": f"q{index}"}
        for language in ("en", "sw")
        for index in range(60)
    ]
    table = measure_files(tmp_path, save(tmp_path / "p.parquet", rows))
    held = {
        name: {
            each["metric"]: each["value"]
            for each in tables.where(table, language="sw", calibrator=name).to_pylist()
        }
        for name in ("none", "ts_en", "ts_own")
    }
    primary = {"accuracy", "confidence", "gap", "ece", "brier", "nll"}
    assert set(held["ts_en"]) == primary | {"temperature", "censored"}
    assert held["ts_own"]["accuracy"] == held["none"]["accuracy"]
    assert held["ts_own"]["temperature"] > 1
    assert held["ts_own"]["nll"] < held["none"]["nll"]
    assert {"agreement", "auroc", "tie_rate", "letter_mass"} < set(held["none"])
    assert held["none"]["mce"] is None  # no bin has 50 questions


def test_numbers_say_how_sure_they_are(tmp_path):
    """Standard errors as by the formula, null values for ECE and gap, replicates."""
    random = np.random.default_rng(0)
    rows = [
        row("en", "letters", int(random.integers(4)), random.normal(size=4) - 9)
        | {"question_id": str(number)}
        for number in range(300)
    ]
    found, _ = run(tmp_path, rows)
    values = {key[3]: each for key, each in found.items()}
    accuracy = values["accuracy"]
    se = np.sqrt(accuracy["value"] * (1 - accuracy["value"]) / 300)
    assert accuracy["se"] == pytest.approx(se, rel=0.25)  # 100 replicates
    assert accuracy["ci_low"] < accuracy["value"] < accuracy["ci_high"]
    assert accuracy["null_mean"] is None
    assert values["ece"]["null_p"] < 0.05  # the answers are by chance
    assert values["ece"]["null_mean"] < values["ece"]["value"]
    assert values["gap"]["null_mean"] == 0
    auroc = values["auroc"]
    assert auroc["se"] == pytest.approx(0.034, rel=0.35)  # about 1 / sqrt(3 N)
    assert auroc["ci_low"] < auroc["value"] < auroc["ci_high"]
    assert values["mce"]["se"] is None
    drawn = tables.read(tmp_path / "b.parquet", "replicates")
    assert {len(each) for each in drawn["values"].to_pylist()} == {100}
    plain = tables.where(drawn, calibrator="none", metric="accuracy").to_pylist()
    assert np.std(plain[0]["values"], ddof=1) == pytest.approx(accuracy["se"])


@pytest.mark.parametrize(
    ("gold", "logprobs", "what"),
    [
        (0, [-np.inf, -1.0], "are not finite log-likelihoods"),
        (0, [-1.0, -np.inf], "are not finite log-likelihoods"),
        (0, [-1.0, np.nan], "are not finite log-likelihoods"),
        (0, [np.inf, -1.0], "are not finite log-likelihoods"),
        (0, [-1.0, 0.5], "are not finite log-likelihoods up to 0"),
        (2, [-1.0, -2.0], "the right option is number 2 of 2, from 0"),
        (-1, [-1.0, -2.0], "the right option is number -1 of 2, from 0"),
    ],
)
def test_scores_that_are_none_are_named(tmp_path, gold, logprobs, what):
    """By file, language and question, in one line."""
    rows = [
        row("en", "letters", 0, np.log([0.9, 0.1])),
        row("sw", "text", gold, logprobs) | {"question_id": "bad"},
    ]
    with pytest.raises(InputError, match=what) as caught:
        run(tmp_path, rows)
    text = str(caught.value)
    assert "p.parquet: sw, question bad (text): " in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"question_id": None}, "it has no question_id"),
        ({"gold": None}, "it has no gold"),
        ({"n_tokens": None}, "it has no n_tokens"),
        ({"scoring": "words"}, "its scoring is none of letters, text"),
        ({"n_tokens": [1]}, r"its n_tokens \[1\] are no counts of 2 options"),
        ({"n_tokens": [1, 0]}, r"its n_tokens \[1, 0\] are no counts of 2 options"),
        ({"n_bytes": [1, None]}, r"its n_bytes \[1, None\] are no counts"),
        ({"log_mass": np.inf}, "its log_mass inf is no finite log-probability"),
        ({"log_mass": 0.1}, "its log_mass 0.1.* is no finite log-probability"),
    ],
)
def test_a_row_that_means_nothing_is_named(tmp_path, change, what):
    """Whatever wrote it; subject, category and culture may be missing."""
    rows = [row("en", "letters", 0, np.log([0.9, 0.1])) | {"subject": None}]
    run(tmp_path, rows)
    with pytest.raises(InputError, match=rf"p\.parquet: en, question .*: {what}"):
        run(tmp_path, [*rows, rows[0] | change])


def test_a_rounding_step_above_0_is_a_log_likelihood(tmp_path):
    """The log of a probability of 1, as float32 may compute it."""
    run(tmp_path, [row("en", "letters", 0, [1e-6, -20.0])])


def test_a_metric_that_a_language_lacks_is_compared_in_none(tmp_path):
    """English has no wrong answer to rank: no AUROC there, and no replicates of it."""
    wrong = [row("sw", "letters", index % 2, [-0.1, -2.4]) for index in range(8)]
    right = [row("en", "letters", 0, [-0.1, -2.4]) for _ in range(8)]
    rows = [
        each | {"question_id": f"q{index % 8}"}
        for index, each in enumerate(wrong + right)
    ]
    found, _ = run(tmp_path, rows)
    assert found["en", "letters", "sum", "auroc"]["value"] is None
    assert found["en", "letters", "sum", "auroc"]["se"] is None
    assert found["sw", "letters", "sum", "auroc"]["value"] == 0.5
    kept = tables.read(tmp_path / "b.parquet", "replicates").to_pylist()
    by_metric = {each["metric"]: each["language"] for each in kept}
    assert {"brier_top", "smooth_ece", "ece"} <= set(by_metric)
    assert "auroc" not in by_metric
    assert not any(np.isnan(each["values"]).any() for each in kept)
