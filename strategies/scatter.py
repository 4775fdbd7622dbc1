"""Adds up neighbours' similarities over all items of a profile, and finds the best sums, in a few passes of NumPy.

What it costs follows the length of the profile, hardly the catalogue's: items are only ever looked at in blocks.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reclift.strategy import StrategyError

_BLOCK = 64
_MOST_KEPT = 8
"""Arrays as long as the catalogue that wait to be used again; so many are seldom in use at once."""

Places = NDArray[np.intp]
Floats = NDArray[np.float32]


class Neighbours:
    """Each item's neighbours and their similarities. Read-only, so safe in many threads."""

    def __init__(self, neighbours: NDArray[Any], similarities: NDArray[Any]) -> None:
        """Shapes (I, n): neighbours' places, and similarities, 0 where an item has fewer. May be memory-mapped."""
        self._near = np.ascontiguousarray(neighbours, dtype=np.int32)
        self._similar = np.ascontiguousarray(similarities, dtype=np.float32)
        if self._near.size and not 0 <= int(self._near.min()) <= int(self._near.max()) < len(self._near):
            raise StrategyError(f"neighbours: places must be from 0 to {len(self._near) - 1}")
        self._blocks = -(-len(self._near) // _BLOCK)
        self._spare: deque[Floats] = deque(maxlen=_MOST_KEPT)

    def borrow(self) -> Floats:
        """Zeros, one for each item and some more."""
        try:
            return self._spare.pop()
        except IndexError:
            return np.zeros(self._blocks * _BLOCK, dtype=np.float32)

    def give_back(self, sums: Floats, touched: Places | None = None) -> None:
        """What was borrowed, to be used again; `touched`: the only places that may not be zero."""
        if touched is None:
            sums.fill(0)
        else:
            sums[touched] = 0
        self._spare.append(sums)

    def add_up(self, places: Places, weights: NDArray[np.floating], sums: Floats) -> None:
        """Add weight times similarity to the neighbours of each place; float32, in the order of `places`."""
        near = self._near.take(places, axis=0).ravel().astype(np.intp)  # what `add.at` has a fast path for
        similar = self._similar.take(places, axis=0)
        similar *= weights.astype(np.float32)[:, None]
        np.add.at(sums, near, similar.ravel())

    @staticmethod
    def best(sums: Floats, count: int) -> tuple[list[int], list[float]]:
        """Places of the `count` highest sums above zero, highest first, ties by place; and the sums.

        The k-th highest of the blocks' maxima cannot be above the k-th highest sum: only blocks that reach it matter.
        """
        if count < 1:
            return [], []
        # A block is a column: maxima of columns are taken a whole row at a time.
        blocks = sums.reshape(_BLOCK, -1)
        tops = blocks.max(axis=0)
        edge = np.float32(0)
        if count < len(tops):
            ordered = tops.copy()
            ordered.partition(len(tops) - count)
            edge = ordered[len(tops) - count]
        reached = (tops >= edge if edge > 0 else tops > 0).nonzero()[0]
        part = blocks.take(reached, axis=1).ravel()
        cells = (part >= edge if edge > 0 else part > 0).nonzero()[0]
        cells = cells[(-part[cells]).argsort(kind="stable")[:count]]
        rows, columns = np.divmod(cells, max(1, len(reached)))
        return (rows * len(tops) + reached[columns]).tolist(), part[cells].tolist()

    def sources(self, picked: list[int], places: Places, weights: NDArray[np.floating]) -> list[int]:
        """For each picked item, the place of the profile that counts most among the item's own neighbours.

        Similarities have no direction, so this is what brought the item most. An item that has nobody of the profile
        among its neighbours, which are cut off at some number, is looked up among those of the profile.
        """
        own = self.borrow()
        own[places] = weights
        chosen = np.array(picked, dtype=np.intp)
        near = self._near.take(chosen, axis=0)
        strength = own.take(near)
        strength *= self._similar.take(chosen, axis=0)
        self.give_back(own, places)
        row = np.arange(len(chosen))
        place = strength.argmax(axis=1)
        found: list[int] = near[row, place].tolist()
        lost = (strength[row, place] <= 0).nonzero()[0]
        if len(lost):
            self._look_up(found, lost, chosen, places, weights)
        return found

    def _look_up(
        self, found: list[int], lost: Places, chosen: Places, places: Places, weights: NDArray[np.floating]
    ) -> None:
        near = self._near.take(places, axis=0).ravel()
        wanted = np.zeros(len(self._near), dtype=bool)
        wanted[chosen[lost]] = True
        cells = wanted.take(near).nonzero()[0]
        rows, columns = np.divmod(cells, self._near.shape[1])
        strength = self._similar[places[rows], columns] * weights[rows]
        order = np.argsort(strength, kind="stable")  # the strongest is written last and stays
        strongest = dict(zip(near[cells][order].tolist(), places[rows[order]].tolist(), strict=True))
        for number in lost.tolist():
            found[number] = strongest[int(chosen[number])]
