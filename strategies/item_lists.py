"""The best few of very many items without scoring them all: alike items stand in lists, and poor lists are passed over.

An inverted file (Sivic & Zisserman, "Video Google", ICCV 2003; Jegou, Douze & Schmid, "Product Quantization for Nearest
Neighbor Search", PAMI 2011) for inner products, with two changes. The longest items, which are among the best far more
often than others, stand apart at the head and are always scored. And the number of lists is not fixed: of each list
the best score that it may hold is estimated, and lists are looked at until no estimate is above the k-th best score
found. So an answer with many exclusions, or a longer one, looks further, and there are k items wherever k are allowed.

Serving needs NumPy alone. Lists are made in `strategies.item_lists_fit`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

from reclift.strategy import State
from strategies.serving import best_first

HEAD = 4096
"""So many of the longest items are always scored; one product of this size costs about as much as the calls around."""
SLACKS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0)
"""What may be tried for `VectorLists.effort`."""
FIRST_LISTS = 32
"""So many lists are looked at together, and twice as many each further time."""

Places = NDArray[np.intp]
Floats = NDArray[np.floating]


class Best:
    """The `k` best allowed items so far."""

    __slots__ = ("_barred", "_places", "_scores", "edge", "k", "looked_at")

    def __init__(self, k: int, barred: Sequence[int] = ()) -> None:
        """`k` >= 1; `barred`: places that may not be in the answer."""
        self.k = k
        self.looked_at = 0
        """How many items were scored."""
        self.edge = float("-inf")
        """Only higher scores change anything: the k-th best so far, or minus infinity while there are fewer."""
        self._barred = frozenset(barred)
        self._places = np.zeros(0, dtype=np.intp)
        self._scores: Floats = np.zeros(0)

    def add(self, scores: Floats, first: Places, lengths: Places) -> None:
        """Take in the scores of some runs of places, one run after the other.

        Args:
            scores: shape (n,).
            first: shape (r,), where each run begins.
            lengths: shape (r,), how long it is; n in all.
        """
        self.looked_at += len(scores)
        near = np.flatnonzero(scores > self.edge) if self._full else np.arange(len(scores))
        most = self.k + len(self._barred)  # k of so many are allowed, whichever are barred
        if len(near) > most:
            near = near[best_first(scores[near], most)]
        if not len(near):
            return
        ends = np.cumsum(lengths)
        run = np.searchsorted(ends, near, side="right")
        places = first[run] + near - (ends - lengths)[run]
        values = scores[near]
        if self._barred:
            barred = self._barred
            allowed = [place not in barred for place in places.tolist()]
            places, values = places[allowed], values[allowed]
        places = np.concatenate([self._places, places])
        values = np.concatenate([self._scores, values])
        order = np.lexsort((places, -values))[: self.k]
        self._places, self._scores = places[order], values[order]
        if self._full:
            self.edge = float(self._scores[-1])

    @property
    def _full(self) -> bool:
        return len(self._scores) == self.k

    def add_to_all(self, constant: float) -> None:
        """Raise all scores, once the search is over."""
        self._scores = self._scores + constant

    def pairs(self) -> list[tuple[int, float]]:
        """Place and score, best first, equal scores in the order of places."""
        return list(zip(self._places.tolist(), self._scores.tolist(), strict=True))


def look_through(best: Best, starts: Places, estimates: Floats, score: Callable[[Places], Floats]) -> None:
    """Look at lists, the most promising first, until none is estimated to hold anything better than was found.

    Args:
        best: is added to.
        starts: shape (L + 1,): list l holds the places from `starts[l]` to `starts[l + 1]`.
        estimates: shape (L,), the best score that each list may hold; is changed.
        score: scores of all items of some lists, one list after the other.
    """
    count = FIRST_LISTS
    while True:
        lists = np.flatnonzero(estimates > best.edge)
        if not len(lists):
            return
        if len(lists) > count:
            lists = lists[np.argpartition(estimates[lists], len(lists) - count)[len(lists) - count :]]
        first = starts[lists]
        best.add(score(lists), first, starts[lists + 1] - first)
        estimates[lists] = -np.inf
        count *= 2


class VectorLists:
    """Lists of dense vectors, asked by inner product. Read-only, so safe in many threads."""

    def __init__(
        self,
        vectors: NDArray[np.float32],
        starts: NDArray[np.int64],
        centres: NDArray[np.float32],
        spreads: NDArray[np.float32],
        effort: float,
    ) -> None:
        """All but `effort` may be memory-mapped.

        Args:
            vectors: shape (I, d): the head by falling length, then list after list.
            starts: shape (L + 1,), places where lists begin, and I; before `starts[0]` is the head.
            centres: shape (L, d), the lists' means.
            spreads: shape (L,), root mean square of the distances of a list's items from its centre.
            effort: the best score of a list is estimated as centre · q + effort |q| spread.
        """
        self.effort = effort
        self._vectors, self._starts = np.asarray(vectors), np.asarray(starts)
        self._centres, self._spreads = np.ascontiguousarray(centres), np.ascontiguousarray(spreads)
        self._head = int(self._starts[0])
        self._longest = float(np.linalg.norm(self._vectors[self._head - 1])) if self._head else float("inf")

    @classmethod
    def of(cls, vectors: NDArray[np.float32], state: State) -> Self | None:
        """The lists of a state, or `None` where it has none."""
        arrays = state.arrays
        if "list_starts" not in arrays:
            return None
        effort = float(state.meta["search"]["effort"])
        return cls(vectors, arrays["list_starts"], arrays["list_centres"], arrays["list_spreads"], effort)

    def search(self, wanted: NDArray[np.floating], k: int, barred: Sequence[int] = ()) -> Best:
        """The best `k` by inner product with `wanted`, shape (d,)."""
        best = Best(k, barred)
        asked = wanted.astype(np.float32)
        length = float(np.linalg.norm(wanted))
        best.add(self._vectors[: self._head] @ asked, np.zeros(1, dtype=np.intp), np.full(1, self._head))
        if best.edge >= length * (1 + 1e-4) * self._longest:
            return best  # nothing is longer in the lists, so nothing is better: exact
        estimates = self._centres @ asked
        estimates += np.float32(self.effort * length) * self._spreads

        def score(lists: Places) -> Floats:
            return np.concatenate(
                [
                    self._vectors[start:stop] @ asked
                    for start, stop in zip(self._starts[lists].tolist(), self._starts[lists + 1].tolist(), strict=True)
                ]
            )

        look_through(best, self._starts, estimates, score)
        return best
