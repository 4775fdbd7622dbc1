"""What most people choose: of all time, lately, on the rise, per category or per group of users."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from reclift.strategy import Dataset, Parameters, Progress, Query, Scored, State
from strategies.serving import Catalogue

DAY = 86_400.0
SEGMENT_PRIOR = 50.0
"""A segment's own counts are mixed with this much weight of everybody's, so that small segments stay sensible."""
CATEGORY_PRIOR = 1.0
"""Likewise for a user's share of categories: this much weight of everybody's shares."""


class PopularityParameters(Parameters):
    """What counts as popular."""

    count: Literal["weight", "users"] = Field(
        "weight",
        description="weight: every event counts, by its type's weight; users: how many different users, "
        "so that one busy user cannot push an item",
    )
    window_days: float | None = Field(
        None, gt=0, le=36_500, description="Only events of the last so many days count; empty: all"
    )
    half_life_days: float | None = Field(
        None, gt=0, le=36_500, description="An event counts half after so many days, a quarter after twice as many"
    )
    trending: bool = Field(
        False,
        description="Rank by how much faster an item is chosen in the window (or half-life) than before; "
        "needs window_days or half_life_days, else the last seventh of the time is the window",
    )
    per_category: bool = Field(False, description="Prefer the categories of the page's item, or of the user's history")
    segment: str | None = Field(
        None,
        max_length=100,
        description="Name of a user attribute (for example country): popularity is counted per value of it",
    )


class Popularity:
    """Ranks items by how much they are chosen. Everybody's baseline and the usual end of a fallback chain.

    Time decay is exponential, as in Cormode et al., "Forward Decay" (ICDE 2009). `trending` is the Poisson z-score of
    the recent count against what the earlier rate leads to expect, (recent - expected) / sqrt(expected + 1): the
    signed square root of a chi-square on rising counts, so that an item with two sales cannot lead by luck.
    """

    title: ClassVar[str] = "Popularity"
    summary: ClassVar[str] = "The most chosen items, for everybody or per category; needs little data, never fails."
    Parameters: ClassVar[type[Parameters]] = PopularityParameters
    needs_training: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True

    def __init__(self, state: State, params: PopularityParameters) -> None:
        """Bring a fitted state into service; `restore` is the public way."""
        self._state = state
        self._params = params
        self._catalogue = Catalogue(state.arrays["item_ids"])
        self._scores = np.asarray(state.arrays["scores"])
        self._orders = np.asarray(state.arrays["orders"])
        self._category = np.asarray(state.arrays["category"])
        self._category_share = np.asarray(state.arrays["category_share"])
        self._segments = {value: row for row, value in enumerate(state.meta["segments"], start=1)}

    @classmethod
    def fit(cls, data: Dataset, params: Any, progress: Progress) -> Self:
        """Count. Items that nobody chose come last, in the catalogue's order."""
        given: PopularityParameters = params
        items = len(data.item_ids)
        values = [_segment_of(data.user_attributes.get(user, {}), given.segment) for user in data.user_ids.tolist()]
        segments = sorted({value for value in values if value is not None})
        row_of = {value: row for row, value in enumerate(segments)}
        user_row = np.array([row_of.get(value, -1) if value is not None else -1 for value in values], dtype=np.intp)
        progress(0.2, "counting")
        everybody = _scores(data, given, np.ones(len(data), dtype=bool))
        rows = [everybody]
        for row in range(len(segments)):
            own = _scores(data, given, user_row[data.users] == row)
            total = float(np.abs(everybody).sum())
            rows.append(own + SEGMENT_PRIOR * everybody / total if total > 0 else own)
        scores = np.stack(rows)
        ever = np.bincount(data.columns, weights=data.weights, minlength=items)
        # equal scores: what was chosen more in all of time goes first
        orders = np.stack([np.lexsort((np.arange(items), -ever, -row)) for row in scores])
        names = sorted({item.category for item in data.items if item.category is not None})
        place = {name: number for number, name in enumerate(names)}
        category = np.array([place.get(item.category, -1) if item.category else -1 for item in data.items], np.int32)
        share = np.bincount(category + 1, weights=np.maximum(everybody, 0), minlength=len(names) + 1)
        progress(1.0, "done")
        return cls(
            State(
                arrays={
                    "item_ids": data.item_ids,
                    "scores": scores,
                    "orders": orders.astype(np.int32),
                    "category": category,
                    "category_share": share / share.sum() if share.sum() > 0 else share,
                },
                meta={"segments": segments},
            ),
            given,
        )

    def recommend(self, query: Query) -> list[Scored]:
        """Walk down the ready-made order; only `per_category` and `candidates` sort anew."""
        row = self._segments.get(_segment_of(query.attributes, self._params.segment) or "", 0)
        scores = self._scores[row]
        if self._params.per_category:
            weights = self._category_weights(query)
            if weights is not None:
                # trending scores may be below zero: shift, so that a preferred category never loses by it
                return self._catalogue.best(query, (scores - min(scores.min(), 0.0)) * weights)
        if query.candidates is not None:
            return self._catalogue.best(query, scores)
        ids = self._catalogue.ids
        answer: list[Scored] = []
        barred = query.exclude.union(query.context_items)
        for place in self._orders[row]:
            if len(answer) >= query.k:
                break
            if ids[place] not in barred:
                answer.append(Scored(ids[place], float(scores[place])))
        return answer

    def _category_weights(self, query: Query) -> NDArray[np.float64] | None:
        """Per item: the user's share of its category over everybody's; `None` where nothing is known of the user."""
        places, weights = self._catalogue.profile(query)
        if not len(places):
            return None
        share = self._category_share
        own = np.bincount(self._category[places] + 1, weights=weights, minlength=len(share)) + CATEGORY_PRIOR * share
        own /= own.sum()
        lift = np.divide(own, share, out=np.zeros_like(own), where=share > 0)
        return np.asarray(lift[self._category + 1])

    def state(self) -> State:
        """Item ids, scores and orders per segment, categories."""
        return self._state

    @classmethod
    def restore(cls, state: State, params: Any) -> Self:
        """The inverse of `state`."""
        return cls(state, params)


