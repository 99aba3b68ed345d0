"""Figures of differences show the answers' numbers, each in its line."""

import numpy as np
import pytest
from drawn import NAMES, PLACE, marks_of, study, values_of
from made_up import CODES, CONDITIONS, LEVELS, MARGIN, mean_by_hand

from polycal.reporting.canvas import OVER
from polycal.reporting.comparisons import PARTS, decomposition, forest
from polycal.storage import tables

BASE, SFT, SMOOTHED = CONDITIONS.values()
# Title of the panel -> after, before, and the name of the reference.
PANELS = {
    "SFT\nminus base": (SFT, BASE, "base"),
    "SFT, smoothing 0.1\nminus SFT": (SMOOTHED, SFT, "sft"),
}
LINES = {NAMES[code]: [code] for code in CODES}
LINES |= {f"{level} resource": codes for level, codes in LEVELS.items()}
LINES["all languages"] = LINES.pop("all resource")


def change(metric: str, after: tuple, before: tuple) -> dict[str, float]:
    """The change of the mean of a metric in each line, in percentage points."""
    return {
        text: 100
        * (mean_by_hand(*after, codes, metric) - mean_by_hand(*before, codes, metric))
        for text, codes in LINES.items()
    }


def test_a_forest_draws_each_change_in_its_line():
    """A diamond for confidence, a circle for accuracy; the panel names both sides."""
    panels = forest(values_of("forest")).axes
    assert [axes.get_title() for axes in panels] == list(PANELS)
    for axes in panels:
        after, before, _ = PANELS[axes.get_title()]
        for metric, marker, shift in (
            ("confidence", "D", -0.2),
            ("accuracy", "o", 0.2),
        ):
            drawn = marks_of(axes, marker, panels[0], shift)
            expected = pytest.approx(change(metric, after, before), abs=1e-4)
            assert (metric, axes.get_title(), drawn) == (
                *(metric, axes.get_title()),
                expected,
            )


def test_a_language_has_its_band_and_a_level_its_interval():
    """From the lower to the upper end; the grey zone is the margin to both sides."""
    rows = tables.read(study().tables / "contrasts.parquet", "contrasts")
    rows = tables.where(rows, **PLACE, calibrator="none", metric="confidence")
    panels = forest(values_of("forest")).axes
    texts = [text.get_text() for text in panels[0].get_yticklabels()]
    for axes in panels:
        (_, smoothing), _, reference = PANELS[axes.get_title()]
        own = tables.where(rows, smoothing=smoothing, reference=reference).to_pylist()
        own = {row["level"]: row for row in own}
        spans = [line for line in axes.lines if len(line.get_xdata()) == 3 * len(LINES)]
        x, y = (values.reshape(-1, 3)[:, :2] for values in spans[0].get_data())
        drawn = {
            texts[round(at + 0.2)]: ends for ends, (at, _) in zip(x, y, strict=True)
        }
        for text, codes in LINES.items():
            level = codes[0] if text in NAMES.values() else text.split()[0]
            kind = "sim" if text in NAMES.values() else "ci"
            ends = [100 * own[level][f"{kind}_{end}"] for end in ("low", "high")]
            assert (text, list(drawn[text])) == (text, pytest.approx(ends))
        zone = next(patch for patch in axes.patches if patch.get_width() > 0)
        ends = zone.get_x(), zone.get_x() + zone.get_width()
        assert ends == pytest.approx((-100 * MARGIN, 100 * MARGIN))


def test_bars_of_a_decomposition_add_up_to_the_change_of_ece():
    """The diamond is the change of ECE, and the sum of the bars' signed lengths."""
    panels = decomposition(values_of("decomposition")).axes
    for axes in panels:
        after, before, _ = PANELS[axes.get_title()]
        bars = [part.get_path().vertices.reshape(-1, 5, 2) for part in axes.patches]
        assert [len(corners) for corners in bars] == [len(LINES)] * len(PARTS)
        texts = [text.get_text() for text in panels[0].get_yticklabels()]
        sums = dict.fromkeys(LINES, 0.0)
        for corners in np.concatenate(bars):
            middle = corners[1:3, 1].mean()
            sums[texts[round(middle)]] += corners[1, 0] - corners[0, 0]
        expected = change("ece", after, before)
        assert sums == pytest.approx(expected, abs=1e-4), axes.get_title()
        drawn = marks_of(axes, "D", panels[0])
        assert drawn == pytest.approx(expected, abs=1e-4), axes.get_title()


def test_the_bar_of_confidence_has_its_colour():
    """In Swahili confidence exceeds accuracy: its bar is the change of confidence."""
    axes = decomposition(values_of("decomposition")).axes[0]
    (part,) = [part for part in axes.patches if part.get_facecolor() == OVER]
    texts = [text.get_text() for text in axes.get_yticklabels()]
    corners = part.get_path().vertices.reshape(-1, 5, 2)
    lengths = {
        texts[round(bar[1:3, 1].mean())]: bar[1, 0] - bar[0, 0] for bar in corners
    }
    expected = change("confidence", SFT, BASE)[NAMES["sw"]]
    assert lengths[NAMES["sw"]] == pytest.approx(expected, abs=1e-4)
