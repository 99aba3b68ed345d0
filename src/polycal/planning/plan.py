"""Print what a study costs, before anything runs or in the middle of it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from polycal.errors import InputError
from polycal.models.gpu_types import find_gpu
from polycal.planning import costs
from polycal.planning.borders import find_borders
from polycal.planning.data_sizes import BYTES_PER_TOKEN
from polycal.planning.forecast import Forecast, forecast
from polycal.planning.jobs import Job, Timing, read_timings
from polycal.planning.power import write_power
from polycal.planning.savings import Saving, find_savings
from polycal.planning.sizes import SizedStudy
from polycal.planning.terminal import align, count, wrap
from polycal.study.config import load_study
from polycal.study.grid import expand_runs
from polycal.study.sources import check_local
from polycal.verb import verb

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
    effect: float | None = None,
) -> None:
    """Print what a study consists of, what it costs, and what it can show.

    Args:
        config: the study's file.
        gpu: type of GPU that the jobs run on; an unknown one lists the known ones.
        gpus: number of GPUs that work at a time.
        results: folder that the workflow writes into; it may be absent.
        resources: folder of prepared models and data; it may be absent.
        effect: difference that a study without claims yet should decide, a fraction;
            default: 0.02.

    Raises:
        InputError: the study, a timing or a setting is wrong, a local source does not
            exist, or the GPU is not known.
    """
    if effect is not None and not 0 < effect < 1:
        raise InputError(f"--effect is {effect}; it must be above 0 and below 1")
    loaded = load_study(config)
    check_local(loaded)
    study = SizedStudy(loaded, find_gpu(gpu), resources)
    timings = read_timings(results)
    whole = forecast(study, timings)
    devices = [job.devices for job in whole.jobs]
    where = f"{gpus} x {study.gpu.name}" if any(devices) else "CPU"
    notes = list(whole.notes)
    if not all(job.done for job in whole.of("score")):
        notes += find_borders(study)
    sections = [
        [f"Plan of the study {study.config['study']!r} on {where}"],
        _write_jobs(study.config, whole, timings),
        _write_time(whole, gpus),
        (line for note in notes for line in wrap(note)),
        _write_disk(whole),
        _write_savings(find_savings(study), all(devices)),
        write_power(study, results, effect),
        _write_facts(study, whole.jobs),
    ]
    texts = ["\n".join(lines) for lines in sections]
    print("\n\n".join(text for text in texts if text))


def _write_jobs(
    config: Mapping, whole: Forecast, timings: Mapping[str, Timing]
) -> Iterator[str]:
    rows = []
    for stage, meaning in _STAGES.items():
        addresses = whole.addresses[stage]
        if not addresses:
            continue
        done = sum(address in timings for address in addresses)
        shown = f"{done:,}" if done or stage in ("tune", "score") else "-"
        rows.append([stage, f"{len(addresses):,}", shown, meaning])
    yield from align(["Jobs", "all", "done", "one of them is"], rows, "<>><")
    yield "-: no times recorded; the stage needs no GPU."
    scorings = whole.of("score")
    languages = " + ".join(
        f"{len(task['languages'])} of {task['name']}" for task in config["tasks"]
    )
    questions = f"{sum(job.questions for job in scorings):,}"
    if not all(job.questions for job in scorings):
        questions = "an unknown number of"
    yield from wrap(
        f"Scored: {count(sum(job.languages for job in scorings), 'language')} "
        f"({languages}, for every one of {count(len(expand_runs(config)), 'model')}), "
        f"{questions} questions, each by {' and by '.join(config['scoring'])}."
    )
    for task in config["tasks"]:
        if task["max_questions"]:
            yield (
                f"Of {task['name']}, at most {task['max_questions']:,} questions per "
                "language are asked (max_questions)."
            )


def _write_time(whole: Forecast, gpus: int) -> Iterator[str]:
    units = sorted({job.unit for job in whole.jobs})  # GPU-hours before core-hours

    def describe(stage: str, model: str, jobs: Sequence[Job]) -> list[str]:
        left = [job for job in jobs if not job.done]
        known = [job.seconds for job in left if job.seconds is not None]
        longest = _format(max(known) / 3600) if known else ""
        hours = [_sum_hours(left, unit) for unit in units]
        return [stage, model, f"{len(left):,} of {len(jobs):,}", *hours, longest]

    rows = []
    for stage in ("tune", "score"):
        for model in dict.fromkeys(job.model for job in whole.of(stage)):
            jobs = whole.of(stage, model)
            rows.append([*describe(stage, model, jobs), _name_source(jobs)])
    rows.append([*describe("all", "", whole.jobs), ""])
    head = ["Time left", "model", "jobs left", *units, "longest, h", "how it is known"]
    yield from align(head, rows, "<<>" + ">" * len(units) + "><")
    needed = max((job.devices for job in whole.jobs if not job.done), default=0)
    if needed:
        if needed > gpus:
            yield f"A job holds {count(needed, 'GPU')}, more than --gpus {gpus}."
        gpus = max(needed, gpus)
        wall = sum(_wall_hours(whole.of(stage), gpus) for stage in ("tune", "score"))
        yield (
            f"With {count(gpus, 'GPU')} at a time: {_format(wall)} hours, "
            f"{wall / 24:,.1f} days."
        )
    spent = [job for job in whole.jobs if job.done]
    if spent:
        hours = ", ".join(f"{_sum_hours(spent, unit)} {unit}" for unit in units)
        yield f"Spent by {count(len(spent), 'finished job')}: {hours}."


def _sum_hours(jobs: Iterable[Job], unit: str) -> str:
    """Return the hours of the jobs of this unit, with `?` where some are unknown."""
    own = [job.device_seconds for job in jobs if job.unit == unit]
    known = [seconds for seconds in own if seconds is not None]
    text = _format(sum(known) / 3600) if known or not own else ""
    return text + "?" * (len(known) < len(own))


def _wall_hours(jobs: Sequence[Job], gpus: int) -> float:
    """Return the hours until the rest of a stage is done; at least its longest job."""
    left = [(job.seconds, job.devices) for job in jobs if job.devices and not job.done]
    known = [(seconds, devices) for seconds, devices in left if seconds]
    shared = sum(seconds * devices for seconds, devices in known) / gpus
    return max([shared, *(seconds for seconds, _ in known)]) / 3600


def _name_source(jobs: Sequence[Job]) -> str:
    """Return how the times of the jobs that are left are known."""
    left = [job for job in jobs if not job.done]
    if not left:
        return "all have times; after a change see snakemake -n"
    parts = []
    samples = {job.kind: job.samples for job in left if job.samples}
    if samples:
        parts.append(f"measured, median of {count(sum(samples.values()), 'job')}")
    rest = [job for job in left if not job.samples]
    if any(job.seconds is not None for job in rest):
        parts.append("estimated" if rest[0].devices else "estimated (CPU: rough)")
    if any(job.seconds is None for job in rest):
        parts.append("no size known")
    return "; ".join(parts)


def _write_disk(whole: Forecast) -> Iterator[str]:
    def describe(name: str, size: float, partial: bool) -> list[str]:
        known = "" if partial and not size else _format(size / 1e9)
        return [name, known + "?" * partial]

    rows = [describe(kind, n, kind in whole.partial) for kind, n in whole.disk.items()]
    rows.append(describe("all", sum(whole.disk.values()), bool(whole.partial)))
    yield from align(["Disk of the whole study", "GB"], rows, "<>")
    if whole.partial:
        yield "?: files of unknown size are left out."
    if whole.of("tune"):
        yield "Selected runs are links to their candidates and take no space."


def _write_savings(savings: Sequence[Saving], on_gpus: bool) -> Iterator[str]:
    if savings:
        rows = [
            [change, _format(hours), f"{part:.0%}"] for change, hours, part in savings
        ]
        unit = "GPU-hours" if on_gpus else "hours"
        head = ["Cheaper variants, as if nothing had been run", f"{unit} saved", "part"]
        yield from align(head, rows, "<>>")


def _write_facts(study: SizedStudy, jobs: Sequence[Job]) -> Iterator[str]:
    """Yield the assumptions, measurements and tables that the numbers are made of."""
    gpu, recipe, per_core = study.gpu, study.config["recipe"], costs.CORE_FLOPS / 1e9
    facts = []
    if any(job.devices for job in jobs):
        facts.append(
            f"{gpu.name}: {gpu.flops / 1e12:,.0f} TFLOP/s in bfloat16 by its "
            f"datasheet. Assumed, not measured: training reaches "
            f"{costs.TRAINING_MFU:.2f} of it (usual for dense models of this size), "
            f"scoring {costs.SCORING_MFU:.2f} (forward passes only)."
        )
        if study.config["scoring_dtype"] == "float32":
            facts.append(
                "scoring_dtype is float32, which takes several times as long on a GPU "
                "as estimated here until a job has finished."
            )
    if not all(job.devices for job in jobs):
        facts.append(
            f"CPU: a job has one core, assumed to reach {per_core:.0f} GFLOP/s."
        )
    if study.sft and any(job.devices for job in jobs):
        facts.append(
            f"GPU memory of a training: {costs.TRAINED_BYTES + costs.COPIED_BYTES} "
            f"bytes per parameter that is trained; in a micro-batch "
            f"{costs.ACTIVATION_BYTES} per token, layer and unit of width, "
            f"{costs.LOGIT_BYTES} per logit of the {costs.LOGIT_POSITIONS} positions "
            f"that the loss holds at a time, and {costs.WEIGHT_BYTES} per attention "
            "weight where a soft cap asks for eager attention (Gemma-2)."
        )
    flop = "6 FLOP per parameter and token"
    if recipe["method"] == "lora":
        flop = "4 FLOP per parameter and token, and 6 per parameter of the adapter"
    if study.sft:
        facts.append(
            f"Training: {flop}; padding and attention's products are left out. Tokens "
            f"of a conversation: sft_sizes.csv, or {BYTES_PER_TOKEN} bytes each in a "
            "set on this machine."
        )
    if any(task["prompt"] == "chat" for task in study.config["tasks"]):
        facts.append(
            f"A chat template is counted as {costs.TEMPLATE_TOKENS} tokens a question "
            "(assumed: Gemma's has about 10, Llama-3.1's 45)."
        )
    facts += [
        "Scoring: 2 FLOP per parameter and needed token, the context once, each option "
        f"once, shots once for {costs.SUBJECT_SIZE} questions. Questions: of a "
        "prepared table, else benchmark_sizes.csv, or the rows of a benchmark on this "
        "machine. Tokens of a question: benchmark_sizes.csv, times the language's "
        "factor of fertility.csv (measured on the Universal Declaration of Human "
        "Rights: too high where a question is formulas or names), or "
        f"{BYTES_PER_TOKEN} bytes each in another benchmark's "
        "prepared table or its first rows on this machine.",
        f"Every job takes {costs.START_UP:.0f} s to start, and reads or writes weights "
        f"at {costs.READ_SPEED / 1e9:.1f} GB/s (assumed).",
        f"Disk: {costs.PREDICTION_BYTES:.0f} bytes per option in predictions and store "
        f"(measured), {costs.EXAMPLE_BYTES:.1f} per token of a tokenised set.",
        "A job counts as done when its timing exists; after a change of the recipe, "
        "`snakemake -n` lists what is made again. The tables are in src/polycal/data/.",
    ]
    yield "How it is estimated"
    for fact in facts:
        yield from wrap(fact, indent="  ")


def _format(value: float) -> str:
    """Return a number with about three significant digits."""
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 1 or value == 0:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.01 else "< 0.01"