def _segment_of(attributes: Any, name: str | None) -> str | None:
    value = attributes.get(name) if name else None
    return None if value is None else str(value)


def _scores(data: Dataset, params: PopularityParameters, chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Scores of all items from the chosen interactions."""
    items = len(data.item_ids)
    age = np.maximum(data.until - data.times, 0.0) / DAY
    window, half_life = params.window_days, params.half_life_days
    span = float(age.max(initial=0.0))
    if params.trending and window is None and half_life is None:
        window = max(span / 7, 1 / 24)
    fresh = np.ones(len(data))
    if window is not None:
        fresh *= age <= window
    if half_life is not None:
        fresh *= np.exp2(-age / half_life)
    recent = _count(data, params, chosen, fresh, items)
    if not params.trending:
        return recent
    # the share of all time that "recent" stands for, and so the count that a steady item would show
    length = window if half_life is None else min(window or np.inf, half_life / np.log(2))
    share = min(1.0, float(length or span) / span) if span > 0 else 1.0
    expected = _count(data, params, chosen, np.ones(len(data)), items) * share
    return (recent - expected) / np.sqrt(expected + 1.0)


def _count(
    data: Dataset, params: PopularityParameters, chosen: NDArray[np.bool_], fresh: NDArray[np.float64], items: int
) -> NDArray[np.float64]:
    columns, users, fresh = data.columns[chosen], data.users[chosen], fresh[chosen]
    if params.count == "weight":
        return np.bincount(columns, weights=fresh * data.weights[chosen], minlength=items).astype(np.float64)
    # each user counts once per item, with their freshest event
    order = np.lexsort((-fresh, columns, users))
    columns, users, fresh = columns[order], users[order], fresh[order]
    first = np.ones(len(columns), dtype=bool)
    first[1:] = (columns[1:] != columns[:-1]) | (users[1:] != users[:-1])
    return np.bincount(columns[first], weights=fresh[first], minlength=items).astype(np.float64)
