"""Which machine a verb runs on."""

import pytest

from polycal.errors import InputError
from polycal.tuning.machines import ONE, Machines, find_machines


def test_one_machine_needs_to_be_told_nothing(monkeypatch):
    """Also within a job of SLURM."""
    monkeypatch.setenv("SLURM_NODEID", "1")
    assert find_machines(1, None, None) == ONE == Machines(1, 0, "")


def test_srun_tells_a_machine_its_number(monkeypatch):
    """Unless the flag does."""
    monkeypatch.setenv("SLURM_NODEID", "1")
    assert find_machines(2, None, "a:29500") == Machines(2, 1, "a:29500")
    assert find_machines(2, 0, "a:29500") == Machines(2, 0, "a:29500")


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ((0, None, None), "--nodes is 0; it must be at least 1"),
        ((2, 0, None), "needs --rendezvous HOST:PORT"),
        ((2, 0, "a"), "needs --rendezvous HOST:PORT.* not 'a'"),
        ((2, 0, ":29500"), "needs --rendezvous HOST:PORT"),
        ((2, 0, "a:99999"), "needs --rendezvous HOST:PORT"),
        ((2, None, "a:29500"), "needs --node-rank, from 0 to 1, unless srun"),
        ((2, 2, "a:29500"), "--node-rank is 2; it must be 0 to 1"),
    ],
)
def test_what_flags_do_not_say_is_asked_for(told, words, monkeypatch):
    """In one line that names the flag."""
    monkeypatch.delenv("SLURM_NODEID", raising=False)
    with pytest.raises(InputError, match=words):
        find_machines(*told)
