"""What `select` wrote becomes one table."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from polycal.comparing.released import find_released
from polycal.comparing.runs import (
    check_checkpoint,
    find_checkpoints,
    list_origins,
    list_runs,
)
from polycal.errors import InputError
from polycal.storage import tables
from polycal.storage.provenance import digest_notes, write_provenance
from polycal.study.scorings import NORMALISERS

RECIPE = {"model": "m", "sft": "s", "smoothing": 0.1, "lr": 0.002, "epochs": 3.0}
RECIPE |= {"batch": 8}


def make_run(folder, seed=0):
    """A run that was selected at 0.002 among two rates with two seeds each."""
    folder.mkdir()
    losses = {(0.001, 0): 2.0, (0.001, 1): 2.2, (0.002, 0): 1.0, (0.002, 1): 1.5}
    candidates = [{"lr": lr, "seed": s, "nll": nll} for (lr, s), nll in losses.items()]
    selection = {"lr": 0.002, "candidates": candidates}
    (folder / "selection.json").write_text(json.dumps(selection))
    (folder / "recipe.json").write_text(json.dumps(RECIPE | {"seed": seed}))
    return folder


def test_a_run_tells_its_rate_its_loss_and_its_recipe(tmp_path):
    """The loss is the mean over seeds; the base model has none."""
    list_runs(
        models=[Path("m")],
        runs=[make_run(tmp_path / "b", seed=1), make_run(tmp_path / "a")],
        out=tmp_path / "runs.parquet",
    )
    base, first, second = tables.read(tmp_path / "runs.parquet", "runs").to_pylist()
    assert (base["sft"], base["lr"], base["n_candidates"]) == ("none", None, 0)
    assert (first["seed"], second["seed"]) == (0, 1)
    assert (first["lr"], first["validation_nll"]) == (0.002, 1.25)
    assert first["untuned_nll"] is None  # of an older polycal
    assert first["n_candidates"] == 4
    assert first["recipe"] == '{"batch": 8, "epochs": 3.0}'
    assert (tmp_path / "runs.csv").read_text().count("\n") == 4


def test_a_checkpoint_s_digest_stands_at_its_run(tmp_path):
    """Of a trained run, a model and a released checkpoint, where it is known."""
    run = make_run(tmp_path / "run")
    write_provenance(run, digest="d1", notes=digest_notes(run))
    model, tuned = tmp_path / "m", tmp_path / "chat"
    for folder, facts in (
        (model, {"digest": "d2"}),
        (
            tuned,
            {"digest": "d3", "model": "m", "sft": "chat", "shares_tokenizer": True},
        ),
    ):
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        write_provenance(folder, repo="r", revision=None, **facts)
    list_runs(
        models=[model, Path("imported")],
        runs=[run],
        released=[tuned],
        out=tmp_path / "runs.parquet",
    )
    (run / "adapter_config.json").write_text("{}")
    listed = {"models": [], "runs": [run], "out": tmp_path / "adapter.parquet"}
    write_provenance(run, digest="d1", base="d2", notes=digest_notes(run))
    list_runs(**listed)
    adapters = find_checkpoints(tables.read(tmp_path / "adapter.parquet", "runs"))
    assert adapters == {("m", "s", 0.1, 0): "d1 on d2"}
    path = tmp_path / "metrics.parquet"
    row = {"model": "m", "sft": "s", "smoothing": 0.1, "seed": 0}
    for base in ("d2", "d3"):
        table = tables.SCHEMAS["runs"].empty_table()
        tables.write(table, path, "runs", checkpoint="d1", base=base)
        if base == "d2":
            check_checkpoint(path, row, adapters)
    with pytest.raises(InputError, match="from another checkpoint"):
        check_checkpoint(path, row, adapters)
    found = find_checkpoints(tables.read(tmp_path / "runs.parquet", "runs"))
    assert found == {
        ("m", "none", 0.0, 0): "d2",
        ("m", "chat", 0.0, 0): "d3",
        ("m", "s", 0.1, 0): "d1",
    }


def test_metrics_of_an_earlier_training_are_refused(tmp_path):
    """By what the study's table says it was measured from; runs may not know it."""
    heads = []
    for seed, facts in enumerate(({"checkpoint": "a"}, {"checkpoint": "b"}, {})):
        row = {"model": "m", "sft": "s", "smoothing": 0.1, "seed": seed}
        row |= dict.fromkeys(("task", "language", "scoring", "normaliser"), "x")
        row |= dict.fromkeys(("calibrator", "subset", "metric"), "x")
        table = pa.Table.from_pylist([row], tables.SCHEMAS["metrics"])
        heads.append((tmp_path / f"{seed}.parquet", row))
        tables.write(table, heads[-1][0], "metrics", **facts)
    heads.append((heads[0][0], {}))  # a table without rows
    origins = list_origins(heads)
    assert origins == [["m", "s", 0.1, 0, "a"], ["m", "s", 0.1, 1, "b"]]
    study = tmp_path / "metrics.parquet"
    empty = tables.SCHEMAS["metrics"].empty_table()
    tables.write(empty, study, "metrics", checkpoints=origins)
    run = {"model": "m", "sft": "s", "smoothing": 0.1, "seed": 1}
    for now in (None, "b", "c"):
        rows = [run | {"checkpoint": now}]
        listed = pa.Table.from_pylist(rows, tables.SCHEMAS["runs"])
        if now == "c":
            with pytest.raises(InputError, match=r"run m/s/0\.1/1 has now; run"):
                find_checkpoints(listed, study)
        else:
            known = {("m", "s", 0.1, 0): "a", ("m", "s", 0.1, 1): "b"}
            assert find_checkpoints(listed, study) == known


