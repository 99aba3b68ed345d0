"""Tell what a study costs, as plain text, before anything runs."""

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from polycal.errors import InputError
from polycal.models.gpu_types import Gpu, find_gpu
from polycal.planning.basis import list_facts
from polycal.planning.forecast import Forecast, forecast
from polycal.planning.jobs import Job
from polycal.planning.savings import Saving, find_savings
from polycal.planning.text_table import align
from polycal.planning.timings import Timing, read_timings
from polycal.study.config import load_study
from polycal.study.grid import expand_runs
from polycal.verb import verb

_WIDTH = 96
_STAGES = {
    "tokenize": "one SFT set in one model's tokens",
    "tune": "one training: model, SFT set, smoothing, learning rate, seed",
    "select": "the best learning rate of one tuned model",
    "score": "some languages of a benchmark with one model",
    "measure": "the metrics of one run on one benchmark",
}


@verb()
def plan(
    *,
    config: Path = Path("config.yaml"),
    gpu: str = "h200",
    gpus: int = 1,
    results: Path = Path("results"),
    resources: Path = Path("resources"),
) -> None:
    """Print what a study consists of and what is left of it costs.

    Args:
        config: the study's file.
        gpu: the type of GPU that its jobs run on.
        gpus: how many of them work at a time.
        results: the folder that the workflow writes into; what finished jobs took is
            read from it. It may be absent.
        resources: folder of prepared models, SFT sets and tasks, whose sizes are
            exact; it may be absent.

    Raises:
        InputError: the study or a timing is wrong, or the GPU is not known.
    """
    if gpus < 1:
        raise InputError(f"--gpus is {gpus}; it must be at least 1")
    study = load_study(config)
    kind = find_gpu(gpu)
    taken = read_timings(results)
    found = forecast(study, gpu=kind, timings=taken, resources=resources)
    savings = find_savings(study, gpu=kind, resources=resources)
    print(write_plan(study, found, savings, gpu=kind, gpus=gpus, timings=taken))


def write_plan(
    study: Mapping,
    found: Forecast,
    savings: Sequence[Saving],
    *,
    gpu: Gpu,
    gpus: int,
    timings: Mapping[str, Timing],
) -> str:
    """The plan's text; the same arguments give the same text.

    Args:
        study: a complete study.
        found: its forecast.
        savings: its cheaper variants.
        gpu: the type of GPU.
        gpus: how many work at a time.
        timings: what finished jobs took, by address.
    """
    where = f"{gpus} x {gpu.name}" if any(job.on_gpu for job in found.jobs) else "CPU"
    sections = [
        [f"Plan of the study {study['study']!r} on {where}"],
        [*_write_jobs(study, found, timings), *_write_misfits(found, gpu)],
        _write_time(found, gpus),
        (line for note in found.notes for line in _wrap(note)),
        _write_disk(found),
        _write_savings(savings, found),
        _write_basis(study, found, gpu),
    ]
    texts = ["\n".join(lines) for lines in sections]
    return "\n\n".join(text for text in texts if text)


def _write_jobs(
    study: Mapping, found: Forecast, timings: Mapping[str, Timing]
) -> Iterator[str]:
    rows = []
    for stage, meaning in _STAGES.items():
        addresses = found.others.get(stage)
        if addresses is None:
            addresses = [job.address for job in found.of(stage)]
        done = sum(address in timings for address in addresses)
        shown = f"{done:,}" if done or stage not in found.others else "-"
        rows.append([stage, f"{len(addresses):,}", shown, meaning])
    yield from align(["Jobs", "all", "done", "one of them is"], rows, "<>><")
    yield "-: no times of it are there; it needs no GPU."
    scored = [job for job in found.jobs if job.stage == "score"]
    each = " + ".join(
        f"{len(task['languages'])} of {task['name']}" for task in study["tasks"]
    )
    n = f"{sum(job.questions for job in scored):,}"
    if not all(job.questions for job in scored):
        n = "an unknown number of"
    yield from _wrap(
        f"Scored: {_count(sum(job.units for job in scored), 'language')} ({each}, for "
        f"every one of {_count(len(expand_runs(study)), 'model')}), {n} questions, "
        f"each by {' and by '.join(study['scoring'])}."
    )


def _write_misfits(found: Forecast, gpu: Gpu) -> Iterator[str]:
    """One line about the trainings that are left and are too large for the GPU."""
    jobs, verbs = found.of("tune"), {True: "cannot", False: "may not"}
    too_large = {each.model: verbs[each.certain] for each in found.misfits}
    left = [too_large.get(job.model) for job in jobs if not job.done]
    parts = [(left.count(verb), verb) for verb in verbs.values() if verb in left]
    if parts:
        (n, verb), *others = parts
        rest = "".join(f", and {more:,} {other}" for more, other in others)
        yield from _wrap(
            f"{n:,} of {_count(len(jobs), 'training')} {verb} run on one {gpu.name}"
            f"{rest}: see the warnings below."
        )


