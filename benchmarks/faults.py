"""Attack a tiny finished study in many ways; count what is lost or silently wrong.

    python benchmarks/faults.py [--trials 200] [--seed 0] [--kinds KIND ...] [--quick]

A trial is a copy of the study, a random attack of one kind (benchmarks/attacks.py), and
the verbs that meet it, in a process of their own. The study is made once, by the same
verbs: two languages, a base model and a run. Its files are compared with the
undisturbed ones, byte for byte. Printed are, per kind, how the trials ended:

held        nothing but the damage is different, and what was made again is the same
clear line  a verb ended with one line, and everything that it had no part in is there
set aside   as held, after the damaged file was renamed with a line
lost        a file is gone, or a verb neither ends nor fails
wrong       a file is different, or what must be refused was taken, and nobody said so
traceback   a verb ended with something else than one line

`--quick` makes one trial of each kind. The exit code is 1 if any of the last three
happened. tests/test_workflow.py kills snakemake itself, with and without its jobs.
"""

import argparse
import contextlib
import hashlib
import importlib
import io
import json
import logging
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from repositories import global_mmlu_row, write_repository
from tiny import make_tiny_model

from polycal import cli
from polycal.errors import InputError
from polycal.models import template_limits
from polycal.storage.provenance import provenance
from polycal.tuning import checkpoints

template_limits.SECONDS = 1.0
torch.set_num_threads(1)  # a forked process has none of its parent's other threads
REPOSITORY = Path(__file__).parents[1]
ENDS = ("held", "clear line", "set aside", "lost", "wrong", "traceback")
_SECONDS = 60  # of CPU for a trial
RUNS = {"none": "tiny/none/ls-0/seed-0", "toy": "tiny/toy/ls-0.1/seed-0"}
MODEL, EXAMPLES = "resources/models/tiny", "resources/examples/tiny/toy"
QUESTIONS = [f"resources/tasks/global_mmlu/{code}.parquet" for code in ("de", "en")]
CHECK, CANDIDATE = "results/checks/global_mmlu.json", "results/candidates/c"
CHECKPOINTS, RUN = "results/checkpoints/c", "results/runs/r"
KINDS = ("metrics", "reliability", "replicates")
_EFFORT = ["tokens_per_second", "tflops", "memory_gib"]
_NAMES = "--model tiny --sft toy"


def measured(kind: str) -> list[str]:
    return [f"results/{kind}/{sft}.parquet" for sft in RUNS]


def _score(sft: str, smoothing: str, checkpoint: str) -> str:
    return (
        f"score --checkpoint {checkpoint} --base {MODEL} --scoring text --model tiny "
        f"--questions {' '.join(QUESTIONS)} --sft {sft} --smoothing {smoothing} "
        f"--seed 0 --store results/store/{sft} --out results/predictions/{sft}.parquet"
    )


def _measure(sft: str, checkpoint: str) -> str:
    outs = " ".join(f"--{kind} results/{kind}/{sft}.parquet" for kind in KINDS)
    return (
        f"measure --predictions results/predictions/{sft}.parquet --check {CHECK} "
        f"--checkpoint {checkpoint} {outs} --n-replicates 20 --seed 0 "
        "--confidence 0.95"
    )


