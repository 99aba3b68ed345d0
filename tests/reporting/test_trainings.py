"""Readers learn what else differs between compared runs."""

import json

import pyarrow as pa
from made_up import make_study

from polycal.reporting.trainings import describe_trainings
from polycal.storage import tables


def describe(folder, **options):
    """Describe a made-up study, whose rate is another from smoothing 0.2 on."""
    path = make_study(folder, **options)["runs"]
    return describe_trainings(tables.read(path, "runs"))


def test_a_comparison_of_different_rates_is_warned_of(tmp_path):
    """The sentence names both rates; equal rates give none."""
    assert describe(tmp_path / "a", smoothing=(0.0, 0.1))["warnings"] == []
    described = describe(tmp_path / "b", smoothing=(0.0, 0.1, 0.2))
    (warning,) = described["warnings"]
    assert "SFT, smoothing 0.2 was selected at learning rate 0.002" in warning
    assert "but its reference SFT at 0.001;" in warning


def test_what_holds_everywhere_is_said_of_all(tmp_path):
    """A list of six models and SFT sets is no sentence; one of two is."""
    for models, start in (
        (("a", "b", "c"), "All 6 models and SFT sets: SFT, smoothing 0.2 was "),
        (("a",), "a, SFT: s; a, SFT: t: SFT, smoothing 0.2 was selected"),
    ):
        options = {"models": models, "sft": ("s", "t"), "smoothing": (0.0, 0.2)}
        (warning,) = describe(tmp_path / models[-1], **options)["warnings"]
        assert warning.startswith(start)


def test_settings_are_listed_once_unless_they_differ(tmp_path):
    """All runs share the made-up recipe; a study of base models has none."""
    described = describe(tmp_path / "a")
    assert described["same"] == [("epochs", "6"), ("method", "full")]
    assert described["differ"] == []
    assert [row["nll"] for row in described["rows"]] == ["1.7000", "1.6900"]
    assert describe(tmp_path / "b", sft=())["rows"] == []


def test_settings_of_adapters_are_listed_where_there_are_adapters(tmp_path):
    """A full training's recipe holds them, too, and they mean nothing there."""
    path = make_study(tmp_path)["runs"]
    rows = tables.read(path, "runs").to_pylist()
    tuned = [row for row in rows if row["recipe"]]
    for method, shown in (("full", []), ("lora", [("lora_rank", "8")])):
        for row in tuned:
            row["recipe"] = json.dumps({"lora_rank": 8, "method": method})
        table = pa.Table.from_pylist(rows, tables.SCHEMAS["runs"])
        assert describe_trainings(table)["same"] == [*shown, ("method", method)]


def test_a_training_that_made_the_model_worse_is_said(tmp_path):
    """By its own held-out conversations; a better one, or an unknown loss, is not.

    Seeds were selected by their mean loss, so they are one row and one warning.
    """
    path = make_study(tmp_path, smoothing=(0.0, 0.1), seeds=(0, 1))["runs"]
    rows = tables.read(path, "runs").to_pylist()
    tuned = [row for row in rows if row["sft"] != "none"]
    for untuned, n in ((None, 0), (1.695, 1), (1.8, 0)):
        for row in tuned:
            row["untuned_nll"] = untuned
        table = pa.Table.from_pylist(rows, tables.SCHEMAS["runs"])
        described = describe_trainings(table)
        assert len(described["warnings"]) == n
        if n:  # SFT ends at 1.7, smoothing 0.1 at 1.69
            (warning,) = described["warnings"]
            assert warning.endswith("validation NLL 1.6950 → 1.7000.")
            assert "SFT, seeds 0 and 1: training made the model worse" in warning
    assert {row["untuned"] for row in described["rows"]} == {"1.8000"}
    assert [row["seeds"] for row in described["rows"]] == ["0, 1", "0, 1"]


def test_released_checkpoints_are_listed_apart(tmp_path):
    """They were not trained here, and one has another tokenizer than its base model."""
    base = {"model": "m", "sft": "none", "smoothing": 0.0, "seed": 0, "repo": "o/m"}
    rows = [base] + [
        base | {"sft": sft, "repo": "o/i", "shares_tokenizer": shares}
        for sft, shares in (("instruct", True), ("foreign", False))
    ]
    described = describe_trainings(pa.Table.from_pylist(rows, tables.SCHEMAS["runs"]))
    assert described["rows"] == []
    assert described["origins"] == [
        {"facet": "m", "repo": "o/m", "revision": "–"},
        *(
            {"facet": f"m, SFT: {sft}", "repo": "o/i", "revision": "–"}
            for sft in ("instruct", "foreign")
        ),
    ]
    (warning,) = described["warnings"]
    assert warning.startswith("m, SFT: foreign: the released checkpoint has another")


def test_one_checkpoint_under_two_names_is_said():
    """Its files may lie in two places; two trainings with equal weights are results."""
    row = {"smoothing": 0.0, "seed": 0, "sft": "none"}
    names = (("a", "none"), ("b", "none"), ("c", "none"), ("c", "it"), ("c", "chat"))
    rows = [
        row | {"model": model, "sft": sft, "checkpoint": digest}
        for (model, sft), digest in zip(names, "xyxzz", strict=True)
    ]
    tuned = {"model": "b", "sft": "s", "checkpoint": "y", "recipe": "{}", "lr": 1.0}
    rows.append(row | tuned)
    described = describe_trainings(pa.Table.from_pylist(rows, tables.SCHEMAS["runs"]))
    assert [text.split(",")[0:2] for text in described["warnings"]] == [
        ["c: its files are those of a", " so the two do not differ"],
        ["c", " SFT: chat: its files are those of c"],
    ]


def test_gptq_s_own_dtype_is_said():
    """Its kernels compute in float16, whatever the dtype of the model is."""
    row = {"sft": "none", "smoothing": 0.0, "seed": 0}
    rows = [row | {"model": how, "quantised": how} for how in ("gptq, 4 bits", "awq")]
    described = describe_trainings(pa.Table.from_pylist(rows, tables.SCHEMAS["runs"]))
    said = [text.endswith("may compute in float16.") for text in described["warnings"]]
    assert said == [True, False]


def test_an_adapter_of_another_base_model_is_said():
    """A copy of the base model has another owner or folder, and the same name."""
    base = {"model": "m", "sft": "none", "smoothing": 0.0, "seed": 0}
    base |= {"repo": "owner/Llama-8B"}
    own = ("owner/Llama-8B", "copies/llama-8b", "/models/Llama-8B/", None)
    other = ("owner/Llama-8B-Instruct", "owner/Llama", "Llama-8B/checkpoint-9")
    rows = [base] + [
        base | {"sft": f"sft-{index}", "repo": "o/a", "made_for": made_for}
        for index, made_for in enumerate((*own, *other))
    ]
    described = describe_trainings(pa.Table.from_pylist(rows, tables.SCHEMAS["runs"]))
    assert described["warnings"] == [
        f"m, SFT: sft-{index}: it is an adapter that names {made_for} as its base "
        "model, and was put on owner/Llama-8B. If these are two models, its numbers "
        "say nothing."
        for index, made_for in enumerate(other, len(own))
    ]
