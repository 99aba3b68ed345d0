"""GPU types are found by their name and by their driver's name."""

import pytest

from polycal.errors import InputError
from polycal.models import gpu_types


def test_an_unknown_gpu_is_met_with_the_known():
    """The line lists them."""
    assert gpu_types.find_gpu("H200").memory == 141e9
    with pytest.raises(InputError, match=r"'k80' is not known; use one of .*h100"):
        gpu_types.find_gpu("k80")
