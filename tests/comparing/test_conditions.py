"""Base, SFT and each smoothing side by side."""

import pandas as pd
import pytest
from made_up import make_study

from polycal.comparing.conditions import (
    ALONE_RANK,
    BASE_RANK,
    by_condition,
    distinct_levels,
    in_resource_order,
    label,
    language_of,
    mark_sure,
    per_bin,
    per_change,
    per_language,
    per_level,
    per_level_bin,
    per_side,
    reference,
    rows_of,
    select,
)
from polycal.errors import InputError
from polycal.storage import tables
from polycal.study.languages import LEVELS

PLACE = {"task": "global_mmlu", "scoring": "text", "normaliser": "token"}
SMALL = {"tasks": {"global_mmlu": ("en", "sw")}}


def test_changes_between_two_ways_to_ask_are_apart():
    """Of the base model, too, and between models; others are as ever."""
    rows = pd.DataFrame(
        {
            "model": "m",
            "sft": ["none", "s", "s", "s", "none"],
            "smoothing": 0.0,
            "reference": ["task:t", "task:t", "base", None, "model:n"],
            "estimate": [1.0, 2.0, 3.0, 4.0, 5.0],
        }
    )
    assert per_change(rows)["estimate"].tolist() == [3.0, 4.0]
    assert per_side(rows)["estimate"].tolist() == [1.0, 2.0, 5.0]
    assert per_side(rows.iloc[:0]).empty


def test_the_base_model_starts_each_of_its_sft_sets(tmp_path):
    """A facet is a model with one SFT set, and each holds the base model's rows."""
    paths = make_study(
        tmp_path, models=("m", "n"), sft=("a", "b"), smoothing=(0.1,), **SMALL
    )
    values = by_condition(select(paths["metrics"], "metrics", **PLACE))
    ranks = values.groupby("facet")["rank"].unique().map(sorted).to_dict()
    facets = [f"{model}, SFT: {sft}" for model in "mn" for sft in "ab"]
    assert ranks == {facet: [BASE_RANK, 0.1] for facet in facets}
    assert values.index.tolist() == list(range(len(values)))


def test_a_study_of_base_models_has_one_facet_per_model(tmp_path):
    """No SFT set, no word about it."""
    paths = make_study(tmp_path, models=("m", "n"), sft=(), **SMALL)
    values = by_condition(select(paths["metrics"], "metrics", **PLACE))
    assert sorted(values["facet"].unique()) == ["m", "n"]
    assert set(values["rank"]) == {ALONE_RANK}


def test_labels_and_references():
    """The words of a condition, and what it is compared with."""
    assert (label(ALONE_RANK), reference(ALONE_RANK, [ALONE_RANK])) == (
        "as it is",
        None,
    )
    ranks = [BASE_RANK, 0.0, 0.1]
    assert [label(rank) for rank in ranks] == ["base", "SFT", "SFT, smoothing 0.1"]
    assert [reference(rank, ranks) for rank in ranks] == [None, BASE_RANK, 0.0]
    assert reference(0.1, [BASE_RANK, 0.1]) == BASE_RANK
    assert reference(0.1, [0.1]) is None


def test_nothing_selected_is_said(tmp_path):
    """The message names the file and what was asked of it."""
    paths = make_study(tmp_path, seeds=(0, 1))
    with pytest.raises(InputError, match=r"metrics\.parquet holds nothing about.*'x'"):
        select(paths["metrics"], "metrics", task="x")


def test_languages_are_averaged_over_seeds(tmp_path):
    """One row per condition and language: the mean of the seeds in the table."""
    paths = make_study(tmp_path, seeds=(0, 1))
    rows = select(paths["metrics"], "metrics", **PLACE)
    values = per_language(rows).set_index(["rank", "language"])
    own = rows.query("smoothing == 0.1 and language == 'sw' and metric == 'ece'")
    assert len(own) == 2
    assert values.loc[(0.1, "sw"), "ece"] == pytest.approx(own["value"].mean())


