"""Select the rate with the lowest plain validation loss, averaged over seeds."""

import json
import math
from pathlib import Path

import pyarrow as pa
import pytest

from polycal.errors import InputError
from polycal.storage import tables
from polycal.storage.files import digest
from polycal.storage.provenance import read_provenance, write_provenance
from polycal.tuning.selection import select


@pytest.fixture
def make(tmp_path):
    """Candidates by (rate, seed) -> plain validation loss; smoothed losses mislead."""

    def make(losses: dict[tuple[float, int], float], **identity: object) -> list[Path]:
        paths = []
        for (lr, seed), nll in losses.items():
            row = {"model": "m", "sft": "s", "smoothing": 0.1, "seed": seed, "lr": lr}
            row |= {"grad_norm": None, "learning_rate": None, "tokens": 9, **identity}
            row |= {"tokens_per_second": None}
            rows = [
                {**row, "split": "train", "step": 9, "loss": 0.0, "nll": 0.0},
                {**row, "split": "validation", "step": 9, "loss": -nll, "nll": nll},
                {**row, "split": "validation", "step": 0, "loss": 0.0, "nll": 7.5},
            ]
            path = tmp_path / f"{row['smoothing']}-{lr}-{seed}"
            path.mkdir()
            log = pa.Table.from_pylist(rows, tables.SCHEMAS["training_log"])
            tables.write(log, path / "training_log.parquet", "training_log")
            (path / "model.safetensors").write_text(f"{lr} {seed}")
            (path / ".left_by_snakemake").touch()
            content = digest([path / "model.safetensors"])
            write_provenance(path, digest=content, seed=seed)
            paths.append(path)
        return paths

    return make


def weights(run: Path) -> str:
    return (run / "model.safetensors").read_text()


def test_the_mean_over_seeds_decides(make, tmp_path):
    """0.01 is best in seed 0, but 0.001 on average; each seed gets its own weights."""
    losses = {(0.01, 0): 1.0, (0.01, 1): 9.0, (0.001, 0): 2.0, (0.001, 1): 3.0}
    candidates = make(losses)
    for seed in (0, 1):
        out = tmp_path / f"run-{seed}"
        select(candidates=candidates, seed=seed, out=out)
        assert weights(out) == f"0.001 {seed}"
        selection = json.loads((out / "selection.json").read_text())
        assert selection["lr"] == 0.001
        assert len(selection["candidates"]) == 4
        assert {each["untuned_nll"] for each in selection["candidates"]} == {7.5}
        facts = read_provenance(out)
        assert facts["digest"] == digest([out / "model.safetensors"])
        assert facts["lr"] == 0.001
        assert {path.name for path in out.iterdir()} == {
            "model.safetensors",
            "provenance.json",
            "selection.json",
            "training_log.parquet",
        }


def test_the_order_of_the_candidates_does_not_matter(make, tmp_path):
    """Of two equal rates the smaller one is taken, whatever comes first."""
    candidates = make({(0.01, 0): 1.0, (0.001, 0): 1.0, (0.1, 0): 1.0})
    for number, order in enumerate((candidates, candidates[::-1])):
        select(candidates=order, seed=0, out=tmp_path / f"run-{number}")
        assert weights(tmp_path / f"run-{number}") == "0.001 0"


