"""Mutation testing: change the code in one place, count the changes tests notice.

    make mutants
    python benchmarks/mutants.py [NAME ...] [--sample 150] [--seed 0]

Mutants of every room in `[tool.polycal.mutants]` of pyproject.toml are run against that
room's tests; a room with more than `--sample` mutants is sampled at random (0: take
all). NAME limits the run to a room such as `measuring`, or to a module such as
`temperature`, of which all mutants are taken.

Printed per module: mutants, killed, equivalent (judged by hand, listed in
tests/equivalent_mutants.toml), and the share killed of the others, with a Wilson
interval where it is a sample. Then every survivor: file, line, old line, new line. The
exit status is 1 where a room kills less than 85 %.

mutmut makes the mutants and runs them: it forks from a process that has imported NumPy
and pandas already, so a mutant takes tenths of a second. It mutates no module-level
statement and no decorated function.
"""

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.mutation.file_mutation import mutate_file_contents
from mutmut.utils.format_utils import get_mutant_name
from scipy.stats import binomtest

REPOSITORY = Path(__file__).parents[1]
WORK = REPOSITORY / "build" / "mutants"
EQUIVALENT = REPOSITORY / "tests" / "equivalent_mutants.toml"
MADE = ("build", "logs", "resources", "results")  # not needed by a test, and large
KILLED = {"killed", "timeout"}
ENOUGH = 0.85  # of the mutants that are not equivalent, in every room

SETTINGS = """
[tool.mutmut]
source_paths = ["src"]
only_mutate = {mutate}
also_copy = {others}
# Tests of messages match a part of them, so their wording is not mutated.
do_not_mutate_patterns = ['raise \\w+']
pytest_add_cli_args_test_selection = {tests}
# The profile without random examples: a mutant's verdict does not change by itself.
pytest_add_cli_args = ["-n0", "-p", "no:cacheprovider", "--hypothesis-profile=ci"]
"""


@dataclass(frozen=True)
class Survivor:
    """A mutant that no test noticed: where it is, old and new text."""

    path: Path
    function: str
    line: int
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}\n  - {self.old}\n  + {self.new}"


def find(globs: list[str]) -> list[Path]:
    """Return the files of these patterns in the current directory, sorted."""
    return sorted(path for glob in globs for path in Path().glob(glob))


def prepare(room: str, modules: list[Path], tests: list[Path]) -> Path:
    """Return a fresh directory that mutmut can run in, with the room's settings."""
    directory = WORK / room
    shutil.rmtree(directory, ignore_errors=True)
    ignored = shutil.ignore_patterns(".*", "__pycache__", *MADE)
    shutil.copytree(REPOSITORY, directory, ignore=ignored)
    settings = SETTINGS.format(
        mutate=[str(path) for path in modules],
        tests=[str(path) for path in tests],
        others=[path.name for path in directory.iterdir() if path.name != "src"],
    )
    text = (REPOSITORY / "pyproject.toml").read_text()
    (directory / "pyproject.toml").write_text(text + settings)
    return directory


def name_mutants(modules: list[Path]) -> dict[str, Path]:
    """Return the name of every mutant of these modules, with its module."""
    return {
        get_mutant_name(path, name): path
        for path in modules
        for name in mutate_file_contents(str(path), path.read_text()).mutant_names
    }


