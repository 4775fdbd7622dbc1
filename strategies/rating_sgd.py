"""Biased matrix factorization of ratings by stochastic gradient descent on squared error, in NumPy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from reclift.strategy import Progress


class Learned(NamedTuple):
    """The items' side: mean rating, offsets (I,), factors (I, F). The users' side is solved anew for each answer."""

    mean: float
    offsets: NDArray[np.float64]
    factors: NDArray[np.float64]


def fit_ratings(
    users: NDArray[np.integer],
    items: NDArray[np.integer],
    ratings: NDArray[np.float64],
    *,
    shape: tuple[int, int],
    factors: int,
    epochs: int,
    penalty: float,
    step: float,
    seed: int,
    progress: Progress,
) -> Learned:
    """Minimise the sum of (r - mean - b_u - b_i - p_u q_i)^2 + penalty (b_u^2 + b_i^2 + |p_u|^2 + |q_i|^2).

    The sum is over the ratings. Koren, Bell & Volinsky, "Matrix Factorization Techniques for Recommender Systems"
    (IEEE Computer 2009). Steps are taken over small batches: each rating's gradient is computed at the batch's start
    and they are added up, which at these sizes moves like one rating at a time and runs in NumPy. The step shrinks
    evenly to a tenth of itself.

    Args:
        users: shape (N,), the index of who rated.
        items: shape (N,), the index of what was rated.
        ratings: shape (N,), in any unit.
        shape: how many users and items there are.
        factors: numbers per user and item.
        epochs: passes over the ratings.
        penalty: see the sum above.
        step: the first step's length.
        seed: start of the random numbers.
        progress: told after each epoch.
    """
    rng = np.random.default_rng(seed)
    count = len(ratings)
    mean = float(ratings.mean()) if count else 0.0
    user_offsets, item_offsets = np.zeros(shape[0]), np.zeros(shape[1])
    P, Q = rng.normal(0, 0.1, (shape[0], factors)), rng.normal(0, 0.1, (shape[1], factors))
    size = int(np.clip(count / 100, 64, 8192))
    for epoch in range(epochs if count else 0):
        rate = step * (1 - 0.9 * epoch / max(1, epochs - 1))
        order = rng.permutation(count)
        for start in range(0, count, size):
            batch = order[start : start + size]
            u, i = users[batch], items[batch]
            p, q = P[u], Q[i]
            error = ratings[batch] - mean - user_offsets[u] - item_offsets[i] - np.einsum("nf,nf->n", p, q)
            np.add.at(user_offsets, u, rate * (error - penalty * user_offsets[u]))
            np.add.at(item_offsets, i, rate * (error - penalty * item_offsets[i]))
            _add(P, u, rate * (error[:, None] * q - penalty * p))
            _add(Q, i, rate * (error[:, None] * p - penalty * q))
        progress((epoch + 1) / epochs, "descending")
    return Learned(mean, item_offsets, Q)


def _add(table: NDArray[np.float64], rows: NDArray[np.integer], change: NDArray[np.float64]) -> None:
    """`np.add.at(table, rows, change)` for rows of numbers, many times faster by sorting."""
    order = np.argsort(rows, kind="stable")
    sorted_rows = rows[order]
    starts = np.flatnonzero(np.r_[True, sorted_rows[1:] != sorted_rows[:-1]])
    table[sorted_rows[starts]] += np.add.reduceat(change[order], starts, axis=0)
