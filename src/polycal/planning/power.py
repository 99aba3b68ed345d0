"""What a study can show: the smallest effect that each of its claims could decide.

Where the study has claims, they hold it, with the noise that was measured. Before, the
noise is assumed; the assumptions stand at the top and are printed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from polycal.calibration import METRICS
from polycal.comparing.claims import (
    CLAIMS,
    EACH,
    TO_BASE,
    TO_OTHERS,
    TO_SCALED,
    Claim,
)
from polycal.comparing.inference import Noise
from polycal.comparing.power import POWER, plan
from polycal.comparing.verdicts import INCONCLUSIVE, NOT_JUDGED, PRIMARY
from polycal.measuring.readings import UNCALIBRATED
from polycal.measuring.temperature import ENGLISH
from polycal.planning.sizes import SizedStudy
from polycal.planning.terminal import align, count, wrap
from polycal.storage import tables
from polycal.study import grid, layout
from polycal.study.languages import ALL, load_languages

# Sd over questions of the difference of two conditions in one question. Right answers
# change in a fifth of the questions, and so does the gap.
OF_QUESTION = {
    "accuracy": 0.45,
    "gap": 0.45,
    "ece": 0.45,
    "confidence": 0.15,
    "brier": 0.3,
}
SHARED = 0.2  # part of this variance that all languages share: a question is the same
COMMON, SPECIFIC = 0.01, 0.005  # sd over trainings: of all languages, of one by itself
CORRECTNESS, BINS = 0.2, 10  # variance of an answer, bins in use: they bias an ECE
EFFECT = 0.02  # that should be decided, where no other is asked for
_OVERLAP = 0.25  # of smoothing values, see `polycal.comparing.seed_noise`
_OF_NOTHING = ("stays", "kept")  # claims that hold where there is no difference


class Prospect(NamedTuple):
    """What a study could say about one claim."""

    claim: Claim
    size: int  # hypotheses in its family
    detectable: float  # effect that is decided with probability `POWER`, a fraction
    questions: int | None  # that decide the effect asked for; None: no number of them
    # That decide it; None: no number of them, or the noise is unknown.
    seeds: int | None


def write_power(
    study: SizedStudy, results: Path, effect: float | None
) -> Iterator[str]:
    """Yield the lines about what a study can show.

    Raises:
        InputError: the table of claims is broken.
    """
    path = layout.below(results, layout.TABLE, table="claims", suffix="parquet")
    n = _count_questions(study.config, study)
    if path.exists():
        yield from _write_measured(path, study.config, n)
        if effect is not None:
            yield "--effect is not used: claims are planned for the effects they saw."
    elif n is None:
        yield "What it can show is unknown before its questions are counted."
    else:
        yield from _write_assumed(study.config, n, EFFECT if effect is None else effect)


def foresee(config: Mapping, n_questions: int, effect: float) -> list[Prospect]:
    """Return what a study could show by its primary task, under assumed noise.

    `n_questions` is that of the task's language that has fewest.

    Returns:
        The claims that the study could judge, but for those that compare models.
    """
    prospects = []
    for claim in CLAIMS.values():
        size = _count_hypotheses(config, claim)
        n_languages = len(_list_languages(config, claim))
        if not size or not n_languages or claim.reference == TO_OTHERS:
            continue
        noise, n_seeds = _assume(config, claim, n_questions, n_languages)
        bias = 0.0
        if METRICS[claim.metric].biased:
            bias = float(np.sqrt(2 / np.pi * CORRECTNESS * BINS / n_questions))
        # A claim that nothing changes holds by its distance from the margin.
        asked = effect
        if claim.direction in _OF_NOTHING:
            asked = config["statistics"]["margin"]
        found = plan(
            noise,
            (1 - config["statistics"]["confidence"]) / size,
            excess=asked,
            n_questions=n_questions,
            n_seeds=n_seeds,
            bias=bias,
            together=n_languages if claim.level == EACH else 1,
        )
        prospects.append(
            Prospect(
                claim,
                size,
                found["detectable"],
                found["n_questions_needed"],
                found["n_seeds_needed"],
            )
        )
    return prospects


def _count_questions(config: Mapping, study: SizedStudy) -> int | None:
    """Return the questions of the primary task's smallest language; None: unknown."""
    task = grid.entry(config["tasks"], config["statistics"]["primary_task"])
    sizes = [study.questions(task, code) for code in task["languages"]]
    numbers = [size.number if size else 0 for size in sizes]
    return int(min(numbers)) or None


def _count_seeds(config: Mapping) -> int:
    return len(config["seeds"]) if grid.expand_trained(config) else 1


def _count_hypotheses(config: Mapping, claim: Claim) -> int:
    """Return the size of a claim's family: models, SFT sets and smoothing values."""
    trained = {(run.model, run.sft) for run in grid.expand_trained(config)}
    smoothed = [value for value in config["smoothing"] if value]
    has_plain = len(smoothed) < len(config["smoothing"])
    if claim.reference != TO_BASE:
        return len(trained) * len(smoothed) * has_plain
    released = {(run.model, run.sft) for run in grid.expand_released(config)}
    return len(trained) * has_plain + len(released)


def _list_languages(config: Mapping, claim: Claim) -> list[str]:
    """Return the languages of a claim; none where it needs English and has none."""
    task = grid.entry(config["tasks"], config["statistics"]["primary_task"])
    codes = task["languages"]
    fitted = claim.reference == TO_SCALED or claim.calibrator != UNCALIBRATED
    if fitted and ENGLISH not in codes:
        return []
    if claim.level in (ALL, EACH):
        return codes
    return [code for code in codes if load_languages()[code].level == claim.level]


