"""The command line: light to start, and clear when something is wrong."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from repositories import make_repository, mmlu_prox_row
from study import small_study, write_config
from tiny import make_tiny_conversations, make_tiny_examples, make_tiny_model

from polycal.cli import find_product, list_verbs, main, parsers_of_verbs, read_head
from polycal.flags import finite, json_object, true_or_false
from polycal.storage import tables
from polycal.storage.provenance import digest_facts
from polycal.study.stages import STAGES

# Verbs that a user calls beside the workflow, or that stand before another verb.
BESIDE = {
    "export_samples",
    "import_samples",
    "partial_report",
    "report_samples",
    "plan",
}
BESIDE |= {"remove_leftovers", "show_claims", "show_metrics", "show_prompt"}
BESIDE |= {"show_tables", "status", "try", "with_gpus"}
VERBS = list_verbs()
HEADS = {name: read_head(path, name) for name, (path, _) in VERBS.items()}


def test_there_is_one_verb_per_stage():
    """Every rule of the workflow has a verb of its name; the others make no file."""
    assert set(VERBS) - BESIDE == set(STAGES)


def test_a_verb_may_be_spelt_with_hyphens(capsys):
    """show-prompt is show_prompt; nothing else of the line is touched."""
    with pytest.raises(SystemExit) as ended:
        main(["show-prompt", "--help"])
    assert ended.value.code == 0
    assert "usage: polycal show_prompt" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"polycal show_prompt: .*a-study\.yaml"):
        main(["show-prompt", "--config", "a-study.yaml", "--task=t", "--language=en"])


def test_help_of_every_verb_can_be_printed(capsys):
    """Each flag has a text, and none breaks argparse's own formatting."""
    for verb in VERBS:
        with pytest.raises(SystemExit) as ended:
            main([verb, "--help"])
        assert ended.value.code == 0
    for parser in parsers_of_verbs().values():
        assert all(each.help for each in parser._actions)
        types = {each.type.__name__ for each in parser._actions if each.type}
        readers = {str, int, Path, finite, true_or_false, json_object}
        assert types <= {reader.__name__ for reader in readers}
    assert "--smoothing" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("verb", "flag", "value", "least"),
    [
        ("score", "--max-tokens", "0", 1),
        ("score", "--max-questions", "0", 1),
        ("try", "--max-questions", "0", 1),
        ("prepare_sft", "--max-examples", "1", 2),
        ("make_miniature", "--pretrain-steps", "0", 1),
        ("make_miniature", "--seed", "-1", 0),
        ("tune", "--checkpoint-minutes", "-1", 0),
        ("tune", "--nodes", "0", 1),
        ("tune", "--processes", "0", 1),
        ("plan", "--gpus", "0", 1),
    ],
)
def test_a_number_out_of_bounds_is_refused(verb, flag, value, least, capsys):
    """Before anything is read."""
    with pytest.raises(SystemExit):
        main([verb, flag, value])
    assert f"{flag}: {value} is not from {least} to" in capsys.readouterr().err


