"""Entries are found by all that determines them; only whole entries are read."""

import logging
import subprocess
import sys
import threading

import pyarrow as pa
import pytest
from study import wait_until

from polycal.errors import InputError
from polycal.scoring.store import Store
from polycal.storage import tables

KEY = {"checkpoint": "abc", "language": "sw", "scoring": "text", "stage": 1}


def predictions(question: str = "q") -> pa.Table:
    """One row without identity."""
    row = dict.fromkeys(tables.SCHEMAS["predictions"].names)
    row |= {"question_id": question, "logprobs": [-1.5, -2.5], "gold": 1}
    return pa.Table.from_pylist([row], tables.SCHEMAS["predictions"])


def test_what_is_put_is_got_and_nothing_else(tmp_path):
    """An entry comes back as it was, under its own key only, with its facts."""
    store = Store(tmp_path)
    assert store.get(KEY) == []
    store.put(KEY, predictions(), dtype="float32")
    reordered = dict(reversed(KEY.items()))
    (entry,) = Store(tmp_path).get(reordered)
    assert entry.rows.equals(predictions())
    assert entry.facts["dtype"] == "float32"
    for name in KEY:
        assert store.get({**KEY, name: "other"}) == []
    store.put({**KEY, "stage": 2}, predictions("r"))
    assert len(store.get(KEY)) == 1


def test_entries_of_one_key_are_got_together(tmp_path):
    """That of all questions is the first; a part does not replace it or another."""
    store = Store(tmp_path)
    for name in ("b", "a", ""):
        store.put(KEY, predictions(f"q{name}"), name=name)
    names = [entry.rows["question_id"].to_pylist() for entry in store.get(KEY)]
    assert names == [["q"], ["qa"], ["qb"]]


def test_a_truncated_entry_is_refused_by_name(tmp_path):
    """Half an entry is neither taken nor silently scored again."""
    store = Store(tmp_path)
    store.put(KEY, predictions())
    (path,) = tmp_path.glob("*.parquet")
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InputError, match=rf"{path.name} is not a complete Parquet"):
        store.get(KEY)


def test_a_foreign_entry_is_refused_by_name(tmp_path):
    """Another key's entry under this key's name is not taken."""
    store = Store(tmp_path)
    store.put(KEY, predictions())
    (path,) = tmp_path.glob("*.parquet")
    tables.write(predictions(), path, "predictions", key={**KEY, "language": "de"})
    with pytest.raises(InputError, match=rf"{path.name} does not belong.*'de'.*delete"):
        store.get(KEY)


def test_an_unfinished_entry_is_none(tmp_path, monkeypatch):
    """A writer that dies on the way leaves nothing under a final name."""
    store = Store(tmp_path)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tables.pq.ParquetWriter, "write_table", full)
    with pytest.raises(OSError, match="No space"):
        store.put(KEY, predictions())
    assert store.get(KEY) == []
    assert list(tmp_path.glob("*.parquet")) == []


def test_a_lock_excludes_and_goes_with_a_killed_process(tmp_path, caplog):
    """A second process waits, says so, and is let in when the first one is killed.

    Another entry's lock is free meanwhile, and who does not want to wait goes on.
    """
    code = (
        "import sys, time; from polycal.scoring.store import Store\n"
        "with Store(sys.argv[1]).lock({'a': 1}, wait=True):\n"
        "    print('in', flush=True); time.sleep(1000)"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    entered = threading.Event()

    def enter() -> None:
        with Store(tmp_path).lock({"a": 1}, wait=True):
            entered.set()

    try:
        assert other.stdout.readline() == "in\n"
        with Store(tmp_path).lock({"a": 2}, wait=True) as mine:
            assert mine
        with Store(tmp_path).lock({"a": 1}, wait=False) as mine:
            assert not mine
        with caplog.at_level(logging.WARNING):
            waiting = threading.Thread(target=enter)
            waiting.start()
            wait_until(lambda: "waiting" in caplog.text)
            assert not entered.wait(0.3)
    finally:
        other.kill()
        other.communicate()
    assert entered.wait(400)
    waiting.join()
