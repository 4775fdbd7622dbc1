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
    distributions = _Distributions(a, b)
    mean_a, mean_b = a[0] / (a[0] + a[1]), b[0] / (b[0] + b[1])
    reach = z_quantile(level) * sqrt(_variance(a) + _variance(b))
    z = z_quantile(level)
    slope = exp(-0.5 * z * z) / sqrt(2.0 * pi) * z / reach
    tails = ((1.0 - level) / 2.0, -1), ((1.0 + level) / 2.0, 1)
    centre = mean_b - mean_a
    difference = [_solve(distributions.difference, tail, centre + sign * reach, slope) for tail, sign in tails]
    lift = [
        _solve(distributions.lift, tail, max(-0.99, (centre + sign * reach) / mean_a), slope * mean_a)
        for tail, sign in tails
    ]
    chance, loss, loss_control = _risks(a, b)
    return BetaReading(Reading(chance, loss, loss_control, Interval(*difference)), Interval(*lift))


def _risks(a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float, float]:
    """Chance that b > a, and the expected losses of choosing b and a.

    The smaller loss is integrated, so that it keeps its digits; the other one is that plus the difference of the means,
    since E[max(0, b - a)] - E[max(0, a - b)] = E[b - a].
    """
    gain = b[0] / (b[0] + b[1]) - a[0] / (a[0] + a[1])
    better, worse = (b, a) if gain >= 0 else (a, b)
    t, weight = _nodes(_edges(a, b))
    below = special.betainc(*better, t)
    mass = weight * _density(worse, t)
    behind = float(mass @ below) / float(mass.sum())
    small = float(weight @ (below * _above(worse, t)))
    if gain >= 0:
        return 1.0 - behind, small, small + gain
    return behind, small - gain, small


def _posterior(arm: tuple[float, float], prior: BetaPrior) -> tuple[float, float]:
    n, successes = arm
    return successes + prior.alpha, n - successes + prior.beta


def _above(shape: tuple[float, float], t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability above `t`, by reflection: SciPy's betaincc takes several times as long as betainc."""
    result: NDArray[np.float64] = special.betainc(shape[1], shape[0], 1.0 - t)
    return result


def _variance(shape: tuple[float, float]) -> float:
    total = shape[0] + shape[1]
    return shape[0] * shape[1] / (total * total * (total + 1.0))


def _density(shape: tuple[float, float], t: NDArray[np.float64]) -> NDArray[np.float64]:
    log_density = (shape[0] - 1) * np.log(t) + (shape[1] - 1) * np.log1p(-t) - special.betaln(*shape)
    result: NDArray[np.float64] = np.exp(log_density)
    return result


class _Distributions:
    """Distribution functions of b - a and of b / a - 1, integrated over the narrower posterior, where the other's
    distribution function is smooth.
    """

    def __init__(self, a: tuple[float, float], b: tuple[float, float]) -> None:
        self.over_a = _variance(a) <= _variance(b)
        self.inner, self.outer = (a, b) if self.over_a else (b, a)
        self.edges = _edges(self.inner)
        self.whole = self._masses(self.edges)

    def difference(self, d: float) -> float:
        """Probability that b - a <= d."""
        shift = d if self.over_a else -d
        t, mass = self._split_at(-shift, 1.0 - shift)
        return self._mean(t + shift, mass)

    def lift(self, r: float) -> float:
        """Probability that b <= (1 + r) a."""
        if r <= -1.0:
            return 0.0
        scale = 1.0 + r if self.over_a else 1.0 / (1.0 + r)
        t, mass = self._split_at(1.0 / scale)
        return self._mean(t * scale, mass)

    def _mean(self, at: NDArray[np.float64], mass: NDArray[np.float64]) -> float:
        below = float(mass @ special.betainc(*self.outer, np.clip(at, 0.0, 1.0)))
        return below if self.over_a else 1.0 - below

    def _masses(self, edges: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        t, weight = _nodes(edges)
        mass = weight * _density(self.inner, t)
        return t, mass / mass.sum()

    def _split_at(self, *kinks: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The quadrature with panels that end where the outer distribution function meets 0 or 1 with a kink."""
        inside = [kink for kink in kinks if self.edges[0] < kink < self.edges[-1]]
        return self._masses(np.unique(np.concatenate([self.edges, inside]))) if inside else self.whole


_GAUSS_X, _GAUSS_W = np.polynomial.legendre.leggauss(10)
_CUTS = (1e-15, 1e-7, 1e-3, 0.1, 0.5)
"""Quantiles between which the quadrature is laid, in both tails of each posterior."""


def _edges(*shapes: tuple[float, float]) -> NDArray[np.float64]:
    """Panels over the posteriors' supports, narrower where their mass is."""
    cuts = np.concatenate([f(*shape, _CUTS) for shape in shapes for f in (special.betaincinv, special.betainccinv)])
    edges: NDArray[np.float64] = np.unique(np.clip(cuts, 1e-300, 1.0 - 1e-16))
    return edges


def _nodes(edges: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points and weights of Gauss and Legendre's quadrature, panel by panel."""
    half = np.diff(edges)[:, None] / 2.0
    middle = (edges[1:] + edges[:-1])[:, None] / 2.0
    return (middle + half * _GAUSS_X).ravel(), (half * _GAUSS_W).ravel()


def _solve(cdf: Callable[[float], float], target: float, start: float, slope: float) -> float:
    """Where an increasing distribution function reaches `target`.

    `start` and `slope` are the normal approximation's: the first step goes a little farther than it says, to have the
    target between two points; then secant steps close in (Illinois: a stale end's value is halved).
    """
    value = cdf(start) - target
    direction = 1.0 if value < 0 else -1.0
    width = (1.2 * abs(value) + 1e-9) / slope
    low, f_low = start, value
    while value * direction < 0:
        low, f_low = start, value
        start += direction * width
        width *= 2.0
        value = cdf(start) - target
    high, f_high = start, value
    for _ in range(100):
        if abs(high - low) * slope <= 1e-10 or f_low == f_high or abs(f_high) < 1e-10:
            break
        middle = high - f_high * (high - low) / (f_high - f_low)
        value = cdf(middle) - target
        if value * f_high < 0:
            low, f_low = high, f_high
        else:
            f_low *= 0.5
        high, f_high = middle, value
    return high
