"""Local directories and Hub repositories give the same files, or a line that helps."""

import os
import socket
from pathlib import Path

import huggingface_hub
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from huggingface_hub import errors

from polycal.errors import InputError
from polycal.preparing import hub
from polycal.preparing.hub import Splits, download, find_splits
from polycal.preparing.rows import read_rows
from polycal.study.data_files import KINDS

COMMIT = "0123456789abcdef0123456789abcdef01234567"
README = """---
license: apache-2.0
configs:
- config_name: sw
  data_files:
  - split: test
    path: sw/test-*
  - split: dev
    path: sw/dev-*
- config_name: yo
  data_files:
  - split: test
    path:
    - yo/test-*
---
# A data set
"""


def put(path: Path, rows: list[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def make_repository(folder: Path, *, languages=("sw", "yo")) -> Path:
    """A directory in the Hub's layout; the test split of `sw` has two shards."""
    folder.mkdir(parents=True)
    (folder / "README.md").write_text(README)
    for language in languages:
        put(folder / language / "test-00001-of-00002.parquet", [{"id": 2}])
        put(folder / language / "test-00000-of-00002.parquet", [{"id": 0}, {"id": 1}])
        put(folder / language / "dev-00000-of-00001.parquet", [{"id": 9}])
    return folder


def ids(data: Splits, split: str) -> list[int]:
    return [row["id"] for row in read_rows(data.files[split], ["id"])]


@pytest.fixture
def no_network(monkeypatch):
    """Any attempt to open a connection or to look up a name fails the test."""

    def refuse(*arguments):
        pytest.fail(f"a connection was opened: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


def serve(monkeypatch, source: Path, cache: Path) -> list[dict]:
    """Stand in for the Hub: what is asked for is linked into a snapshot of a cache."""
    calls = []

    def snapshot_download(
        repo, *, repo_type, revision, allow_patterns, local_files_only
    ):
        calls.append(
            {
                "repo": repo,
                "repo_type": repo_type,
                "revision": revision,
                "patterns": allow_patterns,
            }
        )
        snapshot = cache / "snapshots" / COMMIT
        names = [
            str(path.relative_to(source))
            for path in source.rglob("*")
            if path.is_file()
        ]
        for name in huggingface_hub.utils.filter_repo_objects(
            names, allow_patterns=allow_patterns
        ):
            (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
            if not (snapshot / name).exists():
                os.symlink(source / name, snapshot / name)
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return calls


def test_a_local_directory_is_read_without_network(tmp_path, no_network):
    """Shards come in the order of their names, and no socket is opened."""
    folder = make_repository(tmp_path / "set[1]")  # brackets are no wildcard
    data = find_splits(str(folder), name="sw", splits=["test", "dev"])
    assert ids(data, "test") == [0, 1, 2]
    assert ids(data, "dev") == [9]
    assert data.revision is None


def test_a_changed_directory_is_never_served_stale(tmp_path, monkeypatch):
    """Same path, size and modification time: the new content is read all the same."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    folder = make_repository(tmp_path / "set")
    path = folder / "sw" / "dev-00000-of-00001.parquet"
    before = path.stat()
    assert ids(find_splits(str(folder), name="sw", splits=["dev"]), "dev") == [9]
    put(path, [{"id": 8}])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert ids(find_splits(str(folder), name="sw", splits=["dev"]), "dev") == [8]
    assert not (tmp_path / "home").exists()


def test_the_files_are_those_that_datasets_would_read(tmp_path, monkeypatch):
    """`datasets.load_dataset` gives the same rows of the same directory."""
    import datasets

    folder = make_repository(tmp_path / "set")
    for split in ("test", "dev"):
        theirs = datasets.load_dataset(
            str(folder), "sw", split=split, cache_dir=str(tmp_path / "cache")
        )
        data = find_splits(str(folder), name="sw", splits=[split])
        assert ids(data, split) == theirs["id"][:]


def test_a_directory_without_header_is_read_by_file_names(tmp_path, no_network):
    """The Hub's rule for repositories without `configs`: names tell the splits."""
    put(tmp_path / "set" / "data" / "train-00000-of-00001-a09.parquet", [{"id": 1}])
    assert ids(find_splits(str(tmp_path / "set"), splits=["train"]), "train") == [1]
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "openhermes.json").write_text('[{"id": 2}]')
    assert ids(find_splits(str(tmp_path / "one"), splits=["train"]), "train") == [2]


def test_data_that_lie_there_in_two_forms_are_read_once(tmp_path):
    """Parquet beside the JSON that it was made from does not double the rows."""
    put(tmp_path / "set" / "train.parquet", [{"id": 1}])
    (tmp_path / "set" / "train.jsonl").write_text('{"id": 1}')
    assert ids(find_splits(str(tmp_path / "set"), splits=["train"]), "train") == [1]


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("en", ["en.jsonl", "en/test.jsonl"]),
        ("en", ["en/test.jsonl", "test/en.jsonl"]),
        ("en", ["en/test.jsonl", "en/test-00000-of-00001.jsonl"]),
        ("en", ["en.json", "en.jsonl"]),
        ("en", ["en/test-a.json", "en/test-a.jsonl"]),
        (None, ["test.json", "test.jsonl"]),
    ],
)
def test_a_split_in_two_layouts_is_refused(tmp_path, name, there):
    """Each says that it is the whole split, and none is the other's source."""
    for path in there:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text('{"id": 1}\n')
    with pytest.raises(InputError, match=r"split 'test' is there twice: .* and .*; re"):
        find_splits(str(tmp_path), name=name, splits=["test"])


def test_parts_of_a_split_are_read_together(tmp_path):
    """They need no number; another split beside them is no part."""
    (tmp_path / "en").mkdir()
    for number, part in enumerate(("test-a", "test-b", "dev")):
        (tmp_path / f"en/{part}.jsonl").write_text(f'{{"id": {number}}}\n')
    assert ids(find_splits(str(tmp_path), name="en", splits=["test"]), "test") == [0, 1]


def test_the_default_config_needs_no_name(tmp_path):
    """A single config, or the one called default, is taken when none is named."""
    put(tmp_path / "set" / "data" / "part.parquet", [{"id": 1}])
    (tmp_path / "set" / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files: data/*\n"
        "- config_name: other\n  data_files: nothing/*\n---\n"
    )
    assert ids(find_splits(str(tmp_path / "set"), splits=["train"]), "train") == [1]


def test_a_local_file_is_one_split(tmp_path, no_network):
    """A path to a file needs neither a directory layout nor a header."""
    (tmp_path / "mine.jsonl").write_text('{"id": 3}\n')
    data = find_splits(str(tmp_path / "mine.jsonl"), splits=["train"])
    assert ids(data, "train") == [3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "xx"}, "does not offer 'xx'; it offers: sw, yo"),
        ({"name": None}, "does not offer None; it offers: sw, yo"),
        ({"splits": ["train"]}, r"no files of the split 'train'.*: test, dev"),
        ({"name": "yo", "splits": ["dev"]}, r"no files of the split 'dev'.*: test"),
        ({"repo": "./not-there"}, "./not-there: there is no such directory"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(tmp_path, change, message):
    """A missing config, split or directory: one line with the alternatives."""
    repo = str(make_repository(tmp_path / "set"))
    asked = {"repo": repo, "name": "sw", "splits": ["test"]} | change
    with pytest.raises(InputError, match=message) as caught:
        find_splits(asked.pop("repo"), **asked)
    assert "\n" not in str(caught.value)


def test_other_kinds_of_file_are_refused(tmp_path):
    """The kinds that can be read are listed."""
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train.xlsx").write_text("id")
    with pytest.raises(InputError, match="split 'train'"):
        find_splits(str(tmp_path / "set"), splits=["train"])
    with pytest.raises(InputError, match=r"train.xlsx: only .parquet, .json.*, .csv"):
        find_splits(str(tmp_path / "set" / "train.xlsx"), splits=["train"])


def test_a_single_file_is_the_language_that_it_is_named_after(tmp_path):
    """Which may be a word of its own; of another language it is refused."""
    path = tmp_path / "quiz.csv"
    path.write_text("id")
    for name in ("quiz", None):
        assert find_splits(str(path), name=name, splits=["test"]).files == {
            "test": [path]
        }
    message = r"one file, of 'quiz' .* such as sw\.csv: .*`configs: {LANGUAGE: quiz}`"
    with pytest.raises(InputError, match=message):
        find_splits(str(path), name="sw", splits=["test"])


def test_a_broken_header_is_refused(tmp_path):
    """Bad YAML in README.md names the repository and the file."""
    (tmp_path / "README.md").write_text("---\nconfigs: [\n---\n")
    with pytest.raises(InputError, match=r"cannot read README\.md"):
        find_splits(str(tmp_path), splits=["train"])


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ("../*.parquet", "names the files '../\\*.parquet', which are not inside"),
        ("/etc/*.json", "not inside the repository"),
        (["a.parquet", "a/../../b.parquet"], "not inside the repository"),
        ([{"split": "test", "path": [""]}], "not inside the repository"),
        ([{"split": "test"}], "`data_files` without `split` and `path`; add them"),
        (3, "`data_files` without `split` and `path`; add them"),
        ([3], "`data_files` without `split` and `path`; add them"),
    ],
)
def test_a_header_never_leads_outside(tmp_path, files, message):
    """Another person's README.md names files of its own repository only."""
    header = {"configs": [{"config_name": "sw", "data_files": files}]}
    (tmp_path / "README.md").write_text(f"---\n{yaml.safe_dump(header)}---\n")
    with pytest.raises(InputError, match=message):
        hub.find_splits(str(tmp_path), name="sw", splits=["test"], revision=None)


def test_a_config_that_is_a_folder_is_refused(tmp_path):
    """The rows of other folders are not mixed into it."""
    put(tmp_path / "sw" / "train.parquet", [{"id": 1}])
    put(tmp_path / "yo" / "train.parquet", [{"id": 2}])
    (tmp_path / "README.md").write_text(
        "---\nconfigs:\n- config_name: sw\n  data_dir: sw\n---\n"
    )
    with pytest.raises(InputError, match="name its files with `data_files`"):
        find_splits(str(tmp_path), name="sw", splits=["train"])


def test_the_hub_gives_only_one_language_at_a_pinned_commit(tmp_path, monkeypatch):
    """The header first, then by commit the files of the splits that are needed."""
    source = make_repository(tmp_path / "source")
    calls = serve(monkeypatch, source, tmp_path / "cache")
    data = find_splits("owner/set", name="sw", splits=["test", "dev"], revision="v2")
    assert ids(data, "test") == [0, 1, 2]
    assert data.revision == COMMIT
    assert calls == [
        {
            "repo": "owner/set",
            "repo_type": "dataset",
            "revision": "v2",
            "patterns": ["README.md"],
        },
        {
            "repo": "owner/set",
            "repo_type": "dataset",
            "revision": COMMIT,
            "patterns": ["README.md", "sw/test-*", "sw/dev-*"],
        },
    ]
    assert not (tmp_path / "cache" / "snapshots" / COMMIT / "yo").exists()


def test_a_hub_repository_without_header_is_taken_whole(tmp_path, monkeypatch):
    """Without `configs` every data file is fetched, and nothing else."""
    source = tmp_path / "source"
    put(source / "data" / "train-00000-of-00001.parquet", [{"id": 1}])
    (source / "picture.png").touch()
    calls = serve(monkeypatch, source, tmp_path / "cache")
    (tmp_path / "cache" / "snapshots" / COMMIT).mkdir(parents=True)
    data = find_splits("owner/set", splits=["train"], revision=COMMIT)
    assert ids(data, "train") == [1]
    assert calls[-1]["patterns"] == ["README.md", *(f"*{kind}" for kind in KINDS)]


def test_a_file_that_is_missing_from_the_cache_is_refused(tmp_path, monkeypatch):
    """Offline, an incomplete snapshot has no files of the split."""
    source = make_repository(tmp_path / "source", languages=("yo",))
    serve(monkeypatch, source, tmp_path / "cache")
    with pytest.raises(InputError, match="no files of the split 'test'"):
        find_splits("owner/set", name="sw", splits=["test"], revision=COMMIT)


@pytest.mark.parametrize("revision", [None, ""])
def test_a_hub_id_needs_a_revision(revision):
    """A moving repository cannot be a study's input."""
    with pytest.raises(InputError, match="pin it with `revision:`"):
        find_splits("owner/set", name="sw", splits=["test"], revision=revision)


def http_error(kind: type[Exception], status: int) -> Exception:
    """An error of the Hub as its client raises it."""
    http = __import__(errors.HTTPError.__module__.split(".")[0])
    request = http.Request("GET", "https://huggingface.co/api")
    return kind("refused", response=http.Response(status, request=request))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (http_error(errors.GatedRepoError, 403), "accept its terms .* set HF_TOKEN"),
        (http_error(errors.RepositoryNotFoundError, 404), "no such model on the Hub"),
        (http_error(errors.RevisionNotFoundError, 404), "has no revision 'v9'"),
        (http_error(errors.HfHubHTTPError, 500), r"failed \(refused.*run again"),
        (errors.LocalEntryNotFoundError("offline"), "Hub cannot be reached"),
        (errors.HFValidationError("bad"), "is not a Hub id"),
        (RuntimeError("transfer\nbroke"), r"failed \(transfer\); run again"),
    ],
)
def test_the_hub_says_no_in_one_line(monkeypatch, error, message):
    """Gated, missing, wrong revision, no network: each says what to do."""

    def refuse(*arguments, **options):
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(InputError, match=message) as caught:
        download("owner/name", revision="v9", repo_type="model", patterns=["*"])
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("owner/name: ")


def test_a_full_disk_is_not_blamed_on_the_hub(monkeypatch):
    """The operating system's complaint passes through as it is."""

    def refuse(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(OSError, match="No space left"):
        hub.download("owner/name", revision="v", repo_type="model", patterns=["*"])


def test_the_real_client_offline_is_one_line(tmp_path, monkeypatch):
    """Without a cache and a network, huggingface_hub's own refusal is translated."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match="Hub cannot be reached"):
        download("owner/name", revision=COMMIT, repo_type="model", patterns=["*"])


def test_the_real_client_offline_uses_what_is_in_the_cache(tmp_path, monkeypatch):
    """A snapshot that was fetched earlier needs no network, at its own commit only."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    snapshots = tmp_path / "datasets--owner--set" / "snapshots"
    make_repository(snapshots / COMMIT)
    data = find_splits("owner/set", name="sw", splits=["test"], revision=COMMIT)
    assert ids(data, "test") == [0, 1, 2]
    with pytest.raises(InputError, match="Hub cannot be reached"):
        find_splits("owner/set", name="sw", splits=["test"], revision="f" * 40)