def run_mutants(names: list[str]) -> dict[str, str]:
    """Run these mutants in the current directory; return the verdict on each."""
    mutmut = Path(sys.executable).with_name("mutmut")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with Path("mutmut.log").open("w") as log:
        command = [mutmut, "run", "--max-children", "1", *names]
        ended = subprocess.run(command, stdout=log, stderr=log, env=environment)
    if ended.returncode:
        sys.exit(f"mutmut failed: see {Path('mutmut.log').absolute()}")
    command = [mutmut, "results", "--all", "true"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    verdicts = dict(line.strip().split(": ") for line in lines.splitlines())
    return {name: verdicts[name] for name in names}


def read_survivor(name: str, path: Path) -> Survivor:
    """Return where a mutant is in its module, and what it changes."""
    diff = get_diff_for_mutant(name, path=path).splitlines()[3:]
    before = [line[1:].strip() for line in diff if line[:1] in " -"]
    first = next(i for i, line in enumerate(diff) if line[:1] in "-+")
    source = [line.strip() for line in path.read_text().splitlines()]
    function = re.sub(r".*[.ǁ](x_)?|__mutmut_\d+$", "", name)
    start = next(i for i, line in enumerate(source) if f"def {function}(" in line)
    start = max(start - 3, 0)
    line = next(
        i for i in range(start, len(source)) if source[i : i + len(before)] == before
    )
    old, new = (
        " ".join(line[1:].strip() for line in diff if line[:1] == sign) for sign in "-+"
    )
    return Survivor(path, function, line + first + 1, old, new)


def is_equivalent(survivor: Survivor, judged: dict[str, list[dict]]) -> bool:
    """Return whether a mutant is listed, or differs by a listed pattern only."""
    facts = {"module": survivor.path.stem, "function": survivor.function}
    facts |= {"old": survivor.old, "new": survivor.new}
    listed = ({k: entry[k] for k in entry if k != "why"} for entry in judged["mutants"])
    return any(entry.items() <= facts.items() for entry in listed) or any(
        re.sub(rule["pattern"], "", survivor.old)
        == re.sub(rule["pattern"], "", survivor.new)
        for rule in judged["patterns"]
    )


def report(
    chosen: dict[str, Path],
    verdicts: dict[str, str],
    total: int,
    judged: dict[str, list[dict]],
) -> bool:
    """Print a room's figures and survivors; return whether enough were killed."""
    survivors = [
        read_survivor(name, path)
        for name, path in chosen.items()
        if verdicts[name] not in KILLED
    ]
    equivalent = [s for s in survivors if is_equivalent(s, judged)]
    made = Counter(chosen.values())
    alive, same = (Counter(s.path for s in some) for some in (survivors, equivalent))
    print(f"{'module':40} mutants  killed  equivalent  share")
    for path, n in sorted(made.items()):
        print_row(path.name, n, alive[path], same[path])
    n, killed, rest = print_row("all", len(chosen), len(survivors), len(equivalent))
    if len(chosen) < total:
        low, high = binomtest(killed, rest).proportion_ci(method="wilson")
        print(f"{n} drawn at random of {total}: {low:.1%} to {high:.1%} (Wilson, 95 %)")
    for survivor in sorted(survivors, key=lambda s: (s.path, s.line)):
        if survivor not in equivalent:
            print(survivor)
    return killed >= ENOUGH * rest


def print_row(name: str, n: int, alive: int, same: int) -> tuple[int, int, int]:
    killed, rest = n - alive, n - same
    share = killed / rest if rest else 1.0
    print(f"{name:40} {n:7} {killed:7} {same:11} {share:6.1%}")
    return n, killed, rest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="rooms, or modules without .py")
    parser.add_argument("--sample", type=int, default=150, help="mutants of a room")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    tool = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]
    judged = tomllib.loads(EQUIVALENT.read_text())
    enough, rooms = True, tool["polycal"]["mutants"]
    os.chdir(REPOSITORY)
    code = {room: find(paths["code"]) for room, paths in rooms.items()}
    known = {*rooms, *(path.stem for paths in code.values() for path in paths)}
    if unknown := set(options.names) - known:
        parser.error(f"no room or module is called {', '.join(sorted(unknown))}")
    for room, modules in code.items():
        os.chdir(REPOSITORY)
        tests = find(rooms[room]["tests"])
        whole = not options.names or room in options.names
        if not whole:
            modules = [path for path in modules if path.stem in options.names]
        if not modules:
            continue
        os.chdir(prepare(room, modules, tests))
        mutants = name_mutants(modules)
        names = sorted(mutants)
        if whole and 0 < options.sample < len(names):
            names = random.Random(options.seed).sample(names, options.sample)
        print(f"\n{room}: {', '.join(rooms[room]['tests'])}", flush=True)
        chosen = {name: mutants[name] for name in names}
        enough &= report(chosen, run_mutants(names), len(mutants), judged)
    if not enough:
        sys.exit(f"less than {ENOUGH:.0%} killed: add tests, or judge the survivors")


if __name__ == "__main__":
    main()
