"""A forecast says how much of everything, and what is not in the numbers."""

from pathlib import Path

import pytest
from paper import one_model, paper_study
from study import job_counts, small_study, write_config

from polycal.models.gpu_types import find_gpu
from polycal.planning.forecast import forecast
from polycal.planning.sizes import SizedStudy
from polycal.study import config as study

NOWHERE = Path("nowhere")


def plan(config, gpu="h200", resources=NOWHERE):
    return forecast(SizedStudy(config, find_gpu(gpu), resources), timings={})


def test_counts_are_those_of_a_dry_run(tmp_path):
    """Snakemake itself would start as many jobs of each stage."""
    asked = small_study(seeds=[0, 1], languages_per_job=2)
    write_config(tmp_path, asked)
    counts = job_counts(tmp_path)
    whole = plan(study.complete(asked))
    assert {"tune", "score", "select", "measure"} <= set(counts)
    for stage, addresses in whole.addresses.items():
        if stage in counts:
            assert counts[stage] == len(addresses), stage


def test_the_paper_s_stages():
    """3 models, 3 SFT sets, 3 smoothing values, 4 rates; 3 + 2 batches of 16."""
    whole = plan(paper_study())
    counts = {
        stage: len(set(addresses)) for stage, addresses in whole.addresses.items()
    }
    trained = {"tokenize": 9, "tune": 108, "select": 27}
    assert counts == trained | {"score": 30 * (3 + 2), "measure": 30 * 2}
    assert len(whole.of("tune")) == 108
    assert len(whole.of("score", "llama")) == 10 * (3 + 2)


def test_disk_of_one_candidate_and_its_predictions():
    """One Llama of 16 GB, and 2 runs x 2 scorings x 4 options x 15 bytes a question."""
    config = one_model("llama")
    config["tasks"] = config["tasks"][:1]
    disk = plan(config).disk
    assert disk["candidates"] == pytest.approx(16.06e9 + 20e6, rel=1e-3)
    assert disk["downloads: models"] == pytest.approx(16.06e9, rel=1e-3)
    predictions = disk["predictions, and the store of them"]
    assert predictions == 42 * 14042 * 4 * 15 * 2 * 2
    assert disk["tokenised SFT sets"] == 52002 * 100 * 4.125
    assert disk["downloads: SFT sets and benchmarks"] == 12e6 + 42 * 9e6
    assert disk["prepared tables"] == 52002 * 100 * 4 / 2 + 42 * 9e6


def test_a_cap_makes_everything_smaller():
    """max_examples counts for the time and for the tokens on disk."""
    config, capped = one_model("llama"), one_model("llama")
    capped["sft"][0]["max_examples"] = 1000
    before, after = plan(config), plan(capped)
    assert after.of("tune")[0].seconds < before.of("tune")[0].seconds / 2
    assert after.disk["tokenised SFT sets"] == 1000 * 100 * 4.125


def test_what_nobody_knows_is_named_and_not_counted_as_nothing():
    """Each of the three kinds, and what is missing on the disk is marked."""
    config = one_model("llama")
    config["models"][0]["repo"] = "some/model"
    config["sft"][0]["repo"] = "some/set"
    config["tasks"][0]["repo"] = "./quiz"
    whole = plan(config)
    for name in ("model some/model", "SFT set some/set", "benchmark ./quiz"):
        assert sum(name in note for note in whole.notes) == 1, name
    assert all(job.seconds is None for job in whole.jobs)
    assert whole.partial == set(whole.disk)
    assert not plan(one_model("gemma")).partial


@pytest.mark.parametrize(
    ("section", "kinds"),
    [
        ("models", {"candidates"}),
        ("sft", {"prepared tables", "tokenised SFT sets"}),
        ("tasks", {"prepared tables", "predictions, and the store of them"}),
    ],
)
def test_what_is_on_this_machine_is_no_download(section, kinds):
    """Its unknown size is marked where files are made of it, and nowhere else."""
    config = one_model("llama")
    config[section][0]["repo"] = "./local"
    assert plan(config).partial == kinds
    config[section][0]["repo"] = "some/thing"
    (download,) = plan(config).partial - kinds
    assert download.startswith("downloads: ")


def test_an_unknown_set_with_a_cap_is_counted_by_it():
    """The note says as what."""
    config = one_model("gemma")
    config["sft"][0] |= {"repo": "some/set", "max_examples": 2000}
    whole = plan(config)
    assert any(
        "some/set: its conversations are counted as 2,000" in n for n in whole.notes
    )
    assert whole.of("tune")[0].seconds > 0


def test_a_filter_that_has_not_been_applied_is_named():
    """Only the prepared table knows what it leaves."""
    config = one_model("gemma")
    config["sft"][0]["filter"] = {"column": "source", "keep": ["a"]}
    assert any("filter of alpaca is not counted" in note for note in plan(config).notes)


def test_released_checkpoints_are_scored_and_downloaded():
    """Each like its base model: Llama's 16 GB once more, and nothing is trained."""
    base = paper_study(sft=[], smoothing=[])
    checkpoints = {"llama": {"repo": "o/instruct", "revision": "1f"}}
    sft = [{"name": "instruct", "checkpoints": checkpoints}]
    sft.append({"name": "ours", "checkpoints": {"llama": {"repo": "./ours"}}})
    before, after = plan(base), plan(paper_study(sft=sft, smoothing=[]))
    assert before.of("tune") == after.of("tune") == []
    assert len(after.of("score")) == len(before.of("score")) + 2 * (3 + 2)
    assert len(after.addresses["measure"]) == 5 * 2
    for stage in ("tokenize", "tune", "select"):
        assert after.addresses[stage] == []
    models = "downloads: models"
    more = after.disk[models] - before.disk[models]
    assert more == pytest.approx(16.06e9, rel=1e-3)
    assert "candidates" not in after.disk
    assert after.partial == before.partial
    assert any("as large as its base model" in note for note in after.notes)
    assert not any("as large as its base model" in note for note in before.notes)
