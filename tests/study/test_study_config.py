"""A study's file is read, filled with defaults and checked as a whole."""

import pytest
from study import REPOSITORY, small_study

from polycal.errors import InputError
from polycal.study import config as study


def test_defaults_are_filled_in_at_every_depth():
    """A minimal study has every setting afterwards; the caller's is not changed."""
    asked = small_study()
    del asked["recipe"]
    asked["tasks"][0]["format"] = {
        "splits": {"test": "test"},
        "question": "question",
        "options": "choices",
        "gold": {"answer": "index"},
    }
    config = study.complete(asked)
    assert config["recipe"]["batch_size"] == 128
    assert config["models"][0]["revision"] is None
    assert config["tasks"][0]["shots"] == 0
    assert config["tasks"][0]["format"]["lead_in"] == "Answer:"
    assert "recipe" not in asked


@pytest.mark.parametrize(
    ("study_s", "task_s", "expected"),
    [(None, None, None), (20, None, 20), (None, 50, 50), (20, 50, 20), (90, 50, 50)],
)
def test_the_smaller_limit_of_questions_holds(study_s, task_s, expected):
    """Of the study's, which a trial run gives on the command line, and the task's."""
    config = small_study(max_questions=study_s)
    config["tasks"][1]["max_questions"] = task_s
    tasks = study.complete(config)["tasks"]
    assert [task["max_questions"] for task in tasks] == [study_s, expected]
    assert study.complete(study.complete(config))["tasks"] == tasks


def test_the_shipped_config_is_a_study():
    """config.yaml can be loaded as the workflow loads it."""
    assert study.load_study(REPOSITORY / "config.yaml")["study"] == "embedded"


def test_an_entry_of_sft_is_a_data_set_or_released_checkpoints():
    """Without smoothing where nothing is tuned; a data set needs repo and format."""
    released = [{"name": "i", "checkpoints": {"miniature": {"repo": "./i"}}}]
    for sft in (released, []):
        asked = small_study(sft=sft)
        del asked["smoothing"]
        config = study.complete(asked)
        assert config["smoothing"] == []
        assert study.complete(config) == config
    assert study.complete(small_study(sft=released))["sft"][0]["checkpoints"] == {
        "miniature": {"repo": "./i", "revision": None}
    }
    with pytest.raises(InputError, match=r"^sft\.0: 'format' is a required property"):
        study.complete(small_study(sft=[{"name": "s", "repo": "./s"}]))
    spoilt = {"m": {"repo": "./i", "rev": "1"}}
    with pytest.raises(InputError, match=r"checkpoints\.m: there is no key 'rev'"):
        study.complete(small_study(sft=[{"name": "i", "checkpoints": spoilt}]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "study.yaml is not YAML"),
        ("- a", "it has no keys"),
        ("study: x", "study.yaml: the study: 'models' is a required property"),
        (
            "smoothing: [0]\nseeds: [0]\nsmoothing: [0.1]",
            "study.yaml: the key 'smoothing' is there twice, in lines 1 and 3; delete",
        ),
        ("a: {b: 1,\n  c: 2, b: 3}", "the key 'b' is there twice, in lines 1 and 2"),
        ("study: \x00", "study.yaml is not YAML"),
    ],
)
def test_a_file_that_is_no_study_is_one_line(tmp_path, text, message):
    """The line names the file."""
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        study.load_study(path)
    assert "\n" not in str(caught.value)


def test_a_key_that_is_merged_may_be_overridden(tmp_path):
    """YAML's `<<`, also of a mapping that has merged and overridden itself."""
    path = tmp_path / "study.yaml"
    path.write_text(
        "a: &a {x: 1, y: 1}\nb: &b\n  <<: *a\n  x: 2\nc:\n  <<: *b\n  x: 3\nd: *b\n"
    )
    expected = {"a": {"x": 1, "y": 1}, "b": {"x": 2, "y": 1}, "c": {"x": 3, "y": 1}}
    assert study.read_config(path) == expected | {"d": {"x": 2, "y": 1}}


