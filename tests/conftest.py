"""What all tests have in common: the longest files are begun first."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the two longest files: with `-n`, no process then ends alone."""
    longest = ("test_workflow.py", "test_slurm.py")
    items.sort(key=lambda item: item.path.name not in longest)
