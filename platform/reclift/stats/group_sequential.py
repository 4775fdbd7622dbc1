"""Planned looks: alpha spending with O'Brien-Fleming-like and power families, bounds by numerical integration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import special

from reclift.stats.result import Interval, check_probability

Family = Literal["obrien_fleming", "power"]

_NEVER = 8.0
"""Bound of a look that has no alpha to spend: z above it has probability 1e-15."""


@dataclass(frozen=True, slots=True)
class Look:
    """One planned look.

    Attributes:
        information: share of the planned units that it has, 0 to 1.
        spent: alpha spent up to and with this look, all sides together.
        bound: how many standard errors the estimate must be from 0 to stop.
        nominal_alpha: the same as a level for this look's p-value (of as many sides as the design has).
    """

    information: float
    spent: float
    bound: float
    nominal_alpha: float


def obrien_fleming(information: float, alpha: float) -> float:
    """Alpha spent on one side: 2 (1 - Phi(z(1 - alpha / 2) / sqrt(information))); next to nothing early.

    Source: Lan and DeMets 1983, "Discrete Sequential Boundaries for Clinical Trials", Biometrika 70.
    """
    return float(2.0 * special.ndtr(special.ndtri(alpha / 2.0) / sqrt(information)))


def power_family(information: float, alpha: float, rho: float = 2.0) -> float:
    """Alpha spent on one side: alpha information**rho; the larger `rho`, the less is spent early.

    Source: Kim and DeMets 1987, "Design and Analysis of Group Sequential Tests Based on the Type I Error Spending Rate
    Function", Biometrika 74.
    """
    return float(alpha * information**rho)


def looks(
    information: Sequence[float],
    *,
    alpha: float = 0.05,
    family: Family = "obrien_fleming",
    rho: float = 2.0,
    sides: Literal[1, 2] = 2,
) -> tuple[Look, ...]:
    """Bounds of a design whose looks have the shares `information` of the planned units.

    Each look's bound is where the probability of crossing first there, with no effect, equals the alpha that the
    family spends between it and the look before; two-sided designs spend alpha / 2 on each side. The looks need not be
    equally spaced and may be appended as they happen: earlier bounds do not change.
    Source: Armitage, McPherson and Rowe 1969 for the recursion; Jennison and Turnbull 2000, "Group Sequential Methods
    with Applications to Clinical Trials", chapters 7 and 19.

    Raises:
        ValueError: no looks, shares that do not rise or leave (0, 1], an unknown family, `rho` not positive, or an
            alpha outside (0, 1).
    """
    _check(information, alpha, family, rho, sides)
    one_side = alpha / sides

    def spend(t: float) -> float:
        return obrien_fleming(t, one_side) if family == "obrien_fleming" else power_family(t, one_side, rho)

    result: list[Look] = []
    walk: _Walk | None = None
    before = 0.0
    for t in information:
        spent = spend(t)
        increment = max(0.0, spent - before)
        walk = _Walk.first(t, sides) if walk is None else walk.step(t)
        bound = _solve(walk.crossing, increment)
        walk = walk.stopped_at(bound)
        result.append(Look(t, spent * sides, bound, float(special.ndtr(-bound)) * sides))
        before = spent
    return tuple(result)


def repeated_interval(estimate: float, std_error: float, look: Look) -> Interval:
    """The interval that goes with a look: it excludes 0 exactly when the look stops, and all looks' intervals together
    cover the truth with 1 - alpha (two-sided designs).

    Source: Jennison and Turnbull 2000, chapter 9.
    """
    return Interval.around(estimate, look.bound * std_error)


def latest_look(design: Sequence[Look], information: float) -> tuple[int, Look] | None:
    """The latest look of `design` that `information` has reached, with its number from 1; `None` before the first."""
    reached = [(place, look) for place, look in enumerate(design, 1) if look.information <= information + 1e-9]
    return reached[-1] if reached else None


def _check(information: Sequence[float], alpha: float, family: str, rho: float, sides: int) -> None:
    check_probability("alpha", alpha)
    if family not in get_args(Family):
        raise ValueError(f"family is {family!r}; it must be one of {', '.join(get_args(Family))}")
    if sides not in (1, 2):
        raise ValueError(f"sides is {sides!r}; it must be 1 or 2")
    if not rho > 0:
        raise ValueError(f"rho is {rho!r}; it must be positive")
    if not information:
        raise ValueError("information is empty; a design needs at least one look")
    last = 0.0
    for index, t in enumerate(information):
        if not last < t <= 1.0:
            raise ValueError(f"information[{index}] is {t!r}; shares must rise and lie in (0, 1]")
        last = t


_GAUSS_X, _GAUSS_W = np.polynomial.legendre.leggauss(160)


@dataclass(frozen=True, slots=True)
class _Walk:
    """The score process without effect, just before a look at `t`: a density on nodes of the last continuation
    region, from which it takes a normal step of variance `variance`.
    """

    t: float
    variance: float
    at: NDArray[np.float64]
    mass: NDArray[np.float64]
    sides: int

    @staticmethod
    def first(t: float, sides: int) -> _Walk:
        """Before the first look: everything at 0."""
        return _Walk(t, t, np.zeros(1), np.ones(1), sides)

    def crossing(self, bound: float) -> float:
        """Probability of being beyond `bound` standard errors at this look, on one side."""
        tail = special.ndtr((self.at - bound * sqrt(self.t)) / sqrt(self.variance))
        return float(self.mass @ tail)

    def stopped_at(self, bound: float) -> _Walk:
        """The density just after the look, of the walks that go on."""
        high = bound * sqrt(self.t)
        low = -high if self.sides == 2 else -_NEVER * sqrt(self.t)
        half = (high - low) / 2.0
        nodes = (high + low) / 2.0 + half * _GAUSS_X
        steps = (nodes[:, None] - self.at[None, :]) / sqrt(self.variance)
        density = np.exp(-0.5 * steps * steps) @ self.mass / sqrt(2.0 * np.pi * self.variance)
        return _Walk(self.t, self.variance, nodes, density * half * _GAUSS_W, self.sides)

    def step(self, t: float) -> _Walk:
        """Just before the next look."""
        return _Walk(t, t - self.t, self.at, self.mass, self.sides)


def _solve(crossing: Callable[[float], float], target: float) -> float:
    """The bound whose crossing probability is `target`, by bisection (the probability falls as the bound grows)."""
    low, high = 0.0, _NEVER
    if crossing(high) >= target:
        return high
    for _ in range(80):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if crossing(middle) > target else (low, middle)
    return 0.5 * (low + high)