def test_help_does_not_import_the_heavy_libraries():
    """Neither of all verbs nor of one: it answers without torch, pandas or pyarrow."""
    code = (
        "import contextlib, sys\n"
        "from polycal.cli import list_verbs, main\n"
        "for words in (['--help'], *([name, '--help'] for name in list_verbs())):\n"
        "    with contextlib.suppress(SystemExit):\n"
        "        main(words)\n"
        "heavy = {'torch', 'transformers', 'pandas', 'pyarrow', 'scipy'}\n"
        "sys.exit(bool(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL)
    assert done.returncode == 0


HEAVY = {"torch", "transformers", "datasets", "huggingface_hub", "jsonschema", "pandas"}
HEAVY |= {"matplotlib", "seaborn", "scipy.stats", "scipy.optimize", "pyarrow.parquet"}
TABLES = {"pyarrow.parquet"}
FRAMES = {*TABLES, "pandas"}
DRAWING = {*FRAMES, "matplotlib", "seaborn", "scipy.stats", "scipy.optimize"}
NEEDED = {
    "plan": {*FRAMES, "jsonschema"},  # what the claims could decide
    "status": {*FRAMES, "jsonschema"},
    "prepare_model": set(),
    "prepare_released": set(),
    "make_miniature": TABLES,  # but to train a base model
    "prepare_sft": TABLES,
    "prepare_task": {*TABLES, "jsonschema"},
    "check_task": TABLES,
    "select": TABLES,
    "list_runs": TABLES,
    "measure": TABLES,
    "find_shifts": FRAMES,
    "aggregate": FRAMES,
    "contrast": FRAMES,
    "analyse": FRAMES,
    "tabulate": FRAMES,
    "draw": DRAWING,
    "report": DRAWING,  # a figure's caption stands beside what draws it
}


@pytest.mark.parametrize("needed", sorted({(*sorted(own),) for own in NEEDED.values()}))
def test_verbs_import_what_they_need(needed):
    """Of modules that take a tenth of a second and more; verbs of a kind at once."""
    verbs = [verb for verb, own in NEEDED.items() if own == set(needed)]
    code = (
        "import importlib, sys\n"
        "from polycal.cli import list_verbs, module_of\n"
        "for verb in sys.argv[1].split():\n"
        "    importlib.import_module(module_of(list_verbs()[verb][0]))\n"
        "print(*set(sys.argv[2:]) & set(sys.modules))\n"
    )
    words = [sys.executable, "-c", code, " ".join(verbs), *HEAVY]
    found = subprocess.run(words, capture_output=True, text=True, check=True)
    assert set(found.stdout.split()) == set(needed)


def test_a_language_is_prepared_without_pandas(tmp_path):
    """pyarrow would import it; nor does a local folder need huggingface_hub."""
    repository = make_repository(tmp_path / "toy", "mmlu_prox", [mmlu_prox_row()])
    arguments = {"repo": repository, "format": "mmlu_prox", "task": "t"}
    arguments |= {"language": "sw", "out": tmp_path / "sw.parquet"}
    words = [f"--{name}={value}" for name, value in arguments.items()]
    code = (
        "import atexit, sys\n"
        "from polycal.__main__ import run\n"
        f"atexit.register(lambda: print(*{HEAVY} & set(sys.modules)))\n"
        "run()\n"
    )
    command = [sys.executable, "-c", code, "prepare_task", *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == NEEDED["prepare_task"]
    assert len(tables.read(tmp_path / "sw.parquet", "questions")) == 2


def test_what_a_verb_reads_is_not_locked():
    """Only the first file that it writes: other jobs read the table meanwhile."""
    options = {"metrics": Path("results/metrics.parquet")}
    options |= {"out": [Path("folder/forest.svg"), Path("folder/forest.pdf")]}
    for verb in ("draw", "tabulate"):
        assert find_product(HEADS[verb].makes, options) == Path("folder/forest.svg")


def test_every_product_is_a_flag_s():
    """What a verb makes is named by flags that it has."""
    made = {verb: head.makes for verb, head in HEADS.items()}
    assert set(STAGES) == {verb for verb in made if made[verb]} - {"import_samples"}
    # Three verbs write into the folder of results, each a table of its own.
    shared = [made[verb] for verb in ("aggregate", "contrast", "analyse")]
    assert len(set(shared)) == 3


@pytest.mark.parametrize(
    ("verb", "flags", "message"),
    [
        ("list_runs", "--models m --out mine", "mine is a folder; name the file"),
        (
            "prepare_model",
            "--repo ./x --model m --out mine",
            "mine holds files that polycal did not make; name a folder that is new",
        ),
        (
            "make_miniature",
            "--model mine --sft s --global-mmlu g --mmlu-prox p",
            "mine holds files that polycal did not make",
        ),
        (
            "tune",
            "--base b --examples e --model m --sft s --smoothing 0 --seed 0 --lr 1 "
            "--out mine/notes.txt",
            "notes.txt is a file; name the folder",
        ),
        (
            "report_samples",
            "--folder f --out mine",
            "mine holds files that `polycal report_samples` did not make; name a",
        ),
        (
            "partial_report",
            "--out mine",
            "mine holds files that `polycal partial_report` did not make; name a",
        ),
    ],
)
def test_nothing_of_a_user_s_is_replaced(verb, flags, message, tmp_path, monkeypatch):
    """Before anything else is looked at, in one line; the files are as they were."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("years of work")
    with pytest.raises(SystemExit, match=f"polycal {verb}: .*{message}"):
        main([verb, *flags.split()])
    assert [path.name for path in tmp_path.rglob("*")] == ["mine", "notes.txt"]
    assert (tmp_path / "mine/notes.txt").read_text() == "years of work"


# What `python -m` imports from the working directory before it starts a module.
OF_PYTHON = "collections contextlib functools importlib keyword operator reprlib types"
OF_PYTHON += " warnings"


def test_python_files_of_a_study_s_folder_are_not_run(tmp_path):
    """A module that polycal or a library imports may have a namesake there."""
    modules = {path.stem for path in Path(os.__file__).parent.glob("[!_]*")}
    modules -= set(OF_PYTHON.split())
    for name in (*modules, "pyarrow", "numpy"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('it was run')")
    plain = {k: v for k, v in os.environ.items() if k != "PYTHONSAFEPATH"}
    done = subprocess.run(
        [sys.executable, "-m", "polycal", "show_tables"],
        cwd=tmp_path,
        env=plain,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "logprobs" in done.stdout


def test_bad_input_is_one_line_and_exit_code_1(tmp_path):
    """A foreign predictions file is named; there is no traceback."""
    bad = tmp_path / "bad.parquet"
    bad.write_bytes(b"not parquet")
    check = tmp_path / "check.json"
    facts = {"kind": "check", "task": "t", "policy": "own", "digest": None}
    facts |= {"n_all": 1, "n_common": None, "languages": {}}
    facts |= {"test": {"missing": [], "differing": []}}
    check.write_text(json.dumps(facts | {"content": digest_facts(facts)}))
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


def test_a_terminal_without_the_letters_of_a_name_shows_escapes(tmp_path):
    """As in the C locale of a cluster, where Python is told not to mend it."""
    config = write_config(tmp_path, small_study(study="Größe"))
    done = subprocess.run(
        [sys.executable, "-m", "polycal", "status", "--config", str(config)],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        cwd=tmp_path,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert rb"Gr\xf6\xdfe" in done.stdout


def test_the_line_reaches_the_terminal_when_the_log_is_full(tmp_path):
    """The job's log has no room for why the job failed."""
    reading, writing = os.pipe()
    command = ["check_task", "--questions=none.parquet", "--policy=own", "--out=c.json"]
    with (tmp_path / "log").open("wb") as log:
        done = subprocess.run(
            [sys.executable, "-m", "polycal", *command],
            cwd=tmp_path,
            env={**os.environ, "POLYCAL_TERMINAL": str(writing)},
            pass_fds=[writing],
            stdout=log,
            stderr=log,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
        )
    os.close(writing)
    with os.fdopen(reading) as terminal:
        lines = terminal.read().splitlines()
    assert done.returncode != 0
    assert (tmp_path / "log").read_bytes() == b""
    assert len(lines) == 1
    assert lines[0].startswith("polycal check_task: ")
    assert "none.parquet" in lines[0]


@pytest.mark.parametrize("content", [None, "{}"])
def test_a_message_is_one_line_whatever_it_quotes(tmp_path, content):
    """Names of files, and messages of libraries, may have line breaks."""
    check = tmp_path / "a\n b.json"
    if content:
        check.write_text(content)
    outs = [
        f"--{kind}={tmp_path / kind}"
        for kind in ("metrics", "reliability", "replicates")
    ]
    numbers = ["--n-replicates=9", "--seed=0", "--confidence=0.9"]
    with pytest.raises(SystemExit) as caught:
        main(["measure", "--predictions=p", f"--check={check}", *outs, *numbers])
    assert "a b.json" in caught.value.code
    assert "\n" not in caught.value.code


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


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999", "one"])
def test_a_number_is_finite(value, capsys):
    """A NaN passes every comparison that asks whether it is too large."""
    flags = ["--metrics", "m", "--replicates", "r", "--confidence", "0.9", "--out", "o"]
    with pytest.raises(SystemExit) as ended:
        main(["contrast", *flags, f"--margin={value}"])
    assert ended.value.code == 2
    assert "argument --margin: invalid finite value" in capsys.readouterr().err
    place = ["--base", "b", "--examples", "e", "--model", "m", "--sft", "s", "--seed=0"]
    with pytest.raises(SystemExit) as ended:
        main(["tune", *place, "--smoothing=0", "--out=o", f"--lr={value}"])
    assert ended.value.code == 2


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
