"""Node rank and rendezvous from a verb's flags."""

import pytest

from polycal.errors import InputError
from polycal.tuning.machines import ONE, Machines


def test_one_machine_needs_no_flag(monkeypatch):
    """Also within a job of SLURM."""
    monkeypatch.setenv("SLURM_NODEID", "1")
    assert Machines() == Machines(1, 5, "host:20000") == ONE
    assert ONE.rendezvous is None
    assert (ONE.nodes, ONE.node_rank) == (1, 0)


def test_srun_gives_the_node_rank(monkeypatch):
    """Unless the flag does."""
    monkeypatch.setenv("SLURM_NODEID", "1")
    assert Machines(2, None, "a:29500").node_rank == 1
    assert Machines(2, 0, "a:29500").node_rank == 0


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((2, 0, None), "needs --rendezvous HOST:PORT"),
        ((2, 0, "a"), "needs --rendezvous HOST:PORT.* not 'a'"),
        ((2, 0, ":29500"), "needs --rendezvous HOST:PORT"),
        ((2, 0, "a:99999"), "needs --rendezvous HOST:PORT"),
        ((2, None, "a:29500"), "needs --node-rank, from 0 to 1, unless srun"),
        ((2, 2, "a:29500"), "--node-rank is 2; it must be 0 to 1"),
    ],
)
def test_what_flags_do_not_say_is_asked_for(values, words, monkeypatch):
    """In one line that names the flag."""
    monkeypatch.delenv("SLURM_NODEID", raising=False)
    with pytest.raises(InputError, match=words):
        Machines(*values)
