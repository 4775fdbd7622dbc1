"""The best few by sums over a sparse profile, adding up only what matters most.

Score-at-a-time evaluation of an inverted index under a budget, and then exact scores for the best of what that found:
Anh & Moffat, "Pruned Query Evaluation Using Pre-Computed Impacts" (SIGIR 2006); Turtle & Flood, "Query Evaluation:
Strategies and Optimizations" (1995). A profile of many features has a few that decide (a brand, a rare word) and many
that nearly every item shares; the latter make up most of the work and little of the order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strategies.serving import entries

BUDGETS = (2_500, 3_500, 5_000, 7_000, 10_000, 14_000, 20_000, 30_000, 40_000, 60_000, 80_000, 120_000, 160_000)
"""What may be tried for `ShortSums.effort`."""
SPARE, PER_WANTED = 150, 5
"""So many items are scored exactly, and so many more for each one wanted."""
COPY_BELOW = 16
"""An array up to so many times as long as what was changed in it is copied as a whole, which is faster."""
_BLOCK = 64
_MOST_KEPT = 8
"""Arrays as long as the catalogue that wait to be used again; so many are seldom in use at once."""

Places = NDArray[np.intp]
Floats = NDArray[np.floating]


class ShortSums:
    """An inverted index: for each feature the items that have it. Safe in many threads."""

    def __init__(
        self,
        starts: NDArray[Any],
        items: NDArray[Any],
        values: NDArray[Any],
        tops: NDArray[Any],
        scores: Floats,
        allowed: Places,
        effort: float,
    ) -> None:
        """The arrays may be memory-mapped.

        Args:
            starts: shape (F + 1,), where each feature's entries begin.
            items: shape (n,), the entries' items.
            values: shape (n,), their values.
            tops: shape (F,), the largest value of each feature.
            scores: shape (I,), what each item has without any feature.
            allowed: places of the items that may be found.
            effort: so many entries at most are added up, beside those of the weightiest feature.
        """
        self.effort = effort
        self._starts, self._items, self._values = np.asarray(starts), np.asarray(items), np.asarray(values)
        self._lengths, self._tops = np.diff(self._starts), np.asarray(tops)
        self._base = np.full(-(-len(scores) // _BLOCK) * _BLOCK, -np.inf, dtype=np.float32)
        self._base[allowed] = scores[allowed]
        self._spare: deque[NDArray[np.float32]] = deque(maxlen=_MOST_KEPT)

    def chosen(self, features: Places, weights: Floats) -> Places:
        """Which of the features are added up: those with the largest possible say, as many as the effort allows."""
        order = np.argsort(-np.abs(weights) * self._tops[features])
        spent = np.cumsum(self._lengths[features[order]])
        return order[: max(1, int(np.searchsorted(spent, self.effort, side="right")))]

    def share(self, features: Places, weights: Floats) -> float:
        """The share of the profile's entries that are added up."""
        chosen = features[self.chosen(features, weights)]
        return float(self._lengths[chosen].sum() / max(1, self._lengths[features].sum()))

    def promising(self, features: Places, weights: Floats, k: int, barred: Sequence[int]) -> Places:
        """Places that may be among the best `k`, ascending: the best of the short sums, several times `k`.

        Args:
            features: shape (n,), the profile's.
            weights: shape (n,).
            k: how many are wanted.
            barred: places that may not be in the answer.
        """
        chosen = self.chosen(features, weights)
        out = np.array(barred, dtype=np.intp)
        picked, lengths = entries(self._starts, features[chosen])
        items = self._items[picked]
        parts = self._values[picked]
        parts *= np.repeat(weights[chosen].astype(np.float32), lengths)
        try:
            sums = self._spare.pop()
        except IndexError:
            sums = self._base.copy()
        np.add.at(sums, items, parts)
        sums[out] = -np.inf
        found = _best_places(sums, SPARE + PER_WANTED * k)
        if len(items) * COPY_BELOW > len(sums):
            np.copyto(sums, self._base)
        else:
            sums[items] = self._base[items]
            sums[out] = self._base[out]
        self._spare.append(sums)
        return found


def _best_places(sums: Floats, count: int) -> Places:
    """Places of the `count` highest, the first of equals, ascending; minus infinity is none.

    The count-th highest of the blocks' maxima cannot be above the count-th highest sum, and is found much faster.
    """
    tops = sums.reshape(_BLOCK, -1).max(axis=0)  # a block is a column: maxima of columns are taken a row at a time
    edge = np.partition(tops, len(tops) - count)[len(tops) - count] if count < len(tops) else -np.inf
    places = np.flatnonzero(sums >= edge if edge > -np.inf else sums > -np.inf)
    if len(places) > count:
        values = sums[places]
        least = np.partition(values, len(values) - count)[len(values) - count]
        kept = values > least
        kept[np.flatnonzero(values == least)[: count - int(kept.sum())]] = True
        places = places[kept]
    return places
