"""Any item, each as likely as any other: the honest baseline, and the log that other strategies can be judged on."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np

from reclift.strategy import Dataset, NoParameters, Parameters, Progress, Query, Scored, State
from strategies.serving import Catalogue


class Random:
    """Uniform without repetition, from the query's seed alone.

    Each allowed item has the same chance of standing at a position, 1 / (allowed items), and that is the propensity
    that is logged: with it, other strategies can be evaluated from this one's impressions (Horvitz & Thompson, 1952;
    Saito et al., "Open Bandit Dataset and Pipeline", NeurIPS 2021).
    """

    title: ClassVar[str] = "Random"
    summary: ClassVar[str] = "Every item with the same chance; the honest baseline, with exact propensities."
    Parameters: ClassVar[type[Parameters]] = NoParameters
    needs_training: ClassVar[bool] = True

    def __init__(self, state: State) -> None:
        """Bring a fitted state into service; `restore` is the public way."""
        self._state = state
        self._catalogue = Catalogue(state.arrays["item_ids"])

    @classmethod
    def fit(cls, data: Dataset, params: Any, progress: Progress) -> Self:  # noqa: ARG003 (the seam's signature)
        """Only remember the catalogue."""
        progress(1.0, "done")
        return cls(State(arrays={"item_ids": data.item_ids}))

    def recommend(self, query: Query) -> list[Scored]:
        """Draw; the score counts down, since a draw has no other."""
        ids, places = self._catalogue.ids, self._catalogue.places
        rng = np.random.default_rng(query.seed)
        barred = query.exclude.union(query.context_items)
        if query.candidates is not None:
            pool = sorted(places[item_id] for item_id in query.candidates - barred if item_id in places)
            drawn = [pool[n] for n in _start_of_permutation(rng, len(pool), query.k)]
            allowed = len(pool)
        else:
            allowed = len(ids) - sum(item_id in places for item_id in barred)
            # what is barred is drawn and dropped: the rest of a uniform draw is uniform over the rest
            need = min(len(ids), max(0, query.k) + len(ids) - allowed)
            drawn = [n for n in _start_of_permutation(rng, len(ids), need) if ids[n] not in barred]
        count = max(0, min(query.k, len(drawn)))
        return [Scored(ids[place], float(count - rank), 1 / allowed) for rank, place in enumerate(drawn[:count])]

    def state(self) -> State:
        """The catalogue's ids."""
        return self._state

    @classmethod
    def restore(cls, state: State, params: Any) -> Self:  # noqa: ARG003 (the seam's signature)
        """The inverse of `state`."""
        return cls(state)


def _start_of_permutation(rng: np.random.Generator, size: int, count: int) -> list[int]:
    """The first `count` places of a random order of `size`; the same seed gives the same start for every `count`.

    Floyd's and Fisher & Yates' idea with a dictionary in place of the array: the cost follows `count`, not `size`.
    """
    moved: dict[int, int] = {}
    found = []
    for place in range(max(0, min(count, size))):
        other = int(rng.integers(place, size))
        found.append(moved.get(other, other))
        moved[other] = moved.get(place, place)
    return found
