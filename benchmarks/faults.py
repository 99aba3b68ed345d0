"""Disturb a small study again and again, run it once more, and compare its tables.

    python benchmarks/faults.py [--trials 100] [--seed 0] [--kinds job workflow ...]

A trial is a copy of a study that was run undisturbed. Some of its results are taken
away, the study is run and disturbed at a random moment (or a file is damaged before,
its times kept, as a disk does it), and is then run again as a user would: after a
message that names a damaged file, without that file. Printed are, per kind, the
trials, in how many the fault struck or was noticed, and how they ended:

recovered   all tables, predictions, figures and the page are those of the undisturbed
            study, byte for byte, but for bits that no reader looks at
lost        the study does not come to its end
wrong       it does, with something else in a table, and nobody said so

The study's own files are those of tests/study.py.
"""

import argparse
import io
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from study import (
    jobs_of,
    results,
    small_study,
    snakemake,
    snakemake_command,
    wait_until,
    write_config,
)

# What is taken away: the verb that runs first then, and the results it has to make.
MISSING = {
    "tune": [
        "candidates",
        "runs",
        "predictions",
        "metrics",
        "reliability",
        "replicates",
        "report",
    ],
    "score": ["predictions", "store", "metrics", "reliability", "replicates", "report"],
    "measure": ["metrics", "reliability", "replicates", "report"],
    "aggregate": ["report"],
    "draw": ["report"],
}
# What is damaged, and the verb that reads it first.
DAMAGED = {
    "questions": ("resources/tasks/*/*.parquet", "score"),
    "predictions": ("results/predictions/**/*.parquet", "measure"),
    "scores in the store": ("results/store/**/*.parquet", "score"),
    "metrics": ("results/metrics/**/*.parquet", "aggregate"),
    "weights": ("results/candidates/**/*.safetensors", "score"),
    "base model": ("resources/models/**/*.safetensors", "tune"),
}
STUDY = small_study(
    smoothing=[0.1],
    languages_per_job=8,
    scoring=["text"],
    tasks=small_study()["tasks"][:1],
)


