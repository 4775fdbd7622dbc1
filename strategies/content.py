"""Items like those that the user chose, by what the shop says about them. Works for items that nobody chose yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from reclift.strategy import Dataset, Parameters, Progress, Query, Scored, State
from strategies.content_features import item_vectors
from strategies.serving import Catalogue, entries

if TYPE_CHECKING:
    from scipy.sparse import csc_matrix, csr_matrix

COMMON = 1 / 32
"""A feature that more than this share of items has is kept as a full column, which adds up faster than a sparse one."""
MOST_COMMON = 64
"""At most so many are."""


class ContentParameters(Parameters):
    """What describes an item, and how far a history is trusted."""

    title_weight: float = Field(0.6, ge=0, le=10, description="How much the words of the title count")
    description_weight: float = Field(0.5, ge=0, le=10, description="How much the words of the description count")
    category_weight: float = Field(1.0, ge=0, le=10, description="How much the category counts, and those above it")
    attributes_weight: float = Field(1.0, ge=0, le=10, description="How much the attributes count, together")
    price_weight: float = Field(0.3, ge=0, le=10, description="How much the price band counts")
    regularization: float = Field(
        1.0, gt=0, le=1000, description="How much history it takes to move a preference away from everybody's"
    )
    background: float = Field(
        0.3, ge=0, le=10, description="How much all items count as not chosen: lowers what is common everywhere"
    )
    prior: float = Field(
        0.3, ge=0, le=10, description="How much everybody's preference for a feature counts beside the user's own"
    )
    history: int = Field(100, ge=1, le=1000, description="So many of the user's latest signals are used")
    max_features: int = Field(50_000, ge=10, le=1_000_000, description="The most frequent features are kept, so many")


class Content:
    """A ridge regression per user on TF-IDF features of items, around a prior that is everybody's.

    Features: words, category, attributes and price bands (Salton & Buckley 1988; Pazzani & Billsus, "Content-Based
    Recommendation Systems", 2007). Everybody's preference t0 is a ridge regression, at fitting, of how much items are
    chosen (log scale, 0 to 1) on their features. A user's deviation d minimises, over their history H,

        sum_H w_i (1 - x_i t0 - x_i d)^2 + sum_f (regularization + background N mean(x_f^2)) d_f^2

    so thin histories stay near t0, and features that every item has cannot become a taste. It is solved in its dual
    form, with as many unknowns as the history has items. The largest products of feature and coefficient are the
    reasons shown. New items need no interaction; items of which nothing is known but the id are not recommended.
    """

    title: ClassVar[str] = "Content"
    summary: ClassVar[str] = "Items described like those the user chose; the one that also knows brand-new items."
    Parameters: ClassVar[type[Parameters]] = ContentParameters
    needs_training: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True

    def __init__(self, state: State, params: ContentParameters) -> None:
        """Bring a fitted state into service; `restore` is the public way."""
        self._state = state
        self._params = params
        arrays = state.arrays
        self._catalogue = Catalogue(arrays["item_ids"])
        self._row_starts, self._row_features = np.asarray(arrays["row_starts"]), np.asarray(arrays["row_features"])
        self._row_values = np.asarray(arrays["row_values"])
        self._column_starts = np.asarray(arrays["column_starts"])
        self._column_items, self._column_values = (
            np.asarray(arrays["column_items"]),
            np.asarray(arrays["column_values"]),
        )
        self._names = arrays["features"]
        self._common, self._common_values = np.asarray(arrays["common"]), np.asarray(arrays["common_values"])
        self._prior = np.asarray(arrays["prior_scores"]) * params.prior
        self._coefficients = np.asarray(arrays["prior_coefficients"]) * params.prior
        self._penalty = params.regularization + params.background * np.asarray(arrays["energy"])
        self._described = np.flatnonzero(np.diff(self._row_starts) > 0)

    @classmethod
    def fit(cls, data: Dataset, params: Any, progress: Progress) -> Self:
        """Describe all items, and learn everybody's preference."""
        from scipy.sparse.linalg import lsqr

        given: ContentParameters = params
        weights = {
            name: float(getattr(given, f"{name}_weight"))
            for name in ("title", "description", "category", "attributes", "price")
        }
        X, names = item_vectors(data.items, weights, given.max_features)
        progress(0.6, "learning")
        chosen_by = np.diff(data.matrix.tocsc().indptr).astype(np.float64)
        known = chosen_by > 0  # an item without a choice may be new: that is no judgement on its features
        liked = np.log1p(chosen_by) / max(1.0, np.log1p(chosen_by.max(initial=0.0)))
        coefficients = np.zeros(X.shape[1])
        if known.any() and X.nnz:
            middle = liked[known].mean()
            coefficients = lsqr(X[known].astype(np.float64), liked[known] - middle, damp=given.regularization**0.5)[0]
        common, common_values, columns = _columns(X)
        progress(0.9, "indexing")
        arrays = {
            "item_ids": data.item_ids,
            "features": names,
            "row_starts": X.indptr.astype(np.int64),
            "row_features": X.indices.astype(np.int32),
            "row_values": X.data,
            "column_starts": columns.indptr.astype(np.int64),
            "column_items": columns.indices.astype(np.int32),
            "column_values": columns.data,
            "common": common,
            "common_values": common_values,
            "energy": np.asarray(X.multiply(X).sum(axis=0), dtype=np.float64).ravel(),
            "prior_coefficients": np.asarray(coefficients, dtype=np.float64),
            "prior_scores": np.asarray(X @ coefficients, dtype=np.float64),
        }
        return cls(State(arrays=arrays), given)

    def recommend(self, query: Query) -> list[Scored]:
        """Learn the user's deviation, add it to everybody's preference, and name the features that decided."""
        places, weights = self._catalogue.profile(query, self._params.history)
        if not len(places):
            return []
        features, deviation = self._deviation(places, weights)
        if not len(features):
            return []
        picked, lengths = entries(self._column_starts, features)
        moved = np.bincount(
            self._column_items[picked],
            weights=np.repeat(deviation, lengths) * self._column_values[picked],
            minlength=len(self._catalogue),
        )
        own = np.zeros(len(self._names))
        own[features] = deviation
        common = own[self._common].astype(np.float32) @ self._common_values
        scores = (self._prior + moved + common)[self._described]
        taste = self._coefficients + own
        return [
            Scored(self._catalogue.ids[place], score, None, self._reason(place, taste))
            for place, score in self._catalogue.pick(query, scores, self._described)
        ]

    def _deviation(
        self, places: NDArray[np.intp], weights: NDArray[np.float64]
    ) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """The features of the profile, and how much more the user likes each than everybody does."""
        picked, lengths = entries(self._row_starts, places)
        features, columns = np.unique(self._row_features[picked], return_inverse=True)
        X = np.zeros((len(places), len(features)))
        X[np.repeat(np.arange(len(places)), lengths), columns] = self._row_values[picked]
        scaled = X / self._penalty[features]
        kernel = scaled @ X.T
        kernel[np.diag_indices(len(places))] += 1 / weights
        return features, scaled.T @ np.linalg.solve(kernel, 1 - self._prior[places])

    def _reason(self, place: int, taste: NDArray[np.float64]) -> str | None:
        """The two features that added most, if any did."""
        own = slice(self._row_starts[place], self._row_starts[place + 1])
        features = self._row_features[own]
        parts = (self._row_values[own] * taste[features]).tolist()
        best = sorted(range(len(parts)), key=lambda number: -parts[number])[:2]
        named = [str(self._names[features[number]]) for number in best if parts[number] > 0]
        return f"matches {', '.join(named)}" if named else None

    def state(self) -> State:
        """Item ids, features by item and by feature with their names, and everybody's preference."""
        return self._state

    @classmethod
    def restore(cls, state: State, params: Any) -> Self:
        """The inverse of `state`."""
        return cls(state, params)


def _columns(X: csr_matrix) -> tuple[NDArray[np.int32], NDArray[np.float32], csc_matrix]:
    """The most common features and their full columns, shape (C, I), and all the others' sparse ones."""
    owners = np.bincount(X.indices, minlength=X.shape[1])
    common = np.argsort(-owners, kind="stable")[:MOST_COMMON]
    common = np.sort(common[owners[common] > COMMON * X.shape[0]])
    columns = X.tocsc()
    full = np.ascontiguousarray(columns[:, common].toarray().T)
    rare = np.ones(X.shape[1], dtype=bool)
    rare[common] = False
    columns.data[~np.repeat(rare, np.diff(columns.indptr))] = 0
    columns.eliminate_zeros()
    columns.sort_indices()
    return common.astype(np.int32), full.astype(np.float32), columns