def test_levels_have_the_intervals_of_their_means(tmp_path):
    """Those of the same study's table; their estimates are the same means."""
    paths = make_study(tmp_path, seeds=(0, 1))
    means = select(tmp_path / "level_means.parquet", "level_means", **PLACE)
    values = per_level(select(paths["summary"], "summary", **PLACE), means)
    tuned = values[values["rank"] == 0].set_index("level")
    assert set(tuned.index) == {*LEVELS, "all"}
    assert tuned.loc["all", ["n_languages", "n_seeds"]].tolist() == [5, 2]
    own = means.query("smoothing == 0 and sft != 'none' and metric == 'ece'")
    own = own.set_index("level")
    for level in tuned.index:
        row = tuned.loc[level]
        assert row["ece"] == pytest.approx(own.loc[level, "estimate"])
        assert row["low_ece"] == own.loc[level, "ci_low"] < row["ece"]
        assert row["high_ece"] == own.loc[level, "ci_high"] > row["ece"]


def test_bins_of_seeds_are_pooled(tmp_path):
    """Questions add up, means are weighted, shares of a line sum to one."""
    paths = make_study(tmp_path, seeds=(0, 1))
    rows = select(paths["reliability"], "reliability", **PLACE)
    bins = per_bin(rows)
    assert (
        bins["share"]
        .groupby([bins["rank"], bins["language"]])
        .sum()
        .round(9)
        .eq(1)
        .all()
    )
    line = bins.query("rank == 0 and language == 'de'").set_index("bin")
    own = rows.query(
        "sft != 'none' and smoothing == 0 and language == 'de' and bin == 9"
    )
    assert line.loc[9, "n"] == own["n"].sum()
    expected = own["sum_correct"].sum() / own["n"].sum()
    assert line.loc[9, "accuracy"] == pytest.approx(expected)


def test_calibrated_rows_are_left_out(tmp_path):
    """What a calibrator made of the probabilities is another question."""
    (path,) = [make_study(tmp_path, seeds=(0, 1))["metrics"]]
    table = tables.read(path, "metrics").to_pandas()
    other = pd.concat([table, table.assign(calibrator="ts_en", value=9.0)])
    held = tables.pa.Table.from_pandas(other, preserve_index=False)
    tables.write(held, path, "metrics")
    assert select(path, "metrics")["value"].max() < 9


def test_languages_go_from_many_resources_to_few():
    """High before mid before low; a code that nobody knows is named."""
    assert in_resource_order(["sw", "de", "he", "en"]) == ["en", "de", "he", "sw"]
    with pytest.raises(InputError, match="'xx' is not in polycal's table"):
        language_of("xx")


def test_a_star_is_by_the_band_over_all_languages():
    """An interval that excludes 0 is not enough; a band is, on either side of 0."""
    ends = {
        "de": (-0.02, 0.30, 0.01, 0.27),  # the band holds 0, the interval does not
        "en": (0.02, 0.30, 0.05, 0.27),
        "sw": (-0.30, -0.02, -0.27, -0.05),
    }
    rows = [
        {"model": "m", "sft": "s", "smoothing": 0.0, "reference": "base"}
        | {"metric": metric, "level": code}
        | dict(zip(("sim_low", "sim_high", "ci_low", "ci_high"), own, strict=True))
        for metric in ("gap", "ece")
        for code, own in (
            ends if metric == "gap" else dict.fromkeys(ends, [9.0] * 4)
        ).items()
    ]
    values = pd.DataFrame({"language": list(ends), "rank": 0.0, "facet": "m, SFT: s"})
    marked = mark_sure(values, pd.DataFrame(rows))
    assert marked["sure"].tolist() == [False, True, True]
    rows = [row | {"sim_low": -0.1, "sim_high": 0.0} for row in rows]
    assert not mark_sure(values, pd.DataFrame(rows))["sure"].any()
    rows = [row | {"sim_low": 0.0, "sim_high": 0.1} for row in rows]
    assert not mark_sure(values, pd.DataFrame(rows))["sure"].any()
    nothing = pd.DataFrame(columns=list(rows[0]))
    assert not mark_sure(values, nothing)["sure"].any()


