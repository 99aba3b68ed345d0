"""Time the dry run of every shipped study.

    python benchmarks/dry_run.py

Prints jobs and seconds; beside them, as a peer, how long Snakemake takes for a
workflow without jobs, which is what no workflow can be faster than.
"""

import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
ROUNDS = 3


def run(folder: Path, *arguments: str) -> tuple[float, str]:
    """Median seconds of a dry run, and what the last one printed."""
    command = [sys.executable, "-m", "snakemake", "--dry-run", *arguments]
    seconds = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=True
        )
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds), done.stdout + done.stderr


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "Snakefile").write_text("rule all:\n    shell: 'true'\n")
        empty, _ = run(folder, "--snakefile", "Snakefile")
        print(f"{'study':16}{'jobs':>6}{'seconds':>10}{'ratio':>8}  (of {ROUNDS} runs)")
        print(f"{'one empty rule':16}{1:6}{empty:10.2f}{1:8.1f}")
        for path in sorted((REPOSITORY / "studies").glob("*.yaml")):
            seconds, text = run(
                folder,
                *("--snakefile", str(REPOSITORY / "Snakefile")),
                *("--configfile", str(path)),
                *("--quiet", "rules", "reason"),
            )
            jobs = int(re.search(r"^total +(\d+)$", text, flags=re.MULTILINE)[1])
            print(f"{path.stem:16}{jobs:6}{seconds:10.2f}{seconds / empty:8.1f}")


if __name__ == "__main__":
    main()
