"""Pareto fronts of accuracy and ECE: the conditions that no other one beats."""

import numpy as np
from numpy.typing import ArrayLike

from polycal.comparing.paired import Condition, Row, Study, levels_of, shared
from polycal.comparing.seed_noise import add_training
from polycal.study.grid import BASE


def pareto_front(
    accuracy: ArrayLike, error: ArrayLike, least: ArrayLike | None = None
) -> np.ndarray:
    """Return whether each condition is on the front.

    A condition is beaten by one that has at least its accuracy and at most its error
    and is better in one of them; equal conditions do not beat each other.

    Args:
        accuracy: [..., C] more is better.
        error: [..., C] less is better; replicates may stand in front of conditions.
        least: [..., C] the least error that a rival may have; default: `error`.

    Returns:
        [..., C] booleans.

    Example:
        >>> pareto_front([0.6, 0.6, 0.5], [0.1, 0.2, 0.05]).tolist()
        [True, False, True]
    """
    accuracy, error = np.asarray(accuracy, float), np.asarray(error, float)
    mine, other = accuracy[..., :, None], accuracy[..., None, :]
    least = error if least is None else np.asarray(least, float)
    my_error, other_error = error[..., :, None], least[..., None, :]
    own = np.arange(error.shape[-1])
    other_error = np.broadcast_to(other_error, (*error.shape, error.shape[-1])).copy()
    other_error[..., own, own] = error  # nothing is its own rival
    as_good = (other >= mine) & (other_error <= my_error)
    better = (other > mine) | (other_error < my_error)
    return np.logical_not((as_good & better).any(axis=-1))


def front_probability(
    accuracy: ArrayLike, error: ArrayLike, bias: ArrayLike = 0.0
) -> np.ndarray:
    """Return the share of replicates in which each condition is surely on the front.

    Args:
        accuracy: [R, C] paired replicates.
        error: [R, C].
        bias: [C] how far the errors may lie above the truth on average.

    Returns:
        [C] from 0 to 1.
    """
    return pareto_front(accuracy, error, np.asarray(error) - bias).mean(axis=0)


def fronts(study: Study) -> list[Row]:
    """Return accuracy and ECE of all conditions, and which are on their model's front.

    Calibrators compete, too: they are another means to the same end.
    """
    groups: dict[tuple, list[Condition]] = {}
    for condition, numbers in study.items():
        if {"accuracy", "ece"} <= set(numbers):
            rivals = (condition.model, *condition[3:6])
            groups.setdefault(rivals, []).append(condition)
    rows = []
    for conditions in groups.values():
        numbers = [study[condition] for condition in conditions]
        common = shared(by_metric["ece"] for by_metric in numbers)
        for level, codes in levels_of(common).items():
            point, draws = {}, {}
            for stream, metric in enumerate(("accuracy", "ece")):
                means = [by_metric[metric].mean(codes) for by_metric in numbers]
                point[metric] = np.array([value for value, _ in means])
                seeds = [
                    None
                    if condition.sft == BASE
                    else by_metric[metric].mean_seeds(codes)
                    for condition, by_metric in zip(conditions, numbers, strict=True)
                ]
                drawn = np.array([drawn for _, drawn in means]).T
                draws[metric] = add_training(drawn, seeds, stream=stream)
            on_front = pareto_front(point["accuracy"], point["ece"])
            errors = draws["ece"] - draws["ece"].mean(axis=0) + point["ece"]
            bias = [by_metric["ece"].mean_bias(codes) for by_metric in numbers]
            shares = front_probability(draws["accuracy"], errors, bias)
            for index, condition in enumerate(conditions):
                values = {name: float(each[index]) for name, each in point.items()}
                front = {"front": bool(on_front[index]), "probability": shares[index]}
                rows.append(condition._asdict() | {"level": level} | values | front)
    return rows
