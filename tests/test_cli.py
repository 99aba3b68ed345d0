"""The command line: light to start, and clear when something is wrong."""

import json
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import make_tiny_conversations, make_tiny_examples, make_tiny_model

from polycal import tables
from polycal.cli import main, parsers_of_verbs
from polycal.grid import STAGES

# Verbs that a user calls beside the workflow, or that stand before another verb.
BESIDE = {"export_samples", "import_samples", "partial_report", "plan"}
BESIDE |= {"show_prompt", "show_tables", "status", "with_gpus"}


def test_there_is_one_verb_per_stage():
    """Every rule of the workflow has a verb of its name; the others make no file."""
    verbs = parsers_of_verbs()
    assert set(verbs) - BESIDE == set(STAGES)


def test_a_verb_may_be_spelt_with_hyphens(capsys):
    """show-prompt is show_prompt; nothing else of the line is touched."""
    with pytest.raises(SystemExit) as ended:
        main(["show-prompt", "--help"])
    assert ended.value.code == 0
    assert "usage: polycal show_prompt" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"polycal show_prompt: .*a-study\.yaml"):
        main(["show-prompt", "--config", "a-study.yaml", "--task=t", "--language=en"])


def test_help_of_every_verb_can_be_printed(capsys):
    """No help text breaks argparse's own formatting."""
    for verb in STAGES:
        with pytest.raises(SystemExit) as ended:
            main([verb, "--help"])
        assert ended.value.code == 0
    assert "--smoothing" in capsys.readouterr().out


def test_help_does_not_import_the_heavy_libraries():
    """`polycal --help` answers without torch, pandas or pyarrow."""
    code = (
        "import sys, polycal.cli; polycal.cli.build_parser(); "
        "sys.exit(any(m in sys.modules for m in ('torch', 'pandas', 'pyarrow')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_bad_input_is_one_line_and_exit_code_1(tmp_path):
    """A foreign predictions file is named; there is no traceback."""
    bad = tmp_path / "bad.parquet"
    bad.write_bytes(b"not parquet")
    check = tmp_path / "check.json"
    check.write_text('{"kind": "check"}')
    done = subprocess.run(
        [
            *(sys.executable, "-m", "polycal", "measure"),
            *("--predictions", str(bad), "--check", str(check)),
            *("--metrics", str(tmp_path / "m")),
            *("--reliability", str(tmp_path / "r")),
            *("--replicates", str(tmp_path / "b")),
            *("--n-replicates", "9", "--seed", "0", "--confidence", "0.9"),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "bad.parquet is not a complete Parquet file" in done.stderr
    assert "Traceback" not in done.stderr


def limit_files() -> None:
    """The disk is full after 2 kB of a file, as far as this process can tell."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))


def assert_full_disk_is_told(folder: Path, *arguments: object) -> None:
    before = sorted(folder.iterdir())
    done = subprocess.run(
        [sys.executable, "-m", "polycal", *map(str, arguments)],
        capture_output=True,
        text=True,
        preexec_fn=limit_files,
    )
    assert done.returncode == 1
    assert re.search(rf"polycal {arguments[0]}: .*File too large$", done.stderr)
    assert "Traceback" not in done.stderr
    left = [path for path in folder.iterdir() if path.suffix != ".lock"]
    assert sorted(left) == before


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_disk_that_fills_up_while_weights_are_written(method, tmp_path):
    """One line, exit code 1, and nothing under the final name or beside it."""
    make_tiny_examples(
        tmp_path / "examples",
        base=make_tiny_model(tmp_path / "base"),
        conversations=make_tiny_conversations(tmp_path / "toy.parquet"),
    )
    assert_full_disk_is_told(
        tmp_path,
        *("tune", "--base", tmp_path / "base"),
        *("--examples", tmp_path / "examples"),
        *("--model", "m", "--sft", "s", "--smoothing", 0, "--seed", 0),
        *("--lr", 0.01, "--max-steps", 1, "--method", method),
        *("--out", tmp_path / "candidate"),
    )


def test_a_disk_that_fills_up_while_a_table_is_written(tmp_path):
    """The same for Parquet."""
    rows = make_tiny_conversations(tmp_path / "toy.parquet", n=500)
    table = tables.read(rows, "conversations")
    lines = [
        {"instruction": user["content"], "input": "", "output": answer["content"]}
        for user, answer in table["messages"].to_pylist()
    ]
    (tmp_path / "toy.json").write_text(json.dumps(lines))
    assert_full_disk_is_told(
        tmp_path,
        *("prepare_sft", "--repo", tmp_path / "toy.json", "--format", "alpaca"),
        *("--sft", "s", "--out", tmp_path / "out.parquet"),
    )


def test_a_disk_that_fills_up_while_examples_are_written(tmp_path):
    """The same for Arrow."""
    make_tiny_model(tmp_path / "base")
    make_tiny_conversations(tmp_path / "toy.parquet", n=500)
    assert_full_disk_is_told(
        tmp_path,
        *("tokenize", "--base", tmp_path / "base", "--model", "m", "--sft", "s"),
        *("--conversations", tmp_path / "toy.parquet", "--out", tmp_path / "examples"),
    )


def test_a_filter_is_a_json_object(tmp_path, capsys):
    """Anything else is refused by its flag, before anything is read."""
    place = ["--repo", "./x", "--format", "alpaca", "--sft", "s", "--out", "o"]
    for text in ("{", "[1]", "aya"):
        with pytest.raises(SystemExit) as ended:
            main(["prepare_sft", *place, "--filter", text])
        assert ended.value.code == 2
        assert "argument --filter: invalid json_object value" in capsys.readouterr().err


def test_an_unwritable_place_is_one_line_and_exit_code_1(tmp_path):
    """A folder that cannot be made is named, without a traceback."""
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit, match=r"polycal check_task: .*file"):
        main(
            [
                *("check_task", "--questions", "none.parquet"),
                *("--policy", "own"),
                *("--out", str(tmp_path / "file" / "below" / "x.json")),
            ]
        )
