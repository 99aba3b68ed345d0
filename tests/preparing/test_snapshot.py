"""A model directory holds what is needed to load it, and nothing else."""

import json
import socket
from pathlib import Path

import huggingface_hub
import pytest

from polycal.errors import InputError
from polycal.preparing.snapshot import prepare_model
from polycal.storage.files import digest
from polycal.storage.provenance import read_provenance

OTHER = "\x03" + 7 * "\0" + "{ }"
EMPTY = "\x02" + 7 * "\0" + "{}"  # safetensors without a tensor
SMALL = {
    "config.json": "{}",
    "generation_config.json": "{}",
    "tokenizer.json": "{}",
    "tokenizer_config.json": "{}",
    "chat_template.jinja": "{{ messages }}",
    "model.safetensors": EMPTY,
}
INDEX = json.dumps(
    {
        "weight_map": {
            "a": "model-00001-of-00002.safetensors",
            "b": "model-00002-of-00002.safetensors",
            "c": "model-00002-of-00002.safetensors",
        }
    }
)


def make_model(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


def prepare(source: Path, out: Path) -> set[str]:
    """Prepare a local directory; the names of the files that it then has."""
    prepare_model(repo=str(source), revision=None, model="tiny", out=out)
    return {path.name for path in out.iterdir()}


def test_only_what_is_needed_is_taken(tmp_path):
    """Pickles, second copies, logs and foreign provenance stay behind."""
    extra = {
        "pytorch_model.bin": "pickle",
        "consolidated.safetensors": "again",
        "model.fp16.safetensors": "again",
        "provenance.json": "{}",
        "README.md": "",
        "trainer_state.json": "{}",
    }
    source = make_model(tmp_path / "source", SMALL | extra)
    assert prepare(source, tmp_path / "out") == {*SMALL, "provenance.json"}


def test_provenance_says_where_it_comes_from(tmp_path):
    """The digest is of all files but provenance itself, and sees a changed weight."""
    source = make_model(tmp_path / "source", SMALL)
    prepare(source, tmp_path / "out")
    facts = read_provenance(tmp_path / "out")
    assert (facts["model"], facts["repo"]) == ("tiny", str(source))
    assert facts["revision"] is None
    assert facts["digest"] == digest(tmp_path / "out" / name for name in SMALL)
    (source / "model.safetensors").unlink()
    (source / "model.safetensors").write_text(OTHER)
    prepare(source, tmp_path / "again")
    assert read_provenance(tmp_path / "again")["digest"] != facts["digest"]


def test_weights_are_linked_and_outlive_their_source(tmp_path):
    """No disk space is used twice, and a source made anew changes nothing."""
    source = make_model(tmp_path / "source", SMALL)
    prepare(source, tmp_path / "out")
    ours = tmp_path / "out" / "model.safetensors"
    assert ours.samefile(source / "model.safetensors")
    (source / "model.safetensors").unlink()
    assert ours.read_text() == EMPTY


def sharded() -> dict[str, str]:
    files = {name: text for name, text in SMALL.items() if "safetensors" not in name}
    return files | {
        "model.safetensors.index.json": INDEX,
        "model-00001-of-00002.safetensors": EMPTY,
        "model-00002-of-00002.safetensors": EMPTY,
    }


def test_the_shards_that_the_index_names_are_taken(tmp_path):
    """Sharded weights come with their index; a stray shard does not."""
    stray = {"model-00001-of-00009.safetensors": "old"}
    source = make_model(tmp_path / "source", sharded() | stray)
    assert prepare(source, tmp_path / "out") == {*sharded(), "provenance.json"}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"model.safetensors": None, "pytorch_model.bin": "pickle"},
            "safetensors weights are required",
        ),
        ({"config.json": None}, "no config.json, so it is not a transformers model"),
        ({"tokenizer.json": None}, "has no tokenizer"),
        (
            {"model.safetensors": None, "model.safetensors.index.json": INDEX},
            "names model-00001-of-00002.safetensors, model-00002-.*complete the downl",
        ),
        (
            {"model.safetensors": None, "model.safetensors.index.json": "{"},
            "is not a weight index",
        ),
        (
            {"model.safetensors": EMPTY[:-1]},
            r"model\.safetensors is not a complete safetensors file .*; delete",
        ),
    ],
)
def test_an_incomplete_model_is_refused(tmp_path, files, message):
    """Each missing part has its own line, and no directory is left."""
    merged = {name: text for name, text in (SMALL | files).items() if text is not None}
    source = make_model(tmp_path / "source", merged)
    with pytest.raises(InputError, match=message) as caught:
        prepare(source, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "name", ["../x.safetensors", "/x.safetensors", "a/x", 3, "", ".."]
)
def test_an_index_never_leads_outside(tmp_path, name):
    """Nothing is written, neither beside the folder nor in it."""
    source = tmp_path / "source"
    source.mkdir()
    index = {"weight_map": {"w": name}}
    (source / "model.safetensors.index.json").write_text(json.dumps(index))
    (tmp_path / "x.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match=r"index\.json names .*not a file beside it"):
        prepare_model(repo=str(source), revision=None, model="m", out=tmp_path / "o/m")
    assert not (tmp_path / "o").exists()


def test_a_directory_that_is_not_there_is_refused(tmp_path):
    """A mistyped local path is not looked up on the Hub."""
    with pytest.raises(InputError, match="there is no such directory"):
        prepare(tmp_path / "nothing", tmp_path / "out")


def test_a_hub_model_is_fetched_at_its_revision(tmp_path, monkeypatch):
    """The patterns ask for no pickle; the resolved commit is recorded."""
    commit = "c" * 40
    snapshot = make_model(tmp_path / "snapshots" / commit, sharded())
    calls = []

    def snapshot_download(repo, **options):
        calls.append((repo, options))
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    prepare_model(
        repo="google/gemma-2-2b", revision="main", model="gemma", out=tmp_path / "out"
    )
    ((repo, options),) = calls
    assert repo == "google/gemma-2-2b"
    assert (options["repo_type"], options["revision"]) == ("model", "main")
    names = ["pytorch_model.bin", "original/consolidated.00.pth", "model.bin"]
    names += ["consolidated.safetensors", "model.fp16.safetensors", *sharded(), *SMALL]
    fetched = huggingface_hub.utils.filter_repo_objects(
        names, allow_patterns=options["allow_patterns"]
    )
    assert set(fetched) == {*sharded(), *SMALL}
    assert read_provenance(tmp_path / "out")["revision"] == commit


def test_a_hub_model_needs_a_revision(tmp_path):
    """Nothing is fetched that may change under the study."""
    with pytest.raises(InputError, match="pin it with `revision:`"):
        prepare_model(
            repo="google/gemma-2-2b", revision=None, model="g", out=tmp_path / "out"
        )


def test_local_models_need_no_network(tmp_path, monkeypatch):
    """No socket is opened for a local directory, online as the process is."""

    def refuse(*arguments):
        pytest.fail(f"a connection was opened: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    prepare(make_model(tmp_path / "source", SMALL), tmp_path / "out")
