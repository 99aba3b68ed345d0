"""Examples come back from disk as they were written, one at a time."""

import resource
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from polycal.errors import InputError
from polycal.tuning import examples as module
from polycal.tuning.examples import Example, Examples, write_examples


def draw(n: int, *, longest: int = 9):
    """Examples of different lengths."""
    chance = np.random.default_rng(0)
    for number in range(n):
        size = int(chance.integers(1, longest + 1))
        tokens = chance.integers(0, 1000, size, np.int32)
        yield Example(number * 3, tokens, chance.integers(0, 2, size).astype(bool))


@pytest.mark.parametrize("n", [1, 3, 4, 5, 12])
def test_what_is_written_is_read(tmp_path, monkeypatch, n):
    """Over batches, full and begun: by index from either end, and as a sequence."""
    monkeypatch.setattr(module, "_BATCH", 4)
    written = list(draw(n))
    assert write_examples(iter(written), tmp_path / "e.arrow") == n
    read = Examples(tmp_path / "e.arrow")
    assert len(read) == n
    for one, other in zip(written, read, strict=True):
        assert one.example_id == other.example_id
        assert other.tokens.dtype == np.int32
        np.testing.assert_array_equal(one.tokens, other.tokens)
        np.testing.assert_array_equal(one.targets, other.targets)
        assert one.n_targets == other.n_targets == sum(one.targets)
    assert read[-1].example_id == read[n - 1].example_id == 3 * (n - 1)
    for outside in (n, -n - 1):
        with pytest.raises(IndexError):
            read[outside]


def test_the_same_examples_give_the_same_bytes(tmp_path):
    """Whatever made them."""
    for name in ("a", "b"):
        write_examples(draw(2000), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_holds_no_examples_is_refused_by_name(tmp_path):
    """Absent, cut off, or another table; the line says what to do."""
    path = tmp_path / "e.arrow"
    with pytest.raises(InputError, match=r"no .*e\.arrow; `polycal tokenize` makes it"):
        Examples(path)
    write_examples(draw(50), path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"e\.arrow is not a complete Arrow file"):
        Examples(path)
    table = pa.table({"x": [1]})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as out:
        out.write_table(table)
    with pytest.raises(InputError, match=r"e\.arrow holds \['x'\], no examples"):
        Examples(path)


READ_SOME = """
import sys
from polycal.tuning.examples import Examples
examples = Examples(sys.argv[1])
assert len(examples) == 40_000
print(sum(int(examples[place].tokens[0]) for place in range(0, 40_000, 4_000)))
"""


def test_a_file_is_larger_than_what_is_held_of_it(tmp_path):
    """A process that may not hold the file's size still reads from all over it."""
    path = tmp_path / "e.arrow"
    tokens = np.arange(4000, dtype=np.int32)
    targets = np.ones(4000, bool)
    write_examples((Example(n, tokens + n, targets) for n in range(40_000)), path)
    size = path.stat().st_size
    assert size > 600 * 2**20

    def limit() -> None:  # data of its own; pages of the file do not count
        resource.setrlimit(resource.RLIMIT_DATA, (size // 2, size // 2))

    done = subprocess.run(
        [sys.executable, "-c", READ_SOME, path],
        preexec_fn=limit,
        capture_output=True,
        text=True,
        env={"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": ":".join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == sum(range(0, 40_000, 4_000))
