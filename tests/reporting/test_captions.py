"""The sentence below a figure holds the numbers of its table."""

import pandas as pd
import pytest
from made_up import make_study
from test_sentences import languages

from polycal.comparing.conditions import BASE_RANK
from polycal.reporting import captions
from polycal.reporting.figure_values import KINDS, values_of
from polycal.study.figures import FIGURES


def test_captions_count_and_name_what_the_figure_shows():
    """Counts per condition and facet; the extremes with language and condition."""
    one = languages((BASE_RANK, "de", 0.5, 0.4), (0.0, "de", 0.5, 0.7))
    two = pd.concat([one, one.assign(facet="n")])
    assert captions.caption_dumbbell(one).endswith("base: 0; SFT: 1.")
    assert "m (base: 0; SFT: 1); n (base" in captions.caption_dumbbell(two)
    assert captions.caption_heatmap(one) == (
        "The signed gap lies between −10.0 pp (German, base) "
        "and +20.0 pp (German, SFT)."
    )
    bins = one.assign(n=[10, 30])
    assert captions.caption_reliability(bins).endswith("base: 0.0%; SFT: 100.0%.")


@pytest.fixture(scope="module")
def values(tmp_path_factory):
    """What each figure of a made-up study shows."""
    made = make_study(tmp_path_factory.mktemp("study"))
    paths = {kind: made[kind] for kind in KINDS}
    place = {"task": "global_mmlu", "scoring": "text", "normaliser": "token"}
    return {name: values_of(name, paths, place) for name in FIGURES}


def test_every_figure_has_a_sentence(values):
    """One that ends, and names no missing number."""
    for name in FIGURES:
        said = captions.CAPTIONS[name](values[name])
        assert said.endswith(".")
        assert "nan" not in said


def test_the_forest_counts_bands_that_leave_0_out(values):
    """Confidence rises by 20 points everywhere, smoothing takes half of it."""
    said = captions.caption_forest(values["forest"])
    assert "confidence – SFT: 5 up, 0 down; SFT, smoothing 0.1: 0 up, 5 down" in said


def test_the_best_smoothing_is_told_with_its_interval(values):
    """The made-up ECE is lower with smoothing, and its interval one value."""
    said = captions.caption_doses(values["doses"])
    assert said.endswith("lowest with smoothing 0.1, interval 0.1 to 0.1.")


def test_a_rank_correlation_is_spearman_s():
    """By hand: the ranks of three languages run in opposite directions."""
    rows = {"facet": "m", "rank": 0.0, "gap": [0.3, -0.2, 0.1]}
    shown = pd.DataFrame(rows | {"token_premium": [1.0, 2.0, 3.0]})
    assert captions.caption_premium(shown).endswith("SFT: −1.00.")


def test_what_nothing_beats_is_named():
    """With its temperature, where it has one."""
    rows = {"facet": "m", "level": "all", "rank": [0.0, 0.1], "front": True}
    shown = pd.DataFrame(rows | {"calibrator": ["none", "ts_own"]})
    assert captions.caption_front(shown).endswith(
        "SFT and SFT, smoothing 0.1 with each language's own temperature."
    )


def test_a_change_counts_by_its_band_and_not_by_its_interval():
    """Three languages: a band above 0, one that only its interval leaves, one below."""
    rows = {
        "facet": "m",
        "rank": 0.0,
        "metric": "confidence",
        "level": ["de", "en", "sw"],
        "sim_low": [0.1, -0.1, -0.5],
        "sim_high": [0.5, 0.6, -0.1],
        "ci_low": [0.2, 0.1, -0.4],
        "ci_high": [0.4, 0.5, -0.2],
    }
    both = pd.concat([pd.DataFrame(rows), pd.DataFrame(rows | {"metric": "accuracy"})])
    said = captions.caption_forest(both)
    assert "of 3, whose band" in said
    assert said.count("SFT: 1 up, 1 down") == 2


def test_a_gap_is_confidence_minus_accuracy():
    """60 of 100 sure, 45 right: +15, and not −15."""
    bins = {"facet": "m", "rank": 0.0, "level": ["all", "low"]}
    bins |= {"sum_confidence": [60.0, 1.0], "sum_correct": [45.0, 9.0], "n": [100, 10]}
    assert captions.caption_levels(pd.DataFrame(bins)).endswith("SFT: +15.0 pp.")