def condition(smoothing: float | None = 0.0, **values: object) -> dict:
    """A row of SFT with a smoothing, or of the base model for None."""
    sft = ("none", 0.0) if smoothing is None else ("s", smoothing)
    return {"model": "m", **dict(zip(("sft", "smoothing"), sft, strict=True))} | values


def records(frame: pd.DataFrame, *columns: str) -> list[tuple]:
    return list(frame[list(columns)].itertuples(index=False, name=None))


def test_rows_hold_what_is_asked_for(tmp_path):
    """All subsets and calibrators, unless one asks; perhaps none."""
    paths = make_study(tmp_path, seeds=(0, 1))
    whole = rows_of(paths["metrics"], "metrics")
    assert len(whole) == tables.read(paths["metrics"], "metrics").num_rows
    part = rows_of(paths["metrics"], "metrics", language="sw", metric="ece")
    assert set(records(part, "language", "metric")) == {("sw", "ece")}
    assert rows_of(paths["metrics"], "metrics", language="xx").empty


def test_subsets_of_the_questions_are_not_selected(tmp_path):
    """Only numbers about all of them."""
    path = make_study(tmp_path, seeds=(0, 1))["metrics"]
    table = tables.read(path, "metrics").to_pandas()
    other = pd.concat([table, table.assign(subset="CS", value=9.0)])
    held = tables.pa.Table.from_pandas(other, preserve_index=False)
    tables.write(held, path, "metrics")
    assert select(path, "metrics")["value"].max() < 9
    with pytest.raises(InputError, match="nothing about task 'x', metric 'ece'; cho"):
        select(path, "metrics", task="x", metric="ece")


def test_metrics_become_columns():
    """By language, the mean over seeds .1 and .3, and the fewest questions."""
    rows = [
        condition(language="sw", metric="ece", value=0.1, n_questions=9),
        condition(language="sw", metric="ece", value=0.3, n_questions=7),
        condition(language="sw", metric="gap", value=-0.5, n_questions=9),
        condition(None, language="sw", metric="gap", value=0.4, n_questions=8),
    ]
    found = per_language(pd.DataFrame(rows))
    assert found.columns.tolist() == [
        *("facet", "rank", "language", "ece", "gap", "n_questions")
    ]
    base, tuned = found.to_dict("records")
    assert base["facet"] == tuned["facet"] == "m, SFT: s"
    assert (base["rank"], base["gap"], base["n_questions"]) == (BASE_RANK, 0.4, 8)
    assert tuned["ece"] == pytest.approx(0.2)
    assert (tuned["rank"], tuned["gap"], tuned["n_questions"]) == (0.0, -0.5, 7)


def test_levels_become_rows():
    """Values and ends of each metric beside each other, and the counts."""
    counts = {"n_seeds": 2, "n_languages": 3}
    rows = [
        condition(level="low", metric="ece", value=0.1, **counts),
        condition(level="low", metric="gap", value=0.2, **counts),
        condition(level="all", metric="gap", value=0.3, **counts),
    ]
    means = [
        condition(level="low", metric="gap", ci_low=0.15, ci_high=0.27),
        condition(level="all", metric="gap", ci_low=0.25, ci_high=0.31),
    ]
    found = per_level(pd.DataFrame(rows), pd.DataFrame(means)).set_index("level")
    assert found.columns.tolist() == [
        *("facet", "rank", "ece", "gap", "n_seeds", "n_languages"),
        *("low_gap", "high_gap"),
    ]
    assert found.loc["low"].tolist() == ["m, SFT: s", 0, 0.1, 0.2, 2, 3, 0.15, 0.27]
    ends = found.loc["all", ["gap", "low_gap", "high_gap"]].tolist()
    assert ends == [0.3, 0.25, 0.31]
    alone = per_level(pd.DataFrame(rows), pd.DataFrame())
    assert "low_gap" not in alone


def bins_of(language: str, bin_: int, n: int, confidence: float, correct: float):
    """A row of a reliability table with ten bins."""
    sums = {"n": n, "sum_confidence": confidence, "sum_correct": correct}
    edges = {"bin": bin_, "lo": bin_ / 10, "hi": (bin_ + 1) / 10}
    return condition(language=language, **edges, **sums)


BINS = pd.DataFrame(
    [
        bins_of("de", 9, 10, 9.5, 6),
        bins_of("de", 9, 30, 27.9, 24),  # another seed
        bins_of("de", 8, 0, 0, 0),
        bins_of("de", 5, 10, 5.5, 7),
        bins_of("en", 5, 50, 26, 20),
        bins_of("sw", 9, 20, 19, 8),
    ]
)


def test_bins_are_means_and_shares_of_their_line():
    """By hand: 37.4 of 40 in 0.9 to 1, of which 30 are right, of 50 in all."""
    found = per_bin(BINS)
    names = ["facet", "rank", "language", "bin", "lo", "hi", "n"]
    assert records(found, *names) == [
        ("m, SFT: s", 0.0, "de", 5, 0.5, 0.6, 10),
        ("m, SFT: s", 0.0, "de", 9, 0.9, 1.0, 40),
        ("m, SFT: s", 0.0, "en", 5, 0.5, 0.6, 50),
        ("m, SFT: s", 0.0, "sw", 9, 0.9, 1.0, 20),
    ]
    assert found["confidence"].tolist() == pytest.approx([0.55, 0.935, 0.52, 0.95])
    assert found["accuracy"].tolist() == pytest.approx([0.7, 0.75, 0.4, 0.4])
    assert found["share"].tolist() == pytest.approx([0.2, 0.8, 1, 1])


def test_bins_of_a_level_are_pooled():
    """German and English are high, Swahili is low; all: every question once."""
    found = per_level_bin(BINS)
    names = ["facet", "rank", "level", "bin", "lo", "hi", "n", "n_languages"]
    assert records(found, *names) == [
        ("m, SFT: s", 0.0, "all", 5, 0.5, 0.6, 60, 3),
        ("m, SFT: s", 0.0, "all", 9, 0.9, 1.0, 60, 3),
        ("m, SFT: s", 0.0, "high", 5, 0.5, 0.6, 60, 2),
        ("m, SFT: s", 0.0, "high", 9, 0.9, 1.0, 40, 2),
        ("m, SFT: s", 0.0, "low", 9, 0.9, 1.0, 20, 1),
    ]
    means = [31.5 / 60, 56.4 / 60, 31.5 / 60, 37.4 / 40, 19 / 20]
    assert found["confidence"].tolist() == pytest.approx(means)
    means = [27 / 60, 38 / 60, 27 / 60, 30 / 40, 8 / 20]
    assert found["accuracy"].tolist() == pytest.approx(means)
    assert found["share"].tolist() == pytest.approx([0.5, 0.5, 0.6, 0.4, 1])


def test_a_change_is_that_from_the_condition_s_reference():
    """Smoothing from plain SFT; from the base model where there is no plain SFT."""
    rows = [
        condition(0.0, reference="base"),
        condition(0.1, reference="base"),
        condition(0.1, reference="sft"),
        condition(0.1, reference="base") | {"model": "n"},
    ]
    found = per_change(pd.DataFrame(rows).assign(level="all", metric="gap"))
    assert found.index.tolist() == [0, 1, 2]
    assert records(found, "facet", "rank", "reference") == [
        ("m, SFT: s", 0.0, "base"),
        ("m, SFT: s", 0.1, "sft"),
        ("n, SFT: s", 0.1, "base"),
    ]


def test_all_languages_are_no_level_beside_a_single_one():
    """Languages stay; with two levels, so do the rows of all."""
    for levels, kept in (
        (["low", "sw", "all"], ["low", "sw"]),
        (["low", "sw", "high", "all"], ["low", "sw", "high", "all"]),
        (["all"], ["all"]),
    ):
        rows = pd.DataFrame({"level": levels})
        assert list(distinct_levels(rows)["level"]) == kept


def test_resources_order_by_level_class_and_name():
    """High: class 5 by name, then 4; mid; low: class 2, 1, 0."""
    codes = ["si", "te", "yo", "sw", "he", "pl", "en", "zh"]
    assert in_resource_order([*codes, "en"]) == [
        *("zh", "en", "pl", "he", "sw", "yo", "te", "si")
    ]