# Step -> its command and what it makes, in the order in which a study makes it.
STEPS: dict[str, tuple[str, list[str]]] = {
    "prepare_model": (
        f"prepare_model --repo ./source/model --model tiny --out {MODEL}",
        [MODEL],
    ),
    "prepare_sft": (
        "prepare_sft --repo ./source/sft --format messages --sft toy "
        "--out resources/sft/toy.parquet",
        ["resources/sft/toy.parquet"],
    ),
    "tokenize": (
        f"tokenize --base {MODEL} --conversations resources/sft/toy.parquet {_NAMES} "
        f"--out {EXAMPLES}",
        [EXAMPLES],
    ),
    "tune": (
        f"tune --base {MODEL} --examples {EXAMPLES} {_NAMES} --smoothing 0.1 --seed 0 "
        "--lr 1e-3 --max-steps 4 --batch-size 4 --micro-batch-size 4 --dtype float32 "
        f"--checkpoints {CHECKPOINTS} --checkpoint-minutes 0 --out {CANDIDATE}",
        [CANDIDATE],
    ),
    "select": (f"select --candidates {CANDIDATE} --seed 0 --out {RUN}", [RUN]),
    **{
        f"prepare_task {code}": (
            "prepare_task --repo ./source/task --format global_mmlu "
            f"--task global_mmlu --language {code} --out {path}",
            [path],
        )
        for code, path in zip(("de", "en"), QUESTIONS, strict=True)
    },
    "check_task": (
        f"check_task --questions {' '.join(QUESTIONS)} --policy identical "
        f"--out {CHECK}",
        [CHECK],
    ),
    "score none": (
        _score("none", "0", MODEL),
        ["results/predictions/none.parquet", "results/store/none"],
    ),
    "score toy": (
        _score("toy", "0.1", RUN),
        ["results/predictions/toy.parquet", "results/store/toy"],
    ),
    "measure none": (
        _measure("none", MODEL),
        [f"results/{kind}/none.parquet" for kind in KINDS],
    ),
    "measure toy": (
        _measure("toy", RUN),
        [f"results/{kind}/toy.parquet" for kind in KINDS],
    ),
    "list_runs": (
        f"list_runs --models {MODEL} --runs {RUN} --out results/runs.parquet",
        ["results/runs.parquet", "results/runs.csv"],
    ),
    "aggregate": (
        f"aggregate --metrics {' '.join(measured('metrics'))} "
        f"--reliability {' '.join(measured('reliability'))} "
        f"--keep global_mmlu=de+en --runs {' '.join(RUNS.values())} --out results",
        [
            f"results/{kind}.{suffix}"
            for kind in ("metrics", "reliability", "summary")
            for suffix in ("parquet", "csv")
        ],
    ),
    "contrast": (
        "contrast --metrics results/metrics.parquet --runs results/runs.parquet "
        f"--replicates {' '.join(measured('replicates'))} --margin 0.03 "
        "--confidence 0.95 --out results",
        [
            f"results/{kind}.{suffix}"
            for kind in ("contrasts", "claims")
            for suffix in ("parquet", "csv")
        ],
    ),
}


class _Warnings(logging.Handler):
    """Notices that a verb renames a damaged file."""

    aside = False

    def emit(self, record: logging.LogRecord) -> None:
        self.aside |= "is damaged; renamed" in record.getMessage()


