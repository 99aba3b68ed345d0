"""The study that `polycal try` writes, and what is refused before anything runs."""

import json

import pytest
from repositories import global_mmlu_row, write_repository
from tiny import make_tiny_model

from polycal.errors import InputError
from polycal.preparing import trial_study
from polycal.preparing.trial_study import make_study
from polycal.study.config import complete
from polycal.study.grid import Run, expand_runs
from polycal.study.reading import load_yaml

COMMIT = "c" * 40


@pytest.fixture
def ask(tmp_path, monkeypatch):
    """Make a study of two models and a benchmark in the working directory."""
    monkeypatch.chdir(tmp_path)
    rows = [global_mmlu_row(number) for number in range(3)]
    splits = {"test": rows, "dev": rows[:1]}
    write_repository(tmp_path / "bench", {"en": splits, "sw": splits})
    make_tiny_model(tmp_path / "Base_Model")
    make_tiny_model(tmp_path / "mine", chat_template=None)

    def ask(**changes):
        asked = {
            **{"model": "mine", "against": "Base_Model", "task": "bench"},
            **{"format": "global_mmlu", "languages": ["en,sw"], "max_questions": 9},
            **{"prompt": "plain", "scoring": ["letters"], "gpus": 0},
        }
        return make_study(**(asked | changes))[0]

    return ask


def test_a_model_is_compared_with_the_one_it_was_tuned_from(ask, tmp_path):
    """Two runs, by names from the folders; paths do not depend on where one is."""
    study = ask()
    full = complete(study)
    assert expand_runs(full) == [
        Run("base_model", "none", "0", 0),
        Run("base_model", "mine", "0", 0),
    ]
    assert study["models"][0]["repo"] == str(tmp_path / "Base_Model")
    checkpoint = full["sft"][0]["checkpoints"]["base_model"]
    assert checkpoint["repo"] == str(tmp_path / "mine")
    (task,) = full["tasks"]
    assert (task["name"], task["languages"]) == ("bench", ["en", "sw"])
    assert (task["max_questions"], task["prompt"]) == (9, "plain")


@pytest.mark.parametrize(
    ("last", "own"),
    [
        ("Llama", "llama-tuned"),
        ("x" * 70, "x" * 58 + "-tuned"),  # a name has at most 64 characters
        ("none", "tuned"),  # none is the name of what was not tuned
    ],
)
def test_two_models_of_the_same_name_are_told_apart(ask, tmp_path, last, own):
    """Repositories of two owners, as in `me/llama --against meta/llama`."""
    for owner in ("me", "meta"):
        make_tiny_model(tmp_path / owner / last)
    study = ask(model=f"me/{last}", against=f"meta/{last}")
    name = last.lower()[:64]
    assert study["study"] == f"{own} against {name}"
    (model,), (sft,) = study["models"], study["sft"]
    assert (model["name"], model["repo"]) == (name, str(tmp_path / "meta" / last))
    assert sft["name"] == own
    assert sft["checkpoints"][name]["repo"] == str(tmp_path / "me" / last)
    complete(study)


def test_a_model_alone_is_measured_as_it_is(ask):
    """Nothing to compare it with."""
    assert expand_runs(complete(ask(against=None))) == [Run("mine", "none", "0", 0)]


def test_a_model_of_the_hub_is_pinned_to_the_commit_that_was_found(
    ask, tmp_path, monkeypatch
):
    """`main`, or the revision after @, as the commit that it is today."""
    make_tiny_model(tmp_path / COMMIT)
    asked = []

    def download(repo, *, revision, **_):
        asked.append((repo, revision))
        return tmp_path / COMMIT

    monkeypatch.setattr(trial_study.hub, "download", download)
    study = ask(model="Owner/Model-1B-Instruct@v2", against="Owner/Model-1B")
    assert asked == [("Owner/Model-1B-Instruct", "v2"), ("Owner/Model-1B", "main")]
    # What was asked for stands in the title, the commit it is today does not.
    assert study["study"] == "model-1b-instruct@v2 against model-1b"
    (model,) = study["models"]
    assert model["name"] == "model-1b"
    assert (model["repo"], model["revision"]) == ("Owner/Model-1B", COMMIT)
    (sft,) = study["sft"]
    assert sft["name"] == "model-1b-instruct"
    assert sft["checkpoints"]["model-1b"]["revision"] == COMMIT


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "mmlu"}, "--task mmlu is neither .*global_mmlu_lite.* nor a direc"),
        ({"languages": ["en", "xx"]}, "'xx' is not in polycal's table of languages"),
        ({"languages": ["en", "de"]}, "bench does not offer 'de'; it offers: en, sw"),
        ({"model": "./none"}, "there is no directory ./none"),
        ({"model": "bench"}, "bench has no config.json"),
        ({"max_questions": 0}, "max_questions: 0 is less than the minimum"),
        ({"prompt": "chat"}, "mine has no chat template; ask both with --prompt plain"),
        ({"format": "mmlu"}, "format 'mmlu' is not known"),
        ({"model": "no one/here"}, "no one/here: is not a Hub id"),
    ],
)
def test_what_cannot_be_asked_is_one_line(ask, changes, message):
    """Before weights are downloaded."""
    with pytest.raises(InputError, match=message):
        ask(**changes)


def test_an_adapter_alone_names_its_base_model(ask, tmp_path):
    """As its own file does; with it, it is compared, and asked with its template."""
    (tmp_path / "lora").mkdir()
    settings = {"peft_type": "LORA", "base_model_name_or_path": "owner/base"}
    (tmp_path / "lora/adapter_config.json").write_text(json.dumps(settings))
    with pytest.raises(InputError, match=r"is a LoRA adapter.* --against owner/base"):
        ask(model="lora", against=None)
    assert len(expand_runs(complete(ask(model="lora", prompt="chat")))) == 2


def test_known_tasks_are_those_of_the_studies():
    """Repositories and revisions are the same wherever they stand."""
    from study import REPOSITORY

    known = load_yaml(trial_study._TASKS.read_text(encoding="utf-8"))
    seen = set()
    for path in sorted((REPOSITORY / "studies").glob("*.yaml")):
        for task in load_yaml(path.read_text())["tasks"]:
            if task["name"] in known:
                seen.add(task["name"])
                own = {key: task[key] for key in ("repo", "revision", "format")}
                assert own == known[task["name"]], path
    assert seen == set(known)