def test_the_loss_before_training_is_that_of_the_selected_rate(tmp_path):
    """As every seed noted it; null if one did not."""
    for name, losses, expected in (
        ("all", (3.0, 4.0), 3.5),
        ("one", (3.0, None), None),
    ):
        run = make_run(tmp_path / name)
        selection = json.loads((run / "selection.json").read_text())
        for candidate, loss in zip(
            selection["candidates"], (9.0, 9.0, *losses), strict=True
        ):
            candidate["untuned_nll"] = loss
        (run / "selection.json").write_text(json.dumps(selection))
        list_runs(models=[], runs=[run], out=tmp_path / f"{name}.parquet")
        (row,) = tables.read(tmp_path / f"{name}.parquet", "runs").to_pylist()
        assert row["untuned_nll"] == expected


@pytest.mark.parametrize(
    ("config", "tokens"),
    [
        ({"vocab_size": 256_000}, 256_000),
        ({"text_config": {"vocab_size": 262_208}}, 262_208),
        ({"text_config": {}}, 2),
        (None, None),
    ],
    ids=["text", "with-images", "tokenizer", "name"],
)
def test_a_model_s_vocabulary_stands_at_all_of_its_runs(config, tokens, tmp_path):
    """As its config says, or else its tokenizer; unknown without the directory."""
    model, out = tmp_path / "models" / "m", tmp_path / "runs.parquet"
    if config is not None:
        model.mkdir(parents=True)
        (model / "config.json").write_text(json.dumps(config))
        Tokenizer(WordLevel({"a": 0, "b": 1})).save(str(model / "tokenizer.json"))
    list_runs(models=[model], runs=[make_run(tmp_path / "a")], out=out)
    rows = tables.read(out, "runs").to_pylist()
    assert [row["vocabulary"] for row in rows] == [tokens, tokens]
    assert {row["model"] for row in rows} == {"m"}


def test_a_released_checkpoint_tells_where_it_is_from(tmp_path):
    """No rate and no recipe, and a vocabulary of its own, which an adapter lacks."""
    origin = {"repo": "o/m", "revision": "1f"}
    models, released = tmp_path / "m", [tmp_path / "full", tmp_path / "adapter"]
    for folder, tokens in ((models, 10), (released[0], 12), (released[1], None)):
        folder.mkdir()
        if tokens:
            (folder / "config.json").write_text(json.dumps({"vocab_size": tokens}))
    write_provenance(models, model="m", **origin)
    for folder, shares in zip(released, (False, True), strict=True):
        about = {"model": "m", "sft": folder.name, "shares_tokenizer": shares}
        write_provenance(folder, **about, repo="o/i", revision="2a")
    out = tmp_path / "runs.parquet"
    list_runs(models=[models], released=released, out=out)
    adapter, full, base = tables.read(out, "runs").to_pylist()
    assert origin.items() <= base.items()
    assert base["shares_tokenizer"] is None
    for row, tokens, shares in ((adapter, 10, True), (full, 12, False)):
        assert (row["repo"], row["revision"]) == ("o/i", "2a")
        assert (row["smoothing"], row["seed"], row["n_candidates"]) == (0, 0, 0)
        assert row["lr"] is row["validation_nll"] is row["recipe"] is None
        assert (row["vocabulary"], row["shares_tokenizer"]) == (tokens, shares)
    found = find_released(tables.read(out, "runs"))
    assert found.checkpoints == {("m", "full"), ("m", "adapter")}
    assert found.other_tokenizer == {("m", "full")}
    apart = {"token", "english"}
    for normaliser in NORMALISERS:
        assert found.is_comparable("m", "full", normaliser) != (normaliser in apart)
        assert found.is_comparable("m", "adapter", normaliser)
    with pytest.raises(InputError, match=r"m is not a checkpoint that .*released"):
        list_runs(models=[], released=[models], out=out)


