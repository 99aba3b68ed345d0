"""Figures of the gap show the numbers of the answers, each in its line and panel."""

import pandas as pd
import pytest
from drawn import NAMES, PLACE, marks_of, study, values_of
from made_up import CODES, CONDITIONS, by_hand

from polycal.reporting.gaps import dumbbell, heatmap
from polycal.storage import tables


def test_a_circle_is_an_accuracy_and_a_diamond_a_confidence():
    """As the legend says, in the line of its language and its condition's panel."""
    panels = dumbbell(values_of("dumbbell")).axes
    for axes, (condition, how) in zip(panels, CONDITIONS.items(), strict=True):
        assert axes.get_title().startswith(f"{condition}\n")
        for marker, metric in (("o", "accuracy"), ("D", "confidence")):
            expected = {NAMES[c]: 100 * by_hand(*how, c)[metric] for c in CODES}
            assert (metric, marks_of(axes, marker, panels[0])) == (
                metric,
                pytest.approx(expected, abs=1e-4),
            )


def test_the_title_of_a_panel_has_the_mean_gap_with_its_sign():
    """Over the languages: below 0 for the base model, above it after SFT."""
    panels = dumbbell(values_of("dumbbell")).axes
    for axes, how in zip(panels, CONDITIONS.values(), strict=True):
        mean = 100 * sum(by_hand(*how, code)["gap"] for code in CODES) / len(CODES)
        words = f"{mean:+.1f}".replace("-", "−")
        assert axes.get_title().endswith(f"mean gap {words} pp")


def test_languages_go_from_many_resources_to_few():
    names = [
        text.get_text()
        for text in dumbbell(values_of("dumbbell")).axes[0].get_yticklabels()
    ]
    assert [name for name in names if "(" in name] == [NAMES[code] for code in CODES]


def test_a_cell_of_the_heatmap_is_a_gap_with_a_star_for_its_band():
    """Row by language, column by condition; the star is by the band, on both sides."""
    axes = heatmap(values_of("heatmap")).axes[0]
    lines = [text.get_text() for text in axes.get_yticklabels()]
    rows = tables.read(study().tables / "contrasts.parquet", "contrasts")
    rows = tables.where(rows, **PLACE, metric="gap", calibrator="none").to_pandas()
    starred = set()
    for column, reference in ((1, "base"), (2, "sft")):
        smoothing = list(CONDITIONS.values())[column][1]
        own = rows[(rows["reference"] == reference) & (rows["smoothing"] == smoothing)]
        own = own[(own["sim_low"] > 0) | (own["sim_high"] < 0)]
        starred |= {(code, column) for code in own["level"] if code in CODES}
    assert 0 < len(starred) < 10
    expected = {}
    for column, how in enumerate(CONDITIONS.values()):
        for code in CODES:
            text = f"{100 * by_hand(*how, code)['gap']:+.1f}".replace("-", "−")
            star = "*" if (code, column) in starred else ""
            expected[NAMES[code], column] = text + star
    found = {}
    for text in axes.texts:
        x, y = text.get_position()
        found[lines[int(y)], int(x)] = text.get_text()
    assert found == expected


def test_a_condition_that_the_study_lacks_leaves_its_panel_empty():
    """Two models of which one has no SFT: the panel says so."""
    values = values_of("dumbbell")
    base = values[values["rank"] < 0].assign(facet="n")
    titles = [axes.get_title() for axes in dumbbell(pd.concat([values, base])).axes]
    assert sum("not in the study" in title for title in titles) == 2
