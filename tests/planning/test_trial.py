"""`polycal try`: the study's file, the run of it, and the first numbers."""

import json
import re
import shlex
import sys

import pyarrow as pa
import pytest
import yaml
from made_up import by_hand, make_study, mean_by_hand
from repositories import global_mmlu_row, write_repository
from study import REPOSITORY
from tiny import make_tiny_model

from polycal.cli import main
from polycal.errors import InputError
from polycal.planning import trial
from polycal.preparing import trial_study
from polycal.storage import tables
from polycal.study.layout import PAGE

CODES = ("en", "sw")
SNAKEMAKE = """
print("Building DAG of jobs...")
print("Finished jobid: 7 (Rule: score)")
print("1 of 2 steps (50%) done")
print("some chatter")
"""


@pytest.fixture
def attempt(tmp_path, monkeypatch, capsys):
    """Try a model against another; the study is one of made-up answers.

    Snakemake is left out: the whole is run by the walkthrough of docs/howto.md.
    """
    monkeypatch.chdir(tmp_path)
    rows = [global_mmlu_row(number) for number in range(3)]
    splits = {"test": rows, "dev": rows[:1]}
    write_repository(tmp_path / "global_mmlu", dict.fromkeys(CODES, splits))
    for name in ("miniature", "alpaca-en"):
        make_tiny_model(tmp_path / name)
    commands = []

    def run(command, logs):
        commands.append(command)
        tuned = {"sft": (), "smoothing": (0.0,)}
        if "--against" in attempt.flags:
            tuned["sft"] = (attempt.tuned,)
        asked = {"tasks": {"global_mmlu": CODES}, "scorings": ("letters",), **tuned}
        paths = make_study(logs.parent / "results", **(asked | attempt.changes))
        for kind, change in attempt.edits.items():
            rows = change(tables.read(paths[kind], kind).to_pylist())
            table = pa.Table.from_pylist(list(rows), tables.SCHEMAS[kind])
            tables.write(table, paths[kind], kind)

    monkeypatch.setattr(trial, "_run", run)

    def attempt(model="alpaca-en", *flags):
        attempt.flags = flags
        asked = ["--task=./global_mmlu", "--languages=en,sw", *flags]
        main(["try", "--model", model, *asked])
        return capsys.readouterr().out

    attempt.commands, attempt.tuned = commands, "alpaca-en"
    attempt.changes, attempt.edits = {}, {}  # of the made-up study, and of its tables
    return attempt


def numbers(line):
    """The numbers of a line of the table, in order."""
    found = re.findall(r"[+−]?\d+\.\d", line)
    return [float(number.replace("−", "-")) for number in found]


def test_the_first_numbers_are_those_of_the_study(attempt, tmp_path):
    """Mean and each language: base, tuned, difference, each within its interval."""
    text = attempt("alpaca-en", "--against", "miniature")
    lines = iter(text.split("95 % intervals\n")[1].splitlines())
    assert next(lines).split() == ["language", "miniature", "alpaca-en", "difference"]
    for level in ("mean of 2", *CODES):
        for metric in ("accuracy", "confidence", "gap", "ece"):
            line = next(lines)
            assert metric in line.lower()
            base, low, high, tuned, _, _, change, *ends = numbers(
                line.removeprefix("mean of 2")
            )
            codes = CODES if level == "mean of 2" else [level]
            wanted = [
                100 * mean_by_hand(sft, 0.0, codes, metric, scoring="letters")
                for sft in ("none", "alpaca-en")
            ]
            assert [base, tuned] == pytest.approx(wanted, abs=0.051)
            assert change == pytest.approx(wanted[1] - wanted[0], abs=0.051)
            assert low <= base <= high
            assert ends[0] <= change <= ends[1]
    assert str(tmp_path / "try-alpaca-en" / PAGE) in text


def test_the_questions_are_those_that_were_asked(attempt):
    """Of 60 questions one language lacks 20, however many were wanted."""
    attempt.changes = {"left_out": 20}
    text = attempt("alpaca-en", "--against", "miniature", "--max-questions=1000")
    assert "\nglobal_mmlu by letters, plain prompt, 40 questions; percent" in text


def test_doubts_are_said_below_the_numbers(attempt):
    """The page's own: answers by chance, and letters that are hardly an answer.

    With 60 questions, 1.96 sqrt(.25 x .75 / 60) is 11.0 points over 25.
    """

    def spoil(rows):
        spoilt = {("none", "accuracy"): 0.3, ("alpaca-en", "log_mass"): -4.0}
        for row in rows:
            yield row | {"value": spoilt.get((row["sft"], row["metric"]), row["value"])}

    against = ("alpaca-en", "--against", "miniature")
    whole = attempt(*against, "--out=whole")
    assert "chance" not in whole
    assert "All letters" not in whole
    attempt.edits = {"summary": spoil}
    text = " ".join(attempt(*against).split("intervals\n")[1].split())
    assert (
        "With 60 questions per language, a mean accuracy of up to 36.0% may be chance, "
        "as it may for base. All letters together hold less than 10%"
    ) in text
    assert "(geometric mean) for SFT: an answer" in text


