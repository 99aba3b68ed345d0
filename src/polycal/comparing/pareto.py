"""Which conditions no other one beats in both accuracy and calibration error."""

import numpy as np
from numpy.typing import ArrayLike


def pareto_front(accuracy: ArrayLike, error: ArrayLike) -> np.ndarray:
    """Whether each condition is on the front.

    One is beaten where another has at least its accuracy and at most its error, and is
    better in one of them; equal conditions do not beat each other.

    Args:
        accuracy: [..., C] more is better.
        error: [..., C] less is better; replicates may stand in front of conditions.

    Returns:
        [..., C] booleans.

    Example:
        >>> pareto_front([0.6, 0.6, 0.5], [0.1, 0.2, 0.05]).tolist()
        [True, False, True]
    """
    accuracy, error = np.asarray(accuracy, float), np.asarray(error, float)
    mine, other = accuracy[..., :, None], accuracy[..., None, :]
    my_error, other_error = error[..., :, None], error[..., None, :]
    as_good = (other >= mine) & (other_error <= my_error)
    better = (other > mine) | (other_error < my_error)
    return ~(as_good & better).any(axis=-1)


def front_probability(accuracy: ArrayLike, error: ArrayLike) -> np.ndarray:
    """In what share of the bootstrap replicates each condition is on the front.

    Args:
        accuracy: [R, C] paired replicates.
        error: [R, C].

    Returns:
        [C] from 0 to 1.
    """
    return pareto_front(accuracy, error).mean(axis=0)
