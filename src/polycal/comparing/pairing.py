"""Which runs are compared: conditions, two ways to ask the same, models as they are."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from polycal.comparing.claims import TO_BASE, TO_SCALED, TO_SFT
from polycal.comparing.conditions import TO_MODEL, TO_STAGE, TO_TASK
from polycal.comparing.replicates import MeasuredRun, MetricKey
from polycal.errors import InputError
from polycal.measuring.readings import UNCALIBRATED
from polycal.measuring.temperature import FROM_ENGLISH
from polycal.study.grid import BASE


class Comparison(NamedTuple):
    """A condition and its reference.

    Attributes:
        reference: `TO_BASE`, `TO_SFT`, `TO_SCALED`, or `TO_TASK`, `TO_MODEL` or
            `TO_STAGE` with a name.
        pairs: (before, after) for each seed.
    """

    reference: str
    pairs: list[tuple[MeasuredRun, MeasuredRun]]

    def key_before(self, key: MetricKey) -> MetricKey | None:
        """Return what of the reference is compared with a condition's metric."""
        if self.reference != TO_SCALED:
            return key
        if key.calibrator != UNCALIBRATED:
            return None
        return key._replace(calibrator=FROM_ENGLISH)


def pair_conditions(runs: list[MeasuredRun]) -> Iterator[list[Comparison]]:
    """Yield the comparisons within each task, model and SFT set.

    Args:
        runs: of the study, sorted.
    """
    sets = {(run.task, run.model, run.sft) for run in runs if run.sft != BASE}
    for task, model, sft in sorted(sets):
        own = [run for run in runs if (run.task, run.model) == (task, model)]
        base = [run for run in own if run.sft == BASE]
        tuned: dict[float, dict[int, MeasuredRun]] = {}
        for run in own:
            if run.sft == sft:
                tuned.setdefault(run.smoothing, {})[run.seed] = run
        comparisons = []
        for smoothing, seeds in tuned.items():
            plain = tuned.get(0, {}) if smoothing else {}
            pairs = [(before, run) for run in seeds.values() for before in base]
            comparisons.append(Comparison(TO_BASE, pairs))
            pairs = [(plain[s], run) for s, run in seeds.items() if s in plain]
            comparisons += [Comparison(TO_SFT, pairs), Comparison(TO_SCALED, pairs)]
        yield [comparison for comparison in comparisons if comparison.pairs]


def pair_askings(
    runs: Sequence[MeasuredRun], same_questions: Sequence[str]
) -> Iterator[list[Comparison]]:
    """Yield the comparisons of two tasks that ask the same questions in two ways.

    The same training is asked both ways, and a question has the same weights in both,
    so that the difference is paired.

    Args:
        runs: of the study, sorted.
        same_questions: TASK=FIRST for each task that is compared with another.

    Yields:
        The smoothing values of one model and SFT set, untuned models as one.

    Raises:
        InputError: a text is not TASK=FIRST.
    """
    known = set(runs)
    for text in same_questions:
        task, first = _split(text, "--same-questions takes TASK=FIRST")
        sweeps: dict[tuple, dict[float, list]] = {}
        for run in runs:
            before = run._replace(task=first)
            if run.task == task and before in known:
                sweep = sweeps.setdefault((run.model, run.sft), {})
                sweep.setdefault(run.smoothing, []).append((before, run))
        for sweep in sweeps.values():
            yield [Comparison(f"{TO_TASK}{first}", pairs) for pairs in sweep.values()]


def pair_stages(
    runs: Sequence[MeasuredRun], tuned_from: Sequence[str]
) -> Iterator[list[Comparison]]:
    """Yield the comparisons of released checkpoints with those they were tuned from.

    Args:
        runs: of the study, sorted.
        tuned_from: SFT=EARLIER for each SFT whose checkpoints were tuned from those of
            another one.

    Raises:
        InputError: a text is not SFT=EARLIER.
    """
    known = set(runs)
    for text in tuned_from:
        sft, earlier = _split(text, "--tuned-from takes SFT=EARLIER")
        for run in runs:
            before = run._replace(sft=earlier)
            if run.sft == sft and before in known:
                yield [Comparison(f"{TO_STAGE}{earlier}", [(before, run)])]


def _split(text: str, usage: str) -> tuple[str, str]:
    name, equals, other = text.partition("=")
    if not equals:
        raise InputError(f"{usage}, not {text}")
    return name, other


def pair_models(
    runs: Sequence[MeasuredRun], first: str | None
) -> Iterator[list[Comparison]]:
    """Yield the comparisons of each model with one of them, where none is tuned.

    All answer the same questions with the same weights, so differences are paired.

    Args:
        runs: of the study, sorted.
        first: the model that the others are compared with; None: none is.
    """
    if first is None or any(run.sft != BASE for run in runs):
        return
    known = set(runs)
    for run in runs:
        before = run._replace(model=first)
        if run.model != first and before in known:
            yield [Comparison(f"{TO_MODEL}{first}", [(before, run)])]
