"""Released checkpoints, and models as they are, from the config to the page."""

import subprocess

import pytest
import torch
from peft import LoraConfig, get_peft_model
from study import SMALL, job_counts, run_study, small_study, write_config
from toys import make_model, make_tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from polycal.cli import main
from polycal.storage import tables
from polycal.study.grid import BASE

pytestmark = pytest.mark.slow

AS_THEY_ARE = {
    "sft": [],
    "tasks": [{**SMALL["tasks"][0], "languages": ["en", "sw"]}],
    "miniature": {},  # the base model that is shipped
}
NAMES = ("instruct", "adapter", "foreign")
KEY = ["sft", "scoring", "claim"]


def release(folder, base):
    """Three checkpoints: moved weights, an adapter, a model with another tokenizer.

    The first has its base model's tokenizer with one more special token, as chat models
    have.
    """
    torch.manual_seed(1)
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_special_tokens({"pad_token": "<|pad|>"})
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.02 * torch.randn_like(weight)
    model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(folder / "instruct")
    tokenizer.save_pretrained(folder / "instruct")
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules="all-linear"))
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if ".lora_B." in name:
                weight += 0.05 * torch.randn_like(weight)
    adapted.save_pretrained(folder / "adapter")
    make_model(max_position_embeddings=512).save_pretrained(folder / "foreign")
    make_tokenizer().save_pretrained(folder / "foreign")


def write_study(directory, **changes):
    """The small study without what only a training needs."""
    study = small_study(**(AS_THEY_ARE | changes))
    for key in {"smoothing", "recipe"} - set(changes):
        del study[key]
    write_config(directory, study)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A study of a model as it is."""
    directory = tmp_path_factory.mktemp("measured") / "study"
    write_study(directory)
    run_study(directory)
    return directory


@pytest.fixture(scope="module")
def compared(measured, tmp_path_factory):
    """A copy of it with three released checkpoints, and one training beside them."""
    directory = tmp_path_factory.mktemp("compared") / "study"
    subprocess.run(["cp", "-a", str(measured), str(directory)], check=True)
    release(directory / "released", directory / "resources/miniature/model")
    sft = [
        {"name": name, "checkpoints": {"miniature": {"repo": f"./released/{name}"}}}
        for name in NAMES
    ]
    for entry in sft[1:]:
        entry["from"] = NAMES[0]
    sft.insert(1, SMALL["sft"][0])
    recipe = {**SMALL["recipe"], "lr": [1e-3]}
    write_study(directory, sft=sft, smoothing=[0.1], seeds=[3], recipe=recipe)
    counts = job_counts(directory)
    # The base model is not scored again, and one checkpoint is one job.
    assert counts["prepare_released"] == 3
    assert (counts["score"], counts["measure"], counts["find_shifts"]) == (4, 4, 4)
    assert (counts["tune"], counts["tokenize"], counts["select"]) == (1, 1, 1)
    assert not {"prepare_model", "prepare_task", "check_task"} & set(counts)
    run_study(directory)
    return directory


def test_models_as_they_are_make_a_page_without_what_they_lack(measured):
    """No figure of a change, no claim, no training, and no word of them."""
    page = (measured / "results/report/index.html").read_text()
    assert "How well does the confidence of language models agree" in page
    for word in ("No figure", "SFT sets", "rises", "claims</", "#trainings"):
        assert word not in page, word
    assert "./resources/miniature/model" in page  # where the model is from
    claims = tables.read(measured / "results/claims.parquet", "claims")
    assert len(claims) == 0
    runs = tables.read(measured / "results/runs.parquet", "runs").to_pylist()
    assert [(run["model"], run["sft"]) for run in runs] == [("miniature", BASE)]


def test_released_checkpoints_are_compared_with_their_base_model(compared):
    """Each by its own weights and tokenizer; what tokens decide is not compared."""
    contrasts = tables.read(compared / "results/contrasts.parquet", "contrasts")
    contrasts = contrasts.to_pandas()
    for name in NAMES:
        apart = {"token", "english"} if name == "foreign" else set()
        of_checkpoint = contrasts[contrasts["sft"] == name].groupby("reference")
        stage = set() if name == "instruct" else {"stage:instruct"}
        assert of_checkpoint.groups.keys() == {"base", *stage}
        for _, own in of_checkpoint:
            assert (own["estimate"] != 0).any(), name  # the adapter's weights do count
            assert set(own["normaliser"]) == {"sum", "token", "byte", "english"} - apart
    runs = tables.read(compared / "results/runs.parquet", "runs").to_pandas()
    assert runs.set_index("sft")["shares_tokenizer"].dropna().to_dict() == {
        **{"adapter": True, "instruct": True, "foreign": False}
    }
    for table in ("decompositions", "fronts"):
        rows = tables.read(compared / f"results/{table}.parquet", table).to_pandas()
        own = rows[rows["sft"] == "foreign"]
        assert not set(own["normaliser"]) & {"token", "english"}, table
        assert {"instruct", "adapter"} <= set(rows["sft"]), table


def test_verdicts_are_about_the_checkpoint(compared):
    """Those of the training are about the training; smoothing is judged of it alone."""
    claims = tables.read(compared / "results/claims.parquet", "claims").to_pandas()
    claims = claims.set_index(KEY)
    decided = claims[claims["verdict"].str.contains("for this")]
    assert len(decided)
    for (sft, *_), verdict in decided["verdict"].items():
        ending = "checkpoint" if sft in NAMES else "training"
        assert verdict.endswith(f"for this {ending}"), sft
    for name in NAMES:
        for claim in ("smoothing", "cost", "everywhere"):
            row = claims.loc[(name, "letters", claim)]
            assert row["verdict"] == "not judged"
            assert row["reason"].startswith("the checkpoint is released")
    row = claims.loc[("foreign", "text", "confidence")]
    assert row["verdict"] == "not judged"
    assert row["reason"].startswith("its tokenizer is not")
    assert claims.loc[("foreign", "letters", "confidence"), "verdict"] != "not judged"


def test_the_page_says_what_is_released(compared):
    """Where it is from, and that its tokenizer is another one."""
    page = (compared / "results/report/index.html").read_text()
    assert "adapter, foreign and instruct" in page
    assert "miniature, SFT: foreign: the released checkpoint has another" in page
    assert "./released/instruct" in page
    assert "<dd>1 seed</dd>" in page
    assert "this checkpoint − instruct" in page


def test_the_page_of_a_part_knows_them_too(compared):
    """partial-report lists, contrasts and judges as the workflow does."""
    flags = {"config": compared / "study.yaml", "results": compared / "results"}
    main(["partial-report", *(f"--{name}={path}" for name, path in flags.items())])
    for name in ("runs", "contrasts", "claims", "fronts"):
        whole, part = (
            tables.read(compared / folder / f"{name}.parquet", name)
            for folder in ("results", "results/partial")
        )
        assert part.equals(whole), name


def test_nothing_is_left_to_do(compared):
    """And another training setting runs no released checkpoint again."""
    assert job_counts(compared) == {}