class Trial:
    """A copy of the study, which is the working directory.

    Attributes:
        chance: draws what is random about the trial.
        touched: paths that the attack, or a verb that failed, may have changed.
        taken: what must be refused, and was not.
        guarded: a user's own files and their digests.
        warnings: what was logged.
    """

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.touched: list[str] = []
        self.taken: list[str] = []
        self.guarded: dict[str, str] = {}
        self._lines: list[str] = []
        self.warnings = _Warnings()
        logging.getLogger().addHandler(self.warnings)

    def add(self, path: str, content: str | bytes = "mine") -> Path:
        """Write a user's own file, which has to stay as it is."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
        self.guarded[path] = digest(target)
        return target

    def change(self, path: str | Path, content: bytes) -> None:
        """Give a file other content at the same time, as a bad disk does."""
        target = Path(path)
        times = target.stat()
        target.unlink()  # another name of a hard link keeps its content
        target.write_bytes(content)
        os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))
        self.touched.append(str(path))

    def run(self, step: str, *more: str) -> str | None:
        """Run a step; return its one line if it fails."""
        command, outputs = STEPS[step]
        return self.call(lambda: cli.main([*command.split(), *more]), outputs)

    def again(self, step: str, *more: str) -> str | None:
        """Run a step whose results are gone."""
        for output in STEPS[step][1]:
            remove(output)
        return self.run(step, *more)

    def refused(self, step: str, *more: str) -> None:
        """Run a step that must not succeed."""
        if self.again(step, *more) is None:
            self.taken.append(f"{step} {' '.join(more)}")

    def call(
        self, function: Callable[[], object], outputs: Iterable[str] = ()
    ) -> str | None:
        """Call a function; return its one line if it fails.

        Raises:
            Exception: it fails with something else.
        """
        errors = io.StringIO()
        try:
            with contextlib.redirect_stderr(errors):
                function()
        except InputError as error:
            line = str(error)
        except SystemExit as error:
            if not error.code:
                return None
            usage = error.code == 2  # argparse prints the usage, then the line
            line = errors.getvalue().splitlines()[-1] if usage else str(error.code)
        else:
            return None
        if "\n" in line.strip():
            raise RuntimeError(f"several lines: {line}")
        self.touched += outputs
        self._lines.append(line)
        return line

    def judge(self, expected: dict[str, str]) -> tuple[str, str]:
        """Return how the trial ended, and a detail."""
        actual = read_study()
        kept = {
            path: value
            for path, value in (expected | self.guarded).items()
            if not any(Path(path).is_relative_to(each) for each in self.touched)
        }
        if gone := [path for path in kept if path not in actual]:
            return "lost", gone[0]
        if other := [path for path in kept if actual[path] != kept[path]]:
            return "wrong", other[0]
        if self.taken:
            return "wrong", f"accepted: {self.taken[0]}"
        if self._lines:
            return "clear line", self._lines[0]
        return "set aside" if self.warnings.aside else "held", ""


def digest(path: Path) -> str:
    """Return the SHA-256 of a file; a training's log without what it took."""
    content = path.read_bytes()
    if path.name == "training_log.parquet":
        with contextlib.suppress(pa.ArrowException, OSError):
            log = pq.read_table(io.BytesIO(content)).drop_columns(_EFFORT)
            content = repr(log.to_pydict()).encode()
    return hashlib.sha256(content).hexdigest()


def remove(path: str) -> None:
    if Path(path).is_dir():
        shutil.rmtree(path)
    else:
        Path(path).unlink(missing_ok=True)


def read_study() -> dict[str, str]:
    """Return the digest of each file below the working directory, but for locks."""
    return {
        str(path): digest(path)
        for path in sorted(Path().rglob("*"))
        if path.is_file() and not path.is_symlink() and path.suffix != ".lock"
    }


def in_process(
    body: Callable[[], object], *, kill_after: float | None = None
) -> tuple[int, object]:
    """Run a function in a forked process; return its status and its result.

    Args:
        body: returns what JSON can hold.
        kill_after: seconds after which the process is killed.
    """
    reading, writing = os.pipe()
    process = os.fork()
    if not process:
        code = 0
        try:
            os.close(reading)
            os.setpgid(0, 0)
            resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
            text = json.dumps(body())
            os.write(writing, text.encode())
        except BaseException:
            traceback.print_exc()
            code = 1
        finally:
            os._exit(code)
    os.close(writing)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(process, signal.SIGKILL)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    _, status = os.waitpid(process, 0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)  # what it started
    return status, json.loads(text) if text else None


def write_source(folder: Path) -> None:
    """Write what the study is made of."""
    os.chdir(folder)
    (make_tiny_model(Path("source/model")) / "provenance.json").unlink()
    Path("source/sft").mkdir()
    conversations = [
        [
            {"role": "user", "content": f"what is {number} red?"},
            {"role": "assistant", "content": f"a blue stone of {number * number}"},
        ]
        for number in range(24)
    ]
    lines = [json.dumps({"messages": each}) + "\n" for each in conversations]
    Path("source/sft/train.jsonl").write_text("".join(lines))
    rows = {
        code: [
            global_mmlu_row(number, question=f"{code} {number}?", answer="ABCD"[number])
            for number in range(4)
        ]
        for code in ("de", "en")
    }
    splits = {code: {"test": own, "dev": own[:1]} for code, own in rows.items()}
    write_repository(Path("source/task"), splits)


