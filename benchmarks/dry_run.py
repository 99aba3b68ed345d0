"""Time the dry run of every shipped study.

    python benchmarks/dry_run.py

Prints jobs, seconds and peak memory; beside them, as a peer, what Snakemake takes for a
workflow without jobs, which is what no workflow can be faster than. The last line is
the largest study with ten seeds instead of one.
"""

import statistics
import tempfile
from pathlib import Path

import yaml
from snakemakes import count_jobs, run

REPOSITORY = Path(__file__).parents[1]
ROUNDS = 3  # of which the medians are printed


def plan(folder: Path, *arguments: str) -> tuple[float, float, int]:
    """Median seconds and MiB of a dry run, and its jobs."""
    rounds = [run(folder, "--dry-run", *arguments) for _ in range(ROUNDS)]
    seconds, memory, texts = zip(*rounds, strict=True)
    return statistics.median(seconds), statistics.median(memory), count_jobs(texts[0])


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "Snakefile").write_text("rule all:\n    shell: 'true'\n")
        empty, own, _ = plan(folder, "--snakefile", "Snakefile")
        print(
            f"{'study':24}{'jobs':>6}{'seconds':>9}{'ratio':>7}{'MiB':>6}{'ratio':>7}"
        )
        print(f"{'one empty rule':24}{1:6}{empty:9.2f}{1:7.1f}{own:6.0f}{1:7.1f}")
        paths = sorted((REPOSITORY / "studies").glob("*.yaml"))
        large = yaml.safe_load((REPOSITORY / "studies/paper.yaml").read_text())
        tenfold = folder / "paper, ten seeds.yaml"
        tenfold.write_text(yaml.safe_dump({**large, "seeds": list(range(10))}))
        for path in (*paths, tenfold):
            seconds, memory, jobs = plan(
                folder,
                *("--snakefile", str(REPOSITORY / "Snakefile")),
                *("--configfile", str(path)),
                *("--quiet", "rules", "reason"),
            )
            print(
                f"{path.stem:24}{jobs:6}{seconds:9.2f}{seconds / empty:7.1f}"
                f"{memory:6.0f}{memory / own:7.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
