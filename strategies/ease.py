"""EASE: the best linear item-to-item model in closed form."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from reclift.strategy import Dataset, Parameters, Progress, Query, Scored, State, StrategyError
from strategies.serving import Catalogue

ITEM_LIMIT = 20_000
"""Fitting holds two dense I x I float32 matrices and inverts one: 3.2 GB and some minutes at this many items."""

BLOCK = 512


class EaseParameters(Parameters):
    """How strongly the weights are held back."""

    regularization: float = Field(
        0.025,
        gt=0,
        le=1,
        description="Penalty on the weights as a share of the strongest pattern in the data; more is smoother",
    )
    k: int = Field(
        0,
        ge=0,
        le=20_000,
        description="Weights kept per item, the largest by size; 0 keeps all, which is exact and needs items squared "
        "times 4 bytes of disk and memory",
    )
    max_items: int = Field(
        ITEM_LIMIT,
        ge=10,
        le=ITEM_LIMIT,
        description="Only the most chosen items take part: time grows with the cube, memory with the square",
    )


class Ease:
    """Embarrassingly Shallow Autoencoders for Sparse Data, Steck (WWW 2019).

    B minimises ||X - X B||^2 + penalty ||B||^2 with a zero diagonal: B = I - P diag(1 / diag(P)), where P is the
    inverse of X'X + penalty I. X holds the interactions' weights. The penalty is `regularization` times the largest
    eigenvalue of X'X, so one default fits small and large shops. At most `max_items` items take part (never more than
    20,000); the others are never recommended by this strategy: leave those to the fallback or to another one.
    """

    title: ClassVar[str] = "EASE"
    summary: ClassVar[str] = "Linear item-to-item model in closed form; often the most accurate up to 20,000 items."
    Parameters: ClassVar[type[Parameters]] = EaseParameters
    needs_training: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True

    def __init__(self, state: State, params: EaseParameters) -> None:
        """Bring a fitted state into service; `restore` is the public way."""
        self._state = state
        self._params = params
        self._catalogue = Catalogue(state.arrays["item_ids"])
        self._weights = np.asarray(state.arrays["weights"])
        self._columns = np.asarray(state.arrays["columns"])

    @classmethod
    def fit(cls, data: Dataset, params: Any, progress: Progress) -> Self:
        """Invert the items' Gram matrix.

        Raises:
            StrategyError: the matrix cannot be inverted at this regularization.
        """
        given: EaseParameters = params
        popular = np.bincount(data.columns, minlength=data.shape[1])
        chosen = np.sort(np.argsort(-popular, kind="stable")[: given.max_items])
        chosen = chosen[popular[chosen] > 0]
        X = data.matrix[:, chosen]
        progress(0.1, "multiplying")
        P = _gram(X)
        size = len(chosen)
        if size:
            P[np.diag_indices(size)] += given.regularization * _largest_eigenvalue(P)
            progress(0.3, "inverting")
            P = _inverse(P)
        progress(0.9, "cutting")
        diagonal = np.diag(P).copy()
        P /= -diagonal  # column j by P_jj
        P[np.diag_indices(size)] = 0
        columns = np.zeros((0, 0), dtype=np.int32)
        if 0 < given.k < size - 1:
            best = np.argpartition(np.abs(P), size - given.k, axis=1)[:, size - given.k :]
            best.sort(axis=1)
            P, columns = np.take_along_axis(P, best, axis=1), best.astype(np.int32)
        arrays = {"item_ids": data.item_ids[chosen], "weights": np.ascontiguousarray(P), "columns": columns}
        return cls(State(arrays=arrays), given)

    def recommend(self, query: Query) -> list[Scored]:
        """The history's rows of B, added up by weight."""
        places, weights = self._catalogue.profile(query)
        if not len(places):
            return []
        rows = self._weights[places]
        if not self._columns.size:
            return self._catalogue.best(query, weights.astype(rows.dtype) @ rows)
        flat = (rows * weights[:, None]).ravel()
        scores = np.bincount(self._columns[places].ravel(), weights=flat, minlength=len(self._catalogue))
        return self._catalogue.best(query, np.asarray(scores, dtype=np.float64))

    def state(self) -> State:
        """Item ids and the weight matrix: dense, or the kept weights of each row with their columns."""
        return self._state

    @classmethod
    def restore(cls, state: State, params: Any) -> Self:
        """The inverse of `state`."""
        return cls(state, params)


def _gram(X: Any) -> NDArray[np.float32]:
    """X'X, dense, without its sparse form in full beside it."""
    features = X.T.tocsr()
    found = np.empty((X.shape[1], X.shape[1]), dtype=np.float32)
    for start in range(0, len(found), BLOCK):
        found[start : start + BLOCK] = (features[start : start + BLOCK] @ X).toarray()
    return found


def _largest_eigenvalue(gram: Any, steps: int = 20) -> float:
    """By power iteration from ones, which no non-negative matrix's leading vector is orthogonal to."""
    vector = np.ones(len(gram), dtype=gram.dtype)
    length = 0.0
    for _ in range(steps):
        vector = gram @ (vector / np.linalg.norm(vector))
        length = float(np.linalg.norm(vector))
    return length


def _inverse(gram: Any) -> Any:
    """Of a symmetric positive definite matrix, by Cholesky, in place where LAPACK can."""
    from scipy.linalg.lapack import dpotrf, dpotri, spotrf, spotri

    factor, invert = (spotrf, spotri) if gram.dtype == np.float32 else (dpotrf, dpotri)
    lower, failed = factor(gram, lower=True, overwrite_a=True)
    if failed:
        raise StrategyError("ease: parameter regularization is too small for these data to be solved; raise it")
    inverse, failed = invert(lower, lower=True, overwrite_c=True)
    if failed:
        raise StrategyError("ease: parameter regularization is too small for these data to be solved; raise it")
    for start in range(0, len(inverse), BLOCK):  # LAPACK leaves the other half: mirrored in place, a block at a time
        block = slice(start, start + BLOCK)
        inverse[:start, block] = inverse[block, :start].T
        corner = np.tril(inverse[block, block])
        inverse[block, block] = corner + np.tril(corner, -1).T
    return inverse
