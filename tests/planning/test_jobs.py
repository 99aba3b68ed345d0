"""The jobs that are planned are those that the workflow makes, and time is measured."""

import os
from pathlib import Path

import pyarrow as pa
import pytest
from paper import one_model, paper_study

from polycal.errors import InputError
from polycal.models.gpu_types import find_gpu
from polycal.planning.jobs import Timing, list_jobs, read_timings
from polycal.planning.sizes import SizedStudy
from polycal.scoring.progress import Work
from polycal.storage import tables
from polycal.study import grid


def plan(config, timings=(), resources=Path("nowhere")):
    study = SizedStudy(config, find_gpu("h200"), resources)
    return list_jobs(study, dict(timings))


def of(jobs, stage):
    return [job for job in jobs if job.stage == stage]


def test_trainings_are_the_grid_s_candidates():
    """Every candidate of every tuned run once, although seeds share them."""
    config = paper_study(seeds=[0, 1])
    wanted = {
        f"tune/{path}"
        for run in grid.expand_runs(config)
        if run.sft != grid.BASE
        for path in grid.candidate_paths(config, run.model, run.sft, run.smoothing)
    }
    jobs = of(plan(config), "tune")
    assert {job.address for job in jobs} == wanted
    assert len(jobs) == len(wanted) == 3 * 3 * 3 * 4 * 2


def test_scorings_are_the_grid_s_batches():
    """Every language of every task once for every run, the base models' too."""
    config = paper_study(languages_per_job=10)
    jobs = of(plan(config), "score")
    assert len(jobs) == 30 * (5 + 3)
    assert sum(job.languages for job in jobs) == 30 * (42 + 29)
    assert sum(job.questions for job in jobs) == 30 * (42 * 14042 + 29 * 11759)
    assert len({job.address for job in jobs}) == len(jobs)


def test_a_study_of_base_models_trains_nothing():
    """No SFT set: only scoring is left."""
    jobs = plan(paper_study(sft=[]))
    assert {job.stage for job in jobs} == {"score"}
    assert {job.address.split("/")[2] for job in jobs} == {grid.BASE}


def test_a_training_by_hand():
    """Alpaca on Llama: 2 epochs of 98 % of 52 002 at 100 tokens, 6 FLOP, 0.40."""
    (job,) = of(plan(one_model("llama")), "tune")
    weights = 32 * (2 * 4096 * 4096 + 2 * 4096 * 1024 + 3 * 4096 * 14336)
    weights += 128256 * 4096
    flop = 52002 * 100 * weights * (2 * 0.98 * 6 + 0.02 * 2)
    computing = flop / (989e12 * 0.40)
    moving = 10 + 2 * 2 * (weights + 128256 * 4096) / 0.4e9
    assert job.seconds == pytest.approx(computing + moving, rel=1e-3)


def test_gpus_of_one_training_share_it_and_are_all_held():
    """On 2 nodes of 4: an eighth of the computing, eight times what it takes."""
    config = one_model("llama", micro_batch_size=1)
    (alone,) = of(plan(config), "tune")
    config["models"][0] |= {"gpus": 4, "nodes": 2}
    (together,) = of(plan(config), "tune")
    weights = 8_030_261_248
    moving = 10 + 2 * 2 * weights / 0.4e9
    assert together.seconds - moving == pytest.approx(
        (alone.seconds - moving) / 8, rel=1e-2
    )
    assert together.device_seconds == 8 * together.seconds
    scorings = of(plan(config), "score")
    assert {job.device_seconds / job.seconds for job in scorings} == {4.0}


def test_finished_trainings_measure_those_of_their_kind():
    """The median of one model and SFT set; another SFT set is still estimated."""
    config = paper_study()
    before = of(plan(config), "tune")
    kind = [job for job in before if job.kind == ("tune", "llama", "tulu")]
    addresses = (job.address for job in kind)
    timings = map(Timing, (100.0, 300.0, 200.0))
    taken = dict(zip(addresses, timings, strict=False))
    after = {job.address: job for job in of(plan(config, taken), "tune")}
    for old in before:
        new = after[old.address]
        if old.kind != kind[0].kind:
            assert new == old
        elif old.address in taken:
            assert (new.done, new.seconds) == (True, taken[old.address].seconds)
        else:
            assert (new.done, new.seconds, new.samples) == (False, 200.0, 3)
    assert sum(job.done for job in after.values()) == 3


