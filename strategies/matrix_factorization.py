"""Latent factors: what users have in common, learned; a user's own factors are solved from their current history."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from reclift.strategy import Dataset, Parameters, Progress, Query, Scored, State, StrategyError
from strategies.rating_sgd import fit_ratings
from strategies.ratings import ratings
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
    rating_regularization: float = Field(0.1, gt=0, le=10, description="rating: penalty on factors and offsets")
    learning_rate: float = Field(0.02, gt=0, le=1, description="rating: step of the stochastic gradient descent")
    seed: int = Field(1, ge=0, le=2**31 - 1, description="Start of the random numbers; the same seed, the same model")


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
    The answer is the exact one.
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
        self._factors = np.asarray(state.arrays["factors"])
        self._offsets = np.asarray(state.arrays["offsets"])
        self._mean = float(state.meta["mean"])
        self._penalty = float(state.meta["penalty"])
        self._top = float(state.meta["top"])
        width = self._factors.shape[1]
        self._base = np.asarray(state.arrays["gram"], dtype=np.float64) + self._penalty * np.eye(width)

    @classmethod
    def fit(cls, data: Dataset, params: Any, progress: Progress) -> Self:
        """Learn the items' factors. Items without interactions are left out: nothing is known of them.

        Raises:
            StrategyError: objective `rating`, and no event carries a value.
        """
        given: MatrixFactorizationParameters = params
        return cls(
            _fit_ranking(data, given, progress) if given.objective == "ranking" else _fit_rating(data, given, progress),
            given,
        )

    def recommend(self, query: Query) -> list[Scored]:
        """All known items by predicted preference (or rating); nothing for users of whom nothing is known."""
        if self._params.objective == "rating":
            folded = self._fold_rating(query)
            return [] if folded is None else self._catalogue.best(query, self._predicted(folded))
        places, weights = self._catalogue.profile(query)
        if not len(places) or query.k < 1:
            return []
        known = self._factors[places].astype(np.float64)
        extra = self._params.alpha * weights  # confidence above the 1 that every item has
        taste = np.linalg.solve(self._base + (known.T * extra) @ known, known.T @ (1 + extra))
        return [Scored(self._catalogue.ids[place], score) for place, score in self._exact_best(query, taste)]

    def _exact_best(self, query: Query, taste: NDArray[np.floating]) -> list[tuple[int, float]]:
        """`pick` among all items, looking at as few as can be."""
        wanted = taste.astype(np.float32)
        if query.candidates is not None:
            own = sorted(self._catalogue.places[i] for i in query.candidates if i in self._catalogue.places)
            return self._catalogue.pick(query, self._factors[own] @ wanted, np.array(own, dtype=np.intp))
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
        width = self._factors.shape[1]
        taste = np.zeros(width + 1) if folded is None else folded
        predicted = self._predicted(taste)
        unknown = self._mean + taste[width]
        places = [self._catalogue.places.get(item_id) for item_id in item_ids]
        return np.array([unknown if place is None else predicted[place] for place in places], dtype=np.float64)

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
        # the penalty of the SGD applies once per rating, so it grows with their number
        penalty = self._penalty * len(places) * np.eye(known.shape[1])
        return np.linalg.solve(known.T @ known + penalty, known.T @ rest)

    def _predicted(self, taste: NDArray[np.float64]) -> NDArray[np.float64]:
        width = self._factors.shape[1]
        return np.asarray(self._mean + self._offsets + self._factors @ taste[:width] + taste[width], dtype=np.float64)

    def state(self) -> State:
        """Item ids, factors, offsets, their Gram matrix, and the scale. No user is in it."""
        return self._state

    @classmethod
    def restore(cls, state: State, params: Any) -> Self:
        """The inverse of `state`."""
        return cls(state, params)


def _state(
    item_ids: NDArray[np.str_],
    factors: NDArray[np.float32],
    *,
    offsets: NDArray[np.floating] | None = None,
    mean: float = 0.0,
    top: float = 0.0,
    penalty: float,
) -> State:
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
        meta={"mean": mean, "penalty": penalty, "top": top},
    )


def _fit_ranking(data: Dataset, params: MatrixFactorizationParameters, progress: Progress) -> State:
    chosen = np.flatnonzero(np.bincount(data.columns, minlength=data.shape[1]))
    if not len(chosen):
        return _state(data.item_ids[:0], np.zeros((0, params.factors), np.float32), penalty=1.0)
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    matrix = data.matrix
    # all users are needed for no more than their rows: the columns are cut to items that were chosen
    confidence = matrix[:, chosen] if len(chosen) < matrix.shape[1] else matrix.copy()
    confidence.data = 1 + np.float32(params.alpha) * confidence.data
    penalty = params.regularization * _largest_singular_value(confidence)

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
    return _state(data.item_ids[chosen], factors, penalty=penalty)


def _fit_rating(data: Dataset, params: MatrixFactorizationParameters, progress: Progress) -> State:
    users, columns, values = ratings(data)
    if len(data) and not len(values):
        raise StrategyError(
            f"matrix_factorization: parameter objective='rating': learns from events that carry a value (a rating), "
            f"and none of the {len(data)} interactions does; use 'ranking'"
        )
    chosen, items = np.unique(columns, return_inverse=True)
    learned = fit_ratings(
        users,
        items,
        values,
        shape=(data.shape[0], len(chosen)),
        factors=params.factors,
        epochs=params.iterations,
        penalty=params.rating_regularization,
        step=params.learning_rate,
        seed=params.seed,
        progress=progress,
    )
    return _state(
        data.item_ids[chosen],
        learned.factors.astype(np.float32),
        offsets=learned.offsets,
        mean=learned.mean,
        top=float(values.max(initial=0.0)),
        penalty=params.rating_regularization,
    )


def _largest_singular_value(matrix: Any, steps: int = 20) -> float:
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
