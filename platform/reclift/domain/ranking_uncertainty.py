"""How sure an offline number is: intervals over users, and whether two strategies really differ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

CHUNK = 4_000_000
"""So many random numbers are held at once."""


def bootstrap_interval(
    values: NDArray[np.float64], *, level: float = 0.95, draws: int = 1000, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Percentile bootstrap of means over users (Efron & Tibshirani, 1993): users are drawn again, with replacement.

    Args:
        values: shape (U, M): M metrics of U users; the same users are drawn for all.
        level: between 0 and 1.
        draws: how often.
        seed: start of the random numbers.

    Returns:
        Lower and upper bounds, shape (M,) each.

    Raises:
        ValueError: fewer than two users: nothing can be said about how much they differ.
    """
    users, metrics = values.shape
    if users < 2:
        raise ValueError(f"{users} users: an interval over users needs at least 2")
    if not 0 < level < 1:
        raise ValueError(f"level={level}: must be between 0 and 1")
    rng = np.random.default_rng(seed)
    means = np.empty((draws, metrics))
    step = max(1, CHUNK // users)
    chance = np.full(users, 1 / users)
    for start in range(0, draws, step):
        stop = min(start + step, draws)
        times = rng.multinomial(users, chance, size=stop - start)
        means[start:stop] = times @ values / users
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    return low, high


def paired_randomization(difference: NDArray[np.float64], *, draws: int = 9999, seed: int = 0) -> float:
    """Two-sided p-value that two strategies are alike, from each user's difference between them.

    Fisher's randomization: were they alike, each user's difference might as well have the other sign. Smucker, Allan &
    Carterette, "A Comparison of Statistical Significance Tests for Information Retrieval Evaluation" (CIKM 2007). The
    smallest possible value is 1 / (draws + 1).

    Args:
        difference: shape (U,), first minus second, U >= 1.
        draws: how many sign patterns are tried.
        seed: start of the random numbers.
    """
    if not len(difference):
        raise ValueError("no users: nothing can be compared")
    differing = difference[difference != 0]  # a zero has no sign to change
    if not len(differing):
        return 1.0
    rng = np.random.default_rng(seed)
    observed = abs(differing.sum()) * (1 - 1e-12)  # equal sums in another order must count as equal
    extreme = 0
    step = max(1, CHUNK // len(differing))
    for start in range(0, draws, step):
        signs = rng.integers(0, 2, size=(min(step, draws - start), len(differing)), dtype=np.int8)
        extreme += int((np.abs((2.0 * signs - 1) @ differing) >= observed).sum())
    return (extreme + 1) / (draws + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number.

    Holm, "A Simple Sequentially Rejective Multiple Test Procedure" (Scandinavian Journal of Statistics 1979).
    """
    order = np.argsort(p_values, kind="stable")
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(order.tolist()):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted
