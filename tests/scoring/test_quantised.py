"""Checkpoints with quantised weights are scored and marked, and not tuned."""

import functools
import importlib.util
import json

import numpy as np
import pytest
import torch
from test_lm_eval import TOLERANCE, ask_lm_eval, make_task
from tiny import make_tiny_conversations, make_tiny_examples
from toys import TOY, make_model, make_tokenizer, save_checkpoint, save_questions
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from polycal.comparing.runs import list_runs
from polycal.errors import InputError
from polycal.models.loading import load_model
from polycal.models.quantisation import describe_quantisation
from polycal.preparing.released import prepare_released
from polycal.preparing.snapshot import prepare_model
from polycal.reporting.trainings import describe_trainings
from polycal.scoring.score import score
from polycal.storage import tables
from polycal.storage.files import digest
from polycal.storage.provenance import write_provenance
from polycal.study.recipe import Recipe
from polycal.study.scorings import SCORINGS
from polycal.tuning.tune import tune

NF4 = BitsAndBytesConfig(
    load_in_4bit=True,
    bnb_4bit_quant_type="nf4",
    bnb_4bit_use_double_quant=True,
    bnb_4bit_compute_dtype=torch.float32,
)
INT8 = BitsAndBytesConfig(load_in_8bit=True)


@pytest.fixture
def prepare(tmp_path):
    """Save a toy as bitsandbytes does on a CPU, and prepare it."""
    shape = {"hidden_size": 64, "intermediate_size": 128, "head_dim": 16}
    make_model(**shape, max_position_embeddings=512).save_pretrained(tmp_path / "float")
    make_tokenizer().save_pretrained(tmp_path / "float")

    def prepare(quantisation=None):
        source = tmp_path / "float"
        if quantisation:
            model = AutoModelForCausalLM.from_pretrained(
                source,
                quantization_config=quantisation,
                device_map={"": "cpu"},
                dtype=torch.float32,
            )
            source = tmp_path / "quantised"
            model.save_pretrained(source)
            make_tokenizer().save_pretrained(source)
        out = tmp_path / "models" / source.name
        prepare_model(repo=str(source), model=source.name, out=out)
        return out

    return prepare


