"""Split the embedded study's answers by whether SFT taught the fact that is asked.

    python benchmarks/taught.py [--directory .]

A question is taught if the SFT set has its English sentence as an instruction. Printed
are the number of taught questions of each task, and accuracy, mean confidence and ECE
(15 bins), in percent, by task, scoring and resource level, of the base model and of
each smoothing value: means over languages and seeds of the taught questions, then of
the others. What SFT changes in both alike was not memorised.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from polycal.calibration import METRICS, answer
from polycal.measuring.readings import readings
from polycal.study.languages import LEVELS, load_languages
from polycal.study.scorings import HEADLINE

SHOWN = ("accuracy", "confidence", "ece")


def find_taught(directory: Path, task: str) -> set[str]:
    """Return the ids of a task's questions whose English sentence is in the SFT set."""
    sft = pq.ParquetDataset(directory / "resources/miniature/sft/data").read()
    asked = pq.read_table(directory / f"resources/tasks/{task}/en.parquet")
    instructions = set(sft["instruction"].to_pylist())
    pairs = zip(
        asked["question_id"].to_pylist(), asked["question"].to_pylist(), strict=True
    )
    return {name for name, question in pairs if question in instructions}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--directory", type=Path, default=Path())
    directory = parser.parse_args().directory
    languages = load_languages()
    cells: dict[tuple, list[list[float]]] = defaultdict(list)
    counts: dict[str, tuple[int, int]] = {}
    for folder in sorted((directory / "results/predictions").glob("*/*/ls-*/*/*")):
        taught = find_taught(directory, folder.name)
        table = pa.concat_tables(map(pq.read_table, sorted(folder.glob("*.parquet"))))
        condition = tuple(
            table.slice(0, 1).to_pylist()[0][n] for n in ("sft", "smoothing")
        )
        for reading in readings(table, [HEADLINE["text"]]):
            if reading.calibrator != "none":
                continue
            for code, own in reading.languages.items():
                is_taught = np.isin(own.rows["question_id"].to_pylist(), [*taught])
                counts[folder.name] = int(is_taught.sum()), len(is_taught)
                for part in (True, False):
                    kept = own.select(is_taught == part)
                    given = answer(kept.scores, kept.gold)
                    values = [METRICS[name].compute(given) for name in SHOWN]
                    for level in (languages[code].level, "all"):
                        place = (folder.name, reading.scoring, level)
                        cells[(*place, part, condition)].append(values)
    for task, numbers in sorted(counts.items()):
        print(f"{task}: {numbers[0]} of {numbers[1]} questions are taught")
    conditions = sorted({key[-1] for key in cells}, key=lambda c: (c[0] != "none", c))
    print("taught / not taught", *("{} {:g}".format(*c) for c in conditions), sep=" | ")
    for task, scoring in sorted({key[:2] for key in cells}):
        for level in (*LEVELS, "all"):
            texts = []
            for condition in conditions:
                halves = (
                    np.mean(cells[task, scoring, level, part, condition], axis=0)
                    for part in (True, False)
                )
                texts.append(
                    " · ".join(" / ".join(f"{100 * v:.1f}" for v in h) for h in halves)
                )
            print(f"{task} {scoring} {level}", *texts, sep=" | ")


if __name__ == "__main__":
    main()
