"""Base, SFT and each smoothing side by side."""

import pandas as pd
import pytest
from made_up import make_study

from polycal.comparing.conditions import (
    BASE_RANK,
    by_condition,
    in_resource_order,
    label,
    language_of,
    mark_sure,
    per_bin,
    per_language,
    per_level,
    reference,
    select,
)
from polycal.errors import InputError
from polycal.storage import tables
from polycal.study.languages import LEVELS

PLACE = {"task": "global_mmlu", "scoring": "text", "normaliser": "token"}


def test_the_base_model_starts_each_of_its_sft_sets(tmp_path):
    """A facet is a model with one SFT set, and each holds the base model's rows."""
    paths = make_study(tmp_path, models=("m", "n"), sft=("a", "b"), smoothing=(0.1,))
    values = by_condition(select(paths["metrics"], "metrics", **PLACE))
    ranks = values.groupby("facet")["rank"].unique().map(sorted).to_dict()
    facets = [f"{model}, SFT on {sft}" for model in "mn" for sft in "ab"]
    assert ranks == {facet: [BASE_RANK, 0.1] for facet in facets}


def test_a_study_of_base_models_has_one_facet_per_model(tmp_path):
    """No SFT set, no word about it."""
    paths = make_study(tmp_path, models=("m", "n"), sft=())
    values = by_condition(select(paths["metrics"], "metrics", **PLACE))
    assert sorted(values["facet"].unique()) == ["m", "n"]
    assert set(values["rank"]) == {BASE_RANK}


def test_labels_and_references():
    """The words of a condition, and what it is compared with."""
    ranks = [BASE_RANK, 0.0, 0.1]
    assert [label(rank) for rank in ranks] == ["base", "SFT", "SFT, smoothing 0.1"]
    assert [reference(rank, ranks) for rank in ranks] == [None, BASE_RANK, 0.0]
    assert reference(0.1, [BASE_RANK, 0.1]) == BASE_RANK
    assert reference(0.1, [0.1]) is None


def test_nothing_selected_is_said(tmp_path):
    """The message names the file and what was asked of it."""
    paths = make_study(tmp_path)
    with pytest.raises(InputError, match=r"metrics\.parquet holds nothing about.*'x'"):
        select(paths["metrics"], "metrics", task="x")


def test_languages_are_averaged_over_seeds(tmp_path):
    """One row per condition and language: the mean of the seeds in the table."""
    paths = make_study(tmp_path, seeds=(0, 1, 2))
    rows = select(paths["metrics"], "metrics", **PLACE)
    values = per_language(rows).set_index(["rank", "language"])
    own = rows.query("smoothing == 0.1 and language == 'sw' and metric == 'ece'")
    assert len(own) == 3
    assert values.loc[(0.1, "sw"), "ece"] == pytest.approx(own["value"].mean())


def test_levels_keep_the_spread_over_seeds(tmp_path):
    """Several seeds have a standard deviation and one seed has none."""
    for seeds, known in (((0,), False), ((0, 1, 2), True)):
        paths = make_study(tmp_path / str(known), seeds=seeds)
        values = per_level(select(paths["summary"], "summary", **PLACE))
        tuned = values[values["rank"] == 0].set_index("level")
        assert set(tuned.index) == {*LEVELS, "all"}
        assert tuned.loc["all", ["n_languages", "n_seeds"]].tolist() == [5, len(seeds)]
        assert ("sd_ece" in tuned and tuned.loc["all", "sd_ece"] > 0) == known


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
    (path,) = [make_study(tmp_path)["metrics"]]
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
    """An interval that leaves 0 out is not enough; a band is, on either side of 0."""
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
    values = pd.DataFrame({"language": list(ends), "rank": 0.0, "facet": "m, SFT on s"})
    marked = mark_sure(values, pd.DataFrame(rows))
    assert marked["sure"].tolist() == [False, True, True]
