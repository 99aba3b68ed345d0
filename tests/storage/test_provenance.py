"""Provenance of a result, and whether the result has changed since."""

import itertools

import pytest
from killing import die_before

from polycal.errors import InputError
from polycal.storage.files import check_folder, digest
from polycal.storage.provenance import (
    check_content,
    check_notes,
    mark_folder,
    read_digest,
    read_provenance,
    write_provenance,
)


@pytest.fixture
def checkpoint(tmp_path):
    """A checkpoint's folder with its digest, notes and a hidden file."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "config.json").write_text("{}")
    write_provenance(folder, digest=digest(folder.iterdir()))
    (folder / "recipe.json").write_text("{}")
    (folder / ".lock").write_text("")
    return folder


def test_what_was_written_is_accepted(checkpoint):
    """Notes and hidden files beside the weights do not count."""
    check_content(checkpoint)


@pytest.mark.parametrize("damage", ["changed", "missing", "superfluous"])
def test_damage_is_refused_by_name(checkpoint, damage):
    """A flipped bit loads without an error, so it has to be looked for."""
    weights = checkpoint / "model.safetensors"
    if damage == "changed":
        weights.write_bytes(b"weighty")
    elif damage == "missing":
        weights.unlink()
    else:
        (checkpoint / "other.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match=rf"{checkpoint} is damaged.*delete it"):
        check_content(checkpoint)


def test_what_others_made_is_taken_as_it_is(tmp_path):
    """A directory without provenance has no digest to compare with."""
    assert read_digest(tmp_path) is None
    check_content(tmp_path)


@pytest.mark.parametrize("text", ["", '{"digest": "', "[]", "\xff"])
@pytest.mark.parametrize("read", [read_digest, check_content, check_notes])
def test_a_damaged_provenance_is_refused(checkpoint, text, read):
    """It would count as one without a digest, and damaged weights would pass."""
    path = checkpoint / "provenance.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=rf"{path} is no.*; delete the folder"):
        read(checkpoint)


@pytest.mark.parametrize(
    ("old", "new"), [("4096", "4097"), ('"counts"', '"count5"'), ("null", "nulm")]
)
def test_a_fact_that_changed_is_refused(tmp_path, old, new):
    """Later stages copy facts into their own, where nothing would tell them apart."""
    write_provenance(tmp_path, counts={"tokens": 4096}, by={7: 0.1}, diverged=None)
    assert read_provenance(tmp_path)["by"] == {"7": 0.1}
    path = tmp_path / "provenance.json"
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    with pytest.raises(InputError, match=rf"{path} .*; delete the folder and run"):
        read_provenance(tmp_path)


def test_facts_of_before_there_was_a_digest_are_taken(tmp_path):
    """Finished studies have such files."""
    (tmp_path / "provenance.json").write_text('{"digest": "abc", "polycal": "0.1"}')
    assert read_digest(tmp_path) == "abc"


def test_a_folder_is_marked_again_wherever_its_process_died(tmp_path):
    """What is left of the mark is not taken for a file of the user's."""
    mark_folder(tmp_path / "known", "try")  # so that the commit is known
    for call in itertools.count():
        folder = tmp_path / str(call)
        died = die_before(call, lambda folder=folder: mark_folder(folder, "try"))
        check_folder(folder, verb="try")
        mark_folder(folder, "try")
        assert [each.name for each in folder.iterdir()] == ["provenance.json"]
        assert read_provenance(folder)["verb"] == "try"
        if not died:
            break
    assert call > 5