def test_an_adapter_that_names_another_base_model_is_told(attempt):
    """Below the numbers, as on the page."""

    def name(rows):
        for row in rows:
            about = {"repo": "o/miniature", "made_for": "o/miniature-chat"}
            yield row | (about if row["sft"] != "none" else {"repo": "o/miniature"})

    attempt.edits = {"runs": name}
    text = " ".join(attempt("alpaca-en", "--against", "miniature").split())
    assert "it is an adapter that names o/miniature-chat as its base model" in text


@pytest.mark.parametrize(("scoring", "is_told"), [("text", True), ("letters", False)])
def test_a_difference_that_another_tokenizer_forbids_is_explained(
    attempt, scoring, is_told
):
    """Confidences by text count its tokens; those by letters do not."""

    def mark(rows):
        for row in rows:
            is_other = row["sft"] != "none"
            own = {"repo": "o/i", "shares_tokenizer": False} if is_other else {}
            yield row | own

    attempt.changes = {"scorings": (scoring,)}
    attempt.edits = {"runs": mark}
    if is_told:  # as `polycal contrast` does, which knows the runs
        attempt.edits["contrasts"] = lambda rows: ()
    text = attempt("alpaca-en", "--against", "miniature", "--scoring", scoring)
    told = (
        "The difference of alpaca-en is not shown: its tokenizer is not that of the "
        "base model, so that confidences by the normaliser token cannot be compared; "
        "those by letters can be (--scoring letters)."
    )
    assert (told in " ".join(text.split())) == is_told
    accuracy = next(line for line in text.splitlines() if line.startswith("mean of 2"))
    assert accuracy.endswith(" –") == is_told


def test_models_of_the_same_name_have_columns_of_two_names(attempt, tmp_path):
    """Of two owners; the folder is the tuned model's, too."""
    make_tiny_model(tmp_path / "mine/miniature")
    attempt.tuned = "miniature-tuned"
    text = attempt("mine/miniature", "--against", "miniature")
    head = next(line for line in text.splitlines() if line.startswith("language "))
    assert head.split() == ["language", "miniature", "miniature-tuned", "difference"]
    assert str(tmp_path / "try-miniature-tuned" / PAGE) in text


def test_a_model_alone_has_one_column(attempt):
    """No difference, and the study has nothing that was tuned."""
    text = attempt("miniature")
    accuracy = next(line for line in text.splitlines() if line.startswith("en "))
    assert numbers(accuracy)[0] == pytest.approx(
        100 * by_hand("none", 0.0, "en", scoring="letters")["accuracy"], abs=0.051
    )
    assert len(numbers(accuracy)) == 3
    assert "difference" not in text


def test_the_study_can_be_run_by_hand(attempt, tmp_path):
    """Its first lines have the command, which is the one that was run."""
    text = attempt("alpaca-en", "--against", "miniature")
    file = tmp_path / "try-alpaca-en/study.yaml"
    written = file.read_text()
    assert set(yaml.safe_load(written)) == {
        "study",
        "models",
        "sft",
        "tasks",
        "scoring",
    }
    (line,) = re.findall(r"^# +(snakemake .*)$", written, re.MULTILINE)
    assert line in text
    words = shlex.split(line)
    assert attempt.commands[0][: len(words) + 2] == [sys.executable, "-m", *words]
    assert str(REPOSITORY / "Snakefile") in words
    assert str(file) in words


def test_the_same_command_goes_on_and_another_replaces_nothing(attempt, tmp_path):
    """Neither a study of other questions, nor what else a folder holds."""
    attempt()
    before = (tmp_path / "try-alpaca-en/study.yaml").read_bytes()
    attempt()
    assert len(attempt.commands) == 2
    with pytest.raises(SystemExit, match=r"study.yaml is another study; edit it"):
        attempt("alpaca-en", "--max-questions=7")
    with pytest.raises(SystemExit, match=r"miniature holds other files; .*--out"):
        attempt("alpaca-en", "--out=miniature")
    assert len(attempt.commands) == 2
    assert (tmp_path / "try-alpaca-en/study.yaml").read_bytes() == before


