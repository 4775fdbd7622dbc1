"""People who chose this also chose that: neighbours of the items in a user's history."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from reclift.strategy import Dataset, Parameters, Progress, Query, Scored, State, StrategyError
from strategies.neighbours import Pairs, Similarity, Weighting, directions, nearest, nearest_by_product
from strategies.ratings import rating_matrix
from strategies.scatter import Neighbours
from strategies.serving import Catalogue


class ItemCFParameters(Parameters):
    """How items are compared."""

    similarity: Similarity = Field(
        "cosine",
        description="cosine of who chose them; jaccard: shared users over all users; "
        "pearson: correlation of the ratings of users who rated both (needs ratings)",
    )
    k: int = Field(400, ge=1, le=2000, description="Neighbours kept per item; more covers more, fewer is sharper")
    weighting: Weighting = Field(
        "bm25",
        description="For cosine: users who choose everything say as much about an item as others (none) "
        "or less (tfidf, bm25); bm25 also lets often chosen items stay ahead",
    )
    shrinkage: float = Field(
        0.0, ge=0, le=10_000, description="Draws similarities that rest on few common users towards zero"
    )
    min_overlap: int = Field(1, ge=1, le=1000, description="Items with fewer users in common are no neighbours")
    history: int = Field(500, ge=1, le=5000, description="So many of the user's latest signals are used")


class ItemCF:
    """Item-based collaborative filtering.

    Sarwar et al., "Item-based Collaborative Filtering Recommendation Algorithms" (WWW 2001); Deshpande & Karypis,
    "Item-based Top-N Recommendation Algorithms" (TOIS 2004). An item's score is the sum, over the user's history, of
    weight times similarity. Users are not part of the model: everybody is answered from their current history, so a
    first click counts at once, and a product page (context item) is answered by its own neighbours.
    """

    title: ClassVar[str] = "Item neighbours"
    summary: ClassVar[str] = "Items that are chosen together with what the user chose; strong, fast, easy to explain."
    Parameters: ClassVar[type[Parameters]] = ItemCFParameters
    needs_training: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True

    def __init__(self, state: State, params: ItemCFParameters) -> None:
        """Bring a fitted state into service; `restore` is the public way."""
        self._state = state
        self._params = params
        self._catalogue = Catalogue(state.arrays["item_ids"])
        self._near = Neighbours(state.arrays["neighbours"], state.arrays["similarities"])

    @classmethod
    def fit(cls, data: Dataset, params: Any, progress: Progress) -> Self:
        """Compare all items with each other, in blocks.

        Raises:
            StrategyError: `pearson` was asked for and no two ratings differ.
        """
        given: ItemCFParameters = params
        progress(0.01, "weighing")
        neighbours, similarities = _neighbours(data, given, progress)
        arrays = {"item_ids": data.item_ids, "neighbours": neighbours, "similarities": similarities}
        return cls(State(arrays=arrays), given)

    def recommend(self, query: Query) -> list[Scored]:
        """Sum the neighbours of the history; each item names the one of the history that brought it most."""
        places, weights = self._catalogue.profile(query, self._params.history)
        if not len(places):
            return []
        near, ids = self._near, self._catalogue.ids
        sums = near.borrow()
        near.add_up(places, weights, sums)
        if query.candidates is not None:
            picked = [pair for pair in self._catalogue.pick(query, sums[: len(ids)]) if pair[1] > 0]
            found, scores = [place for place, _ in picked], [score for _, score in picked]
        else:
            sums[self._catalogue.barred(query)] = 0
            found, scores = near.best(sums, query.k)
        near.give_back(sums)
        if not found:
            return []
        return [
            Scored(ids[place], score, None, f"chosen together with {ids[source]}")
            for place, score, source in zip(found, scores, near.sources(found, places, weights), strict=True)
        ]

    def state(self) -> State:
        """Item ids, and each item's neighbours with their similarities."""
        return self._state

    @classmethod
    def restore(cls, state: State, params: Any) -> Self:
        """The inverse of `state`."""
        return cls(state, params)


def _neighbours(
    data: Dataset, params: ItemCFParameters, progress: Progress
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    count = data.shape[1]
    if params.similarity == "cosine" and params.shrinkage == 0 and params.min_overlap == 1:
        return nearest_by_product(directions(data.matrix.T.tocsr(), params.weighting), params.k, progress)
    damping: Any = {"shrinkage": params.shrinkage, "overlap": params.min_overlap}
    if params.similarity == "pearson":
        rated = rating_matrix(data).T.tocsr()
        if len(data) and (not rated.nnz or np.ptp(rated.data) == 0):
            raise StrategyError(
                "item_cf: parameter similarity='pearson': needs events that carry ratings which differ; "
                "use 'cosine' or 'jaccard'"
            )
        return nearest(count, params.k, Pairs(rated, **damping).pearson(rated), progress)
    pairs = Pairs(data.matrix.T.tocsr(), **damping)
    block = pairs.jaccard() if params.similarity == "jaccard" else pairs.cosine(params.weighting)
    return nearest(count, params.k, block, progress)
