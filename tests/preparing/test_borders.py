"""Whatever enters becomes a table, a counted drop or one line, never a traceback."""

import tempfile
from pathlib import Path

import pytest
from borders import BORDERS, OUTCOMES, cross
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.mark.slow
@pytest.mark.parametrize("border", BORDERS)
@settings(max_examples=1000, derandomize=True)
@given(seed=st.integers(0, 10**9))
def test_no_fault_is_a_traceback(border, seed):
    """A thousand rounds of random values, wrong types and damaged files each."""
    with tempfile.TemporaryDirectory() as folder:
        assert cross(border, seed, Path(folder)) in OUTCOMES


@pytest.mark.parametrize("border", BORDERS)
def test_rounds_end_in_different_ways(border, tmp_path):
    """The faults are neither all harmless nor all fatal."""
    outcomes = set()
    for seed in range(40):
        folder = tmp_path / str(seed)
        folder.mkdir()
        outcomes.add(cross(border, seed, folder))
    assert "refused" in outcomes
    assert len(outcomes) > 1
