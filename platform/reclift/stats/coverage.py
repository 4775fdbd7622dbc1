"""How many different items lists showed, and how far that is by chance of who came."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from scipy.special import ndtri


@dataclass(frozen=True, slots=True)
class Coverage:
    """Different items, and the standard error of their number; None: it takes at least two units."""

    items: int
    std_error: float | None

    def interval(self, level: float = 0.95) -> tuple[float, float] | None:
        """For the number of items; by the normal approximation, and never below 0."""
        if self.std_error is None:
            return None
        half = float(ndtri(0.5 + level / 2)) * self.std_error
        return max(0.0, self.items - half), self.items + half


def coverage(shown: Sequence[Collection[str]]) -> Coverage:
    """The number of different items that units were shown, with its jackknife standard error.

    Leaving a unit out loses just those items that nobody else was shown; the jackknife's variance is
    (n - 1)/n times the sum of squares of these losses about their mean. Heltshe & Forrester, "Estimating Species
    Richness Using the Jackknife Procedure", Biometrics 39 (1983). It tells how far the number would be another with
    other users, and nothing of the items that even more lists would show: compare arms by equally many lists.

    Args:
        shown: per unit, the items of all its lists.
    """
    owners: dict[str, int] = {}
    for unit, items in enumerate(shown):
        for item in set(items):
            owners[item] = unit if item not in owners else -1
    units = len(shown)
    if units < 2:
        return Coverage(len(owners), None)
    losses = [0] * units
    for unit in owners.values():
        if unit >= 0:
            losses[unit] += 1
    mean = sum(losses) / units
    variance = (units - 1) / units * sum((loss - mean) ** 2 for loss in losses)
    return Coverage(len(owners), math.sqrt(variance))