def test_a_file_in_another_encoding_is_one_line(tmp_path):
    """UTF-16, as some editors of Windows write it."""
    path = tmp_path / "study.yaml"
    path.write_text("study: x", encoding="utf-16")
    with pytest.raises(InputError, match=r"study\.yaml is not YAML: .*utf-8"):
        study.load_study(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(
    "place",
    [
        *(("statistics", name) for name in ("margin", "confidence", "replicates")),
        *(("recipe", name) for name in ("epochs", "weight_decay", "max_steps")),
        ("smoothing", 0),
        ("recipe", "lr", 0),
        ("models", 0, "runtime", "tune"),
    ],
)
def test_what_is_no_finite_number_is_refused(place, value):
    """Every bound of a schema is false for NaN, and so is no help."""
    asked = small_study()
    inner = asked
    for key in place[:-1]:
        inner = inner.setdefault(key, {}) if isinstance(inner, dict) else inner[key]
    inner[place[-1]] = value
    where = r"\.".join(map(str, place))
    with pytest.raises(InputError, match=rf"^{where}: .*not a finite number"):
        study.complete(asked)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("statistics", "replicates"), 10**12, "greater than the maximum of 100000"),
        (("recipe", "max_steps"), 10**30, "greater than the maximum of 1000000000"),
        (("recipe", "lr"), [1e300], "greater than the maximum of 10"),
        (("models", 0, "name"), "llama\n", "does not match"),
        (("models", 0, "name"), "a" * 300, "is too long"),
    ],
)
def test_sizes_have_an_end(place, value, message):
    """What would take years, or no file system can name."""
    asked = small_study()
    inner = asked
    for key in place[:-1]:
        inner = inner.setdefault(key, {}) if isinstance(inner, dict) else inner[key]
    inner[place[-1]] = value
    with pytest.raises(InputError, match=message) as caught:
        study.complete(asked)
    assert "\n" not in str(caught.value)


def test_a_filter_either_keeps_or_drops():
    """Both at once, or neither, has no meaning."""
    for wrong in ({}, {"keep": ["a"], "drop": ["b"]}):
        asked = small_study()
        asked["sft"][0]["filter"] = {"column": "source", **wrong}
        with pytest.raises(InputError, match="filter"):
            study.complete(asked)


def test_shots_need_a_dev_split():
    """A format without one is told before any job."""
    asked = small_study()
    asked["tasks"][0] |= {
        "shots": 2,
        "format": {
            "splits": {"test": "test"},
            "question": "question",
            "options": "choices",
            "gold": {"answer": "index"},
        },
    }
    with pytest.raises(InputError, match=r"tasks.global_mmlu.shots: .* dev split"):
        study.complete(asked)


def test_a_config_name_is_that_of_a_known_language():
    """A misspelt code is told; one that is not asked for may stay for another day."""
    asked = small_study()
    asked["tasks"][0]["configs"] = {"swa": "swh_Latn"}
    with pytest.raises(InputError, match=r"tasks.global_mmlu.configs: 'swa'.* 'sw'"):
        study.complete(asked)
    asked["tasks"][0]["configs"] = {"yo": "yor_Latn"}
    assert study.complete(asked)["tasks"][0]["configs"] == {"yo": "yor_Latn"}


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (["recipe", "lr", 0], "1e-4", "reads 1e-4 as text"),
        (["tasks", 0, "languages", 3], False, "unquoted no/off as False"),
        (["smoothing"], 1, "smoothing: what the schema says"),
    ],
)
def test_yaml_surprises_are_explained(place, value, message):
    """The two values that YAML silently changes are named as such."""
    assert message in study.explain(place, "what the schema says\nand more", value)


