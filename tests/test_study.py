"""A study's file is read, filled with defaults and checked as a whole."""

import pytest
from study import REPOSITORY, small_study

from polycal import study
from polycal.errors import InputError


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


def test_the_shipped_config_is_a_study():
    """config.yaml can be loaded as the workflow loads it."""
    assert study.load_study(REPOSITORY / "config.yaml")["study"] == "embedded"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "study.yaml is not YAML"),
        ("- a", "it has no keys"),
        ("study: x", "study.yaml: the study: 'models' is a required property"),
    ],
)
def test_a_file_that_is_no_study_is_one_line(tmp_path, text, message):
    """The line names the file."""
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        study.load_study(path)
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
