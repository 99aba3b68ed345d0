"""A checkpoint is complete or absent, and belongs to one training."""

import itertools
from pathlib import Path

import pytest
from killing import die_before

from polycal.storage.provenance import write_provenance
from polycal.tuning.checkpoints import Checkpoints, is_made, make_key


def keep(checkpoints: Checkpoints, step: int) -> None:
    """As the Trainer and what follows it write one."""
    folder = checkpoints.unfinished / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "weights").write_text(str(step))
    (checkpoints.written() / "log").write_text("lines")
    checkpoints.keep(step)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_newer_checkpoint_replaces_an_older_one(tmp_path):
    """There is one at a time, with everything in it; step 10 is newer than step 9."""
    checkpoints = Checkpoints(tmp_path / "all", make_key(a=1))
    assert checkpoints.find() is None
    for step in (9, 10):
        keep(checkpoints, step)
        assert names(checkpoints.folder) == {f"step-{step}", "unfinished"}
        assert checkpoints.find() == checkpoints.folder / f"step-{step}"
    assert names(checkpoints.find()) == {"weights", "log", "provenance.json", "digest"}


def test_the_newest_of_several_counts(tmp_path):
    """As when the process was killed before it removed the older one."""
    checkpoints = Checkpoints(tmp_path / "all", make_key(a=1))
    for step in (9, 100, 10):
        (checkpoints.folder / f"step-{step}").mkdir(parents=True)
    assert checkpoints.find().name == "step-100"


@pytest.mark.parametrize("damage", ["a bit", "the end", "a file", "the statement"])
@pytest.mark.parametrize("before", [False, True], ids=["alone", "one-before"])
def test_a_damaged_checkpoint_is_set_aside(tmp_path, caplog, damage, before):
    """With one line; the training goes on from the one before, or begins again."""
    checkpoints = Checkpoints(tmp_path / "all", make_key(a=1))
    keep(checkpoints, 3)
    (checkpoints.folder / "step-3").rename(tmp_path / "earlier")
    keep(checkpoints, 4)
    if before:  # as where a process was killed before it removed it
        (tmp_path / "earlier").rename(checkpoints.folder / "step-3")
    weights = checkpoints.find() / "weights"
    if damage == "a file":
        weights.unlink()
    elif damage == "the statement":
        (weights.parent / "digest").write_bytes(b"\xff")
    else:
        weights.write_text({"a bit": "5", "the end": ""}[damage])
    for _ in range(2):
        with checkpoints.tidied():
            checkpoints.set_aside_damaged()
            found = checkpoints.find()
            assert (found and found.name) == ("step-3" if before else None)
        assert (checkpoints.folder / "step-4.damaged").is_dir()
    assert caplog.text.count("step-4 is damaged; renamed to step-4.damaged") == 1
    checkpoints.remove()
    assert not (tmp_path / "all").exists()


def test_the_newest_is_sound_wherever_a_process_dies(tmp_path, caplog):
    """While it writes a checkpoint or removes the one before; the next goes on."""
    found = set()
    for call in itertools.count():
        checkpoints = Checkpoints(tmp_path / str(call), make_key(a=1))
        keep(checkpoints, 3)
        died = die_before(call, lambda own=checkpoints: keep(own, 4))
        with checkpoints.tidied():
            checkpoints.set_aside_damaged()
            found.add(checkpoints.find().name)
        assert names(checkpoints.folder) <= {"step-3", "step-4"}
        keep(checkpoints, 4 if checkpoints.find().name == "step-3" else 5)
        assert len(list(checkpoints.folder.glob("[!u]*"))) == 1
        if not died:
            break
        checkpoints.remove()
        assert not (tmp_path / str(call)).exists()
    assert found == {"step-3", "step-4"}
    assert not caplog.text


def test_a_checkpoint_without_a_digest_counts(tmp_path):
    """Its process may have been killed while the digest was computed."""
    checkpoints = Checkpoints(tmp_path / "all", make_key(a=1))
    keep(checkpoints, 4)
    (checkpoints.find() / "digest").unlink()
    checkpoints.set_aside_damaged()
    assert checkpoints.find().name == "step-4"


def test_half_a_checkpoint_is_none(tmp_path):
    """What is left of it goes, and complete ones stay."""
    checkpoints = Checkpoints(tmp_path / "all", make_key(a=1))
    (checkpoints.unfinished / "checkpoint-3").mkdir(parents=True)
    assert checkpoints.find() is None
    with checkpoints.tidied():
        assert names(tmp_path) == set()
        (checkpoints.unfinished / "checkpoint-3").mkdir(parents=True)
    assert names(tmp_path) == set()
    with checkpoints.tidied():
        keep(checkpoints, 4)
        (checkpoints.unfinished / "checkpoint-5").mkdir()
    assert names(checkpoints.folder) == {"step-4"}


def test_another_key_sees_nothing_and_all_go_together(tmp_path):
    """A user's own files in the folder stay."""
    keys = make_key(lr=0.1, name="a"), make_key(lr=0.2, name="a")
    assert keys[0] == make_key(name="a", lr=0.1) != keys[1]
    first, second = (Checkpoints(tmp_path / "all", key) for key in keys)
    keep(first, 3)
    assert second.find() is None
    keep(second, 1)
    (tmp_path / "all" / "notes").mkdir()
    second.remove()
    assert names(tmp_path / "all") == {"notes"}
    keep(first, 3)
    (tmp_path / "all" / "notes").rmdir()
    first.remove()
    first.remove()
    assert names(tmp_path) == set()


def test_a_result_is_made_if_it_says_so(tmp_path):
    """Of the same key; a folder that Snakemake made in advance is no result."""
    assert not is_made(tmp_path / "absent", "a")
    assert not is_made(tmp_path, "a")
    write_provenance(tmp_path, key="a")
    assert is_made(tmp_path, "a")
    assert not is_made(tmp_path, "b")
