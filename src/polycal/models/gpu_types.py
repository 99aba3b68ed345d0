"""Known GPU types: peak speed and memory by datasheet, and their drivers' names."""

import csv
import functools
import re
from dataclasses import dataclass
from importlib.resources import files

from polycal.errors import InputError


@dataclass(frozen=True)
class Gpu:
    """A type of GPU."""

    name: str  # as the command line spells it
    flops: float  # dense bfloat16 FLOP/s by the datasheet
    memory: float  # bytes
    device: str  # regular expression for the driver's device name


@functools.cache
def list_gpus() -> dict[str, Gpu]:
    """Return the known GPU types by name, in the table's order."""
    table = files("polycal") / "data" / "gpus.csv"
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").split("\n")))
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
    """Return a GPU type by its name.

    Raises:
        InputError: the name is not in the table.
    """
    known = list_gpus()
    if name.lower() not in known:
        raise InputError(f"GPU {name!r} is not known; use one of {', '.join(known)}")
    return known[name.lower()]


def recognise_gpu(device: str) -> Gpu | None:
    """Return the GPU type of a driver's device name such as NVIDIA H100 80GB HBM3.

    None for devices that the table lacks, and for variants of other speed.
    """
    for gpu in list_gpus().values():
        if re.search(gpu.device, device):
            return gpu
    return None
