"""Show how a workflow's last run used its cores: work and idle time, rule by rule.

    python benchmarks/timeline.py [--directory .] [--cores 2]

Reads Snakemake's own log of the run, whose times are whole seconds. A rule's
core-seconds are the seconds of its jobs times their threads; idle are the core-seconds
of the whole run that no job held. The peer is the same work without any gap: the work
divided by the cores, which no order of the jobs can beat.
"""

import argparse
import os
import re
from collections import defaultdict
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

_TIME = re.compile(r"^\[(\w{3} \w{3} +\d+ \d\d:\d\d:\d\d \d{4})\]$")
_RULE = re.compile(r"^(?:local)?rule (\w+):$")


class Job(NamedTuple):
    rule: str
    begin: datetime
    end: datetime
    threads: int


def read_jobs(log: str) -> list[Job]:
    """The finished jobs of a run, by Snakemake's log of it."""
    begun: dict[str, tuple[str, datetime, int]] = {}
    jobs, now, rule, number = [], None, None, None
    for line in log.splitlines():
        if found := _TIME.match(line):
            now, rule = datetime.strptime(found[1], "%a %b %d %H:%M:%S %Y"), None
        elif found := _RULE.match(line):
            rule = found[1]
        elif rule and (found := re.match(r"^    jobid: (\d+)$", line)):
            number = found[1]
            begun[number] = (rule, now, 1)
        elif rule and (found := re.match(r"^    threads: (\d+)$", line)):
            begun[number] = (rule, begun[number][1], int(found[1]))
        elif (found := re.match(r"^Finished jobid: (\d+)", line)) and found[1] in begun:
            name, begin, threads = begun.pop(found[1])
            jobs.append(Job(name, begin, now, threads))
    return jobs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--directory", type=Path, default=Path())
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    options = parser.parse_args()
    logs = sorted((options.directory / ".snakemake/log").glob("*.snakemake.log"))
    if not logs:
        raise SystemExit(f"no run of snakemake has left a log in {options.directory}")
    for log in reversed(logs):  # a run that finds nothing to do leaves a log, too
        jobs = [job for job in read_jobs(log.read_text()) if job.rule != "all"]
        if jobs:
            break
    else:
        raise SystemExit(f"no run of {options.directory} has finished a job")
    begin = min(job.begin for job in jobs)
    span = (max(job.end for job in jobs) - begin).total_seconds()
    rules: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        rules[job.rule].append(job)
    print(f"{'rule':18}{'jobs':>6}{'core-s':>8}{'begins':>8}{'ends':>7}")
    work = 0.0
    for rule, own in rules.items():
        held = sum((job.end - job.begin).total_seconds() * job.threads for job in own)
        first = (min(job.begin for job in own) - begin).total_seconds()
        last = (max(job.end for job in own) - begin).total_seconds()
        print(f"{rule:18}{len(own):6}{held:8.0f}{first:8.0f}{last:7.0f}")
        work += held
    idle = span * options.cores - work
    print(f"{span:.0f} s on {options.cores} cores: {work:.0f} core-seconds of work")
    print(f"{idle:.0f} idle ({idle / (span * options.cores):.0%})")
    print(f"ratio to the same work without gaps: {span * options.cores / work:.2f}")


if __name__ == "__main__":
    main()
