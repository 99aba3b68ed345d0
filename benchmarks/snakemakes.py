"""Run Snakemake in a process of its own and tell what it took."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path


def run(folder: Path, *arguments: str) -> tuple[float, float, str]:
    """Seconds, MiB and words of snakemake in a folder.

    Raises:
        SystemExit: it failed; the end of its words.
    """
    command = [sys.executable, "-m", "snakemake", *arguments]
    begin = time.perf_counter()
    with open(folder / "printed", "w+") as printed:
        process = subprocess.Popen(command, cwd=folder, stdout=printed, stderr=printed)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begin
        printed.seek(0)
        text = printed.read()
    if status:
        raise SystemExit(text[-5000:])
    return seconds, used.ru_maxrss / 1024, text


def count_jobs(text: str) -> int:
    """The total of Snakemake's first table of jobs."""
    return int(re.search(r"^total +(\d+)$", text, flags=re.MULTILINE)[1])