def test_a_training_s_work_is_that_of_its_log():
    """What it waited is left out, what it did before an interruption is not.

    Beside its steps it takes what was estimated, or what it took if that is less.
    """
    config = one_model("llama")
    config["smoothing"] = [0, 0.1]
    first, _ = of(plan(config), "tune")
    assert first.overhead > 30
    for seconds, beside in (
        (10.0, first.overhead),
        (50_000.0, first.overhead),
        (1030, 30),
    ):
        taken = {first.address: Timing(seconds, training=1000.0)}
        jobs = of(plan(config, taken), "tune")
        assert [job.seconds for job in jobs] == [1000.0 + beside] * 2


def test_finished_scorings_measure_the_questions_that_are_left():
    """Two languages, by two scorings, in 60 s after loading for 7: .001068 s each.

    A job of which all lay in the store says nothing about the others.
    """
    config = one_model("gemma")
    config["tasks"][0]["languages"] = ["de", "en", "fr", "hi", "te"]
    address = "score/gemma/{}/ls-0/seed-0/global_mmlu/en+fr"
    work = {"questions": 2 * 2 * 14042, "scoring": 60.0, "loading": 7.0}
    timings = {
        address.format("none"): Timing(67.0, **work),
        address.format("alpaca"): Timing(0.0),
    }
    jobs = [j for j in plan(config, timings) if j.kind[2] == "global_mmlu"]
    base = {job.address.split("/")[-1]: job for job in jobs if "/none/" in job.address}
    assert {name: (j.done, j.seconds) for name, j in base.items()} == {
        "en+fr": (True, 67.0),
        "de+hi+te": (False, pytest.approx(97.0)),
    }
    tuned = {
        job.address.split("/")[-1]: job for job in jobs if "/none/" not in job.address
    }
    assert {name: (j.done, j.seconds) for name, j in tuned.items()} == {
        "en+fr": (True, 0.0),
        "de+hi+te": (False, pytest.approx(97.0)),
    }
    others = [job for job in plan(config, timings) if job.kind[2] == "mmlu_prox"]
    assert others
    assert all(not job.samples and job.seconds > 0 for job in others)


def test_measured_times_need_no_size():
    """A model of unknown size is planned by what its finished jobs took."""
    model = {"name": "x", "repo": "some/thing", "revision": "main"}
    config = paper_study(models=[model])
    jobs = of(plan(config), "tune")
    assert all(job.seconds is None for job in jobs)
    timings = {jobs[0].address: Timing(50.0)}
    measured = [j for j in plan(config, timings) if j.kind == jobs[0].kind]
    assert len(measured) > 1
    assert {job.seconds for job in measured} == {50.0}


def test_timings_of_other_jobs_change_nothing():
    """A rate that the study no longer has is not one of its jobs."""
    config = paper_study()
    names = ("tune/llama/tulu/ls-0/lr-0.5/seed-0", "make_miniature")
    stale = dict.fromkeys(names, Timing(1.0))
    assert plan(config, stale) == plan(config)


def test_a_model_without_gpu_uses_cores():
    """gpus: 0 makes its hours a core's, and slower."""
    config = one_model("gemma")
    config["models"][0]["gpus"] = 0
    slow, fast = of(plan(config), "tune")[0], of(plan(one_model("gemma")), "tune")[0]
    assert (slow.devices, fast.devices) == (0, 1)
    assert (slow.unit, fast.unit) == ("core-hours", "GPU-hours")
    assert slow.seconds > 100 * fast.seconds


