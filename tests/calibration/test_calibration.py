"""The package as users import it: names, and nothing heavy behind them."""

import subprocess
import sys

from polycal import calibration


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
