"""`polycal try`: a study of one model, or of two, in one command.

It writes the study's file, lets Snakemake run it, and prints its first numbers.
"""

import importlib.util
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

import polycal
from polycal.comparing.claims import TO_BASE
from polycal.comparing.reasons import explain_tokenizers
from polycal.comparing.released import find_released
from polycal.errors import InputError
from polycal.measuring.side_metrics import MEASURED
from polycal.models.gpu_types import Gpu
from polycal.models.gpus import find_memory, list_visible_gpus
from polycal.planning.costs import find_unscorable
from polycal.planning.sizes import SizedStudy
from polycal.planning.status import find_errors
from polycal.planning.terminal import align, count, wrap
from polycal.preparing.trial_study import make_study
from polycal.reporting.doubts import list_doubts, warn_of_dtypes
from polycal.reporting.report_tables import NOTHING, SHORT, spelling_of
from polycal.reporting.selection import Selection
from polycal.reporting.spelling import spell_interval, spell_points
from polycal.reporting.trainings import warn_of_adapters
from polycal.storage import tables
from polycal.storage.files import replacing
from polycal.study import layout
from polycal.study.config import complete
from polycal.study.grid import BASE
from polycal.study.languages import ALL
from polycal.study.reading import read_config
from polycal.study.scorings import HEADLINE, PromptForm, Scoring
from polycal.verb import verb

_FILE = "study.yaml"
_DIFFERENCE = "difference"
_SHOWN = 12  # lines of Snakemake's, where no job says why it failed


@verb()
def try_(
    *,
    model: str,
    against: str | None = None,
    task: str = "global_mmlu_lite",
    format: str = "global_mmlu",
    languages: Sequence[str] = ("en", "id", "sw"),
    max_questions: int = 100,
    prompt: PromptForm = "plain",
    scoring: Sequence[Scoring] = ("letters",),
    cores: str = "all",
    out: Path | None = None,
) -> None:
    """Compare a model with the one it was tuned from: study, report, first numbers.

    The same command goes on where it was stopped. For more languages or questions, edit
    the study's file and say the `snakemake` command that its first lines have.

    Args:
        model: a model, or a LoRA adapter: Hub id (owner/name, or owner/name@revision)
            or directory
        against: the model that it was tuned from (default: none; the model is measured
            as it is)
        task: global_mmlu, global_mmlu_lite, mmlu_prox, mmlu_prox_lite, or the directory
            of a benchmark
        format: columns of a benchmark in a directory
        languages: their codes, with commas or spaces between them
        max_questions: asked in each language
        prompt: plain text, or each model's own chat template
        scoring: how options are scored
        cores: CPU cores that jobs may take together
        out: the study's folder (default: try- and the model's name)

    Raises:
        InputError: a model, the benchmark or a language is not there; a model does not
            fit on the GPU; the folder holds another study; or the study fails.
    """
    snakefile = _find_workflow()
    if cores != "all" and not (cores.isdecimal() and int(cores)):
        raise InputError(f"--cores is {cores}; give a number of at least 1, or all")
    n_visible = len(list_visible_gpus())
    study, configurations = make_study(
        model=model,
        against=against,
        task=task,
        format=format,
        languages=languages,
        max_questions=max_questions,
        prompt=prompt,
        scoring=scoring,
        gpus=min(n_visible, 1),
    )
    complete(study)
    names = [study["models"][0]["name"], *(entry["name"] for entry in study["sft"])]
    folder = (out or Path(f"try-{names[-1]}")).absolute()
    file = folder / _FILE
    command = [
        *("snakemake", "--cores", cores, "--snakefile", str(snakefile)),
        *("--configfile", str(file), "--directory", str(folder)),
    ]
    study = _keep_study(file, study, shlex.join(command))
    gpus = min(complete(study)["models"][0]["gpus"], n_visible)
    if gpus and (memory := find_memory()):
        gpu = Gpu("GPU of this machine", 0, memory, "")
        resources = folder / layout.RESOURCES
        sized = SizedStudy(complete(study), gpu, resources, configurations)
        for warning in find_unscorable(sized):
            raise InputError(f"{warning.removeprefix('WARNING: ')} Change {file}.")
    print(f"The study is {file}\nRunning on {'a GPU' if gpus else 'the CPU'}.")
    _run([sys.executable, "-m", *command, "--quiet", "rules"], folder / "logs")
    print("\n".join(write_first_numbers(folder, study)))
    print(f"\nThe page: {folder / layout.PAGE}\nFor more, edit {file} and say:")
    print(shlex.join(command))


def _find_workflow() -> Path:
    """Return the Snakefile of the checkout that the package lies in."""
    snakefile = Path(polycal.__file__).parents[2] / "Snakefile"
    if not snakefile.exists():
        raise InputError(
            "the workflow is not installed with the package; clone polycal's "
            "repository, and say `make setup` and `polycal try` there"
        )
    if importlib.util.find_spec("snakemake") is None:
        raise InputError(
            "Snakemake is not installed; say `make setup`, or `pip install -e "
            "'.[workflow]'`"
        )
    return snakefile


