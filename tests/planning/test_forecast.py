"""A forecast says how much of everything, and what is not in the numbers."""

from pathlib import Path

import pytest
from paper import one_model, paper_study
from study import job_counts, small_study, write_config

from polycal.models.gpu_types import find_gpu
from polycal.planning.forecast import forecast
from polycal.study import config as study


def plan(config, gpu="h200", resources=Path("nowhere")):
    return forecast(config, gpu=find_gpu(gpu), timings={}, resources=resources)


def test_counts_are_those_of_a_dry_run(tmp_path):
    """Snakemake itself would start as many jobs of each stage."""
    asked = small_study(seeds=[0, 1], languages_per_job=2)
    write_config(tmp_path, asked)
    counts = job_counts(tmp_path)
    found = plan(study.complete(asked))
    planned = {stage: len(found.of(stage)) for stage in ("tune", "score")}
    planned |= {stage: len(addresses) for stage, addresses in found.others.items()}
    assert {"tune", "score", "select", "measure"} <= set(counts)
    for stage, n in planned.items():
        if stage in counts:
            assert counts[stage] == n, stage


def test_the_paper_s_stages():
    """3 models, 3 SFT sets, 3 smoothing values, 4 rates; 3 + 2 batches of 16."""
    found = plan(paper_study())
    assert len(found.of("tune")) == 108
    assert len(found.of("score")) == 30 * (3 + 2)
    counts = {stage: len(set(addresses)) for stage, addresses in found.others.items()}
    assert counts == {"tokenize": 9, "select": 27, "measure": 30 * 2}
    assert found.hours() == sum(job.seconds for job in found.jobs) / 3600


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
    found = plan(config)
    for name in ("model some/model", "SFT set some/set", "benchmark ./quiz"):
        assert sum(name in note for note in found.notes) == 1, name
    assert all(job.seconds is None for job in found.jobs)
    assert found.partial == set(found.disk)
    assert not plan(one_model("gemma")).partial


def test_an_unknown_set_with_a_cap_is_counted_by_it():
    """The note says as what."""
    config = one_model("gemma")
    config["sft"][0] |= {"repo": "some/set", "max_examples": 2000}
    found = plan(config)
    assert any(
        "some/set: its conversations are counted as 2,000" in n for n in found.notes
    )
    assert found.of("tune")[0].seconds > 0


def test_a_filter_that_has_not_been_applied_is_named():
    """Only the prepared table knows what it leaves."""
    config = one_model("gemma")
    config["sft"][0]["filter"] = {"column": "source", "keep": ["a"]}
    assert any("filter of alpaca is not counted" in note for note in plan(config).notes)


def warnings(name, gpu, **recipe):
    recipe = {"micro_batch_size": 1} | recipe
    notes = plan(one_model(name, **recipe), gpu).notes
    return [note for note in notes if note.startswith("WARNING")]


@pytest.mark.parametrize("gpu", ["h200", "h100", "l40s"])
def test_eight_billion_parameters_do_not_fit(gpu):
    """18 bytes each are 145 GB; an adapter, or a larger GPU, is offered."""
    (warning,) = warnings("llama", gpu)
    assert f"llama does not fit on one {gpu}" in warning
    assert "145 GB for weights" in warning
    assert "a GPU like b200 (180 GB)" in warning
    assert "method: lora (38 GB)" in warning


def test_more_gpus_are_offered_if_they_divide_a_batch():
    """On one machine, or on several; weights are spread, a micro-batch is not."""
    (warning,) = warnings("llama", "h200", batch_size=24)
    assert "gpus: 2" in warning
    (warning,) = warnings("llama", "rtx4090", batch_size=64, max_length=2048)
    assert "gpus: 8 on nodes: 2" in warning
    (warning,) = warnings("llama", "h200", batch_size=3)
    assert "gpus:" not in warning
    config = one_model("llama", batch_size=64)
    config["models"][0] |= {"gpus": 2, "nodes": 2}
    assert not [note for note in plan(config, "h200").notes if "fit" in note]


def test_what_fits_is_not_warned_of():
    """A small model, an adapter, a CPU, or a study without training."""
    assert not warnings("gemma", "h200")
    assert not warnings("gemma", "rtx4090", method="lora", max_length=1024)
    assert not warnings("llama", "h200", method="lora")
    assert not [n for n in plan(paper_study(sft=[]), "rtx3090").notes if "fit" in n]
    config = one_model("llama")
    config["models"][0]["gpus"] = 0
    assert not [note for note in plan(config).notes if "fit" in note]


def test_activations_may_be_what_does_not_fit():
    """Then a smaller micro-batch is the first remedy."""
    (warning,) = warnings("gemma", "h200", micro_batch_size=32)
    assert "gemma may not fit on one h200" in warning
    assert "What would fit: micro_batch_size: 1" in warning


@pytest.mark.parametrize("gpu", ["h100", "a100"])
def test_gemma_s_attention_and_logits_may_not_fit_into_80_gb(gpu):
    """47 GB are fixed; 35 GB of attention and 1 GB of logits are named."""
    (warning,) = warnings("gemma", gpu)
    assert f"gemma may not fit on one {gpu}" in warning
    assert "up to about 44 GB for a micro-batch of 1 x 4096 tokens" in warning
    assert "(8 of activations, 1 of logits, 35 of eager attention)" in warning
    assert "a GPU like h200" in warning
    assert not warnings("gemma", gpu, max_length=2048)


@pytest.mark.parametrize(
    ("gpu", "certain"),
    [
        ("b200", {}),
        ("h200", {"mistral": False, "llama": True}),
        ("h100", {"mistral": True, "llama": True, "gemma": False}),
        ("a100", {"mistral": True, "llama": True, "gemma": False}),
    ],
)
def test_which_of_the_paper_s_models_fit(gpu, certain):
    """Full fine-tuning at 4096 tokens: Gemma needs 91 GB, Mistral 148, Llama 163."""
    misfits = plan(paper_study(), gpu).misfits
    assert {each.model: each.certain for each in misfits} == certain
