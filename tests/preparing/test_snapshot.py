"""A model directory holds what is needed to load it, and nothing else."""

import json
import socket
from pathlib import Path

import huggingface_hub
import pytest
from toys import make_model, make_tokenizer, save_checkpoint

from polycal.errors import InputError
from polycal.preparing.snapshot import prepare_model
from polycal.storage.files import digest
from polycal.storage.provenance import read_provenance

SMALL = {
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "model.safetensors",
}
INDEX = "model.safetensors.index.json"


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> dict[str, bytes]:
    """The files of a model in one piece."""
    tokenizer = make_tokenizer()
    tokenizer.chat_template = "{{ messages }}"
    folder = save_checkpoint(tmp_path_factory.mktemp("a"), make_model(), tokenizer)
    (folder / "provenance.json").unlink()
    return read_files(folder)


@pytest.fixture(scope="module")
def sharded(tmp_path_factory, small) -> dict[str, bytes]:
    """The same model with its weights in several files."""
    folder = tmp_path_factory.mktemp("b")
    make_model().save_pretrained(folder, max_shard_size="40KB")
    files = small | read_files(folder)
    del files["model.safetensors"]
    assert len(files) > len(SMALL) + 1
    return files


def read_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def prepare(source: Path, out: Path) -> set[str]:
    """Prepare a local directory; the names of the files that it then has."""
    prepare_model(repo=str(source), revision=None, model="tiny", out=out)
    return {path.name for path in out.iterdir()}


def test_only_what_is_needed_is_taken(tmp_path, small):
    """Pickles, second copies, logs and foreign provenance stay behind."""
    extra = {
        "pytorch_model.bin": b"pickle",
        "consolidated.safetensors": b"again",
        "model.fp16.safetensors": b"again",
        "provenance.json": b"{}",
        "README.md": b"",
        "trainer_state.json": b"{}",
    }
    source = write_files(tmp_path / "source", small | extra)
    assert prepare(source, tmp_path / "out") == {*SMALL, "provenance.json"}


def test_provenance_says_where_it_comes_from(tmp_path, small):
    """The digest is of all files but provenance itself, and sees a changed weight."""
    source = write_files(tmp_path / "source", small)
    prepare(source, tmp_path / "out")
    facts = read_provenance(tmp_path / "out")
    assert (facts["model"], facts["repo"]) == ("tiny", str(source))
    assert facts["revision"] is None
    assert facts["digest"] == digest(tmp_path / "out" / name for name in SMALL)
    (source / "model.safetensors").unlink()
    (source / "model.safetensors").write_bytes(flip_bit(small["model.safetensors"]))
    prepare(source, tmp_path / "again")
    assert read_provenance(tmp_path / "again")["digest"] != facts["digest"]


def test_an_edit_of_a_local_model_does_not_reach_the_prepared_one(tmp_path, small):
    """Else it would change behind the digest that was recorded."""
    source = write_files(tmp_path / "source", small)
    prepare(source, tmp_path / "out")
    ours = tmp_path / "out" / "model.safetensors"
    with (source / "model.safetensors").open("ab") as file:
        file.write(b"edited in place")
    assert ours.read_bytes() == small["model.safetensors"]
    names = (tmp_path / "out" / name for name in small)
    assert read_provenance(tmp_path / "out")["digest"] == digest(names)


def flip_bit(content: bytes) -> bytes:
    """Another last weight."""
    return content[:-1] + bytes([content[-1] ^ 1])


def test_the_shards_that_the_index_names_are_taken(tmp_path, sharded):
    """Sharded weights come with their index; a stray shard does not."""
    stray = {"model-00001-of-00009.safetensors": b"old"}
    source = write_files(tmp_path / "source", sharded | stray)
    assert prepare(source, tmp_path / "out") == {*sharded, "provenance.json"}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"model.safetensors": None, "pytorch_model.bin": b"pickle"},
            "safetensors weights are required",
        ),
        ({"config.json": None}, "no config.json, so it is not a transformers model"),
        ({"tokenizer.json": None}, "has no tokenizer"),
        (
            {"model.safetensors": None, INDEX: b'{"weight_map": {"a": "b", "c": "d"}}'},
            "names b, d, which are not there; complete the downl",
        ),
        ({"model.safetensors": None, INDEX: b"{"}, "is not a weight index"),
        (
            {"model.safetensors": b"\x02" + 7 * b"\0" + b"{"},
            r"model\.safetensors is not a complete safetensors file .*; delete",
        ),
        (
            {"model.safetensors": b"\x02" + 7 * b"\0" + b"{}"},
            r"source lacks the weights .* and \d+ more; its config\.json and its",
        ),
    ],
)
def test_an_incomplete_model_is_refused(tmp_path, small, files, message):
    """Each missing part has its own line, and no directory is left."""
    merged = {name: text for name, text in (small | files).items() if text is not None}
    source = write_files(tmp_path / "source", merged)
    with pytest.raises(InputError, match=message) as caught:
        prepare(source, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert ".partial" not in str(caught.value)
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
    for source in (tmp_path / "nothing", "~nobody-of-this-name/model"):
        with pytest.raises(InputError, match="there is no such directory"):
            prepare(source, tmp_path / "out")


def test_a_hub_model_is_fetched_at_its_revision(tmp_path, monkeypatch, sharded):
    """The patterns ask for no pickle; the resolved commit is recorded."""
    commit = "c" * 40
    snapshot = write_files(tmp_path / "snapshots" / commit, sharded)
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
    names += ["consolidated.safetensors", "model.fp16.safetensors", *sharded, *SMALL]
    fetched = huggingface_hub.utils.filter_repo_objects(
        names, allow_patterns=options["allow_patterns"]
    )
    assert set(fetched) == {*sharded, *SMALL}
    assert read_provenance(tmp_path / "out")["revision"] == commit


def test_a_hub_model_needs_a_revision(tmp_path):
    """Nothing is fetched that may change under the study."""
    with pytest.raises(InputError, match="pin it with `revision:`"):
        prepare_model(
            repo="google/gemma-2-2b", revision=None, model="g", out=tmp_path / "out"
        )


def test_local_models_need_no_network(tmp_path, monkeypatch, small):
    """No socket is opened for a local directory, online as the process is."""

    def refuse(*arguments):
        pytest.fail(f"a connection was opened: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    prepare(write_files(tmp_path / "source", small), tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("model.gguf", "GGUF files, which are not read"),
        ("pytorch_model.bin", "save the model again with transformers"),
        ("README.md", "are required: complete the download$"),
    ],
)
def test_a_model_without_weights_is_told_what_to_do(tmp_path, small, name, advice):
    """By what is there instead."""
    files = {key: held for key, held in small.items() if "safetensors" not in key}
    source = write_files(tmp_path / "source", files | {name: b""})
    with pytest.raises(InputError, match=advice):
        prepare(source, tmp_path / "out")


def test_a_hub_model_without_weights_may_have_them_in_another_revision(
    tmp_path, monkeypatch, small
):
    """A folder of the user's has no revisions; a repository of the Hub does."""
    files = {key: held for key, held in small.items() if "safetensors" not in key}
    snapshot = write_files(tmp_path / "snapshots" / ("c" * 40), files)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: snapshot)
    with pytest.raises(InputError, match=r"d, or take a revision that has them$"):
        prepare_model(
            repo="google/gemma-2-2b", revision="main", model="g", out=tmp_path / "out"
        )
