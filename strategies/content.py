"""Items like those that the user chose, by what the shop says about them. Works for items that nobody chose yet."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from reclift.strategy import Dataset, Parameters, Progress, Query, Scored, State
from strategies.content_features import item_vectors
from strategies.search_effort import EXACT_UP_TO, EXACT_UP_TO_MEANS, RECALL_MEANS, approximate_if_as_good
from strategies.serving import Catalogue, best_first, entries
from strategies.short_sums import BUDGETS, ShortSums

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

COMMON = 1 / 32
"""A feature that more than this share of items has is kept as a full column, which adds up faster than a sparse one."""
MOST_COMMON = 64
"""At most so many are."""
MOST_LENT = 8
"""Arrays as long as there are features that wait to be used again; so many are seldom in use at once."""
SEED = 1
"""Of the choice of users whose questions an approximate search is measured by."""


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
    exact_up_to: int = Field(EXACT_UP_TO, ge=0, le=1_000_000_000, description=EXACT_UP_TO_MEANS)
    recall: float = Field(0.98, ge=0.5, le=0.999, description=RECALL_MEANS)


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
        self._names = np.asarray(arrays["features"])
        self._prior = np.asarray(arrays["prior_scores"]) * params.prior
        self._coefficients = np.asarray(arrays["prior_coefficients"]) * params.prior
        self._penalty = params.regularization + params.background * np.asarray(arrays["energy"])
        self._described = np.flatnonzero(np.diff(self._row_starts) > 0)
        self._column_starts = np.asarray(arrays["column_starts"])
        self._column_items = np.asarray(arrays["column_items"])
        self._column_values = np.asarray(arrays["column_values"])
        self._common, self._common_values = np.asarray(arrays["common"]), np.asarray(arrays["common_values"])
        self._shrinking = 1 / np.sqrt(self._penalty)
        self._numbers: deque[NDArray[np.intp]] = deque(maxlen=MOST_LENT)
        self._lent: deque[NDArray[np.float64]] = deque(maxlen=MOST_LENT)
        self.index: ShortSums | None = None
        if "column_tops" in arrays:
            self.index = ShortSums(
                self._column_starts,
                self._column_items,
                self._column_values,
                arrays["column_tops"],
                self._prior,
                self._described,
                float(state.meta["search"]["effort"]),
            )

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
        progress(0.9, "indexing")
        arrays = {
            "item_ids": data.item_ids,
            "features": names,
            "row_starts": X.indptr.astype(np.int64),
            "row_features": X.indices.astype(np.int32),
            "row_values": X.data,
            "energy": np.asarray(X.multiply(X).sum(axis=0), dtype=np.float64).ravel(),
            "prior_coefficients": np.asarray(coefficients, dtype=np.float64),
            "prior_scores": np.asarray(X @ coefficients, dtype=np.float64),
        }
        model = cls(State(arrays | _columns(X)), given)
        if len(model._described) <= given.exact_up_to:
            return model
        progress(0.95, "finding how far to look")
        indexed = State(arrays | _columns(X, most_common=0) | {"column_tops": X.max(axis=0).toarray().ravel()})
        return approximate_if_as_good(model, indexed, given, data, BUDGETS, seed=SEED, goal=given.recall)

    def recommend(self, query: Query) -> list[Scored]:
        """Learn the user's deviation, add it to everybody's preference, and name the features that decided."""
        learned = self._learned(query)
        if learned is None or query.k < 1:
            return []
        features, deviation = learned
        own = self._lend(features, deviation)
        if self.index is None:
            picked = self._catalogue.pick(query, self._scores(features, own)[self._described], self._described)
        else:
            places = self._catalogue.candidates(query)
            if places is None:
                places = self.index.promising(features, deviation, query.k, self._catalogue.barred(query))
                scores = self._scores_of(places, own)
                order = best_first(scores, query.k)
                picked = list(zip(places[order].tolist(), scores[order].tolist(), strict=True))
            else:
                places = places[np.isin(places, self._described, assume_unique=True)]
                picked = self._catalogue.pick(query, self._scores_of(places, own), places)
        reasons = self._reasons([place for place, _ in picked], own)
        own[features] = 0
        self._lent.append(own)
        return [
            Scored(self._catalogue.ids[place], score, None, reason)
            for (place, score), reason in zip(picked, reasons, strict=True)
        ]

    def looked_at(self, query: Query) -> float | None:
        """The share of the profile's features' entries that an answer adds up; `None` without a profile."""
        learned = self._learned(query)
        if learned is None:
            return None
        return 1.0 if self.index is None else self.index.share(*learned)

    def _learned(self, query: Query) -> tuple[NDArray[np.intp], NDArray[np.float64]] | None:
        """The features of the profile, and the user's deviation in each, shapes (n,); `None` where nothing is known."""
        places, weights = self._catalogue.profile(query, self._params.history)
        if not len(places):
            return None
        features, deviation = self._deviation(places, weights)
        return (features, deviation) if len(features) else None

    def _lend(self, features: NDArray[np.intp], deviation: NDArray[np.float64]) -> NDArray[np.float64]:
        """The deviation in all features, shape (F,); what is set to 0 again afterwards is lent again."""
        try:
            own = self._lent.pop()
        except IndexError:
            own = np.zeros(len(self._names))
        own[features] = deviation
        return own

    def _scores(self, features: NDArray[np.intp], own: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of all items, from the columns of the profile's features."""
        picked, lengths = entries(self._column_starts, features)
        moved = np.bincount(
            self._column_items[picked],
            weights=np.repeat(own[features], lengths) * self._column_values[picked],
            minlength=len(self._catalogue),
        )
        common = own[self._common].astype(np.float32) @ self._common_values
        return np.asarray(self._prior + moved + common, dtype=np.float64)

    def _scores_of(self, places: NDArray[np.intp], own: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of some described items, from their rows."""
        picked, lengths = entries(self._row_starts, places)
        products = own[self._row_features[picked]]
        products *= self._row_values[picked]
        return self._prior[places] + np.add.reduceat(products, lengths.cumsum() - lengths)

    def _deviation(
        self, places: NDArray[np.intp], weights: NDArray[np.float64]
    ) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """The features of the profile, in no order, and how much more the user likes each than everybody does."""
        picked, lengths = entries(self._row_starts, places)
        features, columns = self._numbered(self._row_features[picked])
        count = len(features)
        X = np.zeros((len(places), count))  # each feature divided by the square root of its penalty
        cells = np.arange(0, X.size, max(1, count)).repeat(lengths) if count else columns
        shrinking = self._shrinking[features]
        X.ravel()[cells + columns] = self._row_values[picked] * shrinking[columns]
        kernel = X @ X.T
        kernel.ravel()[:: len(places) + 1] += 1 / weights
        return features, shrinking * (X.T @ np.linalg.solve(kernel, 1 - self._prior[places]))

    def _numbered(self, features: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Each of the features once, and where each given one is among these; np.unique takes three times as long."""
        try:
            numbers = self._numbers.pop()
        except IndexError:
            numbers = np.zeros(len(self._names), dtype=np.intp)
        order = np.arange(len(features))
        numbers[features] = order
        once = features[(numbers[features] == order).nonzero()[0]]
        numbers[once] = order[: len(once)]
        places = numbers[features]
        self._numbers.append(numbers)
        return once, places

    def _reasons(self, picked: list[int], own: NDArray[np.float64]) -> list[str | None]:
        """For each item the two features that added most, if any did."""
        if not picked:
            return []
        found, lengths = entries(self._row_starts, np.array(picked, dtype=np.intp))
        features = self._row_features[found]
        rows = np.arange(len(picked))
        starts = lengths.cumsum() - lengths
        table = np.zeros((len(picked), int(lengths.max()) + 1))  # with a column of zeros, which are never named
        cells = np.arange(len(found)) - (starts - rows * table.shape[1]).repeat(lengths)
        table.ravel()[cells] = self._row_values[found] * (self._coefficients[features] + own[features])
        named: list[list[str]] = [[] for _ in picked]
        for _ in range(2):
            best = table.argmax(axis=1)
            some = (table[rows, best] > 0).nonzero()[0]
            for row, name in zip(some.tolist(), self._names[features[starts[some] + best[some]]].tolist(), strict=True):
                named[row].append(name)
            table[rows, best] = 0
        return [f"matches {', '.join(names)}" if names else None for names in named]

    def state(self) -> State:
        """Item ids, features by item and by feature with their names, and everybody's preference."""
        return self._state

    @classmethod
    def restore(cls, state: State, params: Any) -> Self:
        """The inverse of `state`."""
        return cls(state, params)


def _columns(X: csr_matrix, most_common: int | None = None) -> dict[str, NDArray[Any]]:
    """The most common features and their full columns, shape (C, I), and all the others' sparse ones."""
    most = MOST_COMMON if most_common is None else most_common
    owners = np.bincount(X.indices, minlength=X.shape[1])
    common = np.argsort(-owners, kind="stable")[:most]
    common = np.sort(common[owners[common] > COMMON * X.shape[0]])
    columns = X.tocsc()
    full = np.ascontiguousarray(columns[:, common].toarray().T)
    rare = np.ones(X.shape[1], dtype=bool)
    rare[common] = False
    columns.data[~np.repeat(rare, np.diff(columns.indptr))] = 0
    columns.eliminate_zeros()
    columns.sort_indices()
    return {
        "column_starts": columns.indptr.astype(np.int64),
        "column_items": columns.indices.astype(np.int32),
        "column_values": columns.data,
        "common": common.astype(np.int32),
        "common_values": full.astype(np.float32),
    }
