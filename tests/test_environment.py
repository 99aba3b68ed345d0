"""Processes begin with the settings that their libraries read then."""

import os
import subprocess
import sys

import pytest

from polycal import environment
from polycal.environment import EVERYWHERE, ON_A_CPU, missing, pick_settings

ALL = EVERYWHERE | ON_A_CPU
PLAIN = {k: v for k, v in os.environ.items() if k not in ALL}
SHOW = (
    "import os, sys\n"
    "from polycal.environment import restart_with_settings\n"
    "restart_with_settings()\n"
    "print(sys.argv[1:], [os.environ.get(name) for name in sys.argv[1].split()])\n"
)


def show(**variables: str) -> str:
    """What a process that restarts itself sees of the settings, on a CPU."""
    done = subprocess.run(
        [sys.executable, "-c", SHOW, " ".join(ALL), "it's"],
        env=PLAIN | {"CUDA_VISIBLE_DEVICES": ""} | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_a_process_restarts_itself_with_the_settings():
    """The same arguments, and a value for each of them."""
    words = [" ".join(ALL), "it's"]
    assert show() == f"{words} {list(ALL.values())}"


def test_what_the_user_has_set_wins():
    """The variable itself, or another one that decides the same."""
    memory = list(ON_A_CPU.values())
    assert show(GOMP_SPINCOUNT="7").endswith(str(["7", "1", *memory]))
    assert show(GLIBC_TUNABLES="").endswith("['10000', '1', None, None]")
    assert show(OMP_WAIT_POLICY="ACTIVE").endswith(str([None, "1", *memory]))
    assert missing(ALL, ALL) == {}


@pytest.mark.parametrize(
    ("driver", "visible", "on_a_cpu"),
    [(False, None, True), (True, None, False), (True, "0", False), (True, "", True)],
)
def test_a_gpu_s_job_keeps_no_memory(driver, visible, on_a_cpu, monkeypatch, tmp_path):
    """Its weights only pass through main memory."""
    monkeypatch.setattr(environment, "_DRIVER", tmp_path / ("" if driver else "none"))
    variables = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert (pick_settings(variables) == ALL) == on_a_cpu
    assert EVERYWHERE.items() <= pick_settings(variables).items()


def test_the_tests_have_them_too():
    """Their own process and, with -n, their workers."""
    assert missing(os.environ, pick_settings(os.environ)) == {}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_freed_memory_stays_with_the_process():
    """A block of 256 MiB that is freed is still resident; without the settings not."""
    code = (
        "import ctypes; from polycal.environment import restart_with_settings as r\n"
        "import os, sys\n"
        "sys.argv[1:] and r()\n"
        "libc = ctypes.CDLL(None); libc.malloc.restype = ctypes.c_void_p\n"
        "size = 2**28; block = libc.malloc(ctypes.c_size_t(size))\n"
        "ctypes.memset(block, 1, size); libc.free(ctypes.c_void_p(block))\n"
        "pages = int(open('/proc/self/statm').read().split()[1])\n"
        "print(pages * os.sysconf('SC_PAGE_SIZE'))"
    )
    variables = PLAIN | {"CUDA_VISIBLE_DEVICES": ""}
    kept, returned = (
        int(subprocess.check_output([sys.executable, "-c", code, *flag], env=variables))
        for flag in (["keep"], [])
    )
    assert kept > 2**28 > returned
