"""Every shipped study is valid and expands to the jobs that its numbers say."""

import math
import re

import pytest
from study import REPOSITORY, job_counts

from polycal.study.config import load_study
from polycal.study.grid import list_repositories

STUDIES = sorted((REPOSITORY / "studies").glob("*.yaml"))


def expected_jobs(study: dict) -> dict[str, int]:
    """Jobs per rule by arithmetic on the lengths of the config's lists alone."""
    models, seeds = len(study["models"]), len(study["seeds"])
    sets = sum("checkpoints" not in sft for sft in study["sft"])
    released = sum(len(sft.get("checkpoints", ())) for sft in study["sft"])
    tuned = models * sets * len(study["smoothing"]) * seeds
    batches = sum(
        math.ceil(len(task["languages"]) / study["languages_per_job"])
        for task in study["tasks"]
    )
    runs = models + tuned + released
    jobs = {
        "prepare_model": models,
        "prepare_released": released,
        "prepare_sft": sets,
        "tokenize": models * sets,
        "tune": tuned * len(study["recipe"]["lr"]),
        "select": tuned,
        "prepare_task": sum(len(task["languages"]) for task in study["tasks"]),
        "check_task": len(study["tasks"]),
        "score": runs * batches,
        "measure": runs * len(study["tasks"]),
        "aggregate": 1,
        "contrast": 1,
        "analyse": 1,
        "list_runs": 1,
        "find_shifts": (models * sets + released) * len(study["tasks"]),
        "draw": len(study["tasks"]) * len(study["scoring"]),
        "tabulate": len(study["tasks"]) * len(study["scoring"]),
        "report": 1,
    }
    return {rule: n for rule, n in jobs.items() if n}


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_study_expands_to_the_jobs_of_its_arithmetic(path, tmp_path):
    """A dry run of the real workflow plans exactly them, and needs no download."""
    (tmp_path / "study.yaml").write_text(path.read_text())
    assert job_counts(tmp_path) == expected_jobs(load_study(path))


def test_the_slurm_profile_plans_the_same_jobs(tmp_path):
    """Its keys are known to Snakemake and to the executor's plugin."""
    path = REPOSITORY / "studies/paper.yaml"
    (tmp_path / "study.yaml").write_text(path.read_text())
    profile = str(REPOSITORY / "profiles/slurm")
    found = job_counts(tmp_path, "--workflow-profile", profile)
    assert found == expected_jobs(load_study(path))


def test_the_papers_numbers():
    """What the paper states is what its study says; the jobs by hand."""
    study = load_study(REPOSITORY / "studies/paper.yaml")
    assert [model["repo"] for model in study["models"]] == [
        "mistralai/Mistral-7B-v0.1",
        "meta-llama/Llama-3.1-8B",
        "google/gemma-2-2b",
    ]
    recipe = study["recipe"]
    assert recipe["lr"] == [5e-6, 1e-5, 5e-5, 1e-4]
    assert recipe["warmup_ratio"] == 0.02
    assert recipe["batch_size"] == 128
    assert recipe["attention_dropout"] == 0.1
    assert [len(task["languages"]) for task in study["tasks"]] == [42, 29]
    jobs = expected_jobs(study)
    assert jobs["tune"] == 108  # 3 models x 3 sets x 3 values x 4 rates
    assert jobs["score"] == 150  # 27 runs and 3 base models, 3 and 2 batches
    assert jobs["tokenize"] == 9


def test_the_released_codes_numbers():
    """The scripts' rates, warm-up, length and reduction, and Tulu without BOS."""
    recipe = load_study(REPOSITORY / "studies/released_code.yaml")["recipe"]
    assert recipe["lr"] == [5e-6, 2e-5, 8e-5]
    wanted = {
        "warmup_ratio": 0.03,
        "attention_dropout": 0,
        "epochs": 2,
        "max_length": 4096,
        "loss_reduction": "sum",
        "chat_template": "tulu",
        "bos": "never",
    }
    assert {key: recipe[key] for key in wanted} == wanted


def test_the_lite_study_is_for_one_gpu():
    """An adapter on a small model and one rate: no search."""
    study = load_study(REPOSITORY / "studies/lite.yaml")
    assert study["recipe"]["method"] == "lora"
    assert len(study["recipe"]["lr"]) == len(study["models"]) == 1


def test_the_released_models_are_instruct_models_of_each_base_model():
    """One of each, and three stages of one of them; nothing is trained."""
    study = load_study(REPOSITORY / "studies/released.yaml")
    instruct, *stages = (sft["checkpoints"] for sft in study["sft"])
    assert set(instruct) == {model["name"] for model in study["models"]}
    assert [set(stage) for stage in stages] == 3 * [{"llama-3.1-8b"}]
    repos = [entry["repo"] for _, entry in list_repositories(study)]
    assert len(repos) == len(set(repos)) == 6 + 6 + 3 + 2
    jobs = expected_jobs(study)
    assert "tune" not in jobs
    assert jobs["score"] == 15 * 2  # each task's languages are one job


def test_the_instruct_models_are_asked_in_plain_text_and_in_chat_prompts():
    """All that are released, at the same commits, and the same questions twice."""
    chat, plain = (
        load_study(REPOSITORY / f"studies/{name}.yaml")
        for name in ("released_chat", "released")
    )
    assert [(model["repo"], model["revision"]) for model in chat["models"]] == [
        (checkpoint["repo"], checkpoint["revision"])
        for sft in plain["sft"]
        for checkpoint in sft["checkpoints"].values()
    ]
    assert chat["sft"] == []
    twice = [
        task | ({"name": f"{task['name']}_chat", "prompt": "chat"} if prompt else {})
        for task in plain["tasks"]
        for prompt in (None, "chat")
    ]
    assert chat["tasks"] == twice


def test_every_repository_of_a_study_is_pinned():
    """A commit, but for one set of which no commit is known."""
    for path in STUDIES:
        study = load_study(path)
        for key, entry in list_repositories(study):
            pinned = re.fullmatch("[0-9a-f]{40}", entry["revision"])
            assert pinned or entry["repo"] == "arazd/tulu_stanford_alpaca", key
