"""What all tests have in common: what is begun first, and what a GPU is needed for."""

import pytest
import torch


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files: with `-n`, no process then ends alone."""
    longest = ["test_workflow.py", "test_slurm.py", "test_walkthroughs.py"]
    names = dict(zip(longest, range(-len(longest), 0), strict=True))
    items.sort(key=lambda item: names.get(item.path.name, 0))
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="there is no CUDA device"))
