"""The command line: light to start, and clear when something is wrong."""

import subprocess
import sys

import pytest

from polycal.cli import build_parser, main
from polycal.grid import STAGES


def test_there_is_one_verb_per_stage():
    """Every rule of the workflow has a verb of its name, and no verb is left over."""
    verbs = next(a for a in build_parser()._actions if a.dest == "verb").choices
    assert set(verbs) == set(STAGES)


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
    done = subprocess.run(
        [
            *(sys.executable, "-m", "polycal", "measure"),
            *("--predictions", str(bad)),
            *("--metrics", str(tmp_path / "m")),
            *("--reliability", str(tmp_path / "r")),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "bad.parquet is not a complete Parquet file" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unwritable_place_is_one_line_and_exit_code_1(tmp_path):
    """A folder that cannot be made is named, without a traceback."""
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit, match=r"polycal check_task: .*file"):
        main(
            [
                *("check_task", "--questions", "none.parquet"),
                *("--out", str(tmp_path / "file" / "below" / "x.json")),
            ]
        )
