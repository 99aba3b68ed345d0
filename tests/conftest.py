"""What all tests have in common: the longest file is begun first."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the workflow's tests: with `-n`, no process then ends alone."""
    items.sort(key=lambda item: item.path.name != "test_workflow.py")