def test_an_adapter_tells_whose_it_is_and_how_its_base_model_s_weights_are(tmp_path):
    """Its own weights are not quantised, those under it are; a full model's are known.

    The name of its base model is as its configuration has it.
    """
    four_bits = {"quantization_config": {"quant_method": "gptq", "bits": 4}}
    configs = {"m": four_bits, "plain": {}, "full": {}, "adapter": {}}
    for name, config in configs.items():
        (tmp_path / name).mkdir()
        about = {"model": "m", "shares_tokenizer": True, "sft": name}
        write_provenance(tmp_path / name, **about, repo=f"o/{name}", revision="2a")
        if name != "adapter":
            (tmp_path / name / "config.json").write_text(json.dumps(config))
    settings = {"peft_type": "LORA", "base_model_name_or_path": "o/m-chat"}
    path = tmp_path / "adapter/adapter_config.json"
    path.write_text(json.dumps(settings))
    released, out = [tmp_path / "full", tmp_path / "adapter"], tmp_path / "runs.parquet"
    list_runs(models=[tmp_path / "m", tmp_path / "plain"], released=released, out=out)
    found = {
        (row["model"], row["sft"]): (row["quantised"], row["made_for"])
        for row in tables.read(out, "runs").to_pylist()
    }
    assert found == {
        ("m", "none"): ("gptq, 4 bits", None),
        ("plain", "none"): (None, None),
        ("m", "full"): (None, None),
        ("m", "adapter"): ("gptq, 4 bits", "o/m-chat"),
    }
    path.write_text(json.dumps(settings | {"base_model_name_or_path": None}))
    list_runs(models=[tmp_path / "m"], released=released[1:], out=out)
    assert tables.read(out, "runs")["made_for"].to_pylist() == [None, None]


def test_equal_tokenizers_have_equal_digests(tmp_path):
    """Special tokens, which chat models add, split no ordinary text; others do."""
    folders = [tmp_path / name for name in ("a", "b", "c", "e", "d")]
    for folder in folders:
        folder.mkdir()
        write_provenance(folder)
    for folder, words in zip(folders[:4], ("ab", "ab", "ba", "ab"), strict=True):
        tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}))
        if folder.name == "b":
            tokenizer.add_special_tokens(["<|user|>"])
        elif folder.name == "e":
            tokenizer.add_tokens(["zz"])
        tokenizer.save(str(folder / "tokenizer.json"))
    list_runs(models=folders, out=tmp_path / "runs.parquet")
    rows = tables.read(tmp_path / "runs.parquet", "runs").to_pylist()
    a, b, c, d, e = (row["tokenizer"] for row in rows)
    assert a == b
    assert len({a, c, e}) == 3
    assert d is None


def test_an_edited_selection_is_not_reported(tmp_path):
    """Another rate than the one that was selected; or a provenance that is cut."""
    run, out = make_run(tmp_path / "a"), tmp_path / "runs.parquet"
    write_provenance(run, notes=digest_notes(run))
    list_runs(models=[], runs=[run], out=out)
    selection = json.loads((run / "selection.json").read_text())
    (run / "selection.json").write_text(json.dumps(selection | {"lr": 0.001}))
    with pytest.raises(InputError, match="a is damaged: its selection, recipe or log"):
        list_runs(models=[], runs=[run], out=out)
    (run / "provenance.json").write_text('{"notes": ')
    with pytest.raises(InputError, match=r"provenance\.json is not JSON"):
        list_runs(models=[], runs=[run], out=out)


def test_what_is_no_run_is_named(tmp_path):
    """A folder without a selection, one that was cut, and a run given twice."""
    run, out = make_run(tmp_path / "a"), tmp_path / "runs.parquet"
    with pytest.raises(InputError, match="is there twice"):
        list_runs(models=[], runs=[run, run], out=out)
    for text, words in (
        (b"{", "is not JSON"),
        (b"\xff", "is not J"),
        (b"{}", "is not a run that"),
    ):
        (run / "selection.json").write_bytes(text)
        with pytest.raises(InputError, match=words):
            list_runs(models=[], runs=[run], out=out)
    (run / "selection.json").unlink()
    with pytest.raises(InputError, match=r"has no selection\.json"):
        list_runs(models=[], runs=[run], out=out)
    assert not out.exists()
