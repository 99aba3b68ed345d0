"""What all tests have in common: their processes' settings, and their order."""

import os

import pytest
from hypothesis import HealthCheck, settings

from polycal import environment

# How long an example takes depends on what else the machine does. `make test` takes
# Hypothesis' own profile `ci`, which has no deadline either, and no chance.
settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("untimed")

# Before torch is imported; processes that tests start, and xdist's workers, inherit it.
# Not the one about Python's path: scripts that tests start import their neighbours.
os.environ.setdefault("PYTHONSAFEPATH", "")
os.environ.update(
    environment.missing(os.environ, environment.pick_settings(os.environ))
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files: with `-n`, no process then ends alone."""
    longest = ["test_workflow.py", "test_slurm.py", "test_walkthroughs.py"]
    longest += ["test_odd_places.py", "test_borders.py"]
    longest += ["test_launch.py", "test_tune.py", "test_watch.py", "test_score.py"]
    longest += ["test_miniature_model.py", "test_report.py", "test_cli.py"]
    names = dict(zip(longest, range(-len(longest), 0), strict=True))
    items.sort(key=lambda item: names.get(item.path.name, 0))
