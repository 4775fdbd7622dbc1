"""What answering needs and every strategy shares: item ids to places and back, a user's profile, the best few of many.

A *place* is an item's position in a fitted strategy's arrays. Everything here is built once, when a model is restored;
one answer costs NumPy calls over arrays that are already there. Strategies of other packages are welcome to use it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reclift.strategy import Query, Scored

CONTEXT_SHARE = 0.8
"""Where a page is about an item, this share of a profile's weight is that item's; the history keeps the rest."""

Places = NDArray[np.intp]
Floats = NDArray[np.floating]


class Catalogue:
    """The items that a fitted strategy knows, in the order of its arrays. Read-only, so safe in many threads."""

    __slots__ = ("ids", "places")

    def __init__(self, item_ids: NDArray[np.str_]) -> None:
        """`item_ids`: shape (I,), unicode, no two alike; may be memory-mapped."""
        self.ids: list[str] = item_ids.tolist()
        self.places: dict[str, int] = {item_id: place for place, item_id in enumerate(self.ids)}

    def __len__(self) -> int:
        """How many items there are."""
        return len(self.ids)

    def profile(self, query: Query, limit: int = 500) -> tuple[Places, NDArray[np.float64]]:
        """The known items that the query's user or page stands for, and how much of each.

        The weights of repeated signals add up, as they do in `Dataset.matrix`. Context items join with `CONTEXT_SHARE`
        of the whole, so a guest without history still gets an answer about the page that they are on.

        Args:
            query: its history and context items are read.
            limit: only this many of the latest signals count, which bounds the cost of very long histories.

        Returns:
            Places, shape (n,), each once, and weights > 0, shape (n,). n is 0 where nothing is known.
        """
        places = self.places
        summed: dict[int, float] = {}
        for signal in query.history[-limit:]:
            place, weight = places.get(signal[0]), signal[1]
            if place is not None and weight > 0:
                summed[place] = summed.get(place, 0.0) + weight
        context = [places[item_id] for item_id in query.context_items if item_id in places]
        if context:
            total = sum(summed.values()) or (1 - CONTEXT_SHARE) / CONTEXT_SHARE
            each = total * CONTEXT_SHARE / (1 - CONTEXT_SHARE) / len(context)
            for place in context:
                summed[place] = summed.get(place, 0.0) + each
        count = len(summed)
        return (
            np.fromiter(summed.keys(), dtype=np.intp, count=count),
            np.fromiter(summed.values(), dtype=np.float64, count=count),
        )

    def barred(self, query: Query) -> list[int]:
        """The places of known items that may not be in the answer: excluded, or the page's own."""
        barred = query.exclude.union(query.context_items) if query.context_items else query.exclude
        place_of = self.places.get
        return [place for item_id in barred if (place := place_of(item_id)) is not None]

    def candidates(self, query: Query) -> Places | None:
        """The places of the query's candidates that are known, ascending; `None` where all items are allowed."""
        if query.candidates is None:
            return None
        places = self.places
        return np.array(sorted(places[item_id] for item_id in query.candidates if item_id in places), dtype=np.intp)

    def pick(self, query: Query, scores: Floats, places: Places | None = None) -> list[tuple[int, float]]:
        """The best `query.k` allowed items, best first, equal scores in the order of places.

        Excluded items, items that are no candidates and the page's own items are left out. The cost hardly depends on
        how many items are excluded: a few more than wanted are taken, and more only where those do not do.

        Args:
            query: `k`, `exclude`, `candidates` and `context_items` are read.
            scores: shape (I,), or (n,) with `places`; finite.
            places: the items that `scores` are of, ascending; all items by default.

        Returns:
            At most `query.k` pairs of place and score.
        """
        allowed = self.candidates(query)
        if allowed is not None:
            if places is None:
                scores, places = scores[allowed], allowed
            else:
                kept = np.isin(places, allowed, assume_unique=True)
                scores, places = scores[kept], places[kept]
        if query.k < 1 or not len(scores):
            return []
        barred = query.exclude.union(query.context_items) if query.context_items else query.exclude
        ids = self.ids
        take = query.k + min(len(barred), 64)
        while True:
            order = best_first(scores, take)
            found = order if places is None else places[order]
            picked = [
                (place, score)
                for place, score in zip(found.tolist(), scores[order].tolist(), strict=True)
                if ids[place] not in barred
            ]
            if len(picked) >= query.k or take >= len(scores):
                return picked[: query.k]
            take *= 4

    def best(self, query: Query, scores: Floats, places: Places | None = None) -> list[Scored]:
        """`pick` as an answer."""
        return [Scored(self.ids[place], score) for place, score in self.pick(query, scores, places)]


def best_first(scores: Floats, count: int) -> Places:
    """Positions of the `count` highest scores, highest first, ties by position, so that a longer list starts alike."""
    if count >= len(scores):
        return np.argsort(-scores, kind="stable")
    edge = np.partition(scores, len(scores) - count)[len(scores) - count]
    found = np.flatnonzero(scores >= edge)
    return found[np.argsort(-scores[found], kind="stable")][:count]


def entries(starts: NDArray[np.int64], rows: Places) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of all entries of some rows of a compressed matrix, one after the other, and the rows' lengths."""
    first = starts[rows]
    lengths = starts[rows + 1] - first
    ends = np.cumsum(lengths)
    offsets = np.repeat(first - (ends - lengths), lengths)
    offsets += np.arange(len(offsets))
    return offsets, lengths
