"""What cheaper variants of a study would save."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from polycal.planning.jobs import list_jobs
from polycal.planning.sizes import SizedStudy
from polycal.study.layout import number

_EXAMPLES = 50_000  # conversations of the variant with smaller SFT sets
_QUESTIONS = 500  # a task and language, of the variant that asks fewer


class Saving(NamedTuple):
    """What one change of a study saves."""

    change: str  # as it is written in the study's file
    hours: float  # of GPUs and CPU cores together
    part: float  # of the whole study's hours


def find_savings(study: SizedStudy) -> list[Saving]:
    """Return the changes of a study that save something, the largest first.

    The study and its variants are estimated as if nothing had been run, because what
    finished jobs took says nothing about another recipe.
    """
    whole, savings = _estimate_hours(study), []
    for change, sections in _list_variants(study.config):
        saved = whole - _estimate_hours(study.change(sections))
        if saved > 0:
            savings.append(Saving(change, saved, saved / whole))
    return sorted(savings, key=lambda saving: -saving.hours)


def _estimate_hours(study: SizedStudy) -> float:
    return sum(job.device_seconds or 0 for job in list_jobs(study, {})) / 3600


def _list_variants(config: Mapping) -> Iterator[tuple[str, dict]]:
    """Yield changes, some of which change nothing, and the sections they replace."""
    recipe = config["recipe"]
    yield (
        f"lr: [{number(recipe['lr'][0])}]",
        {"recipe": {**recipe, "lr": recipe["lr"][:1]}},
    )
    for key, value in {"method": "lora", "epochs": 1}.items():
        yield f"{key}: {value}", {"recipe": {**recipe, key: value}}
    shortened = {"smoothing": config["smoothing"][:-1], "seeds": config["seeds"][:1]}
    for section, values in {**shortened, "scoring": config["scoring"][:1]}.items():
        if values:  # no smoothing value left would be a study without trainings
            spelt = (v if section == "scoring" else number(v) for v in values)
            yield f"{section}: [{', '.join(spelt)}]", {section: values}
    for section, key, most in (
        ("sft", "max_examples", _EXAMPLES),
        ("tasks", "max_questions", _QUESTIONS),
    ):
        capped = [
            {**entry, key: min(most, entry[key] or most)} if key in entry else entry
            for entry in config[section]
        ]
        yield f"{key}: {most} in {section}", {section: capped}
