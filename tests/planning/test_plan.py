"""`polycal plan` prints the same readable text every time."""

import re
from pathlib import Path

import pytest
import yaml
from paper import MODELS, paper_study
from study import REPOSITORY
from test_jobs import save

from polycal.cli import main
from polycal.study.grid import expand_runs


@pytest.fixture
def tell(tmp_path, capsys):
    """Plan a study and return what was printed."""

    def tell(config, *flags):
        path = tmp_path / "study.yaml"
        path.write_text(yaml.safe_dump(config))
        folders = [f"--results={tmp_path}", f"--resources={tmp_path / 'r'}"]
        main(["plan", "--config", str(path), *folders, *flags])
        return capsys.readouterr().out

    return tell


def row(text, *cells):
    """The cells of the one line that begins with these."""
    begin = r"\s+".join(map(re.escape, cells))
    lines = [line for line in text.splitlines() if re.match(begin + r"\s", line)]
    assert len(lines) == 1, (cells, lines)
    return re.split(r"\s{2,}", lines[0])


def test_the_paper_s_plan(tell):
    """All jobs by stage, hours by stage and model that add up, in 100 columns."""
    text = tell(paper_study())
    assert row(text, "tune", "108")[:3] == ["tune", "108", "0"]
    assert row(text, "score", "150")[:3] == ["score", "150", "0"]
    assert "27,923,250 questions" in " ".join(text.split())
    total = 0.0
    for stage in ("tune", "score"):
        for model in MODELS:
            cells = row(text, stage, model)
            assert cells[-1] == "estimated"
            total += float(cells[3].replace(",", ""))
    assert float(row(text, "all", "258")[2].replace(",", "")) == pytest.approx(
        total, rel=0.01
    )
    assert max(map(len, text.splitlines())) <= 100
    for unit in ("GPU-hours", "GB", "days", "TFLOP/s", "GPU-hours saved"):
        assert unit in text
    assert "core-hours" not in text
    assert text.count("WARNING") == 2


def test_a_part_of_the_questions_is_planned_as_one(tell):
    """Its number is said, and costs what it costs."""
    text = tell(paper_study(max_questions=100))
    assert "27,923,250" not in text
    asked = 30 * 100 * (42 + 29)  # of 30 runs
    assert row(text, "score", "150")[:2] == ["score", "150"]
    assert f"{asked:,} questions" in " ".join(text.split())
    assert "at most 100 questions per language are asked (max_questions)" in text


def test_float32_on_a_gpu_is_said_to_take_longer(tell):
    """The estimate is of bfloat16; a CPU's is of float32."""
    words = "scoring_dtype is float32, which takes several times as long"
    assert words in " ".join(tell(paper_study(scoring_dtype="float32")).split())
    assert words not in " ".join(tell(paper_study()).split())


def test_the_same_study_has_the_same_text(tell):
    """No time of day, no order by chance."""
    assert tell(paper_study()) == tell(paper_study())


def test_more_gpus_take_less_time(tell):
    """The same GPU-hours in fewer days, but no fewer than the longest job."""

    def days(*flags):
        text = tell(paper_study(), *flags)
        return float(re.search(r"hours, ([\d.]+) days", text)[1])

    assert days("--gpus=8") == pytest.approx(days() / 8, rel=0.02)
    longest = days("--gpus=1000")
    assert days("--gpus=2000") == longest
    assert 0 < longest < days("--gpus=8")


def test_gpus_that_a_job_needs_are_counted(tell, tmp_path):
    """A finished job's time is that of all its GPUs; the plan has at least as many."""
    config = paper_study()
    for model in config["models"]:
        model |= {"gpus": 4}
    address = "tune/llama/tulu/ls-0/lr-1e-5/seed-0"
    save(tmp_path / "timings", address, 3600)
    text = tell(config, "--gpus=2")
    assert "Spent by 1 finished job: 4.0 GPU-hours." in text
    assert "A job holds 4 GPUs, more than --gpus 2." in text
    assert "With 4 GPUs at a time" in text


def test_another_gpu_takes_more_hours(tell):
    """An A100 has a third of an H200's speed."""

    def hours(gpu):
        cells = row(tell(paper_study(), f"--gpu={gpu}"), "all", "258")
        return float(cells[2].replace(",", ""))

    assert hours("a100") == pytest.approx(hours("h200") * 989 / 312, rel=0.05)