def make_study(folder: Path) -> dict[str, str]:
    """Make the study and, in `half`, a training that was killed after two steps."""

    def make() -> dict[str, str]:
        for command, _ in STEPS.values():
            cli.main(command.split())
        return read_study()

    def train_half() -> None:
        keep, kept = checkpoints.Checkpoints.keep, []

        def die(self: checkpoints.Checkpoints, step: int) -> None:
            keep(self, step)
            kept.append(step)
            if len(kept) == 2:
                os.kill(os.getpid(), signal.SIGKILL)

        checkpoints.Checkpoints.keep = die
        command = STEPS["tune"][0].replace(CANDIDATE, "half/c")
        cli.main(command.replace(CHECKPOINTS, "half/checkpoints").split())

    provenance()  # keeps the commit, whatever happens to the checkout meanwhile
    verbs = cli.list_verbs()
    for command, _ in STEPS.values():  # once, and not in every trial
        importlib.import_module(cli.module_of(verbs[command.split()[0]][0]))
    in_process(lambda: write_source(folder))
    os.chdir(folder)
    status, expected = in_process(make)
    in_process(train_half)
    if status or not list(Path("half/checkpoints").rglob("optimizer*")):
        raise SystemExit("the study cannot be made")
    remove("half/c")
    return expected


def run_trial(
    attack: Callable[[Trial], None], seed: str, expected: dict[str, str]
) -> tuple[str, str]:
    """Return how a trial in the working directory ended, and a detail."""

    def body() -> tuple[str, str]:
        trial = Trial(random.Random(seed))
        try:
            attack(trial)
        except BaseException:
            return "traceback", traceback.format_exc()
        return trial.judge(expected)

    status, end = in_process(body)
    return end or ("lost", f"the process ended with status {status}")


def main() -> None:
    from attacks import ATTACKS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=ATTACKS, default=list(ATTACKS))
    parser.add_argument("--quick", action="store_true", help="one trial of each kind")
    options = parser.parse_args()
    trials = len(options.kinds) if options.quick else options.trials
    counts: dict[str, Counter] = {kind: Counter() for kind in options.kinds}
    home = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        finished, folder = Path(name, "finished"), Path(name, "trial")
        finished.mkdir()
        log = os.open(Path(name, "log"), os.O_RDWR | os.O_CREAT | os.O_APPEND)
        shown, errors = os.dup(1), os.dup(2)
        os.dup2(log, 2)  # what transformers and the verbs log
        os.dup2(log, 1)
        try:
            expected = make_study(finished)
            for number in range(trials):
                kind = options.kinds[number % len(options.kinds)]
                shutil.copytree(finished, folder, symlinks=True)
                os.chdir(folder)
                seed = f"{options.seed} {number}"
                end, detail = run_trial(ATTACKS[kind], seed, expected)
                os.chdir(home)
                shutil.rmtree(folder)
                counts[kind][end] += 1
                if ENDS.index(end) > 2:
                    text = f"trial {number} ({kind}): {end}: {detail}\n"
                    os.write(shown, text.encode())
        finally:
            os.chdir(home)
            os.dup2(errors, 2)
            os.dup2(shown, 1)
    width = max(map(len, counts))
    print(f"{'attack':{width}}" + "".join(f"{end:>11}" for end in ENDS))
    for kind, ends in counts.items():
        print(f"{kind:{width}}" + "".join(f"{ends[end] or '':>11}" for end in ENDS))
    total = sum(counts.values(), Counter())
    print(f"{'all':{width}}" + "".join(f"{total[end]:11}" for end in ENDS))
    sys.exit(bool(total["lost"] + total["wrong"] + total["traceback"]))


if __name__ == "__main__":
    sys.modules["faults"] = sys.modules["__main__"]  # attacks.py imports it
    main()
