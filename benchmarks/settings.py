"""Hold the verdicts of the embedded study made in several settings side by side.

    python benchmarks/settings.py --make build/settings
    python benchmarks/settings.py FOLDER FOLDER ...

The first makes the studies one after the other, each a whole run of the workflow
(nine minutes on two quiet cores): as it is, with three other SFT seeds, with two
threads a job and without the vector instructions that the processor has beyond SSE4.1,
and scored in bfloat16. The second compares finished studies, such as those of other
machines. Printed is each claim's estimate and verdict in each setting, a star where a
verdict differs from the first setting's, and how many do. Two verdicts are opposite if
one says that a claim holds and the other that it is reversed. Last, how the errors over
seeds of two smoothing values correlate, which the pooled noise of trainings rests on.
"""

import argparse
import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

ROOT = Path(__file__).parents[1]
CLAIM = ["claim", "task", "scoring", "smoothing"]
SETTINGS: dict[str, tuple[dict, dict, tuple[str, ...]]] = {
    "as it is": ({}, {}, ()),
    "other seeds": ({"seeds": [3, 4, 5]}, {}, ()),
    "two threads, SSE4.1": (
        {},
        {"ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}
        | {"ATEN_CPU_CAPABILITY": "default", "OMP_NUM_THREADS": "2"},
        ("--set-threads", "score=2", "tune=2"),
    ),
    "bfloat16": ({"scoring_dtype": "bfloat16"}, {}, ()),
}


def make(folder: Path) -> list[Path]:
    """Run the embedded study in each setting below a folder; return the studies."""
    study = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    studies = []
    for name, (changes, environment, arguments) in SETTINGS.items():
        place = folder / name.replace(" ", "-").replace(",", "")
        place.mkdir(parents=True, exist_ok=True)
        (place / "study.yaml").write_text(yaml.safe_dump(study | changes))
        command = [
            *(sys.executable, "-m", "snakemake", "--cores", "all"),
            *("--snakefile", str(ROOT / "Snakefile"), "--configfile", "study.yaml"),
            *arguments,
        ]
        subprocess.run(command, cwd=place, env=os.environ | environment, check=True)
        studies.append(place)
    return studies


def compare(studies: dict[str, Path]) -> pd.DataFrame:
    """Return claims with an estimate and a verdict per study."""
    columns = {}
    for name, place in studies.items():
        rows = pd.read_parquet(place / "results/claims.parquet").set_index(CLAIM)
        columns["estimate", name] = 100 * rows["estimate"]
        columns["verdict", name] = rows["verdict"]
    return pd.DataFrame(columns)


def correlate(studies: list[Path]) -> pd.DataFrame:
    """Return the mean correlation over seeds of two smoothing values' differences.

    Of the mean over languages of accuracy, confidence and gap; studies of different
    seeds are pooled, each around its own mean.
    """
    key = ["reference", "task", "scoring", "normaliser", "metric"]
    errors: dict[tuple, list] = {}
    for place in studies:
        rows = pd.read_parquet(place / "results/contrasts.parquet")
        rows = rows[(rows["level"] == "all") & (rows["calibrator"] == "none")]
        rows = rows[rows["metric"].isin(["accuracy", "confidence", "gap"])]
        for row in rows.to_dict("records"):
            apart = row["by_seed"] - row["by_seed"].mean()
            errors.setdefault(
                (*(row[name] for name in key), row["smoothing"]), []
            ).append(apart)
    pooled = {name: np.concatenate(own) for name, own in errors.items()}
    pairs = [
        (
            *one[:3],
            f"{one[-1]:g}, {other[-1]:g}",
            np.corrcoef(pooled[one], pooled[other])[0, 1],
        )
        for one, other in itertools.combinations(sorted(pooled), 2)
        # A study without one of two smoothing values pairs nothing of theirs.
        if one[:-1] == other[:-1] and pooled[one].shape == pooled[other].shape
    ]
    frame = pd.DataFrame(
        pairs, columns=["reference", "task", "scoring", "smoothing", "r"]
    )
    return frame.groupby(["reference", "smoothing", "scoring"])["r"].agg(
        ["mean", "count"]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("studies", nargs="*", type=Path)
    parser.add_argument("--make", type=Path)
    options = parser.parse_args()
    places = list(options.studies)
    if options.make:
        places += make(options.make.absolute())
    if not places:
        parser.error("name finished studies, or --make a folder for new ones")
    names = [f"{number} {place.name}" for number, place in enumerate(places, 1)]
    found = compare(dict(zip(names, places, strict=True)))
    estimates, verdicts = found["estimate"], found["verdict"]
    first = verdicts[names[0]]
    print("estimates in percentage points;", "; ".join(names))
    for claim, own in verdicts.iterrows():
        cells = (
            f"{estimates.loc[claim, name]:+6.1f} {own[name]}"
            + ("*" if own[name] != first[claim] else "")
            for name in names
        )
        label = "{} {} {} {}".format(*claim)
        print(f"{label:52}" + "".join(f"{cell:23}" for cell in cells))
    for name in names[1:]:
        differ = int((verdicts[name] != first).sum())
        print(f"{name}: {len(first) - differ} of {len(first)} as in {names[0]}")
    for one, other in itertools.combinations(names, 2):
        pairs = zip(verdicts[one], verdicts[other], strict=True)
        opposite = sum({*pair} == {"holds", "reversed"} for pair in pairs)
        print(f"{one} and {other}: {opposite} opposite verdicts")
    print("correlation over seeds, mean over tasks, normalisers and metrics")
    print(correlate(places).round(2).to_string())


if __name__ == "__main__":
    main()