def _assume(
    config: Mapping, claim: Claim, n_questions: int, n_languages: int
) -> tuple[Noise, int]:
    """Return the assumed noise of a claim's difference, and its seeds."""
    n = 1 if claim.level == EACH else n_languages
    part = SHARED + (1 - SHARED) / n
    questions = OF_QUESTION[claim.metric] * (part / n_questions) ** 0.5
    n_seeds = _count_seeds(config)
    if n_seeds == 1:
        return Noise(questions), 1
    smoothings = len(config["smoothing"]) - (claim.reference != TO_BASE)
    df = smoothings * (n_seeds - 1) / (1 + (smoothings - 1) * _OVERLAP)
    if claim.level != EACH:
        common = np.hypot(COMMON, SPECIFIC / n**0.5) / n_seeds**0.5
        return Noise(questions, common, df), n_seeds
    parts = (each / n_seeds**0.5 for each in (COMMON, SPECIFIC))
    common, specific = parts
    noise = Noise(questions, common, df, specific, max(df * (n_languages - 1), 1.0))
    return noise, n_seeds


def _write_assumed(config: Mapping, n: int, effect: float) -> Iterator[str]:
    prospects = foresee(config, n, effect)
    if not prospects:
        return
    margin, seeds = config["statistics"]["margin"], _count_seeds(config)
    rows = [
        [
            each.claim.name,
            each.claim.metric,
            str(each.size),
            _spell(each.detectable),
            "none" if each.claim.direction in _OF_NOTHING else _spell(effect),
            _spell_count(each.questions),
            _spell_count(each.seeds) if seeds > 1 else "-",
        ]
        for each in prospects
    ]
    head = ["What it can show", "metric", "family", "decides, pp", "effect, pp"]
    yield from align([*head, "questions", "seeds"], rows, "<<>>>>>")
    task = config["statistics"]["primary_task"]
    lines = [
        f"decides: how far a difference has to lie beyond 0 or the margin "
        f"({_spell(margin)} pp) to be decided with a probability of {POWER:.0%}, with "
        f"{count(n, 'question')} of {task} per language and "
        f"{count(seeds, 'seed')}, while its whole family is not. "
        "questions, seeds: how many decide this effect, where the other number stays "
        "(none: no number does); the effect none is decided by the margin.",
    ]
    if seeds == 1 and grid.expand_trained(config):
        lines.append(
            "One seed: verdicts are about this training, whose noise nothing shows."
        )
    lines.append(
        "Assumed, as there are no results: sd over questions of a difference in one "
        + ", ".join(f"{sd:.0%} ({name})" for name, sd in OF_QUESTION.items())
        + f"; {SHARED:.0%} of this variance is shared by the languages; sd over "
        f"trainings {_spell(COMMON)} pp in all languages and {_spell(SPECIFIC)} pp in "
        "one; for everywhere, languages are independent; an ECE may lie above the "
        f"truth as much as that of a calibrated model with {BINS} bins in use."
    )
    for text in lines:
        yield from wrap(text)


def _write_measured(path: Path, config: Mapping, n: int | None) -> Iterator[str]:
    """Yield what claims say about their own power, and of which size the study was."""
    claims = [
        row
        for row in tables.read(path, "claims").to_pylist()
        if row["family"] == PRIMARY and row["verdict"] != NOT_JUDGED
    ]
    rows = []
    for name in CLAIMS:
        judged = [row for row in claims if row["claim"] == name]
        if not judged:
            continue
        left = [row for row in judged if row["verdict"] == INCONCLUSIVE]
        known = [row["detectable"] for row in judged if row["detectable"] is not None]
        rows.append(
            [
                name,
                judged[0]["metric"],
                f"{len(judged) - len(left)} of {len(judged)}",
                _spell_range(known, _spell),
                _spell_range([row["n_questions_needed"] for row in left], _spell_count),
                _spell_range([row["n_seeds_needed"] for row in left], _spell_count),
            ]
        )
    if not rows:
        return
    head = ["What it can show", "metric", "decided", "decides, pp"]
    yield from align([*head, "questions", "seeds"], rows, "<<>>>>")
    yield from wrap(
        f"From {path.name}, primary claims only. decides: how far a difference has to "
        "lie beyond 0 or the margin to be decided with a probability of "
        f"{POWER:.0%}. questions, seeds: how many would decide the effects that were "
        "seen and are not decided, where the other number stays (none: no number "
        "does, or nothing shows the noise of trainings)."
    )
    had = min(row["n_questions"] for row in claims), max(r["n_seeds"] for r in claims)
    has = had[0] if n is None else n, _count_seeds(config)
    text = f"The claims are of {_spell_size(*had)}."
    if has != had:
        text += f" The study now plans {_spell_size(*has)}: run it for claims about it."
    yield from wrap(text)


def _spell_size(n_questions: int, n_seeds: int) -> str:
    return f"{count(n_questions, 'question')} per language and {count(n_seeds, 'seed')}"


def _spell_range(values: Sequence, spell: Callable[[Any], str]) -> str:
    """Return the smallest and the largest value, which None is."""
    ordered = sorted(values, key=lambda value: (value is None, value))
    ends = list(dict.fromkeys(map(spell, (*ordered[:1], *ordered[-1:]))))
    return " to ".join(ends) or "-"


def _spell(fraction: float) -> str:
    return f"{100 * fraction:.3g}"


def _spell_count(number: int | None) -> str:
    return "none" if number is None else f"{number:,}"
