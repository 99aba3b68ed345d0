"""Known types of GPU: speed and memory by the datasheet, and how drivers name them."""

import csv
import functools
import re
from dataclasses import dataclass
from importlib.resources import files

from polycal.errors import InputError


@dataclass(frozen=True)
class Gpu:
    """A type of GPU.

    Attributes:
        name: as the command line spells it.
        flops: dense bfloat16 operations per second, by the datasheet.
        memory: bytes.
        device: pattern for what its driver calls it.
    """

    name: str
    flops: float
    memory: float
    device: str


@functools.cache
def list_gpus() -> dict[str, Gpu]:
    """Return the known types of GPU by name, in the table's order."""
    table = files("polycal") / "data" / "gpus.csv"
    with table.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    return {
        row["gpu"]: Gpu(
            row["gpu"],
            float(row["tflops"]) * 1e12,
            float(row["memory_gb"]) * 1e9,
            row["device"],
        )
        for row in rows
    }


def find_gpu(name: str) -> Gpu:
    """Return a type of GPU by its name.

    Raises:
        InputError: the table has none of this name.
    """
    known = list_gpus()
    if name.lower() not in known:
        raise InputError(f"no GPU {name!r} is known; known are {', '.join(known)}")
    return known[name.lower()]


def recognise_gpu(device: str) -> Gpu | None:
    """Return a type of GPU by its driver's name for it, such as NVIDIA H100 80GB HBM3.

    None for a device that the table does not have, and for variants of other speed.
    """
    for gpu in list_gpus().values():
        if re.search(gpu.device, device):
            return gpu
    return None