def test_finished_jobs_replace_the_estimate(tell, tmp_path):
    """What is done is not planned; the rest of its kind is measured."""
    for smoothing in ("0", "0.1"):
        for lr in ("5e-6", "1e-5", "5e-5", "1e-4"):
            address = f"tune/llama/tulu/ls-{smoothing}/lr-{lr}/seed-0"
            save(tmp_path / "timings", address, 7200)
    save(tmp_path / "timings", "make_miniature", 360)
    text = tell(paper_study())
    assert row(text, "tune", "108")[:3] == ["tune", "108", "8"]
    cells = row(text, "tune", "llama")
    assert cells[2] == "28 of 36"
    assert cells[-1] == "measured, median of 8 jobs; estimated"
    assert "Spent by 8 finished jobs: 16.0 GPU-hours." in text
    assert row(text, "tune", "gemma")[-1] == "estimated"


def test_a_missing_directory_is_no_unknown_size(tell):
    """One line, and a return code; so for models, SFT sets and benchmarks."""
    for section in ("models", "sft", "tasks"):
        config = paper_study()
        config[section][0]["repo"] = "./nowhere-at-all"
        with pytest.raises(SystemExit, match=rf"{section}\..*: there is no nowhere-at"):
            tell(config)


def test_a_directory_without_a_model_is_no_unknown_size(tell, tmp_path):
    """Nor is an adapter a base model; a model of an unknown kind is one."""
    folder = tmp_path / "model"
    folder.mkdir()
    config = paper_study()
    config["models"][0]["repo"] = str(folder)
    for name in ("model.gguf", "adapter_config.json"):
        (folder / name).write_text("{}")
        with pytest.raises(SystemExit, match=r"models\..* has no config\.json, so"):
            tell(config)
    (folder / "config.json").write_text("{}")
    assert "No size is known for the model" in tell(config)


def test_questions_of_a_local_benchmark_are_counted(tell, tmp_path):
    """They lie on this machine, whether they are prepared or not."""
    row = '{"question": "Which?", "a": "eel", "b": "owl", "answer": "A"}\n'
    for code in ("en", "de"):
        (tmp_path / f"{code}.jsonl").write_text(row * 7)
    format = {"splits": {"test": "test"}, "question": "question"}
    format |= {"options": ["a", "b"], "gold": {"answer": "letter"}}
    task = {"name": "own", "repo": str(tmp_path), "format": format}
    config = paper_study(tasks=[task | {"languages": ["en", "de"]}])
    runs = len(expand_runs(config))
    text = " ".join(tell(config).split())
    assert f"{runs * 2 * 7:,} questions, each by" in text
    assert "No size is known" not in text


def test_the_embedded_study_before_its_first_run(capsys, monkeypatch, tmp_path):
    """Nothing is known of its model yet, which is said and not counted as nothing."""
    monkeypatch.chdir(tmp_path)
    main(["plan", "--config", str(REPOSITORY / "config.yaml")])
    text = capsys.readouterr().out
    assert "on CPU" in text.splitlines()[0]
    assert row(text, "tune", "miniature")[-2:] == ["?", "no size known"]
    assert "an unknown number of questions" in " ".join(text.split())
    assert "No size is known for the model ./resources/miniature/model" in text
    assert row(text, "candidates")[-1] == "?"
    assert list(Path().iterdir()) == []


def test_the_embedded_study_half_way(capsys, monkeypatch, tmp_path):
    """Core-hours, from the default folder of results."""
    monkeypatch.chdir(tmp_path)
    timings = Path("results", "timings")
    for seed in (0, 1):
        save(timings, f"tune/miniature/alpaca-en/ls-0/lr-5e-4/seed-{seed}", 72)
    main(["plan", "--config", str(REPOSITORY / "config.yaml")])
    text = capsys.readouterr().out
    assert "GPU-hours" not in text
    cells = row(text, "tune", "miniature")
    assert cells[2:] == ["7 of 9", "0.14", "0.02", "measured, median of 2 jobs"]


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--gpu=k80", "polycal plan: GPU 'k80' is not known; use one of .*h200"),
        ("--config=nowhere.yaml", "polycal plan: nowhere.yaml: No such file"),
    ],
)
def test_bad_input_is_one_line(tell, flag, message):
    """No traceback."""
    with pytest.raises(SystemExit, match=message) as ended:
        tell(paper_study(), flag)
    assert "\n" not in str(ended.value)
