"""What all tests have in common: the longest files are begun first."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files: with `-n`, no process then ends alone."""
    longest = ["test_workflow.py", "test_slurm.py", "test_walkthroughs.py"]
    names = dict(zip(longest, range(-len(longest), 0), strict=True))
    items.sort(key=lambda item: names.get(item.path.name, 0))