def score_toy(checkpoint, questions, **options):
    """Scoring -> [questions, options] nats, and what the table says of them."""
    out = questions.with_name(f"{checkpoint.name}.parquet")
    store = questions.with_name("store")
    asked = {"checkpoint": checkpoint, "questions": [questions], "store": store}
    score(**asked, **TOY, out=out, **options)
    table = tables.read(out, "predictions")
    scores = {
        scoring: np.array(tables.where(table, scoring=scoring)["logprobs"].to_pylist())
        for scoring in SCORINGS
    }
    return scores, tables.read_metadata(out)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("quantisation", "tolerance"),
    [
        (NF4, TOLERANCE),
        # Its layers round their inputs, by the largest of all tokens of a pass.
        (INT8, 0.5),
    ],
    ids=["nf4", "int8"],
)
def test_scores_are_those_of_lm_eval(
    quantisation, tolerance, prepare, tmp_path, monkeypatch
):
    """And not those of the weights before; the store keeps them apart."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    questions = save_questions(tmp_path / "en.parquet", n=12, n_dev=2)
    plain, before = score_toy(prepare(), questions)
    checkpoint = prepare(quantisation)
    ours, after = score_toy(checkpoint, questions)
    assert before["checkpoint"] != after["checkpoint"]
    make = functools.partial(make_task, n_options=4)
    expected = ask_lm_eval(checkpoint, questions, make, 0)
    for scoring in SCORINGS:
        difference = abs(ours[scoring] - expected[scoring]).max()
        print(f"{scoring}: {difference:.1e} nats")
        assert difference <= tolerance
        assert abs(ours[scoring] - plain[scoring]).max() > 10 * TOLERANCE


def test_they_are_marked_and_not_tuned(prepare, tmp_path):
    """In the table of runs and on the page; before a GPU is taken for a training."""
    folders = [prepare(), prepare(NF4)]
    list_runs(models=folders, out=tmp_path / "runs.parquet")
    runs = tables.read(tmp_path / "runs.parquet", "runs")
    how = "bitsandbytes nf4, 4 bits"
    marks = {run["model"]: run["quantised"] for run in runs.to_pylist()}
    assert marks == {"float": None, "quantised": how}
    (warning,) = describe_trainings(runs)["warnings"]
    assert warning.startswith(f"quantised: its weights are quantised ({how})")
    conversations = make_tiny_conversations(tmp_path / "toy.parquet")
    toy = {"base": folders[1], "model": "m", "sft": "s"}
    with pytest.raises(InputError, match=rf"quantised weights \({how}\), which are sc"):
        make_tiny_examples(
            tmp_path / "out", base=folders[1], conversations=conversations
        )
    with pytest.raises(InputError, match="take the original model"):
        tune(
            **toy,
            examples=tmp_path / "none",
            smoothing=0.0,
            seed=0,
            recipe=Recipe(lr=1e-3),
            out=tmp_path / "tuned",
        )


@pytest.mark.parametrize(
    ("method", "package"),
    [
        ("gptq", "optimum"),
        ("awq", "gptqmodel"),
        ("compressed-tensors", "compressed[-_]tensors"),
    ],
)
def test_a_missing_package_is_named(method, package, tmp_path):
    """When a base model or a checkpoint is prepared, and when one is scored."""
    if importlib.util.find_spec(package.replace("[-_]", "_")):
        pytest.skip(f"{package} is installed")
    base = save_checkpoint(tmp_path / "base", make_model())
    model = save_quantised(tmp_path / "model", {"quant_method": method, "bits": 4})
    own, out = {"repo": str(model), "model": "m"}, tmp_path / "out"
    questions = [save_questions(tmp_path / "en.parquet")]
    asked = {"questions": questions, "store": tmp_path / "store"}
    for act in (
        lambda: prepare_model(**own, out=out),
        lambda: prepare_released(**own, base=base, sft="s", out=out),
        lambda: score(checkpoint=model, **asked, **TOY, out=out),
    ):
        with pytest.raises(InputError, match=package) as caught:
            act()
        assert len(str(caught.value).splitlines()) == 1
        assert not out.exists()


def save_quantised(folder, settings):
    """A checkpoint whose configuration alone says that it is quantised."""
    make_model().save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    text = json.dumps(config | {"quantization_config": settings})
    (folder / "config.json").write_text(text)
    write_provenance(folder, digest=digest(folder.iterdir()))
    return folder


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
@pytest.mark.parametrize("method", ["fbgemm_fp8", "higgs", "spqr"])
def test_weights_for_a_gpu_alone_are_prepared_without_one(method, tmp_path):
    """As on a cluster's login node; loading them there is one line."""
    model = save_quantised(tmp_path / "model", {"quant_method": method})
    prepare_model(repo=str(model), model="m", out=tmp_path / "out")
    with pytest.raises(InputError, match="GPU") as caught:
        load_model(tmp_path / "out", dtype=torch.float32, device=torch.device("cpu"))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("settings", "how"),
    [
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, "gptq, 4 bits"),
        ({"quant_method": "awq", "bits": 4, "zero_point": True}, "awq, 4 bits"),
        (INT8.to_dict(), "bitsandbytes, 8 bits"),
        ({"quant_method": "fp8"}, "fp8"),
        ({}, None),
        (None, None),
    ],
)
def test_a_config_says_how_weights_are_quantised(settings, how, tmp_path):
    """In the words of transformers' own `quantization_config`."""
    config = {"model_type": "llama", "quantization_config": settings}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert describe_quantisation(tmp_path) == how
    assert describe_quantisation(tmp_path / "none") is None