def _keep_study(file: Path, study: Mapping, command: str) -> Mapping:
    """Write a study's file, unless it is there already; return the study it holds."""
    if file.exists():
        kept = read_config(file)
        if _select_asked(kept) != _select_asked(study):
            raise InputError(
                f"{file} is another study; edit it and say what its first lines say, "
                "or choose another folder with --out"
            )
        return kept
    if file.parent.exists() and any(file.parent.iterdir()):
        raise InputError(
            f"{file.parent} holds other files; choose another folder with --out"
        )
    text = yaml.safe_dump(study, sort_keys=False, allow_unicode=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as temporary:
        temporary.write_text(
            f"# Written by `polycal try`. Add languages, questions (max_questions),\n"
            "# tasks or models (docs/howto.md says how), and run what is missing:\n"
            f"#   {command}\n{text}",
            encoding="utf-8",
        )
    return study


def _select_asked(part: Any) -> Any:
    """Return a study, or a part of one, without what the machine and the day decide.

    A command that goes on may run where there is no GPU, or after a commit upstream.
    """
    if isinstance(part, Mapping):
        return {
            key: _select_asked(value)
            for key, value in part.items()
            if key not in ("gpus", "revision")
        }
    return [_select_asked(item) for item in part] if isinstance(part, list) else part


def _run(command: Sequence[str], logs: Path) -> None:
    """Run Snakemake; print a line for each finished job."""
    begin, rule, others = time.time(), "", []
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(command, text=True, errors="replace", **pipes) as process:
        for line in _until_end(process.stdout or ()):
            if finished := re.match(r"Finished jobid: \d+ \(Rule: (\w+)\)", line):
                rule = finished[1]
            elif counted := re.match(r"(\d+) of (\d+) steps", line):
                print(f"{counted[1]} of {counted[2]} jobs: {rule}", flush=True)
            else:
                others.append(line)
    if process.returncode:
        errors = find_errors(logs, since=begin)
        if not errors:
            print("".join(others[-_SHOWN:]), file=sys.stderr)
        why = "; ".join(errors) or "Snakemake ended with what is above"
        raise InputError(f"{why}; the same command goes on where this one stopped")


def _until_end(lines: Iterable[str]) -> Iterator[str]:
    """Yield a process's lines, also after Ctrl-C, which the process gets, too."""
    try:
        yield from lines
    except KeyboardInterrupt:
        yield from lines


def write_first_numbers(folder: Path, study: Mapping) -> Iterator[str]:
    """Yield the lines of tables of a finished study: models and their differences."""
    for task in study["tasks"]:
        for scoring in study["scoring"]:
            yield from _write_scoring(folder, study, task, scoring)


def _write_scoring(
    folder: Path, study: Mapping, task: Mapping, scoring: str
) -> Iterator[str]:
    cells = _read_cells(folder, task["name"], scoring)
    (model,) = study["models"]
    columns = {BASE: model["name"]}
    columns |= {sft["name"]: sft["name"] for sft in study["sft"]}
    if study["sft"]:
        columns[_DIFFERENCE] = _DIFFERENCE
    codes = task["languages"]
    rows = []
    for level in [ALL, *codes] if len(codes) > 1 else codes:
        name = f"mean of {len(codes)}" if level == ALL else level
        for metric in SHORT:
            spelt = [_spell(cells, column, level, metric) for column in columns]
            rows.append([name, MEASURED[metric].short_heading, *spelt])
            name = ""
    # A trial asks every language the same questions, perhaps fewer than were wanted.
    n = cells[BASE, codes[0], SHORT[0]]["n_questions"]
    yield ""
    yield (
        f"{task['name']} by {scoring}, {task['prompt']} prompt, "
        f"{count(n, 'question')}; percent, with 95 % intervals"
    )
    head = ["language", "", *columns.values()]
    yield from align(head, rows, "<<" + ">" * len(columns))
    about = {"task": task["name"], "scoring": scoring, "normaliser": HEADLINE[scoring]}
    for note in _list_notes(folder, study, about, n):
        yield from wrap(note)


def _list_notes(folder: Path, study: Mapping, about: Mapping, n: int) -> Iterator[str]:
    """Yield why a difference is not there, and what makes the numbers doubtful."""
    runs = tables.read(folder / layout.table("runs"), "runs")
    released = find_released(runs)
    (model,) = study["models"]
    for facet, warning in warn_of_adapters(runs):
        yield f"{facet}: {warning}"
    for sft in study["sft"]:
        own = {**about, "model": model["name"], "sft": sft["name"]}
        if reason := explain_tokenizers(own, released):
            yield (
                f"The difference of {sft['name']} is not shown: {reason}; those by "
                "letters can be (--scoring letters)."
            )
    yield from list_doubts(Selection(folder / layout.RESULTS, about).per_level(), n)
    asked = tables.read_metadata(folder / layout.table("metrics")).get("asked") or {}
    yield from warn_of_dtypes(asked.get(about["task"], {}))


def _read_cells(folder: Path, task: str, scoring: str) -> dict[tuple, Mapping]:
    """Return rows with an estimate and its interval by (column, level, metric)."""
    normaliser = HEADLINE[scoring]
    keys = {"task": task, "scoring": scoring, "normaliser": normaliser}

    def read(kind: str, **more: str) -> list[dict]:
        table = tables.read(folder / layout.table(kind), kind)
        return tables.where(table, **keys, calibrator="none", **more).to_pylist()

    cells: dict[tuple, Mapping] = {}
    for row in read("metrics", subset=ALL):
        own = row | {"estimate": row["value"]}
        cells[row["sft"], row["language"], row["metric"]] = own
    for row in read("level_means"):
        cells[row["sft"], row["level"], row["metric"]] = row
    for row in read("contrasts", reference=TO_BASE):
        cells[_DIFFERENCE, row["level"], row["metric"]] = row
    return cells


def _spell(cells: Mapping, column: str, level: str, metric: str) -> str:
    row = cells.get((column, level, metric))
    if row is None:
        return NOTHING
    spell = spell_points if column == _DIFFERENCE else spelling_of(metric)
    ends = row["ci_low"], row["ci_high"]
    return f"{spell(row['estimate'])} {spell_interval(*ends, spell)}"
