"""Simulated arms for the calibration of catalogue coverage: users with lists, and what a number of them is shown."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from reclift.stats.estimate import Estimate
from reclift.stats.rarefaction import PART, Losses, Spread, estimate, expected_items

USERS = 500
CATALOGUE = 2_000
DRAWN = USERS // PART


class Arm:
    """An arm's users with the items that each was shown, each once: positions in two arrays of one length."""

    def __init__(self, users: int, user: np.ndarray, item: np.ndarray) -> None:
        pairs = np.unique(user.astype(np.int64) * CATALOGUE + item)
        self.user, self.item = pairs // CATALOGUE, pairs % CATALOGUE
        self.met = np.bincount(self.item, minlength=CATALOGUE)
        many, counts = np.unique(self.met[self.met > 0], return_counts=True)
        self.spread = Spread(users, users, dict(zip(many.tolist(), counts.tolist(), strict=True)))

    def losses(self, weights: Mapping[int, float]) -> Losses:
        by_met = np.zeros(self.met.max() + 1)
        by_met[list(weights)] = list(weights.values())
        own = np.bincount(self.user, weights=by_met[self.met[self.item]], minlength=self.spread.units)
        return Losses(float(own.sum()), float((own**2).sum()))

    def read(self, drawn: int = DRAWN) -> Estimate:
        return estimate(self.spread, drawn, CATALOGUE, self.losses)

    def naive(self) -> Estimate:
        """All items shown, with the jackknife of their number: what one would do first."""
        alone = np.bincount(self.user[self.met[self.item] == 1], minlength=self.spread.units)
        n = self.spread.units
        variance = (n - 1) / n * ((alone - alone.mean()) ** 2).sum()
        return Estimate(n, self.spread.shown / CATALOGUE, variance * n / CATALOGUE**2)


def popular(steepness: float) -> np.ndarray:
    """Chances of the items: Zipf's law; the steeper, the fewer items are shown."""
    chance = 1.0 / np.arange(1, CATALOGUE + 1) ** steepness
    return chance / chance.sum()


def own_lists(rng: np.random.Generator, users: int, steepness: float = 1.0) -> Arm:
    """Lists of ten for users who come one or more times; each place is filled by itself."""
    user = np.repeat(np.arange(users), 10 * rng.geometric(0.5, users))
    return Arm(users, user, rng.choice(CATALOGUE, user.size, p=popular(steepness)))


def by_taste(rng: np.random.Generator, users: int, steepness: float = 0.7) -> Arm:
    """Users of one taste are shown the same ten items: what goes together is shown together."""
    taste = rng.choice(CATALOGUE, users, p=popular(steepness))
    item = (7 * taste[:, None] + np.arange(10)) % CATALOGUE
    return Arm(users, np.repeat(np.arange(users), 10), item.ravel())


def truth(make, steepness: float, drawn: int = DRAWN, users: int = 400_000) -> float:
    """Coverage at so many users of a population that is nearly endless."""
    return expected_items(make(np.random.default_rng(1), users, steepness).spread, drawn) / CATALOGUE