def test_a_diverged_rate_is_out(make, tmp_path):
    """NaN and infinity never win, and none but them is an error."""
    candidates = make({(0.1, 0): math.nan, (0.01, 0): 5.0, (0.5, 0): math.inf})
    select(candidates=candidates, seed=0, out=tmp_path / "run")
    assert weights(tmp_path / "run") == "0.01 0"
    with pytest.raises(InputError, match=r"all learning rates, \[0\.1\], diverged"):
        select(candidates=candidates[:1], seed=0, out=tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_what_does_not_belong_together_is_refused(make, tmp_path):
    """Other smoothing, missing seeds, the same candidate twice, no candidate."""
    candidates = make({(0.1, 0): 1.0, (0.1, 1): 1.0, (0.01, 0): 1.0})
    others = make({(0.01, 1): 1.0}, smoothing=0.2)

    def refuse(chosen: list[Path], match: str, seed: int = 0) -> None:
        with pytest.raises(InputError, match=match):
            select(candidates=chosen, seed=seed, out=tmp_path / "run")

    refuse(candidates, "every rate must have the same seeds")
    refuse(candidates[:2], "the same seeds, among them 7", seed=7)
    refuse([*candidates[:2], *others], "must have one model, sft, smoothing")
    refuse([candidates[0], candidates[0]], "are the same candidate")
    (tmp_path / "empty").mkdir()
    refuse([tmp_path / "empty"], r"empty has no training_log\.parquet")


def test_candidates_that_were_trained_otherwise_are_refused(make, tmp_path):
    """Such as where Snakemake runs nothing again for other parameters.

    Rate, seed and smoothing may differ; a setting that one of them lacks is new.
    """
    candidates = make({(0.1, 0): 1.0, (0.01, 0): 2.0})
    plain = make({(0.1, 0): 2.0, (0.01, 0): 1.0}, smoothing=0.0)

    def note(folder: Path, examples: str = "x", **settings: object) -> None:
        lr, seed, smoothing = 0.1, 0, 0.1
        if folder != candidates[0]:
            lr, seed, smoothing = 0.01, 1, 0.0
            settings["new"] = 1
        settings |= {"lr": lr, "seed": seed, "smoothing": smoothing}
        (folder / "recipe.json").write_text(json.dumps(settings))
        facts = read_provenance(folder)
        write_provenance(folder, digest=facts["digest"], examples=examples)

    def refuse(match: str) -> None:
        with pytest.raises(InputError, match=match):
            select(candidates=[*candidates, *plain], seed=0, out=tmp_path / "no")

    for folder in (*candidates, *plain):
        note(folder, epochs=2)
    select(candidates=[*candidates, *plain], seed=0, out=tmp_path / "run")
    assert weights(tmp_path / "run") == "0.01 0"
    note(candidates[1], epochs=3)
    refuse(r"1-0\.1-0 and .*1-0\.01-0 were trained with different epochs \(2 and 3\)")
    note(candidates[1], epochs=2)
    note(plain[1], epochs=2, examples="y")
    refuse(r"0\.0-0\.01-0 were trained with different examples \(x and y\)")
    (plain[1] / "recipe.json").write_text("{")
    refuse(r"recipe\.json is not JSON .*; delete .* and run again")


def test_smoothing_0_may_select_the_rate_of_another_smoothing(make, tmp_path):
    """0.01 is best with smoothing 0.1, but 0.001 without: both get 0.001."""
    own = make({(0.01, 0): 1.0, (0.001, 0): 2.0})
    plain = make({(0.01, 0): 2.0, (0.001, 0): 1.5}, smoothing=0.0)
    for number, mixed in enumerate((own + plain, plain + own)):
        out = tmp_path / f"shared-{number}"
        select(candidates=mixed, seed=0, out=out)
        selection = json.loads((out / "selection.json").read_text())
        assert selection["lr"] == 0.001
        assert [each["nll"] for each in selection["candidates"]] == [2.0, 1.0]
        assert [each["nll"] for each in selection["selected_by"]] == [1.5, 2.0]
        log = tables.read(out / "training_log.parquet", "training_log").to_pylist()
        assert {row["smoothing"] for row in log} == {0.1}
    select(candidates=plain, seed=0, out=tmp_path / "plain")
    assert weights(tmp_path / "plain") == "0.001 0"
    select(candidates=own, seed=0, out=tmp_path / "own")
    assert weights(tmp_path / "own") == "0.01 0"


def test_a_shared_rate_that_diverges_or_is_missing_is_one_line(make, tmp_path):
    """No other rate is taken in its place."""
    plain = make({(0.01, 0): 2.0, (0.001, 0): 1.5}, smoothing=0.0)
    own = make({(0.01, 0): 1.0, (0.001, 0): math.inf})
    with pytest.raises(InputError, match=r"0\.001 that smoothing 0 selects failed"):
        select(candidates=own + plain, seed=0, out=tmp_path / "out")
    with pytest.raises(InputError, match=r"selects is missing with smoothing 0\.1"):
        select(candidates=own[:1] + plain, seed=0, out=tmp_path / "out")
    other = make({(0.001, 0): 1.0}, smoothing=0.2)
    for wrong in (own + other, own + other + plain):
        with pytest.raises(InputError, match="or another smoothing and 0"):
            select(candidates=wrong, seed=0, out=tmp_path / "out")
