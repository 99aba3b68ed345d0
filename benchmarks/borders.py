"""Send random faults across every border, and count what becomes of them.

    python benchmarks/borders.py [--rounds 1000] [--seed 0] [--borders NAME ...]

A round writes benchmark rows, SFT rows, samples of lm_eval or a README.md with random
JSON values, columns of wrong types, cut-off files or changed bytes, and reads them as a
study does. Printed are, per border, the rounds and how they ended:

table       everything was kept
dropped     rows were dropped, and every one is counted
refused     one line says what is wrong
traceback   something else; the seed of the first is printed

The faults are those of tests/borders.py.
"""

import argparse
import logging
import sys
import tempfile
import traceback
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from borders import BORDERS, OUTCOMES, cross
from transformers.utils.logging import disable_progress_bar


def main() -> None:
    """Print a table with a line per border."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--borders", nargs="+", choices=BORDERS, default=list(BORDERS))
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    disable_progress_bar()
    columns = [*OUTCOMES, "traceback"]
    print(f"{'border':20}" + "".join(f"{name:>11}" for name in ("rounds", *columns)))
    for border in arguments.borders:
        outcomes: Counter[str] = Counter()
        for seed in range(arguments.seed, arguments.seed + arguments.rounds):
            with tempfile.TemporaryDirectory() as folder:
                try:
                    outcomes[cross(border, seed, Path(folder))] += 1
                except Exception:  # whatever is raised is what is counted
                    if not outcomes["traceback"]:
                        print(f"{border}, seed {seed}:\n{traceback.format_exc()}")
                    outcomes["traceback"] += 1
        counts = [outcomes.total(), *(outcomes[name] for name in columns)]
        print(f"{border:20}" + "".join(f"{count:11,}" for count in counts), flush=True)


if __name__ == "__main__":
    main()
