"""The time of a local source is that of its bytes, not that of its files."""

import json
import os
import shutil
import time

import pytest

from polycal.errors import InputError
from polycal.study.sources import stamp_sources


@pytest.fixture
def source(tmp_path):
    """A folder of an hour ago, whose time is noted."""
    folder = tmp_path / "set"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "train.jsonl").write_text('{"a": 1}\n')
    (folder / "README.md").write_text("# A set\n")
    set_time(folder, 3600)
    stamp_sources([folder], tmp_path / "notes.json")
    return folder


def set_time(path, seconds_ago):
    moment = time.time_ns() - seconds_ago * 10**9
    os.utime(path, ns=(moment, moment))


def stamp(source):
    """The source's time after it was looked at once more."""
    stamp_sources([source], source.with_name("notes.json"))
    return source.stat().st_mtime_ns


def test_a_file_that_is_rewritten_in_place_makes_its_folder_newer(source):
    """Of the same size, with the folder's own time unchanged; once, not ever again."""
    before, path = source.stat().st_mtime_ns, source / "data" / "train.jsonl"
    path.write_text('{"a": 2}\n')
    assert source.stat().st_mtime_ns == before
    after = stamp(source)
    assert after > before + 3000 * 10**9
    assert stamp(source) == after


def test_the_same_bytes_keep_their_time(source):
    """Touched, copied with cp -r, and with a hidden file that the system left."""
    before = source.stat().st_mtime_ns
    (source / "data" / "train.jsonl").touch()
    assert stamp(source) == before
    shutil.copytree(source, source.with_name("copy"), copy_function=shutil.copyfile)
    shutil.rmtree(source)
    source.with_name("copy").rename(source)
    set_time(source, 0)
    assert source.stat().st_mtime_ns != before
    assert stamp(source) == before
    (source / ".DS_Store").touch()
    assert stamp(source) == before


@pytest.mark.parametrize("change", ["add", "remove", "rename"])
def test_files_that_come_and_go_make_a_folder_newer(source, change):
    """Whatever the times of the files."""
    before, path = source.stat().st_mtime_ns, source / "data" / "train.jsonl"
    if change == "add":
        (source / "data" / "more.jsonl").write_text("{}")
    elif change == "remove":
        path.unlink()
    else:
        path.rename(path.with_name("other.jsonl"))
    set_time(source, 3600)
    assert stamp(source) > before + 3000 * 10**9


def test_a_single_file_is_a_source(tmp_path):
    """Its own time is set."""
    path, notes = tmp_path / "set.jsonl", tmp_path / "notes.json"
    path.write_text("1")
    set_time(path, 3600)
    before = path.stat().st_mtime_ns
    stamp_sources([path], notes)
    path.touch()
    stamp_sources([path], notes)
    assert path.stat().st_mtime_ns == before
    path.write_text("2")
    set_time(path, 7200)
    stamp_sources([path], notes)
    assert path.stat().st_mtime_ns > before
    written = notes.stat().st_mtime_ns
    stamp_sources([path], notes)
    assert notes.stat().st_mtime_ns == written


def test_a_source_whose_time_cannot_be_set_is_named(source, monkeypatch):
    """Only if its bytes changed; else there is nothing to run."""

    def refuse(*arguments, **options):
        raise PermissionError(1, "Operation not permitted")

    (source / "README.md").touch()
    monkeypatch.setattr(os, "utime", refuse)
    stamp(source)
    (source / "README.md").write_text("# Another\n")
    with pytest.raises(InputError, match=r"set has changed, but its time cannot be"):
        stamp(source)


@pytest.mark.parametrize("notes", ["[]", "{", '{"a": {}}', json.dumps({"a": 1})])
def test_notes_of_something_else_are_refused(source, notes):
    """They are a file of polycal's own."""
    source.with_name("notes.json").write_text(notes)
    with pytest.raises(InputError, match="does not hold notes on local sources"):
        stamp(source)


def test_a_folder_of_snakemake_s_has_the_time_of_its_mark(source):
    """Snakemake reads the time of its own hidden file, where there is one."""
    mark = source / ".snakemake_timestamp"
    mark.touch()
    set_time(mark, 3600)
    stamp(source)
    before = mark.stat().st_mtime_ns
    (source / "data" / "train.jsonl").write_text('{"a": 3}\n')
    stamp(source)
    assert mark.stat().st_mtime_ns > before + 3000 * 10**9


def test_files_behind_links_count_and_loops_end(source):
    """A folder may be a link, and a link may lead to where it stands."""
    outside = source.with_name("outside")
    outside.mkdir()
    (outside / "more.jsonl").write_text("old")
    (source / "more").symlink_to(outside)
    (source / "loop").symlink_to(source)
    before = stamp(source)
    assert stamp(source) == before
    (outside / "more.jsonl").write_text("new")
    assert stamp(source) > before