def _write_time(found: Forecast, gpus: int) -> Iterator[str]:
    units = {"GPU-hours": True, "core-hours": False}
    units = {
        unit: on_gpu
        for unit, on_gpu in units.items()
        if any(job.on_gpu == on_gpu for job in found.jobs)
    }

    def hours(jobs: Sequence[Job]) -> list[str]:
        return [_sum_hours(jobs, on_gpu) for on_gpu in units.values()]

    rows = []
    for stage in ("tune", "score"):
        for model in dict.fromkeys(job.model for job in found.of(stage)):
            jobs = found.of(stage, model)
            left = [job for job in jobs if not job.done]
            longest, how = _longest(left), _how(left)
            n = f"{len(left):,} of {len(jobs):,}"
            rows.append([stage, model, n, *hours(left), longest, how])
    left = [job for job in found.jobs if not job.done]
    n = f"{len(left):,} of {len(found.jobs):,}"
    rows.append(["all", "", n, *hours(left), _longest(left), ""])
    head = ["Time left", "model", "jobs left", *units, "longest, h"]
    sides = "<<>" + ">" * len(units) + "><"
    yield from align([*head, "how it is known"], rows, sides)
    if any(job.on_gpu for job in left):
        needed = max(job.devices for job in left)
        if needed > gpus:
            yield f"A job holds {_count(needed, 'GPU')}, more than --gpus {gpus}."
        gpus = max(needed, gpus)
        wall = sum(_wall(found.of(stage), gpus) for stage in ("tune", "score"))
        yield (
            f"With {_count(gpus, 'GPU')} at a time: {_quantity(wall)} hours, "
            f"{wall / 24:,.1f} days."
        )
    spent = [job for job in found.jobs if job.done]
    if spent:
        texts = zip(hours(spent), units, strict=True)
        amount = ", ".join(" ".join(each) for each in texts)
        yield f"Spent by {_count(len(spent), 'finished job')}: {amount}."


def _sum_hours(jobs: Iterable[Job], on_gpu: bool) -> str:
    """Hours of the jobs that use a GPU, or do not; with `?` where some are unknown."""
    held = [job.held for job in jobs if job.on_gpu == on_gpu]
    known = [each for each in held if each is not None]
    text = _quantity(sum(known) / 3600) if known or not held else ""
    return text + "?" * (len(known) < len(held))


def _longest(jobs: Iterable[Job]) -> str:
    known = [job.seconds for job in jobs if job.seconds is not None]
    return _quantity(max(known) / 3600) if known else ""


def _how(jobs: Sequence[Job]) -> str:
    if not jobs:
        return "all have times here; changed? see snakemake -n"
    parts = []
    samples = {job.kind: job.samples for job in jobs if job.samples}
    if samples:
        parts.append(f"measured, median of {_count(sum(samples.values()), 'job')}")
    rest = [job for job in jobs if not job.samples]
    if any(job.seconds is not None for job in rest):
        parts.append("estimated" if rest[0].on_gpu else "estimated (CPU: rough)")
    if any(job.seconds is None for job in rest):
        parts.append("no size known")
    return "; ".join(parts)


def _wall(jobs: Sequence[Job], gpus: int) -> float:
    """Hours of what is left of a stage; it takes no less than its longest job."""
    left = [job for job in jobs if job.on_gpu and not job.done]
    known = [job for job in left if job.seconds is not None]
    held = sum(job.held for job in known) / gpus
    return max(held, *(job.seconds for job in known)) / 3600 if known else 0.0


def _write_disk(found: Forecast) -> Iterator[str]:
    rows = []
    for name, size in found.disk.items():
        rows.append([name, _write_size(size, name in found.partial)])
    total = sum(found.disk.values())
    rows.append(["all", _write_size(total, bool(found.partial))])
    yield from align(["Disk of the whole study", "GB"], rows, "<>")
    if found.partial:
        yield "?: something is left out, because nobody knows its size."
    yield "Selected runs are links to their candidates and take no space."


def _write_size(size: float, partial: bool) -> str:
    known = "" if partial and not size else _quantity(size / 1e9)
    return known + "?" * partial


def _write_savings(savings: Sequence[Saving], found: Forecast) -> Iterator[str]:
    if not savings:
        return
    unit = "GPU-hours" if all(job.on_gpu for job in found.jobs) else "hours"
    rows = [
        [each.change, _quantity(each.hours), f"{each.part:.0%}"] for each in savings
    ]
    head = ["Cheaper variants, as if nothing had been run", f"{unit} saved", "part"]
    yield from align(head, rows, "<>>")


def _write_basis(study: Mapping, found: Forecast, gpu: Gpu) -> Iterator[str]:
    yield "How it is estimated"
    for fact in list_facts(study, found.jobs, gpu):
        yield from _wrap(fact, indent="  ")


def _wrap(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
    )


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _quantity(value: float) -> str:
    """A number with about three digits that matter."""
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 1 or value == 0:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.01 else "< 0.01"
