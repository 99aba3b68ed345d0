"""Settings that libraries read from the environment when a process starts.

The workflow's jobs get them from its shell prefix and from the command line's entry,
verbs that are typed by hand from the entry, the tests from their conftest. Standard
library only.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

# The number of a file that is the terminal of whoever started the workflow.
TERMINAL = "POLYCAL_TERMINAL"
# A waiting thread of libgomp, PyTorch's OpenMP, spins 300,000 rounds before it sleeps:
# beside other work the threads that it waits for do not get its core. 10,000 cost
# nothing on a quiet machine (benchmarks/threads.py).
EVERYWHERE = {
    "GOMP_SPINCOUNT": "10000",
    # A study's folder may hold Python files of a user's, which must not be imported.
    "PYTHONSAFEPATH": "1",
}
# glibc returns big blocks to the kernel at once, and gets them back as new pages that
# the kernel fills with zeros; keeping them saves 10 to 17 % of a CPU job. A job that
# computes on a GPU would only hold the main memory that its weights passed through.
ON_A_CPU = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**40),
}
# A variable by which a user has decided the same.
_INSTEAD = {
    "GOMP_SPINCOUNT": "OMP_WAIT_POLICY",
    "MALLOC_MMAP_MAX_": "GLIBC_TUNABLES",
    "MALLOC_TRIM_THRESHOLD_": "GLIBC_TUNABLES",
}
_DRIVER = Path("/dev/nvidiactl")  # is there where a GPU of NVIDIA's is


def missing(
    environment: Mapping[str, str], settings: Mapping[str, str]
) -> dict[str, str]:
    """Return the settings about which an environment, which wins, says nothing."""
    return {
        name: value
        for name, value in settings.items()
        if name not in environment and _INSTEAD.get(name, name) not in environment
    }


def pick_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return all settings of a process in this environment."""
    # An empty variable hides all GPUs.
    sees_gpus = _DRIVER.exists() and environment.get("CUDA_VISIBLE_DEVICES") != ""
    return EVERYWHERE if sees_gpus else EVERYWHERE | ON_A_CPU


def restart_with_settings(*, but: str = "") -> None:
    """Start this process again with the missing settings, if there are any.

    glibc reads its own when a process starts, so setting them here would be too late.
    Only for a process that has done nothing yet and runs nothing else.
    """
    added = missing(os.environ, pick_settings(os.environ))
    added.pop(but, None)
    if added:
        os.environ.update(added)
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
