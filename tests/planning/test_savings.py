"""What a cheaper variant saves is the difference to the study that one would write."""

import copy
from pathlib import Path

import pytest
from paper import one_model, paper_study

from polycal.models.gpu_types import find_gpu
from polycal.planning.jobs import list_jobs
from polycal.planning.savings import find_savings
from polycal.planning.sizes import SizedStudy


def sized(config):
    return SizedStudy(config, find_gpu("h200"), Path("nowhere"))


def hours(config):
    return sum(job.device_seconds or 0 for job in list_jobs(sized(config), {})) / 3600


def test_a_saving_is_the_difference_to_the_changed_study():
    """The largest is first; the study itself is not changed."""
    config = paper_study()
    before, whole = copy.deepcopy(config), hours(config)
    recipe = config["recipe"]
    written = {
        "lr: [5e-6]": {"recipe": {**recipe, "lr": [5e-6]}},
        "method: lora": {"recipe": {**recipe, "method": "lora"}},
        "epochs: 1": {"recipe": {**recipe, "epochs": 1}},
        "smoothing: [0, 0.1]": {"smoothing": [0, 0.1]},
        "scoring: [letters]": {"scoring": ["letters"]},
        "max_examples: 50000 in sft": {
            "sft": [{**entry, "max_examples": 50_000} for entry in config["sft"]]
        },
        "max_questions: 500 in tasks": {
            "tasks": [{**task, "max_questions": 500} for task in config["tasks"]]
        },
    }
    savings = find_savings(sized(config))
    assert config == before
    assert {saving.change for saving in savings} == written.keys()
    saved = [saving.hours for saving in savings]
    assert saved == sorted(saved, reverse=True)
    for change, own, part in savings:
        expected = whole - hours(paper_study(**written[change]))
        assert 0 < expected < whole
        assert (change, own) == (change, pytest.approx(expected))
        assert part == pytest.approx(expected / whole)


def test_what_a_study_does_already_is_not_offered():
    """One rate, an adapter, one smoothing value and scoring; fewer than the caps."""
    config = one_model("gemma", method="lora", epochs=1)
    config["scoring"] = ["letters"]
    config["sft"][0]["max_examples"] = 1000
    config["tasks"] = [{**task, "max_questions": 100} for task in config["tasks"]]
    assert find_savings(sized(config)) == []


def test_a_study_of_unknown_size_has_no_savings():
    """Nothing is divided by nothing."""
    config = one_model("gemma")
    config["models"][0]["repo"] = "some/model"
    assert find_savings(sized(config)) == []


def test_released_checkpoints_have_no_examples_to_cap():
    """They are scored with fewer questions, as all runs are."""
    checkpoints = {"llama": {"repo": "o/instruct", "revision": "1f"}}
    released = {"name": "instruct", "checkpoints": checkpoints}
    plain, mixed = (
        {saving.change: saving.hours for saving in find_savings(sized(config))}
        for config in (
            paper_study(),
            paper_study(sft=[released, *paper_study()["sft"]]),
        )
    )
    change = "max_examples: 50000 in sft"
    assert mixed[change] == pytest.approx(plain[change])
    change = "max_questions: 500 in tasks"
    assert mixed[change] > plain[change]
