"""Every shipped study is valid, and every mistake in one is a single clear line."""

import dataclasses
import re
import subprocess

import pytest
import yaml
from study import (
    REPOSITORY,
    job_counts,
    small_study,
    snakemake,
    snakemake_command,
    write_config,
)

from polycal.cli import main
from polycal.errors import InputError
from polycal.study.config import complete
from polycal.study.recipe import Recipe, Rendering
from polycal.study.sources import check_local

SCHEMA = yaml.safe_load(
    (REPOSITORY / "src/polycal/data/config.schema.yaml").read_text()
)


def test_the_recipe_of_the_schema_is_the_recipe_of_the_code():
    """Its two parts share no setting and have all, with the schema's defaults."""
    described = SCHEMA["properties"]["recipe"]["properties"]
    both = [*dataclasses.fields(Rendering), *dataclasses.fields(Recipe)]
    fields = {field.name: field for field in both}
    assert len(fields) == len(both)
    assert set(described) == {*fields, "select"}  # which is about several trainings
    for name, field in fields.items():
        if name != "lr":  # a list in the study, one value in a candidate
            assert described[name]["default"] == field.default, name


def descriptions(node, place="schema"):
    """Every key of the schema that a user can write, with its place."""
    for name, inner in node.get("properties", {}).items():
        yield f"{place}.{name}", inner
        yield from descriptions(inner, f"{place}.{name}")
    if "items" in node:
        yield from descriptions(node["items"], f"{place}[]")
    for name, inner in node.get("$defs", {}).items():
        yield from descriptions(inner, name)


def test_every_key_is_described_and_every_object_is_closed():
    """No key without a sentence; no object that swallows a misspelt key."""
    for place, inner in descriptions(SCHEMA):
        assert "description" in inner or "$ref" in inner, place
        if inner.get("type") == "object":  # a schema: any key, but not any value
            assert inner["additionalProperties"] is not True, place


def changed(section, key, value):
    """The small study with one key of a section's first entry (or itself) changed."""
    config = small_study()
    target = config[section]
    if isinstance(target, list):
        target = target[0]
    target[key] = value
    return config


