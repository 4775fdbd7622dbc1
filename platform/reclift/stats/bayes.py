"""The Bayesian reading: a normal posterior for any metric, beta-binomial for proportions; the prior is stated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, isinf, pi, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy import special

from reclift.stats.estimate import z_quantile
from reclift.stats.result import Interval


@dataclass(frozen=True, slots=True)
class NormalPrior:
    """What is believed of the relative lift before the data. `sd` infinite is flat: every lift equally likely."""

    mean: float = 0.0
    sd: float = float("inf")

    def __post_init__(self) -> None:
        if not self.sd > 0:
            raise ValueError(f"prior's sd is {self.sd!r}; it must be positive (infinity for a flat prior)")

    @property
    def words(self) -> str:
        """The prior as a report states it."""
        return "flat on the lift" if isinf(self.sd) else f"lift ~ Normal({self.mean:g}, sd {self.sd:g})"


@dataclass(frozen=True, slots=True)
class BetaPrior:
    """What is believed of each arm's rate before the data; the default is uniform."""

    alpha: float = 1.0
    beta: float = 1.0

    def __post_init__(self) -> None:
        if not (self.alpha > 0 and self.beta > 0):
            raise ValueError(f"prior's alpha and beta are {self.alpha!r} and {self.beta!r}; both must be positive")

    @property
    def words(self) -> str:
        """The prior as a report states it."""
        return f"each rate ~ Beta({self.alpha:g}, {self.beta:g})"


@dataclass(frozen=True, slots=True)
class Reading:
    """Posterior of a difference (or lift).

    Attributes:
        chance: probability that it is above 0.
        loss: expected amount by which it is below 0 (0 where it is above): what choosing the treatment risks.
        loss_control: expected amount by which it is above 0: what keeping the control risks.
        interval: equal-tailed credible interval.
    """

    chance: float
    loss: float
    loss_control: float
    interval: Interval


def normal_posterior(estimate: float, variance: float, prior: NormalPrior) -> tuple[float, float]:
    """Mean and variance of the conjugate posterior; with a flat prior they are `estimate` and `variance`."""
    if isinf(prior.sd):
        return estimate, variance
    weight = variance / (variance + prior.sd**2)
    return weight * prior.mean + (1.0 - weight) * estimate, (1.0 - weight) * variance


def normal_reading(estimate: float, variance: float, prior: NormalPrior, level: float = 0.95) -> Reading:
    """Reads a normal posterior. Losses are E[max(0, -d)] and E[max(0, d)], in the estimate's units.

    Source: any textbook on conjugate normals; losses as in Stucchio 2015, "Bayesian A/B Testing at VWO".
    """
    mean, var = normal_posterior(estimate, variance, prior)
    sd = sqrt(var)
    z = mean / sd
    density = exp(-0.5 * z * z) / sqrt(2.0 * pi)
    chance = float(special.ndtr(z))
    loss = max(0.0, sd * density - mean * float(special.ndtr(-z)))
    return Reading(chance, loss, max(0.0, sd * density + mean * chance), Interval.around(mean, z_quantile(level) * sd))


@dataclass(frozen=True, slots=True)
class BetaReading:
    """Posterior of the difference of two rates, and the credible interval of the relative lift."""

    difference: Reading
    lift_ci: Interval


