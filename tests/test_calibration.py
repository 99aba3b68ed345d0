"""The package as users import it: examples, names, and nothing heavy behind it."""

import doctest
import importlib
import pkgutil
import subprocess
import sys

import pytest

from polycal import calibration

MODULES = [
    importlib.import_module(f"polycal.calibration.{module.name}")
    for module in pkgutil.iter_modules(calibration.__path__)
]


@pytest.mark.parametrize("module", [calibration, *MODULES], ids=lambda m: m.__name__)
def test_the_docstring_examples_are_true(module):
    """What the documentation shows is what a user gets."""
    assert doctest.testmod(module).failed == 0


def test_there_are_examples():
    """The package's own, and most modules'."""
    counts = [doctest.testmod(module).attempted for module in (calibration, *MODULES)]
    assert counts[0] > 0
    assert sum(count > 0 for count in counts) > 4


def test_numpy_is_all_it_needs():
    """No torch, no SciPy, no pandas, no pyarrow: usable anywhere."""
    code = (
        "import sys; from polycal.calibration import ece; "
        "heavy = {'torch', 'scipy', 'sklearn', 'pandas', 'pyarrow'}; "
        "sys.exit(bool(heavy & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_every_public_name_is_offered():
    """`from polycal.calibration import X` holds for each name in __all__."""
    assert all(hasattr(calibration, name) for name in calibration.__all__)
