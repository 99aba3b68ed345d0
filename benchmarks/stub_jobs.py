"""Run every job of a large study up to its metrics, with commands that do nothing.

    python benchmarks/stub_jobs.py [--study studies/paper.yaml] [--seeds 10]

What is timed is what Snakemake and the workflow's own functions take: expanding the
study, running its jobs one after the other as fast as they end, writing down what each
made. In the jobs `python -m polycal` is a module that makes the named outputs, empty,
so a job's seconds are those of a shell and of Python. Beside it, as a peer, runs a
workflow of as many independent `touch` jobs. Printed are jobs, seconds, jobs a second
and the largest process of each, the files below the study's results and resources,
and what one more seed then takes to be planned.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import yaml
from snakemakes import count_jobs, run

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from study import REPOSITORY, STUB, copy_checkout

TOUCHES = """rule all:
    input: expand("made/{{i}}", i=range({n}))
rule touch:
    output: "made/{{i}}"
    shell: "touch {{output}}"
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", type=Path, default=REPOSITORY / "studies/paper.yaml")
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy_checkout(folder / "house")
        (folder / "house/src/polycal/__main__.py").write_text(STUB)
        study = yaml.safe_load(options.study.read_text())
        for seeds in (options.seeds, options.seeds + 1):
            text = yaml.safe_dump({**study, "seeds": list(range(seeds))})
            (folder / f"{seeds}.yaml").write_text(text)
        own = (
            *("--cores", "4", "--resources", "gpu=4", "--until", "measure"),
            *("--snakefile", str(folder / "house/Snakefile"), "--configfile"),
        )
        print(f"{'':24}{'jobs':>6}{'seconds':>9}{'jobs/s':>8}{'MiB':>6}")

        def show(what: str, seconds: float, mib: float, text: str) -> int:
            jobs = count_jobs(text)
            rate = f"{jobs / seconds:8.1f}"
            print(f"{what:24}{jobs:6}{seconds:9.1f}{rate}{mib:6.0f}", flush=True)
            return jobs

        jobs = show("study", *run(folder, *own, f"{options.seeds}.yaml"))
        made = [
            path
            for part in ("results", "resources")
            for path in (folder / part).rglob("*")
            if path.is_file()
        ]
        more = (*own, f"{options.seeds + 1}.yaml")
        show("one more seed, planned", *run(folder, *more, "--dry-run"))
        (folder / "Touches").write_text(TOUCHES.format(n=jobs))
        show("touch jobs", *run(folder, "--cores", "4", "--snakefile", "Touches"))
        print(f"{len(made)} files below results and resources")


if __name__ == "__main__":
    main()