class Trial:
    """A copy of the finished study.

    Attributes:
        folder: where it is.
        chance: draws everything that is random about the trial.
        struck: whether the fault did anything that the study noticed.
    """

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.folder, self.chance, self.struck = folder, chance, False

    def take_away(self, verb: str, but: str = "") -> None:
        """Remove what a verb and all after it make, but for one folder."""
        for name in MISSING[verb]:
            if name != but:
                shutil.rmtree(self.folder / "results" / name, ignore_errors=True)
        if verb != "draw":
            for path in self.folder.glob("results/*.*"):
                path.unlink()

    def begin(self) -> subprocess.Popen:
        """Start snakemake."""
        with open(self.folder / "snakemake.log", "w") as log:
            return subprocess.Popen(
                snakemake_command(self.folder, "--cores", "2"),
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def pick_verb(self) -> str:
        return self.chance.choice(list(MISSING))


def kill_job(trial: Trial) -> None:
    """Kill -9 of one job, as the kernel does when memory runs out."""
    verb = trial.pick_verb()
    trial.take_away(verb)
    running = trial.begin()
    wait_until(lambda: jobs_of(f"polycal {verb}", trial.folder) or ended(running))
    time.sleep(trial.chance.uniform(0, 4))
    for job in jobs_of(f"polycal {verb}", trial.folder):
        os.kill(job, signal.SIGKILL)
    trial.struck = running.wait() != 0


def kill_workflow(trial: Trial) -> None:
    """Kill -9 of snakemake; its jobs live on as orphans."""
    trial.take_away(trial.pick_verb())
    running = trial.begin()
    time.sleep(trial.chance.uniform(3, 20))
    running.kill()
    trial.struck = running.wait() != 0


def kill_all(trial: Trial) -> None:
    """Kill -9 of snakemake and all its jobs, as a power cut."""
    trial.take_away(trial.pick_verb())
    running = trial.begin()
    time.sleep(trial.chance.uniform(3, 20))
    os.killpg(running.pid, signal.SIGKILL)
    trial.struck = running.wait() != 0


def fill_disk(trial: Trial) -> None:
    """No file can grow beyond a random size, as on a disk that is nearly full."""
    trial.take_away(trial.pick_verb())
    limit = int(10 ** trial.chance.uniform(2, 6))
    done = snakemake(
        trial.folder,
        *("--cores", "2"),
        before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    trial.struck = done.returncode != 0


def truncate(trial: Trial) -> None:
    """A file that the study has made lost its end."""
    path = pick_damaged(trial)
    change(path, path.read_bytes()[: trial.chance.randrange(path.stat().st_size)])


def flip_bit(trial: Trial) -> None:
    """One bit of a file that the study has made is another."""
    path = pick_damaged(trial)
    content = bytearray(path.read_bytes())
    content[trial.chance.randrange(len(content))] ^= 1 << trial.chance.randrange(8)
    change(path, bytes(content))


def skew_clock(trial: Trial) -> None:
    """Some files have times of a clock that is hours off."""
    trial.take_away(trial.pick_verb())
    files = [path for path in trial.folder.rglob("*.parquet") if path.is_file()]
    for path in trial.chance.sample(files, max(1, len(files) // 4)):
        moment = time.time() + trial.chance.uniform(-86400, 86400)
        os.utime(path, (moment, moment))
    trial.struck = True


def run_two(trial: Trial) -> None:
    """Two workflows in one folder, started within a second."""
    trial.take_away(trial.pick_verb())
    first = trial.begin()
    time.sleep(trial.chance.uniform(0, 1))
    second = snakemake(trial.folder, "--cores", "2")
    trial.struck = "Another snakemake is at work" in second.stdout
    trial.struck |= first.wait() != 0


KINDS: dict[str, Callable[[Trial], None]] = {
    "job": kill_job,
    "workflow": kill_workflow,
    "all": kill_all,
    "disk": fill_disk,
    "truncated": truncate,
    "flipped": flip_bit,
    "clock": skew_clock,
    "two": run_two,
}


def ended(process: subprocess.Popen) -> bool:
    return process.poll() is not None


def pick_damaged(trial: Trial) -> Path:
    """A file of a random kind, whose reader will have to run."""
    name = trial.chance.choice(list(DAMAGED))
    pattern, first = DAMAGED[name]
    trial.take_away(first, but="store" if name == "scores in the store" else "")
    path = trial.chance.choice(sorted(trial.folder.glob(pattern)))
    if name == "base model":  # what it was made of shares its place on the disk
        shutil.copy2(path, path.with_name("copy")).replace(path)
    return path


def change(path: Path, content: bytes) -> None:
    """Other content at the same place and time; a second name sees it, too."""
    times = path.stat()
    with path.open("r+b") as file:
        file.write(content)
        file.truncate()
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def run_again(trial: Trial, rounds: int = 4) -> str:
    """Run the study to its end; remove or touch a file that a message complains of.

    Returns:
        All that was printed.

    Raises:
        RuntimeError: it does not come to its end.
    """
    said = ""
    for _ in range(rounds):
        done = snakemake(trial.folder, "--cores", "2")
        said += done.stdout
        if done.returncode == 0:
            return said
        trial.struck = True
        for named in re.findall(r"polycal \w+: (\S+)", done.stdout):
            path = trial.folder / named.rstrip(":,;")
            if path.is_dir():
                shutil.rmtree(path)
            elif path.is_file():
                path.unlink()
        for named in re.findall(r"modification time .* than input (\S+)", done.stdout):
            os.utime(trial.folder / named)  # of the future; Snakemake says so
    raise RuntimeError(said[-1500:])


def same(name: str, found: bytes, expected: bytes) -> bool:
    """Whether two files are equal, byte for byte or as tables with their metadata.

    A flipped bit that no reader looks at (padding in the footer) stays where it is.
    """
    if found == expected:
        return True
    if not name.endswith(".parquet"):
        return False
    one, other = (pq.read_table(io.BytesIO(each)) for each in (found, expected))
    return one.equals(other) and one.schema.equals(other.schema, check_metadata=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    options = parser.parse_args()
    counts: dict[str, Counter] = {kind: Counter() for kind in options.kinds}
    with tempfile.TemporaryDirectory() as name:
        finished = Path(name) / "finished"
        write_config(finished, STUDY)
        done = snakemake(finished, "--cores", "2")
        if done.returncode:
            raise SystemExit(done.stdout[-3000:])
        expected = results(finished)
        for number in range(options.trials):
            kind = options.kinds[number % len(options.kinds)]
            folder = Path(name) / "trial"
            subprocess.run(["cp", "-a", finished, folder], check=True)
            trial = Trial(folder, random.Random(f"{options.seed} {number}"))
            KINDS[kind](trial)
            try:
                run_again(trial)
                found = results(folder)
                detail = sorted(
                    name
                    for name in expected
                    if not same(name, found.get(name, b""), expected[name])
                )
                end = "wrong" if detail else "recovered"
            except RuntimeError as error:
                end, detail = "lost", error
            counts[kind].update({"trials": 1, "struck": trial.struck, end: 1})
            if end != "recovered":
                print(f"trial {number} ({kind}): {end}: {detail}", flush=True)
            shutil.rmtree(folder)
    columns = ("trials", "struck", "recovered", "lost", "wrong")
    print(f"{'fault':12}" + "".join(f"{column:>11}" for column in columns))
    for kind, found in counts.items():
        print(f"{kind:12}" + "".join(f"{found[column]:11}" for column in columns))


if __name__ == "__main__":
    main()
