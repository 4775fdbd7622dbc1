"""Latent factors: what users have in common, learned; a user's own factors are solved from their current history."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from reclift.strategy import Dataset, Parameters, Progress, Query, Scored, State, StrategyError
from strategies.factors import fit_ranking, fit_rating, order_for_lists
from strategies.item_lists import SLACKS, Best, VectorLists
from strategies.search_effort import EXACT_UP_TO, EXACT_UP_TO_MEANS, RECALL, RECALL_MEANS, approximate_if_as_good
from strategies.serving import Catalogue

FIRST_BLOCK = 4096


class MatrixFactorizationParameters(Parameters):
    """What is learned and how finely."""

    objective: Literal["ranking", "rating"] = Field(
        "ranking",
        description="ranking: which items will be chosen (implicit-feedback ALS). rating: a rating predictor (how many "
        "stars would be given, by SGD on squared error); it needs ratings and ranks clearly worse",
    )
    factors: int = Field(64, ge=1, le=512, description="Numbers that describe an item; more can tell more, and overfit")
    iterations: int = Field(15, ge=1, le=200, description="Sweeps of ALS, or epochs of SGD")
    alpha: float = Field(
        1.0, gt=0, le=1000, description="ranking: confidence in an interaction of weight w is 1 + alpha * w"
    )
    regularization: float = Field(
        0.075,
        gt=0,
        lt=1,
        description="ranking: patterns weaker than this share of the strongest one in the data are taken for noise",
    )
    rating_regularization: float = Field(
        0.1, gt=0, le=10, description="rating: penalty on factors and offsets, as for stars; other units are scaled"
    )
    learning_rate: float = Field(0.02, gt=0, le=1, description="rating: step of the stochastic gradient descent")
    seed: int = Field(1, ge=0, le=2**31 - 1, description="Start of the random numbers; the same seed, the same model")
    exact_up_to: int = Field(EXACT_UP_TO, ge=0, le=1_000_000_000, description=EXACT_UP_TO_MEANS)
    recall: float = Field(RECALL, ge=0.5, le=0.999, description=RECALL_MEANS)


class MatrixFactorization:
    """Matrix factorization with fold-in.

    `ranking`: Hu, Koren & Volinsky, "Collaborative Filtering for Implicit Feedback Datasets" (ICDM 2008), trained by
    the `implicit` library's alternating least squares with conjugate gradients (Takacs, Pilaszy & Tikk, RecSys 2011).
    The penalty is `regularization` times the largest singular value of the confidence matrix, because the penalty acts
    as a threshold on singular values: so one default fits small and large shops.

    `rating`: a rating predictor, Koren, Bell & Volinsky, "Matrix Factorization Techniques for Recommender Systems"
    (IEEE Computer 2009): mean + offsets + factors, by stochastic gradient descent on squared error. Predicting stars
    well is not choosing items well (Cremonesi, Koren & Turrin, RecSys 2010); it is here for comparison and for
    `predict`.

    The model holds items only. Any user, also one who was not in training, gets factors by a small least-squares
    problem over their current history, the same that training solved for each user.

    Large catalogues are not scored in full: items are kept by falling length of their factors, and scoring stops as
    soon as no later item can be among the best (|x y| <= |x| |y|; Teflioudi, Gemulla & Mykytiuk, "LEMP", SIGMOD 2015).
    The answer is the exact one. Above `exact_up_to` items the search is approximate, see `strategies.item_lists`; what
    it finds of the exact answer is measured when the model is fitted, and stands under `search` in its state.
    """

    title: ClassVar[str] = "Matrix factorization"
    summary: ClassVar[str] = "Learns hidden tastes from everybody's choices; among the strongest with enough data."
    Parameters: ClassVar[type[Parameters]] = MatrixFactorizationParameters
    needs_training: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True

    def __init__(self, state: State, params: MatrixFactorizationParameters) -> None:
        """Bring a fitted state into service; `restore` is the public way."""
        self._state = state
        self._params = params
        self._catalogue = Catalogue(state.arrays["item_ids"])
        self._gram = np.asarray(state.arrays["gram"], dtype=np.float64)
        self._width = len(self._gram)
        stored = np.asarray(state.arrays["factors"])
        self._factors = stored[:, : self._width]
        self._offsets = np.asarray(state.arrays["offsets"])
        self._mean = float(state.meta["mean"])
        self._penalty = float(state.meta["penalty"])
        self._scale = float(state.meta.get("scale", 1.0))  # models of before have none
        self._top = float(state.meta["top"])
        self._base = self._gram + self._penalty * np.eye(self._width)
        self.index = VectorLists.of(stored, state)

    @classmethod
    def fit(cls, data: Dataset, params: Any, progress: Progress) -> Self:
        """Learn the items' factors. Items without interactions are left out: nothing is known of them.

        Raises:
            StrategyError: objective `rating`, and no event carries a value.
        """
        given: MatrixFactorizationParameters = params
        large = data.shape[1] > given.exact_up_to
        share = 0.8 if large else 1.0
        learn = fit_ranking if given.objective == "ranking" else fit_rating
        state = learn(data, given, lambda done, what: progress(share * done, what))
        model = cls(state, given)
        if len(state.arrays["item_ids"]) <= given.exact_up_to:
            return model
        progress(share, "putting alike items into lists")
        arranged = order_for_lists(state, given.seed, augmented=given.objective == "rating")
        return approximate_if_as_good(model, arranged, given, data, SLACKS, seed=given.seed, goal=given.recall)

    def recommend(self, query: Query) -> list[Scored]:
        """All known items by predicted preference (or rating); nothing for users of whom nothing is known."""
        if query.k < 1:
            return []
        if self.index is not None and query.candidates is None:
            best = self._search(self.index, query)
            return [] if best is None else [Scored(self._catalogue.ids[place], score) for place, score in best.pairs()]
        if self._params.objective == "rating":
            folded = self._fold_rating(query)
            if folded is None:
                return []
            own = self._catalogue.candidates(query)
            return self._catalogue.best(query, self._predicted(folded, slice(None) if own is None else own), own)
        taste = self._fold_ranking(query)
        if taste is None:
            return []
        return [Scored(self._catalogue.ids[place], score) for place, score in self._exact_best(query, taste)]

    def looked_at(self, query: Query) -> float | None:
        """The share of all items that the answer scores; `None` where nothing is known of the user."""
        if self.index is None:
            return 1.0
        best = self._search(self.index, query)
        return None if best is None else best.looked_at / len(self._catalogue)

    def _search(self, lists: VectorLists, query: Query) -> Best | None:
        barred = self._catalogue.barred(query)
        if self._params.objective == "rating":
            folded = self._fold_rating(query)
            if folded is None:
                return None
            best = lists.search(np.append(folded[:-1], 1.0), query.k, barred)
            best.add_to_all(self._mean + float(folded[-1]))
            return best
        taste = self._fold_ranking(query)
        return None if taste is None else lists.search(taste, query.k, barred)

    def _fold_ranking(self, query: Query) -> NDArray[np.float64] | None:
        """The user's factors, shape (factors,), as training would solve them for this history."""
        places, weights = self._catalogue.profile(query)
        if not len(places):
            return None
        known = self._factors[places].astype(np.float64)
        extra = self._params.alpha * weights  # confidence above the 1 that every item has
        solved = np.linalg.solve(self._base + (known.T * extra) @ known, known.T @ (1 + extra))
        return np.asarray(solved, dtype=np.float64)

    def _exact_best(self, query: Query, taste: NDArray[np.floating]) -> list[tuple[int, float]]:
        """`pick` among all items, looking at as few as can be."""
        wanted = taste.astype(np.float32)
        own = self._catalogue.candidates(query)
        if own is not None:
            return self._catalogue.pick(query, self._factors[own] @ wanted, own)
        length = float(np.linalg.norm(taste)) * (1 + 1e-4)  # room for rounding
        scores = np.empty(len(self._factors), dtype=np.float32)
        done, stop = 0, FIRST_BLOCK
        while True:
            stop = min(stop, len(scores))
            np.matmul(self._factors[done:stop], wanted, out=scores[done:stop])
            picked = self._catalogue.pick(query, scores[:stop])
            if stop == len(scores) or (len(picked) >= query.k and picked[-1][1] >= length * self._reach(stop)):
                return picked
            done, stop = stop, 2 * stop

    def _reach(self, place: int) -> float:
        """The length of the factors at a place, which no later item's exceeds."""
        return float(np.linalg.norm(self._factors[place]))

    def predict(self, query: Query, item_ids: list[str]) -> NDArray[np.float64]:
        """Objective `rating`: the predicted ratings of `item_ids`, shape (n,), in the ratings' own units.

        Users without ratings get the mean plus the item's offset; unknown items the mean (plus the user's offset).

        Raises:
            StrategyError: the model was fitted for ranking; its scores are not ratings.
        """
        if self._params.objective != "rating":
            raise StrategyError("matrix_factorization: predict needs objective='rating'; this model is for ranking")
        folded = self._fold_rating(query)
        taste = np.zeros(self._width + 1) if folded is None else folded
        places = [self._catalogue.places.get(item_id) for item_id in item_ids]
        known = np.array([place for place in places if place is not None], dtype=np.intp)
        predicted = np.full(len(places), self._mean + taste[-1])
        predicted[[place is not None for place in places]] = self._predicted(taste, known)
        return predicted

    def _fold_rating(self, query: Query) -> NDArray[np.float64] | None:
        """The user's factors and offset, shape (factors + 1,), by ridge regression on their latest ratings."""
        latest: dict[int, float] = {}
        for signal in query.history:
            place = self._catalogue.places.get(signal.item_id)
            if place is not None and signal.value is not None and np.isfinite(signal.value):
                latest[place] = signal.value
        for item_id in query.context_items:  # whoever looks at a page is taken for somebody who likes its item
            if item_id in self._catalogue.places:
                latest[self._catalogue.places[item_id]] = self._top
        if not latest:
            return None
        places = np.fromiter(latest, dtype=np.intp, count=len(latest))
        rest = np.fromiter(latest.values(), dtype=np.float64) - self._mean - self._offsets[places]
        known = np.column_stack([self._factors[places].astype(np.float64), np.ones(len(places))])
        # the penalty of the SGD applies once per rating, so it grows with their number; factors carry the values' unit
        penalty = self._penalty * len(places) * np.append(np.full(self._width, self._scale**2), 1.0)
        return np.linalg.solve(known.T @ known + np.diag(penalty), known.T @ rest)

    def _predicted(self, taste: NDArray[np.float64], places: NDArray[np.intp] | slice) -> NDArray[np.float64]:
        shared = self._mean + taste[-1]
        return np.asarray(shared + self._offsets[places] + self._factors[places] @ taste[:-1], dtype=np.float64)

    def state(self) -> State:
        """Item ids, factors, offsets, their Gram matrix, and the scale. No user is in it."""
        return self._state

    @classmethod
    def restore(cls, state: State, params: Any) -> Self:
        """The inverse of `state`."""
        return cls(state, params)
