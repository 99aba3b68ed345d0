"""What a cheaper variant saves is the difference of two forecasts."""

import copy
from pathlib import Path

import pytest
from paper import one_model, paper_study, save_prepared, save_tokenised

from polycal.models.gpu_types import find_gpu
from polycal.planning.forecast import forecast
from polycal.planning.savings import find_savings

GPU, NOWHERE = find_gpu("h200"), Path("nowhere")


def hours(config, resources=NOWHERE):
    return forecast(config, gpu=GPU, timings={}, resources=resources).hours()


def savings(config, resources=NOWHERE):
    found = find_savings(config, gpu=GPU, resources=resources)
    return {each.change: each for each in found}


def test_every_saving_is_positive_and_the_largest_is_first():
    """And the part is that of the whole; the study itself is not changed."""
    config = paper_study()
    before = copy.deepcopy(config)
    found = find_savings(config, gpu=GPU, resources=NOWHERE)
    assert config == before
    assert len(found) == 9
    saved = [each.hours for each in found]
    assert saved == sorted(saved, reverse=True)
    assert all(0 < each.hours < hours(config) for each in found)
    for each in found:
        assert each.part == pytest.approx(each.hours / hours(config))


def test_a_saving_is_the_difference_to_the_changed_study():
    """The variants are the studies that one would write."""
    config, found = paper_study(), savings(paper_study())
    whole = hours(config)
    written = {
        "one learning rate instead of 4": paper_study(
            recipe={"lr": [5e-6], "micro_batch_size": 1}
        ),
        "method: lora (rank 64)": paper_study(
            recipe={**config["recipe"], "method": "lora"}
        ),
        "epochs: 1": paper_study(recipe={**config["recipe"], "epochs": 1}),
        "scoring: [letters]": paper_study(scoring=["letters"]),
        "smoothing: [0, 0.1]": paper_study(smoothing=[0, 0.1]),
        "without llama, the largest model": paper_study(
            models=[config["models"][0], config["models"][2]]
        ),
        "without tulu, the largest SFT set": paper_study(
            sft=[config["sft"][0], config["sft"][2]]
        ),
        "max_examples: 50000 for every SFT set": paper_study(
            sft=[{**each, "max_examples": 50_000} for each in config["sft"]]
        ),
    }
    for change, variant in written.items():
        assert found[change].hours == pytest.approx(whole - hours(variant)), change
    assert set(found) - set(written) == {
        "the benchmarks' Lite versions, in the languages that they have"
    }


def test_the_lite_versions_save_nearly_all_of_the_scoring():
    """400 and 588 questions instead of 14 042 and 11 759."""
    found = savings(paper_study(sft=[]))
    lite = found["the benchmarks' Lite versions, in the languages that they have"]
    assert 0.9 < lite.part < 1


def test_changes_that_do_not_apply_are_not_offered():
    """One rate, an adapter, one model, one set, one smoothing value, one scoring."""
    config = one_model("gemma", method="lora", epochs=1)
    config["scoring"] = ["letters"]
    config["sft"][0]["max_examples"] = 1000
    assert set(savings(config)) == {
        "the benchmarks' Lite versions, in the languages that they have"
    }


def test_a_study_of_unknown_size_has_no_savings():
    """Nothing is divided by nothing."""
    config = one_model("gemma")
    config["models"][0]["repo"] = "some/model"
    assert savings(config) == {}


def test_a_cap_saves_what_it_did_before_the_set_was_tokenised(tmp_path):
    """The study with the cap is planned with as many conversations, here as nowhere."""
    config = one_model("llama")
    entry, change = config["sft"][0], "max_examples: 50000 for every SFT set"
    save_prepared(tmp_path, entry, rows=10, left_out=199_990)
    assert savings(config, tmp_path)[change].hours > 0
    counts = {"conversations": 200_000, "examples": 200_000, "tokens": 20_000_000}
    save_tokenised(tmp_path, "llama", entry, config["recipe"], **counts)
    capped = one_model("llama")
    capped["sft"][0]["max_examples"] = 50_000
    assert hours(capped, tmp_path) == pytest.approx(hours(capped))
    saved = hours(config, tmp_path) - hours(capped)
    assert savings(config, tmp_path)[change].hours == pytest.approx(saved)
    assert change not in savings(capped, tmp_path)
