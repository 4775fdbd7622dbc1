"""People like you: neighbours of a user's current history among all users."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from reclift.strategy import Dataset, Parameters, Progress, Query, Scored, State, StrategyError
from strategies.neighbours import BM25_B, BM25_K1, Similarity, Weighting, rarity
from strategies.ratings import rating_matrix
from strategies.serving import Catalogue, best_first, entries

Floats = NDArray[np.float64]


class UserCFParameters(Parameters):
    """How users are compared."""

    similarity: Similarity = Field(
        "cosine",
        description="cosine of what they chose; jaccard: items in common over items of either; "
        "pearson: correlation of the ratings of items that both rated (needs ratings)",
    )
    k: int = Field(100, ge=1, le=2000, description="Neighbours that are asked; more is steadier, fewer more personal")
    weighting: Weighting = Field(
        "tfidf", description="For cosine: items that everybody chooses tell less about a user (tfidf, bm25) or as much"
    )
    shrinkage: float = Field(
        0.0, ge=0, le=10_000, description="Draws similarities that rest on few common items towards zero"
    )
    min_overlap: int = Field(1, ge=1, le=1000, description="Users with fewer items in common are no neighbours")
    history: int = Field(500, ge=1, le=5000, description="So many of the user's latest signals are used")


class UserCF:
    """User-based collaborative filtering, folded in.

    Resnick et al., "GroupLens: An Open Architecture for Collaborative Filtering of Netnews" (CSCW 1994); Herlocker et
    al., "An Algorithmic Framework for Performing Collaborative Filtering" (SIGIR 1999). Neighbours are found for the
    history of now, through an inverted index from items to users, and not looked up from training: a first click
    counts at once, and a guest is a user. An item's score is the sum of similarity times weight over the neighbours
    who chose it. An answer costs time by the users who share an item; with millions of users, `item_cf` is better.
    """

    title: ClassVar[str] = "User neighbours"
    summary: ClassVar[str] = "What people with a similar history chose; strong where many users overlap."
    Parameters: ClassVar[type[Parameters]] = UserCFParameters
    needs_training: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True

    def __init__(self, state: State, params: UserCFParameters) -> None:
        """Bring a fitted state into service; `restore` is the public way."""
        self._state = state
        self._params = params
        arrays = state.arrays
        self._catalogue = Catalogue(arrays["item_ids"])
        self._row_starts, self._row_items = np.asarray(arrays["row_starts"]), np.asarray(arrays["row_items"])
        self._row_weights = np.asarray(arrays["row_weights"])
        self._column_starts, self._column_users = (
            np.asarray(arrays["column_starts"]),
            np.asarray(arrays["column_users"]),
        )
        self._column_values = np.asarray(arrays["column_values"])
        self._idf = np.asarray(arrays["idf"])
        self._users = len(self._row_starts) - 1
        self._mean_length = float(state.meta["mean_length"])

    @classmethod
    def fit(cls, data: Dataset, params: Any, progress: Progress) -> Self:
        """Index who chose what, both ways. No user's id is kept, only rows.

        Raises:
            StrategyError: `pearson` was asked for and no two ratings differ.
        """
        given: UserCFParameters = params
        rows = data.matrix.copy()
        if given.similarity == "pearson":
            rated = rating_matrix(data)
            if len(data) and (not rated.nnz or np.ptp(rated.data) == 0):
                raise StrategyError(
                    "user_cf: parameter similarity='pearson': needs events that carry ratings which differ; "
                    "use 'cosine' or 'jaccard'"
                )
            compared = rated
        else:
            compared = rows.astype(np.float64)
        idf = rarity(compared)
        progress(0.3, "weighing")
        length = np.asarray(compared.sum(axis=1)).ravel()
        mean_length = float(length.mean()) if len(length) and length.any() else 1.0
        if given.similarity == "cosine":
            own = np.repeat(np.arange(compared.shape[0]), np.diff(compared.indptr))
            compared.data = _weighed(compared.data, idf[compared.indices], length[own], given.weighting, mean_length)
            if given.weighting != "bm25":
                norms = np.sqrt(np.bincount(own, weights=compared.data**2, minlength=compared.shape[0]))
                compared.data /= norms[own]
        progress(0.6, "indexing")
        by_item = compared.tocsc()
        by_item.sort_indices()
        arrays = {
            "item_ids": data.item_ids,
            "row_starts": rows.indptr.astype(np.int64),
            "row_items": rows.indices.astype(np.int32),
            "row_weights": rows.data,
            "column_starts": by_item.indptr.astype(np.int64),
            "column_users": by_item.indices.astype(np.int32),
            "column_values": by_item.data.astype(np.float32),
            "row_sizes": np.diff(compared.indptr).astype(np.int32),
            "idf": idf,
        }
        return cls(State(arrays=arrays, meta={"mean_length": mean_length}), given)

    def recommend(self, query: Query) -> list[Scored]:
        """Find the neighbours of the history, then add up what they chose."""
        places, weights, ratings = self._asked(query)
        if not len(places):
            return []
        similar = self._similarities(places, weights, ratings)
        near = np.flatnonzero(similar > 0)
        near = near[best_first(similar[near], self._params.k)]
        if not len(near):
            return []
        picked, lengths = entries(self._row_starts, near)
        shares = np.repeat(similar[near], lengths) * self._row_weights[picked]
        scores = np.bincount(self._row_items[picked], weights=shares, minlength=len(self._catalogue))
        touched = np.flatnonzero(scores > 0)
        return self._catalogue.best(query, np.asarray(scores[touched], dtype=np.float64), touched)

    def _asked(self, query: Query) -> tuple[NDArray[np.intp], Floats, Floats]:
        """Places, weights and (for Pearson) ratings of the profile."""
        places, weights = self._catalogue.profile(query, self._params.history)
        if self._params.similarity != "pearson":
            return places, weights, weights
        latest = {
            self._catalogue.places[signal.item_id]: signal.value
            for signal in query.history[-self._params.history :]
            if signal.item_id in self._catalogue.places and signal.value is not None and np.isfinite(signal.value)
        }
        rated = np.array([place for place in places.tolist() if place in latest], dtype=np.intp)
        return rated, np.ones(len(rated)), np.array([latest[place] for place in rated.tolist()], dtype=np.float64)

    def _similarities(self, places: NDArray[np.intp], weights: Floats, ratings: Floats) -> Floats:
        """To every user, shape (U,); 0 where nothing is shared."""
        picked, lengths = entries(self._column_starts, places)
        users, values = self._column_users[picked], self._column_values[picked]

        def total(of_pair: Any = None) -> Floats:
            return np.bincount(users, weights=of_pair, minlength=self._users).astype(np.float64)

        params = self._params
        damped = params.shrinkage > 0 or params.min_overlap > 1
        if params.similarity == "cosine":
            own = _weighed(weights, self._idf[places], weights.sum(), params.weighting, self._mean_length)
            if params.weighting != "bm25":
                own = own / np.linalg.norm(own)
            similar = total(np.repeat(own, lengths) * values)
            return self._damp(similar, total()) if damped else similar
        shared = total()
        if params.similarity == "jaccard":
            sizes = self._state.arrays["row_sizes"]
            similar = shared / (len(places) + sizes - shared)
            return self._damp(similar, shared)
        mine = np.repeat(ratings, lengths)
        n = np.maximum(shared, 1)
        x, y = total(mine), total(values)
        spread = (total(mine * mine) - x * x / n) * (total(values * values) - y * y / n)
        covariance = total(mine * values) - x * y / n
        similar = np.divide(covariance, np.sqrt(np.maximum(spread, 0)), out=np.zeros(self._users), where=spread > 1e-6)
        return self._damp(np.clip(similar, -1, 1), shared)

    def _damp(self, similar: Floats, shared: Floats) -> Floats:
        if self._params.shrinkage > 0:
            similar = similar * (shared / (shared + self._params.shrinkage))
        return np.where(shared >= self._params.min_overlap, similar, 0)

    def state(self) -> State:
        """Item ids, who chose what by user and by item, rarities. User ids are not in it."""
        return self._state

    @classmethod
    def restore(cls, state: State, params: Any) -> Self:
        """The inverse of `state`."""
        return cls(state, params)


def _weighed(weights: Any, idf: Any, length: Any, weighting: Weighting, mean_length: float) -> Floats:
    """The same weighing for training rows and for a query's history; see `strategies.neighbours.weigh`."""
    if weighting == "none":
        return np.asarray(weights, dtype=np.float64)
    if weighting == "tfidf":
        return np.asarray(np.sqrt(weights) * idf, dtype=np.float64)
    norm = BM25_K1 * (1 - BM25_B + BM25_B * length / mean_length)
    return np.asarray(weights * (BM25_K1 + 1) / (norm + weights) * idf, dtype=np.float64)