def beta_reading(
    control: tuple[float, float], treatment: tuple[float, float], prior: BetaPrior, level: float = 0.95
) -> BetaReading:
    """Reads two beta posteriors, by Gauss-Legendre quadrature (no simulation, so the same data give the same answer).

    With densities f and distribution functions F: chance = integral of f_control (1 - F_treatment), loss = integral of
    F_treatment (1 - F_control). Source: Miller 2015, "Formulas for Bayesian A/B Testing"; Stucchio 2015.

    Args:
        control: units and successes.
        treatment: units and successes.
        prior: of each arm's rate.
        level: of the credible intervals.
    """
    a = _posterior(control, prior)
    b = _posterior(treatment, prior)
    t, weight = _nodes(a, b)
    cdf_a, cdf_b = special.betainc(*a, t), special.betainc(*b, t)
    sf_a, sf_b = special.betaincc(*a, t), special.betaincc(*b, t)
    mass_a = weight * np.exp((a[0] - 1) * np.log(t) + (a[1] - 1) * np.log1p(-t) - special.betaln(*a))
    total = float(mass_a.sum())
    tail = (1.0 - level) / 2.0
    mean_a, mean_b = a[0] / (a[0] + a[1]), b[0] / (b[0] + b[1])
    var = _variance(a) + _variance(b)
    halfwidth = z_quantile(level) * sqrt(var)

    def difference_cdf(d: float) -> float:
        return float(mass_a @ special.betainc(*b, np.clip(t + d, 0.0, 1.0))) / total

    def lift_cdf(r: float) -> float:
        return float(mass_a @ special.betainc(*b, np.clip(t * (1.0 + r), 0.0, 1.0))) / total

    centre = mean_b - mean_a
    interval = Interval(
        _solve(difference_cdf, tail, centre - halfwidth, halfwidth),
        _solve(difference_cdf, 1.0 - tail, centre + halfwidth, halfwidth),
    )
    lift, spread = mean_b / mean_a - 1.0, halfwidth / mean_a
    lift_ci = Interval(
        _solve(lift_cdf, tail, max(-0.99, lift - spread), spread), _solve(lift_cdf, 1.0 - tail, lift + spread, spread)
    )
    reading = Reading(
        chance=min(1.0, float(mass_a @ sf_b) / total),
        loss=float(weight @ (cdf_b * sf_a)),
        loss_control=float(weight @ (cdf_a * sf_b)),
        interval=interval,
    )
    return BetaReading(reading, lift_ci)


def _posterior(arm: tuple[float, float], prior: BetaPrior) -> tuple[float, float]:
    n, successes = arm
    return successes + prior.alpha, n - successes + prior.beta


def _variance(shape: tuple[float, float]) -> float:
    total = shape[0] + shape[1]
    return shape[0] * shape[1] / (total * total * (total + 1.0))


_GAUSS_X, _GAUSS_W = np.polynomial.legendre.leggauss(24)
_CUTS = (1e-16, 1e-7, 1e-3, 0.1, 0.5)
"""Quantiles between which the quadrature is laid, in both tails of both posteriors."""


def _nodes(a: tuple[float, float], b: tuple[float, float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points and weights over both posteriors' supports, denser where their mass is."""
    cuts = np.concatenate([f(*shape, _CUTS) for shape in (a, b) for f in (special.betaincinv, special.betainccinv)])
    edges = np.unique(np.clip(cuts, 1e-300, 1.0 - 1e-16))
    half = np.diff(edges)[:, None] / 2.0
    middle = (edges[1:] + edges[:-1])[:, None] / 2.0
    return (middle + half * _GAUSS_X).ravel(), (half * _GAUSS_W).ravel()


def _solve(cdf: Callable[[float], float], target: float, start: float, step: float) -> float:
    """Where an increasing distribution function reaches `target`: brackets from `start`, then bisects by secants."""
    low, high = start, start
    width = step * 0.1
    while cdf(low) > target:
        low -= width
        width *= 2.0
    width = step * 0.1
    while cdf(high) < target:
        high += width
        width *= 2.0
    f_low, f_high = cdf(low) - target, cdf(high) - target
    for _ in range(100):
        if high - low <= 1e-10 * step or f_low == f_high:
            break
        # Illinois: a secant step whose stale end is halved, so that both ends close in
        middle = high - f_high * (high - low) / (f_high - f_low)
        value = cdf(middle) - target
        if value * f_high < 0:
            low, f_low = high, f_high
        else:
            f_low *= 0.5
        high, f_high = middle, value
        if low > high:
            low, high, f_low, f_high = high, low, f_high, f_low
        if abs(value) < 1e-12:
            return middle
    return 0.5 * (low + high)