MISTAKES = {
    "misspelt key": (
        small_study(smoothin=[0]),
        "there is no key 'smoothin'; did you mean 'smoothing'?",
    ),
    "misspelt setting": (
        changed("recipe", "epoch", 3),
        "recipe: there is no key 'epoch'; did you mean 'epochs'?",
    ),
    "unknown language": (
        changed("tasks", "languages", ["en", "xx"]),
        "'xx' is not in polycal's table of languages",
    ),
    "duplicate name": (
        small_study(models=small_study()["models"] * 2),
        "models: the name 'miniature' is used twice",
    ),
    "smoothing not a list": (
        small_study(smoothing=1),
        "smoothing: 1 is not of type 'array'",
    ),
    "smoothing of one": (
        small_study(smoothing=[1]),
        "smoothing.0: 1 is greater than or equal to the maximum of 1",
    ),
    "1e-4 read as text": (
        changed("recipe", "lr", ["1e-4"]),
        "YAML reads 1e-4 as text",
    ),
    "no read as false": (
        changed("tasks", "languages", [False]),
        "YAML reads an unquoted no/off as False",
    ),
    "slash in a name": (changed("models", "name", "a/b"), "models.0.name: 'a/b'"),
    "gpus that no batch is divided among": (
        changed("models", "gpus", 3),
        "models.miniature: recipe.batch_size 8 is not a multiple",
    ),
    "less than no GPU": (
        changed("models", "gpus", -1),
        "models.0.gpus: -1 is less than the minimum of 0",
    ),
    "home directory": (
        changed("tasks", "repo", "~/global_mmlu"),
        "tasks.global_mmlu.repo: Snakemake does not expand '~'",
    ),
    "web address": (
        changed("tasks", "repo", "https://user:secret@host/owner/name"),
        "tasks.global_mmlu.repo: a web address is not read: write owner/name",
    ),
    "no such directory": (
        changed("models", "repo", "./nowhere"),
        "models.miniature.repo: there is no nowhere in",
    ),
    "no revision": (
        changed("sft", "repo", "tatsu-lab/alpaca"),
        "sft.alpaca-en: tatsu-lab/alpaca is on the Hub",
    ),
    "seed twice": (small_study(seeds=[1, 1]), "seeds: 1 is listed twice"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told(tmp_path, monkeypatch, mistake):
    """In one line that names the place."""
    config, message = MISTAKES[mistake]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=re.escape(message)):
        check_local(complete(config))


# One of each kind: by the schema, by the rest of the config, and by the disk.
@pytest.mark.parametrize("mistake", ["misspelt key", "seed twice", "no such directory"])
def test_a_mistake_is_one_line_before_any_job(tmp_path, mistake):
    """The line names the place, nothing is planned, nothing is written."""
    config, message = MISTAKES[mistake]
    write_config(tmp_path, config)
    done = snakemake(tmp_path, "--cores", "all")
    assert done.returncode != 0
    lines = [line for line in done.stdout.splitlines() if "Config: " in line]
    assert len(lines) == 1, done.stdout
    assert message in lines[0]
    assert not re.search(r"\brule \w+:|Job stats", done.stdout)
    assert not (tmp_path / "resources").exists()


ADDRESS = "https://user:hf_neverwritethis@host.example/owner/name"


@pytest.mark.parametrize("section", ["models", "sft", "tasks"])
def test_a_password_in_an_address_is_not_told(section):
    """Wherever a config has a repository."""
    with pytest.raises(InputError, match="a web address is not read") as caught:
        complete(changed(section, "repo", ADDRESS))
    assert "neverwritethis" not in str(caught.value)


def test_a_password_in_an_address_is_written_nowhere(tmp_path):
    """Neither in what is printed nor in any file, Snakemake's log included.

    The config itself, which is the user's, is the only one that has it.
    """
    write_config(tmp_path, changed("sft", "repo", ADDRESS))
    for arguments in (["--dry-run"], ["--cores", "1"]):
        done = snakemake(tmp_path, *arguments)
        assert done.returncode != 0
        assert "a web address is not read" in done.stdout
        assert "neverwritethis" not in done.stdout
    for verb in (
        ["plan", "--config", "study.yaml"],
        ["prepare_sft", "--format", "alpaca", "--sft", "s", "--out", "out.parquet"],
        ["prepare_model", "--model", "m", "--out", "out"],
    ):
        flags = [] if verb[0] == "plan" else ["--repo", ADDRESS]
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(tmp_path)
            with pytest.raises(SystemExit, match="a web address is not read") as ended:
                main([*verb, *flags])
        assert "neverwritethis" not in str(ended.value)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    holding = [path.name for path in files if b"neverwritethis" in path.read_bytes()]
    assert holding == ["study.yaml"]


def test_a_whole_number_with_a_point_is_that_number(tmp_path):
    """A schema takes 1.0 for an integer, and so do the paths."""
    write_config(tmp_path, small_study(seeds=[1.0], languages_per_job=2.0))
    assert job_counts(tmp_path)["tune"] == 4


def test_another_study_replaces_the_embedded_one(tmp_path):
    """With --configfile nothing of config.yaml is left, even if it lies beside."""
    text = (REPOSITORY / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(text)
    write_config(tmp_path, small_study())
    assert job_counts(tmp_path)["prepare_task"] == 5


def test_a_config_in_another_encoding_is_one_line(tmp_path):
    """Snakemake itself would end with a traceback."""
    (tmp_path / "config.yaml").write_bytes("study: café".encode("latin-1"))
    command = snakemake_command(tmp_path, "--dry-run")
    begin = command.index("--configfile")
    del command[begin : begin + 2]
    done = subprocess.run(command, capture_output=True, text=True)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "Config: config.yaml is not YAML: 'utf-8' codec can't decode" in said
    assert "Traceback" not in said
