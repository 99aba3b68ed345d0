"""A local source counts as changed by its bytes; nothing of it is written to."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest

from polycal.errors import InputError
from polycal.study import sources
from polycal.study.sources import (
    Source,
    check_local,
    find_stamp,
    note_use,
    stamp_sources,
)

NOTES = Path("notes.json")


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
    """The directory of a study, in which stamps are written."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def source():
    """A folder of an hour ago that a run has used."""
    folder = Path("set")
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "train.jsonl").write_text('{"a": 1}\n')
    (folder / "README.md").write_text("# A set\n")
    set_time(folder, 3600)
    begin(folder)
    return folder


def set_time(path, seconds_ago):
    moment = time.time_ns() - seconds_ago * 10**9
    os.utime(path, ns=(moment, moment))


def rewrite(path, content):
    """Write a file anew; the clock of a file system may stand still for 10 ms."""
    before = path.stat().st_ctime_ns
    while path.stat().st_ctime_ns == before:
        path.write_text(content)


def stamp(source):
    """The bytes of a source's stamp after one more look; None: it has none."""
    times = {path: path.stat().st_mtime_ns for path in (source, *source.rglob("*"))}
    stamp_sources([Source(source)], NOTES)
    assert times == {path: path.stat().st_mtime_ns for path in times}
    found = find_stamp(f"{source}")
    return found and Path(found).read_text()


def begin(source):
    """Begin a run."""
    stamp_sources([Source(source)], NOTES)
    note_use([Source(source)], NOTES)


def test_a_file_that_is_rewritten_in_place_stamps_its_folder(source):
    """Of the same size, with the folder's own time unchanged; once, not ever again."""
    assert stamp(source) is None
    rewrite(source / "data" / "train.jsonl", '{"a": 2}\n')
    written = stamp(source)
    assert written.endswith("  set\n")
    seen = Path(find_stamp("set")).stat().st_mtime_ns
    assert stamp(source) == written
    assert Path(find_stamp("set")).stat().st_mtime_ns == seen


def test_bytes_that_are_kept_behind_their_times_stamp_the_folder(source):
    """As a tool may do that sets the times back."""
    path = source / "data" / "train.jsonl"
    before = path.stat()
    rewrite(path, '{"a": 2}\n')
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert stamp(source)


def test_the_same_bytes_have_no_stamp(source):
    """Touched, copied with cp -r, and with a hidden file that the system left."""
    (source / "data" / "train.jsonl").touch()
    assert stamp(source) is None
    shutil.copytree(source, "copy", copy_function=shutil.copyfile)
    shutil.rmtree(source)
    Path("copy").rename(source)
    set_time(source, 0)
    assert stamp(source) is None
    (source / ".DS_Store").touch()
    assert stamp(source) is None


def test_a_change_that_is_undone_before_a_run_leaves_no_stamp(source):
    """What is prepared was made of these bytes; after a run it was not."""
    path = source / "data" / "train.jsonl"
    first = path.read_text()
    rewrite(path, '{"a": 2}\n')
    second = stamp(source)
    rewrite(path, first)
    assert stamp(source) is None
    rewrite(path, '{"a": 2}\n')
    begin(source)
    assert stamp(source) == second
    rewrite(path, first)
    third = stamp(source)
    assert third is not None
    assert third != second


@pytest.mark.parametrize("change", ["add", "remove", "rename"])
def test_files_that_come_and_go_stamp_a_folder(source, change):
    """Whatever the times of the files."""
    path = source / "data" / "train.jsonl"
    if change == "add":
        (source / "data" / "more.jsonl").write_text("{}")
    elif change == "remove":
        path.unlink()
    else:
        path.rename(path.with_name("other.jsonl"))
    set_time(source, 3600)
    assert stamp(source)


def test_a_single_file_is_a_source():
    """It is read again only after its size or a time changed."""
    path = Path("set.jsonl")
    path.write_text("1")
    begin(path)
    written = NOTES.stat().st_mtime_ns
    assert stamp(path) is None
    assert NOTES.stat().st_mtime_ns == written
    path.touch()
    assert stamp(path) is None
    rewrite(path, "2")
    set_time(path, 7200)
    assert stamp(path)


def test_a_large_source_is_read_when_a_run_begins(monkeypatch):
    """Not in the dry run that sees it first; then as any other."""
    monkeypatch.setattr(sources, "_READ_AT_ONCE", 10)
    folder = Path("model")
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"x" * 100)
    read = []
    digest = sources._digest
    monkeypatch.setattr(
        sources, "_digest", lambda *given: read.append(given) or digest(*given)
    )
    assert stamp(folder) is None
    assert stamp(folder) is None
    assert not read
    begin(folder)
    begin(folder)
    assert len(read) == 1
    (folder / "model.safetensors").touch()
    assert stamp(folder) is None
    rewrite(folder / "model.safetensors", "y" * 100)
    assert stamp(folder)


