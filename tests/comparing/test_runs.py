"""What `select` wrote becomes one table."""

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from polycal.comparing.runs import list_runs
from polycal.errors import InputError
from polycal.storage import tables
from polycal.storage.provenance import digest_notes, write_provenance

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
    assert first["n_candidates"] == 4
    assert first["recipe"] == '{"batch": 8, "epochs": 3.0}'
    assert (tmp_path / "runs.csv").read_text().count("\n") == 4


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