def test_the_same_command_goes_on_on_another_machine_and_day(
    attempt, tmp_path, monkeypatch
):
    """With the commit and the GPUs that the study began with."""
    commits, gpus = ["c" * 40], {"GPU-1": "0"}

    def download(repo, *, revision, **_):
        folder = tmp_path / "hub" / commits[-1]
        if not folder.exists():
            make_tiny_model(folder)
        return folder

    monkeypatch.setattr(trial_study.hub, "download", download)
    monkeypatch.setattr(trial, "list_visible_gpus", lambda: gpus)
    asked = ("o/alpaca-en", "--against=o/miniature")
    assert "Running on a GPU." in attempt(*asked)
    file = tmp_path / "try-alpaca-en/study.yaml"
    before = file.read_bytes()
    commits.append("d" * 40)
    gpus.clear()
    assert "Running on the CPU." in attempt(*asked)
    assert len(attempt.commands) == 2
    assert file.read_bytes() == before
    (model,) = yaml.safe_load(before)["models"]
    assert (model["revision"], model["gpus"]) == ("c" * 40, 1)
    with pytest.raises(SystemExit, match=r"study.yaml is another study; edit it"):
        attempt("o/alpaca-en@v2", "--against=o/miniature")
    # A study that began without a GPU goes on without.
    assert "Running on the CPU." in attempt(*asked, "--out=other")
    gpus["GPU-1"] = "0"
    assert "Running on the CPU." in attempt(*asked, "--out=other")


def test_a_model_that_does_not_fit_on_the_gpu_is_told_before_it_starts(
    attempt, tmp_path, monkeypatch
):
    """The larger of the two; with a second GPU in the study's file it goes on."""
    gpus = {"GPU-1": "0", "GPU-2": "1"}
    monkeypatch.setattr(trial, "list_visible_gpus", lambda: gpus)
    wide = {"num_hidden_layers": 32, "hidden_size": 4096, "intermediate_size": 14336}
    wide |= {"vocab_size": 128256, "num_key_value_heads": 8, "num_attention_heads": 32}
    wide |= {"head_dim": 128}  # of Llama-3.1-8B
    path = tmp_path / "alpaca-en/config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | wide))
    asked = ("alpaca-en", "--against=miniature")
    monkeypatch.setattr(trial, "find_memory", lambda: 12e9)
    message = r"alpaca-en, does not fit on one GPU of this machine: scoring it takes 18"
    with pytest.raises(SystemExit, match=rf"{message} GB.*gpus: 2.* Change .*study"):
        attempt(*asked)
    assert not attempt.commands
    file = tmp_path / "try-alpaca-en/study.yaml"
    file.write_text(file.read_text().replace("gpus: 1", "gpus: 2"))
    assert "Running on a GPU." in attempt(*asked)
    for memory in (24e9, None):
        monkeypatch.setattr(trial, "find_memory", lambda memory=memory: memory)
        assert "Running on a GPU." in attempt(*asked, f"--out=with-{memory}")


@pytest.mark.parametrize("cores", ["0", "-1", "two", ""])
def test_cores_that_snakemake_cannot_use_are_refused(attempt, tmp_path, cores):
    """With --cores 0 it waits for ever; no study is written."""
    with pytest.raises(SystemExit, match=f"--cores is {cores}; give a number of at"):
        attempt("alpaca-en", f"--cores={cores}")
    assert not (tmp_path / "try-alpaca-en").exists()


def test_a_finished_job_is_a_line(tmp_path, capsys):
    """And Snakemake's other lines are left out."""
    trial._run([sys.executable, "-c", SNAKEMAKE], tmp_path / "logs")
    assert capsys.readouterr().out == "1 of 2 jobs: score\n"


def test_a_failed_job_says_why(tmp_path, capsys):
    """By its log's last line; without one, Snakemake's own lines are shown."""
    failing = f"{SNAKEMAKE}\nraise SystemExit(1)"
    with pytest.raises(InputError, match="Snakemake ended with what is above; the sa"):
        trial._run([sys.executable, "-c", failing], tmp_path)
    assert "some chatter" in capsys.readouterr().err
    old = tmp_path / "logs/score/old.log"
    old.parent.mkdir(parents=True)
    old.write_text("polycal score: yesterday's trouble\n")
    log = tmp_path / "logs/new.log"
    failing = f"open({str(log)!r}, 'w').write('x\\npolycal score: bad\\n')\n{failing}"
    with pytest.raises(InputError, match=r"^polycal score: bad \(.*new.log\); the sam"):
        trial._run([sys.executable, "-c", failing], tmp_path / "logs")


def test_outside_a_checkout_there_is_no_workflow(attempt, monkeypatch, tmp_path):
    """The package alone does not have it."""
    monkeypatch.setattr(trial.polycal, "__file__", str(tmp_path / "a/b/__init__.py"))
    with pytest.raises(SystemExit, match="not installed with the package; clone"):
        attempt()