def test_a_large_source_that_changes_before_its_first_run_is_stamped(monkeypatch):
    """What was prepared of it, by an older version, is made again."""
    monkeypatch.setattr(sources, "_READ_AT_ONCE", 10)
    path = Path("model")
    path.write_bytes(b"x" * 100)
    assert stamp(path) is None
    rewrite(path, "y" * 100)
    assert stamp(path)


@pytest.mark.parametrize("changed", [False, True])
def test_old_notes_name_the_bytes_that_were_used(source, changed):
    """Of before there were stamps: a digest, the folder's time, sizes and times."""
    (new,) = json.loads(NOTES.read_text()).values()
    stats = {name: own[:2] for name, own in new["stats"].items()}
    old = {"digest": new["digest"], "time": 1, "stats": stats}
    NOTES.write_text(json.dumps({"set": old}))
    if changed:
        rewrite(source / "README.md", "# Another\n")
    assert (stamp(source) is not None) == changed


@pytest.mark.parametrize("changed", [False, True])
def test_without_notes_a_stamp_tells_which_bytes_were_used(source, changed):
    """As after `rm -r results`; a source without a stamp is seen for the first time."""
    rewrite(source / "README.md", "# Another\n")
    begin(source)
    before = stamp(source)
    NOTES.unlink()
    if changed:
        rewrite(source / "README.md", "# A third\n")
    assert (stamp(source) != before) == changed


def test_a_folder_that_cannot_be_written_matters_only_for_a_change(source, monkeypatch):
    """Notes that cannot be written are a warning, a stamp is one line."""
    (source / "README.md").touch()

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(sources, "replacing", refuse)
    assert stamp(source) is None
    rewrite(source / "README.md", "# Another\n")
    with pytest.raises(InputError, match=r"set has changed, but resources/sources/"):
        stamp(source)


@pytest.mark.parametrize(
    "notes",
    [
        *("[]", "{", '{"a": {}}', '{"a": 1}', '{"a": {"digest": 1, "stats": {}}}'),
        *('{"a": {"digest": "x", "stats": []}}', "\udcff"),
    ],
)
def test_notes_of_something_else_are_refused(source, notes):
    """They are a file of polycal's own."""
    NOTES.write_text(notes, errors="surrogateescape")
    with pytest.raises(InputError, match="does not hold notes on local sources"):
        stamp(source)


def test_files_behind_links_count_and_loops_end(source):
    """A folder may be a link, and a link may lead to where it stands."""
    outside = Path("outside")
    outside.mkdir()
    (outside / "more.jsonl").write_text("old")
    (source / "more").symlink_to(outside.resolve())
    (source / "loop").symlink_to(source.resolve())
    begin(source)
    before = stamp(source)
    assert stamp(source) == before
    rewrite(outside / "more.jsonl", "new")
    assert stamp(source) != before


def test_a_language_is_stamped_by_its_own_files():
    """A benchmark's other languages, and new ones, are other sources."""
    folder = Path("bench")
    folder.mkdir()
    for code in ("en", "sw"):
        (folder / f"{code}.jsonl").write_text("{}")
    task = {"name": "own", "repo": "./bench", "languages": ["en", "sw"], "configs": {}}
    format = {"splits": {"test": "test"}, "question": "q", "options": ["a", "b"]}
    task["format"] = format | {"gold": {"g": "index"}}
    config = {"models": [], "sft": [], "tasks": [task]}
    found = check_local(config)
    assert [str(source) for source in found] == ["bench: en", "bench: sw"]
    stamp_sources(found, NOTES)
    note_use(found, NOTES)
    (folder / "he.jsonl").write_text("{}")
    rewrite(folder / "sw.jsonl", "[]")
    stamp_sources(check_local(config), NOTES)
    assert find_stamp("bench", "sw")
    assert not find_stamp("bench", "en")
    assert not find_stamp("bench")
    task["languages"].append("zu")
    with pytest.raises(InputError, match=r"tasks.own: ./bench does not offer 'zu'"):
        check_local(config)


def test_two_tasks_of_one_language_are_one_source():
    """Of the files of both, so that neither counts as a change of the other."""
    folder = Path("bench/sw")
    folder.mkdir(parents=True)
    for split in ("test", "validation"):
        (folder / f"{split}.jsonl").write_text("{}")
    tasks = [
        {
            **{"name": split, "repo": "./bench", "languages": ["sw"], "configs": {}},
            "format": {
                **{"splits": {"test": split}, "question": "q", "options": ["a", "b"]},
                "gold": {"g": "index"},
            },
        }
        for split in ("test", "validation")
    ]
    (found,) = check_local({"models": [], "sft": [], "tasks": tasks})
    assert [path.name for path in found.files] == ["test.jsonl", "validation.jsonl"]
    for _ in range(2):
        stamp_sources([found], NOTES)
        note_use([found], NOTES)
    assert not find_stamp("bench", "sw")
