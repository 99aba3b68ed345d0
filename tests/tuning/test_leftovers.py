"""Checkpoints that are no longer needed are removed, and no others."""

from pathlib import Path

import pytest

from polycal.errors import InputError
from polycal.storage.files import exclusive
from polycal.study.asked import note_trainings
from polycal.tuning import leftovers
from polycal.tuning.leftovers import find_and_remove, remove_leftovers

OLD, NEW, OTHER, DONE = (f"m/s/ls-0/lr-{lr}/seed-0" for lr in "1234")


@pytest.fixture
def folder(tmp_path) -> Path:
    """The checkpoints of four trainings, 300 bytes each; one training is done."""
    for address in (OLD, NEW, OTHER, DONE):
        checkpoint = tmp_path / "checkpoints" / address / "0123456789abcdef/step-3"
        checkpoint.mkdir(parents=True)
        (checkpoint / "weights").write_bytes(bytes(300))
    (tmp_path / "candidates" / DONE).mkdir(parents=True)
    return tmp_path


@pytest.fixture(autouse=True)
def no_grace(request, monkeypatch):
    """What was given up is removed at once, but in the test about that."""
    if "day" not in request.node.name:
        monkeypatch.setattr(leftovers, "GRACE", 0)


def remove(folder: Path) -> int:
    return find_and_remove(folder)[0]


def kept(folder: Path) -> set[str]:
    found = (folder / "checkpoints").rglob("weights")
    return {path.relative_to(folder).as_posix()[12:-32] for path in found}


def test_what_a_study_gave_up_or_has_done_goes(folder):
    """Its bytes are counted; what it still asks for and has not done stays."""
    note_trainings(folder / "studies", "mine", [OLD, NEW, DONE])
    note_trainings(folder / "studies", "mine", [NEW, DONE])
    assert remove(folder) == 600
    assert kept(folder) == {NEW, OTHER}
    assert remove(folder) == 0


def test_what_was_given_up_stays_for_a_day(folder, monkeypatch):
    """A look at one value with --config gives nothing up; a second look is no new one.

    A clock that was set back removes nothing.
    """
    now = [1e9]
    monkeypatch.setattr(leftovers.time, "time", lambda: now[0])
    note_trainings(folder / "studies", "mine", [OLD, NEW])
    for hours, expected in ((0, (0, 300)), (20, (0, 300)), (-30, (0, 300))):
        now[0] = 1e9 + 3600 * hours
        note_trainings(folder / "studies", "mine", [NEW])
        assert find_and_remove(folder) == expected
    note_trainings(folder / "studies", "mine", [OLD, NEW])
    now[0] = 1e9 + 3600 * 25
    assert find_and_remove(folder) == (0, 0)
    note_trainings(folder / "studies", "mine", [NEW])
    now[0] += 3600 * 25
    note_trainings(folder / "studies", "mine", [NEW])
    assert find_and_remove(folder) == (300, 0)


def test_a_broken_note_is_named(folder):
    """In one line, which the end of a run prints and passes over."""
    (folder / "studies").mkdir()
    (folder / "studies/mine.json").write_text('{"asked": ')
    with pytest.raises(InputError, match=r"mine\.json is not a study's note"):
        remove(folder)
    with pytest.raises(InputError, match=r"mine\.json is not a study's note"):
        note_trainings(folder / "studies", "mine", [])
    with pytest.raises(InputError, match=r"mine\.json is not a study's note"):
        remove_leftovers(results=folder)


def test_what_another_study_asks_for_stays(folder):
    """Also after the one that gave it up; a name may hold what a path may not."""
    note_trainings(folder / "studies", "mine", [OLD, NEW])
    note_trainings(folder / "studies", "theirs / ü", [OLD])
    note_trainings(folder / "studies", "mine", [NEW])
    assert remove(folder) == 0
    note_trainings(folder / "studies", "theirs / ü", [])
    assert remove(folder) == 300
    assert kept(folder) == {NEW, OTHER, DONE}


def test_what_no_study_has_asked_for_stays(folder):
    """It may be of a study that ran before there were notes."""
    note_trainings(folder / "studies", "mine", [])
    assert remove(folder) == 0
    assert len(kept(folder)) == 4


def test_a_training_that_runs_keeps_its_checkpoints(folder):
    """A killed workflow may have left it, as an orphan."""
    note_trainings(folder / "studies", "mine", [OLD])
    note_trainings(folder / "studies", "mine", [])
    with exclusive(folder / "candidates" / OLD):
        assert remove(folder) == 0
    assert remove(folder) == 300


def test_files_of_others_stay(folder):
    """Only folders that are named by a key are polycal's."""
    own = folder / "checkpoints" / OLD / "notes.txt"
    own.write_text("mine")
    note_trainings(folder / "studies", "mine", [OLD])
    note_trainings(folder / "studies", "mine", [])
    assert remove(folder) == 300
    assert own.read_text() == "mine"
