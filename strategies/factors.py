"""Learns items' factors, and puts them in the order in which they are served."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from reclift.strategy import Dataset, Progress, State, StrategyError
from strategies.item_lists_fit import vector_lists
from strategies.rating_sgd import fit_ratings
from strategies.ratings import ratings

STARS = 1.125
"""Standard deviation of ratings from 1 to 5 (MovieLens: 1.126), which the default step and penalty were found on."""


def factor_state(
    item_ids: NDArray[np.str_],
    factors: NDArray[np.float32],
    *,
    offsets: NDArray[np.floating] | None = None,
    mean: float = 0.0,
    top: float = 0.0,
    scale: float = 1.0,
    penalty: float,
) -> State:
    """Items by falling length of their factors, shape (I, factors), with what folding users in needs.

    `penalty` holds for values divided by `scale`.
    """
    order = np.argsort(-np.linalg.norm(factors, axis=1), kind="stable")
    item_ids, factors = item_ids[order], np.ascontiguousarray(factors[order])
    offsets = np.zeros(len(order)) if offsets is None else offsets[order]
    wide = factors.astype(np.float64)
    return State(
        arrays={
            "item_ids": item_ids,
            "factors": factors,
            "offsets": offsets.astype(np.float32),
            "gram": wide.T @ wide,
        },
        meta={"mean": mean, "penalty": penalty, "top": top, "scale": scale},
    )


def order_for_lists(state: State, seed: int, *, augmented: bool) -> State:
    """The same items in lists of alike ones; `augmented`: offsets are part of the scores, and of the stored factors."""
    arrays = state.arrays
    vectors = arrays["factors"]
    if augmented:
        vectors = np.column_stack([vectors, arrays["offsets"]])
    by_length = np.argsort(-np.linalg.norm(vectors, axis=1), kind="stable")
    order, lists = vector_lists(vectors[by_length], seed)
    order = by_length[order]
    return State(
        arrays={
            "item_ids": arrays["item_ids"][order],
            "factors": np.ascontiguousarray(vectors[order]),
            "offsets": arrays["offsets"][order],
            "gram": arrays["gram"],
            **lists,
        },
        meta=state.meta,
    )


def fit_ranking(data: Dataset, params: Any, progress: Progress) -> State:
    """Implicit-feedback ALS; see `MatrixFactorization` for the parameters."""
    chosen = np.flatnonzero(np.bincount(data.columns, minlength=data.shape[1]))
    if not len(chosen):
        return factor_state(data.item_ids[:0], np.zeros((0, params.factors), np.float32), penalty=1.0)
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    matrix = data.matrix
    # all users are needed for no more than their rows: the columns are cut to items that were chosen
    confidence = matrix[:, chosen] if len(chosen) < matrix.shape[1] else matrix.copy()
    confidence.data = 1 + np.float32(params.alpha) * confidence.data
    penalty = params.regularization * largest_singular_value(confidence)

    def told(sweep: int, _seconds: float, _loss: float | None) -> None:
        progress((sweep + 1) / params.iterations, "factorizing")

    with threadpool_limits(1, "blas"):  # `implicit` has its own threads; BLAS' on top slow them down
        model = AlternatingLeastSquares(
            factors=params.factors,
            regularization=penalty,
            iterations=params.iterations,
            random_state=params.seed,
        )
        model.fit(confidence, show_progress=False, callback=told)
    factors = np.ascontiguousarray(model.item_factors, dtype=np.float32)
    return factor_state(data.item_ids[chosen], factors, penalty=penalty)


def fit_rating(data: Dataset, params: Any, progress: Progress) -> State:
    """SGD on the squared error of ratings.

    Raises:
        StrategyError: there are interactions, and none carries a value.
    """
    users, columns, values = ratings(data)
    if len(data) and not len(values):
        raise StrategyError(
            f"matrix_factorization: parameter objective='rating': learns from events that carry a value (a rating), "
            f"and none of the {len(data)} interactions does; use 'ranking'"
        )
    chosen, items = np.unique(columns, return_inverse=True)
    # With the spread of stars: a step and a penalty that fit those would run away on percents or amounts.
    scale = float(values.std()) / STARS if len(values) else 0.0
    scale = scale if scale > 0 else 1.0
    with np.errstate(over="ignore", invalid="ignore"):  # looked at below
        learned = fit_ratings(
            users,
            items,
            values / scale,
            shape=(data.shape[0], len(chosen)),
            factors=params.factors,
            epochs=params.iterations,
            penalty=params.rating_regularization,
            step=params.learning_rate,
            seed=params.seed,
            progress=progress,
        )
    if not (np.isfinite(learned.factors).all() and np.isfinite(learned.offsets).all()):
        raise StrategyError(
            f"matrix_factorization: parameter learning_rate={params.learning_rate:g}: the descent ran away on values "
            f"from {values.min():g} to {values.max():g}; lower it, or send values on a scale such as 1 to 5"
        )
    return factor_state(
        data.item_ids[chosen],
        (learned.factors * scale).astype(np.float32),
        offsets=learned.offsets * scale,
        mean=learned.mean * scale,
        scale=scale,
        top=float(values.max(initial=0.0)),
        penalty=params.rating_regularization,
    )


def largest_singular_value(matrix: Any, steps: int = 20) -> float:
    """By power iteration. The entries are positive, so a start of ones cannot be orthogonal to the answer."""
    vector = np.ones(matrix.shape[1], dtype=np.float32)
    length = 0.0
    for _ in range(steps):
        vector /= np.linalg.norm(vector)
        vector = matrix.T @ (matrix @ vector)
        before, length = length, float(np.linalg.norm(vector))
        if abs(length - before) <= 1e-4 * length:
            break
    return float(np.sqrt(length))