def test_a_batch_of_another_run_or_task_is_none_of_this_one():
    """Nor is one whose name begins with this task's."""
    config = one_model("gemma")
    before = plan(config)
    stale = ["gemma/none/ls-0/seed-0/global_mmlu_lite/en", "gemma/none/ls-0/seed-0/de"]
    timings = dict.fromkeys((f"score/{tail}" for tail in stale), Timing(1.0))
    assert plan(config, timings) == before
    timings = {"score/gemma/none/ls-0/seed-0/global_mmlu/de+fr": Timing(1.0)}
    added = {job.address for job in plan(config, timings)}
    added -= {job.address for job in before}
    assert timings.keys() <= added
    assert all(address.startswith("score/gemma/none/") for address in added)
    assert all("/global_mmlu/" in address for address in added)


HEAD = "s\th:m:s\tmax_rss\tmax_vms\n"


def save(folder: Path, address: str, *seconds: float) -> None:
    """A benchmark file as Snakemake writes it."""
    path = folder / f"{address}.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"{s:.2f}\t0:01:04\t759.72\t-\n" for s in seconds]
    path.write_text(HEAD + "".join(rows))


def save_score(folder: Path, address: str, **numbers: float) -> None:
    """What a scoring job writes."""
    path = folder / f"{address}.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    Work(**numbers).write(path)


def test_seconds_by_address(tmp_path):
    """Dots in a directory's name belong to it; repetitions are averaged."""
    save(tmp_path / "timings", "tune/m/s/ls-0.1/lr-2e-5/seed-0", 64.06)
    save(tmp_path / "timings", "make_miniature", 10, 20)
    assert read_timings(tmp_path) == {
        "tune/m/s/ls-0.1/lr-2e-5/seed-0": Timing(64.06),
        "make_miniature": Timing(15),
    }


def test_a_scoring_job_tells_its_work(tmp_path):
    """Questions, scoring and loading; a later job that scored nothing changes none."""
    address = "score/m/none/ls-0/seed-0/t/de"
    work = {"questions": 200, "scoring": 40.0, "loading": 5.5}
    save_score(tmp_path / "timings", address, **work)
    expected = {address: Timing(45.5, **work)}
    assert read_timings(tmp_path) == expected
    save_score(tmp_path / "timings", address)
    assert read_timings(tmp_path) == expected


def test_a_training_is_timed_by_its_log(tmp_path):
    """Steps alone, the validation left out: 90 / 30 + 50 / 25 seconds of 600."""
    tail = "m/s/ls-0/lr-1/seed-0"
    save(tmp_path / "timings", f"tune/{tail}", 600)
    line = {"model": "m", "sft": "s", "smoothing": 0.0, "lr": 1.0, "seed": 0, "step": 1}
    rows = [
        line | {"split": "train", "tokens": 90, "tokens_per_second": 30.0},
        line | {"split": "train", "tokens": 50, "tokens_per_second": 25.0},
        line | {"split": "validation", "tokens": 70},
    ]
    table = pa.Table.from_pylist(rows, tables.SCHEMAS["training_log"])
    log = tmp_path / "candidates" / tail / "training_log.parquet"
    tables.write(table, log, "training_log")
    assert read_timings(tmp_path) == {f"tune/{tail}": Timing(600, training=5.0)}


def test_no_folder_is_no_timings(tmp_path):
    """Before the first run there is none."""
    assert read_timings(tmp_path / "nowhere") == {}


@pytest.mark.parametrize("text", ["", HEAD])
def test_a_timing_that_is_being_written_is_of_no_finished_job(tmp_path, text):
    """Snakemake writes it in place, after the job."""
    save(tmp_path / "timings", "tune/a", 5)
    (tmp_path / "timings/now.tsv").write_text(text)
    assert read_timings(tmp_path).keys() == {"tune/a"}


@pytest.mark.parametrize("text", ["", HEAD, HEAD + "-\t-\t-\t-\n", "a\tb\n1\t2\n"])
def test_a_file_without_a_time_is_named(tmp_path, text):
    """One line with the path and what to do."""
    (tmp_path / "timings").mkdir()
    (tmp_path / "timings/bad.tsv").write_text(text)
    os.utime(tmp_path / "timings/bad.tsv", (0, 0))
    with pytest.raises(InputError, match=r"bad\.tsv holds no seconds.*delete it"):
        read_timings(tmp_path)
