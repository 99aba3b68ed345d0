"""What a study says beyond single numbers: parts, doses, slopes, fronts, cultures.

From the study's metrics and their paired bootstrap replicates, so that nothing is
resampled here. Each function gives the rows of one table.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from polycal.comparing.conditions import language_of
from polycal.comparing.decomposition import decompose
from polycal.comparing.dose import dose_response
from polycal.comparing.inference import Noise, half_width
from polycal.comparing.paired import (
    CONDITION,
    Condition,
    Study,
    contrasted,
    gather,
    index_runs,
    levels_of,
    shared,
)
from polycal.comparing.pareto import front_probability, pareto_front
from polycal.comparing.slopes import meta_regression
from polycal.measuring.measure import CULTURES
from polycal.storage import tables
from polycal.study.grid import BASE
from polycal.study.languages import ALL
from polycal.verb import verb

PARTED = ("confidence", "accuracy", "ece")
DOSED = ("gap", "ece", "brier", "nll")
SLOPED = ("accuracy", "confidence", "gap", "ece")
_KINDS = ("decompositions", "doses", "slopes", "fronts", "dispersions", "cultures")
Row = dict[str, object]
# From a condition and a language to a number, or None where it is not known.
Predictor = Callable[[Condition, str], float | None]


@verb(makes="{out}/decompositions.parquet")
def analyse(
    *, metrics: Path, replicates: list[Path], confidence: float, out: Path
) -> None:
    """Write the study's decompositions, doses, slopes and so on, as Parquet and CSV.

    Args:
        metrics: the study's metrics table.
        replicates: the replicates of its runs and tasks.
        confidence: of the intervals, such as 0.95.
        out: the directory to write into.

    Raises:
        InputError: a table is not what it should be.
    """
    measured = tables.read(metrics, "metrics")
    predictors = predictors_of(measured)
    found: dict[str, list[Row]] = {kind: [] for kind in _KINDS}
    found["dispersions"] += dispersions(measured)
    # What is compared is of one model and task: the others need not be in memory.
    for (model, task), paths in _by_model_and_task(replicates).items():
        study, sensitive, agnostic = gather(
            tables.where(measured, model=model, task=task),
            (tables.read(path, "replicates") for path in paths),
            (ALL, *CULTURES),
        )
        found["decompositions"] += decompositions(study, confidence)
        found["doses"] += doses(study, confidence)
        found["slopes"] += slopes(study, predictors, confidence)
        found["fronts"] += fronts(study)
        found["cultures"] += cultures(sensitive, agnostic, confidence)
    for kind, rows in found.items():
        table = pa.Table.from_pylist(rows, tables.SCHEMAS[kind])
        tables.write_study(table, out, kind, confidence=confidence)


def _by_model_and_task(paths: Iterable[Path]) -> dict[tuple[str, str], list[Path]]:
    groups: dict[tuple[str, str], list[Path]] = {}
    for run, path in sorted(index_runs(paths).items()):
        groups.setdefault((run.model, run.task), []).append(path)
    return groups


def decompositions(study: Study, confidence: float) -> list[Row]:
    """Where each change of ECE comes from, by language and level.

    ECE is decomposed language by language, and the parts are averaged for a level.
    """
    rows = []
    for reference, before, after in contrasted(study):
        numbers = [study[each] for each in (before, after)]
        if any(name not in each for each in numbers for name in PARTED):
            continue
        common = shared(each["ece"] for each in numbers)
        points, draws = {}, {}
        for code in common:
            pairs = {n: [each[n] for each in numbers] for n in PARTED}
            points[code] = decompose(
                **{n: tuple(x.value[code] for x in p) for n, p in pairs.items()}
            )
            draws[code] = decompose(
                **{n: tuple(x.draws[code] for x in p) for n, p in pairs.items()}
            )
        groups = levels_of(common) | {code: [code] for code in common}
        for level, codes in groups.items():
            for part in ("confidence", "accuracy", "cancellation"):
                value = np.mean([getattr(points[code], part) for code in codes])
                drawn = np.mean([getattr(draws[code], part) for code in codes], axis=0)
                place = {"reference": reference, "level": level, "part": part}
                found = _interval(float(value), drawn, confidence)
                rows.append(after._asdict() | place | found)
    return rows


def doses(study: Study, confidence: float) -> list[Row]:
    """Every metric of which less is better over the smoothing values, by level."""
    rows = []
    for sweep, conditions in _sweeps(study).items():
        found = [study[each] for each in conditions]
        smoothing = [each.smoothing for each in conditions]
        for metric in DOSED:
            if len(conditions) < 2 or any(metric not in each for each in found):
                continue
            numbers = [each[metric] for each in found]
            if metric == "gap":  # of which 0 is best, in every language
                numbers = [each.sizes() for each in numbers]
            for level, codes in levels_of(shared(numbers)).items():
                means = [each.mean(codes) for each in numbers]
                value, drawn = (np.array(each) for each in zip(*means, strict=True))
                response = dose_response(
                    smoothing, value, drawn.T, confidence=confidence
                )
                dose = response._asdict()
                dose |= {"smoothings": smoothing, "values": value.tolist()}
                rows.append(_swept(sweep) | {"level": level, "metric": metric} | dose)
    return rows


def slopes(
    study: Study, predictors: Mapping[str, Predictor], confidence: float
) -> list[Row]:
    """How each change depends on what is known of a language.

    Args:
        study: as `gather` gives it.
        predictors: name -> from a condition and a code to a number, or None where it
            is not known; languages without it are left out.
        confidence: of the intervals.
    """
    rows = []
    for reference, before, after in contrasted(study):
        for metric in SLOPED:
            pair = [study[each].get(metric) for each in (before, after)]
            if None in pair:
                continue
            for name, predict in predictors.items():
                known = {code: predict(after, code) for code in shared(pair)}
                known = {code: x for code, x in known.items() if x is not None}
                if len(known) < 3:
                    continue
                effects = [pair[1].value[c] - pair[0].value[c] for c in known]
                drawn = np.array([pair[1].draws[c] - pair[0].draws[c] for c in known])
                try:
                    line = meta_regression(
                        effects,
                        np.cov(drawn),
                        list(known.values()),
                        confidence=confidence,
                    )
                except ValueError:
                    continue  # nothing to differ in, or too few replicates
                place = {"reference": reference, "metric": metric, "predictor": name}
                rows.append(after._asdict() | place | line._asdict())
    return rows


def fronts(study: Study) -> list[Row]:
    """Accuracy against ECE of all conditions of a model, and who is not beaten."""
    groups: dict[tuple, list[Condition]] = {}
    for condition, numbers in study.items():
        if {"accuracy", "ece"} <= set(numbers):
            # Calibrators compete, too: they are another way to the same end.
            place = (condition.model, *condition[3:6])
            groups.setdefault(place, []).append(condition)
    rows = []
    for conditions in groups.values():
        numbers = [study[each] for each in conditions]
        common = shared(each["ece"] for each in numbers)
        for level, codes in levels_of(common).items():
            point, drawn = {}, {}
            for metric in ("accuracy", "ece"):
                means = [each[metric].mean(codes) for each in numbers]
                point[metric] = np.array([value for value, _ in means])
                drawn[metric] = np.array([draws for _, draws in means]).T
            held = pareto_front(point["accuracy"], point["ece"])
            shares = front_probability(drawn["accuracy"], drawn["ece"])
            for index, condition in enumerate(conditions):
                place = {"level": level} | {
                    n: float(x[index]) for n, x in point.items()
                }
                found = {"front": bool(held[index]), "probability": shares[index]}
                rows.append(condition._asdict() | place | found)
    return rows


def dispersions(metrics: pa.Table) -> list[Row]:
    """How much over-confidence is left when one number repairs it in all languages.

    The logarithm of a language's own temperature is its over-confidence; the mean over
    languages is what one temperature for all can repair, the spread what it cannot.

    Args:
        metrics: the study's metrics table.
    """
    held = tables.where(metrics, metric="temperature", subset=ALL).to_pandas()
    rows = []
    keys = [*CONDITION]
    for place, own in held.groupby(keys, sort=True):
        logs = np.log(own.groupby("language")["value"].mean())
        for level, codes in levels_of(logs.index).items():
            found = logs.loc[codes]
            spread = float(found.std(ddof=1)) if len(found) > 1 else None
            numbers = {"mean_log": float(found.mean()), "sd_log": spread}
            count = {"level": level, "n_languages": len(found)}
            rows.append(dict(zip(keys, place, strict=True)) | count | numbers)
    return rows


def cultures(sensitive: Study, agnostic: Study, confidence: float) -> list[Row]:
    """Culturally sensitive minus agnostic questions: each condition and each change.

    Args:
        sensitive: as `gather` gives it of the questions that ask for a culture.
        agnostic: of those that do not.
        confidence: of the intervals.
    """
    both = [each for each in sensitive if each in agnostic]
    cases = [(None, None, each) for each in both]
    cases += [case for case in contrasted(sensitive) if set(case[1:]) <= set(both)]
    rows = []
    for reference, before, after in cases:
        signs = {after: 1} if before is None else {after: 1, before: -1}
        parts = [
            (sign * side, study[condition])
            for condition, sign in signs.items()
            for side, study in ((1, sensitive), (-1, agnostic))
        ]
        for metric in sorted(set.intersection(*(set(held) for _, held in parts))):
            numbers = [(sign, held[metric]) for sign, held in parts]
            common = shared(each for _, each in numbers)
            groups = levels_of(common) | {code: [code] for code in common}
            for level, codes in groups.items():
                means = [(sign, each.mean(codes)) for sign, each in numbers]
                value = sum(sign * mean for sign, (mean, _) in means)
                drawn = sum(sign * draws for sign, (_, draws) in means)
                place = {"reference": reference, "level": level, "metric": metric}
                found = _interval(value, drawn, confidence)
                rows.append(after._asdict() | place | found)
    return rows


def predictors_of(metrics: pa.Table) -> dict[str, Predictor]:
    """What is known of a language that an effect may depend on.

    Args:
        metrics: the study's metrics table, for the token premium: text scoring.
    """
    held = tables.where(metrics, metric="token_premium", subset=ALL).to_pandas()
    premium = held.groupby(["model", "task", "language"])["value"].mean().to_dict()

    def log_premium(condition: Condition, code: str) -> float | None:
        found = premium.get((condition.model, condition.task, code))
        return None if found is None else float(np.log(found))

    return {
        "joshi_class": lambda _, code: float(language_of(code).joshi_class),
        "log_token_premium": log_premium,
    }


def _sweeps(study: Study) -> dict[tuple, list[Condition]]:
    """The conditions of each SFT set by rising smoothing, read in one way."""
    found: dict[tuple, list[Condition]] = {}
    for condition in sorted(study):
        if condition.sft != BASE:
            found.setdefault(condition.sweep, []).append(condition)
    return found


def _swept(sweep: tuple[str, ...]) -> Row:
    names = [name for name in CONDITION if name != "smoothing"]
    return dict(zip(names, sweep, strict=True))


def _interval(value: float, drawn: np.ndarray, confidence: float) -> Row:
    """Estimate, standard error and normal interval from replicates [R]."""
    se = float(drawn.std(ddof=1))
    reach = float(half_width(Noise(se, 0.0, 1), confidence=confidence))
    return {
        "estimate": value,
        "se": se,
        "ci_low": value - reach,
        "ci_high": value + reach,
    }
