"""The best few by sums over a sparse profile, adding up only what matters most.

Score-at-a-time evaluation of an inverted index under a budget, and then exact scores for the best of what that found:
Anh & Moffat, "Pruned Query Evaluation Using Pre-Computed Impacts" (SIGIR 2006); Turtle & Flood, "Query Evaluation:
Strategies and Optimizations" (1995). A profile of many features has a few that decide (a brand, a rare word) and many
that nearly every item shares; the latter make up most of the work and little of the order.

What an answer costs follows the effort, not the catalogue: no step of it looks at all items, but where hardly any item
has a feature of the profile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strategies.serving import best_first

BUDGETS = (2_500, 3_500, 5_000, 7_000, 10_000, 14_000, 20_000, 30_000, 40_000, 60_000, 80_000, 120_000, 160_000)
"""What may be tried for `ShortSums.effort`."""
SPARE, PER_WANTED = 200, 16
"""Items are scored exactly that have one of the so many best entries, and so many more for each item wanted. A good
item has several of the features that are added up, and so as many entries; items are a third or fewer."""
UNTOUCHED = 4096
"""So many items that score best without any feature are known beforehand."""
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
            allowed: places of the items that may be found; all that have a feature are among them.
            effort: so many entries at most are added up, beside those of the weightiest feature.
        """
        self.effort = effort
        self._starts, self._items, self._values = np.asarray(starts), np.asarray(items), np.asarray(values)
        self._lengths, self._falls = np.diff(self._starts), -np.asarray(tops)
        self._base = np.full(len(scores), -np.inf, dtype=np.float32)
        self._base[allowed] = scores[allowed]
        self._first = allowed[best_first(self._base[allowed], UNTOUCHED)]
        self._first_falls = -self._base[self._first]
        self._first_best = -float(self._first_falls.min(initial=np.inf))
        self._spare: deque[NDArray[np.float32]] = deque(maxlen=_MOST_KEPT)

    def chosen(self, features: Places, weights: Floats) -> tuple[Places, Places]:
        """Which of the features are added up: those with the largest possible say, as many as the effort allows.

        Returns:
            Positions in `features`, the largest say first, and how many entries each has; shapes (c,).
        """
        order = (np.abs(weights) * self._falls[features]).argsort()
        lengths = self._lengths[features[order]]
        count = max(1, int(lengths.cumsum().searchsorted(int(self.effort), side="right")))
        return order[:count], lengths[:count]

    def share(self, features: Places, weights: Floats) -> float:
        """The share of the profile's entries that are added up."""
        _, lengths = self.chosen(features, weights)
        return float(lengths.sum() / max(1, self._lengths[features].sum()))

    def promising(self, features: Places, weights: Floats, k: int, barred: Sequence[int]) -> Places:
        """Places that may be among the best `k`, ascending: the best of the short sums, several times `k`.

        Args:
            features: shape (n,), the profile's.
            weights: shape (n,).
            k: how many are wanted, at least 1.
            barred: places that may not be in the answer.
        """
        items, values = self._touched(features, weights, barred)
        count = SPARE + PER_WANTED * k
        while True:
            edge = _edge(values, count)
            places = _reaching(items, values, edge, count)
            if len(places) >= k or edge == -np.inf:
                break
            count *= 4
        if edge > self._first_best:
            return places
        return np.sort(np.concatenate([places, self._untouched(items, barred, edge, count)]))

    def _touched(self, features: Places, weights: Floats, barred: Sequence[int]) -> tuple[Places, NDArray[np.float32]]:
        """Of each entry of the chosen features the place, and what that has in all; minus infinity if it is barred."""
        chosen, lengths = self.chosen(features, weights)
        ends = lengths.cumsum()
        picked = (self._starts[features[chosen]] - (ends - lengths)).repeat(lengths)
        picked += np.arange(len(picked))
        items = self._items[picked].astype(np.intp)
        parts = self._values[picked]
        parts *= weights[chosen].astype(np.float32).repeat(lengths)
        out = np.array(barred, dtype=np.intp)
        try:
            sums = self._spare.pop()
        except IndexError:
            sums = self._base.copy()
        before = sums[items]
        np.add.at(sums, items, parts)
        sums[out] = -np.inf
        values = sums[items]
        sums[items] = before
        sums[out] = self._base[out]
        self._spare.append(sums)
        return items, values

    def _untouched(self, touched: Places, barred: Sequence[int], edge: float, count: int) -> Places:
        """The best `count` of the items without a chosen feature, as far as they reach the edge."""
        taken = np.concatenate([touched, np.array(barred, dtype=np.intp)])
        reaching = self._first[: self._first_falls.searchsorted(-edge, side="right")]
        found = reaching[~np.isin(reaching, taken)][:count]
        if len(found) == count or len(reaching) < UNTOUCHED:
            return found
        places = np.flatnonzero(self._base >= max(edge, float(np.finfo(np.float32).min)))
        places = places[~np.isin(places, taken)]
        return places[best_first(self._base[places], count)]


def _edge(values: NDArray[np.float32], count: int) -> float:
    """The `count`-th highest, or minus infinity where there are fewer."""
    if count > len(values):
        return -np.inf
    ordered = values.copy()
    ordered.partition(len(values) - count)
    return float(ordered[len(values) - count])


def _reaching(items: Places, values: NDArray[np.float32], edge: float, count: int) -> Places:
    """The places that reach the edge, each once, ascending; of more than twice as many as wanted only some at the edge.

    Args:
        items: shape (n,), places, many of them several times.
        values: shape (n,), the same wherever the place is; minus infinity is none.
        edge: the `count`-th highest value, or minus infinity.
        count: how many are wanted.
    """
    near = (values >= edge if edge > -np.inf else values > edge).nonzero()[0]
    if edge > -np.inf and len(near) > 2 * count:
        above = _once(items[values > edge])
        return np.sort(np.concatenate([above, _once(items[values == edge])[:count]]))
    return _once(items[near])


def _once(places: Places) -> Places:
    """Each once, ascending."""
    ordered = np.sort(places)
    later = ordered[1:]
    return np.concatenate([ordered[:1], later[(later != ordered[:-1]).nonzero()[0]]])