def test_a_misspelt_key_is_met_with_the_right_one():
    """A near miss suggests the key; anything else lists the keys."""
    known = ["smoothing", "seeds"]
    line = study.explain([], "", {"smoothin": 1}, known=known)
    assert "did you mean 'smoothing'?" in line
    assert "known: smoothing, seeds" in study.explain([], "", {"x": 1}, known=known)


def test_the_first_task_and_scoring_are_the_primary_ones():
    """Unless the study names others; only those that it has."""
    asked = small_study()
    first = study.complete(asked)["statistics"]
    assert first["primary_task"] == asked["tasks"][0]["name"]
    assert first["primary_scoring"] == study.complete(asked)["scoring"][0]
    other = asked["tasks"][-1]["name"]
    asked["statistics"] = {"primary_task": other}
    assert study.complete(asked)["statistics"]["primary_task"] == other
    for key, value in (("primary_task", "nothing"), ("primary_scoring", "letters")):
        asked["statistics"] = {key: value}
        asked["scoring"] = ["text"]
        with pytest.raises(InputError, match=rf"statistics\.{key}: the study has no"):
            study.complete(asked)


def test_turns_of_a_plain_prompt_are_refused():
    """It has none, and would have its shots as text without a word."""
    asked = small_study()
    asked["tasks"][1] |= {"shots": 2, "shots_as": "turns"}
    name = asked["tasks"][1]["name"]
    with pytest.raises(InputError, match=rf"tasks\.{name}\.shots_as: only a chat pro"):
        study.complete(asked)
    for change in ({"prompt": "chat"}, {"shots": 0}, {"shots_as": "text"}):
        other = small_study()
        other["tasks"][1] = asked["tasks"][1] | change
        study.complete(other)


def test_a_checkpoint_is_not_compared_with_itself():
    """Neither with its base model nor with another release; a revision is another."""
    own = {"repo": "o/tuned", "revision": "1f"}
    entries = [
        {"name": name, "checkpoints": {"m": own | changes}}
        for name, changes in (("i", {}), ("j", {"revision": "2f"}), ("k", {}))
    ]
    models = [{"name": "m", "repo": "o/tuned", "revision": "3f"}]
    config = small_study(models=models, sft=entries[:2], smoothing=[])
    assert len(study.complete(config)["sft"]) == 2
    with pytest.raises(InputError, match=r"k\.checkpoints\.m is o/tuned, as sft\.i"):
        study.complete(small_study(models=models, sft=entries, smoothing=[]))
    models[0]["revision"] = "2f"
    with pytest.raises(InputError, match=r"j\.checkpoints\.m is .*, as models\.m is"):
        study.complete(small_study(models=models, sft=entries[:2], smoothing=[]))


def test_a_shared_rate_needs_smoothing_0():
    """Its losses select the rate of all others."""
    asked = small_study()
    assert study.complete(asked)["recipe"]["select"] == "each"
    asked["recipe"]["select"] = "shared"
    assert study.complete(asked)["recipe"]["select"] == "shared"
    asked["smoothing"] = [0.1]
    with pytest.raises(InputError, match=r"recipe\.select: shared takes the .* add 0"):
        study.complete(asked)


def test_a_name_that_no_path_can_have_is_answered_with_one_that_can():
    """Model names of the Hub have capitals."""
    config = small_study()
    config["models"][0]["name"] = "Llama-3.1 8B"
    with pytest.raises(InputError, match=r"lower-case .*; write llama-3\.1-8b"):
        study.complete(config)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Llama-3.1-8B", "llama-3.1-8b"),
        (" Étude ü! ", "tude"),
        ("a" * 63 + "-b", "a" * 63),
        ("...", ""),
    ],
)
def test_a_suggested_name_is_one_that_a_study_may_have(text, name):
    """At most 64 characters, and none that a path should not have."""
    assert study.suggest_name(text) == name
    if name:
        models = [{**small_study()["models"][0], "name": study.suggest_name(text)}]
        study.complete(small_study(models=models))
