"""A forecast says how much of everything, and what is not in the numbers."""

import copy
from pathlib import Path

import pytest
from paper import one_model, paper_study, save_prepared, save_tokenised
from study import job_counts, small_study, write_config

from polycal.models.gpu_types import find_gpu
from polycal.planning.forecast import find_savings, forecast
from polycal.planning.sizes import SizedStudy
from polycal.study import config as study
from polycal.study.languages import load_languages

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


def hours(config, resources=NOWHERE):
    jobs = plan(config, resources=resources).jobs
    return sum(job.device_seconds or 0 for job in jobs) / 3600


def savings(config, resources=NOWHERE):
    study = SizedStudy(config, find_gpu("h200"), resources)
    return {saving.change: saving for saving in find_savings(study)}


def test_every_saving_is_positive_and_the_largest_is_first():
    """And the part is that of the whole; the study itself is not changed."""
    config = paper_study()
    before = copy.deepcopy(config)
    variants = savings(config).values()
    assert config == before
    assert len(variants) == 9
    saved = [saving.hours for saving in variants]
    assert saved == sorted(saved, reverse=True)
    assert all(0 < saving.hours < hours(config) for saving in variants)
    for saving in variants:
        assert saving.part == pytest.approx(saving.hours / hours(config))


def test_a_saving_is_the_difference_to_the_changed_study():
    """The variants are the studies that one would write."""
    config, variants = paper_study(), savings(paper_study())
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
            sft=[{**entry, "max_examples": 50_000} for entry in config["sft"]]
        ),
    }
    known = load_languages()
    lite = [
        {
            **task,
            "repo": repo,
            "languages": [
                code for code in task["languages"] if getattr(known[code], flag)
            ],
        }
        for task, repo, flag in zip(
            config["tasks"],
            ("CohereLabs/Global-MMLU-Lite", "li-lab/MMLU-ProX-Lite"),
            ("in_global_mmlu_lite", "in_mmlu_prox"),
            strict=True,
        )
    ]
    change = "the benchmarks' Lite versions, in the languages that they have"
    written[change] = paper_study(tasks=lite)
    assert variants.keys() == written.keys()
    for change, variant in written.items():
        assert variants[change].hours == pytest.approx(whole - hours(variant)), change


def test_the_lite_versions_save_nearly_all_of_the_scoring():
    """400 and 588 questions instead of 14 042 and 11 759."""
    variants = savings(paper_study(sft=[]))
    lite = variants["the benchmarks' Lite versions, in the languages that they have"]
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


def test_savings_keep_released_checkpoints():
    """A cap or a smaller recipe is for data sets only."""
    config = paper_study()
    checkpoints = {"llama": {"repo": "o/instruct", "revision": "1f"}}
    released = {"name": "instruct", "checkpoints": checkpoints}
    mixed = paper_study(sft=[released, *config["sft"]])
    sized = SizedStudy(mixed, find_gpu("h200"), NOWHERE)
    plain = SizedStudy(config, find_gpu("h200"), NOWHERE)
    saved = {saving.change: saving.hours for saving in find_savings(sized)}
    for saving in find_savings(plain):
        # The checkpoint is scored by fewer scorings and in fewer languages, too.
        if saving.change.startswith(("max_examples", "one learning", "smoothing")):
            assert saved[saving.change] == pytest.approx(saving.hours)
