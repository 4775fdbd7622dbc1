"""How many units, how small a lift, how long: for means, proportions and ratios, with CUPED's gain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, inf, log, sqrt
from typing import Literal, get_args

from scipy import special

from reclift.stats.cuped import joint
from reclift.stats.estimators import Kind, estimate
from reclift.stats.lift import require_base
from reclift.stats.result import CannotCompute, Code, check_probability
from reclift.stats.sequential import DEFAULT_TUNING, rho_squared
from reclift.stats.sums import Sums

PowerRegime = Literal["fixed", "sequential"]


@dataclass(frozen=True, slots=True)
class Baseline:
    """What the metric does today, per unit: from this placement's own history.

    Attributes:
        mean: the mean, proportion or ratio.
        variance: per unit (a ratio's is the delta method's), after CUPED where it is used.
    """

    mean: float
    variance: float

    @staticmethod
    def proportion(rate: float) -> Baseline:
        """A share of units, 0 < rate < 1."""
        check_probability("rate", rate)
        return Baseline(rate, rate * (1.0 - rate))


def baseline(history: Sums, kind: Kind, *, cuped: bool = False) -> Baseline:
    """A baseline from units seen so far; with `cuped`, what the variance will be after the adjustment by `u` and `v`.

    Raises:
        CannotCompute: too few units, a mean that is not positive, no covariate.
    """
    level = estimate(history, kind)
    require_base(level.value)
    if not cuped:
        return Baseline(level.value, level.variance)
    moments = joint(history, kind)
    if moments.pre_variance <= 0:
        raise CannotCompute(Code.NO_COVARIATE, "No unit's value before the experiment differs from another's.")
    return Baseline(level.value, max(0.0, moments.variance - moments.covariance**2 / moments.pre_variance))


@dataclass(frozen=True, slots=True)
class Design:
    """How the experiment is to be read.

    Attributes:
        alpha: two-sided false positive rate of the family.
        power: probability of finding the lift.
        control_share: the control's share of the units of the two arms that are compared.
        comparisons: how many primary comparisons share alpha (Bonferroni, which is what Holm and Benjamini-Hochberg
            need at worst: when one arm only is better); 1 where they are not corrected.
        regime: `fixed` reads once at the end; `sequential` at any time, which needs more units.
        tuning: sequential only: units at which the always-valid interval is tightest.
    """

    alpha: float = 0.05
    power: float = 0.8
    control_share: float = 0.5
    comparisons: int = 1
    regime: PowerRegime = "fixed"
    tuning: int = DEFAULT_TUNING

    def __post_init__(self) -> None:
        for name in ("alpha", "power", "control_share"):
            check_probability(name, getattr(self, name))
        if self.comparisons < 1:
            raise ValueError(f"comparisons is {self.comparisons!r}; there is at least one")
        if self.regime not in get_args(PowerRegime):
            raise ValueError(f"regime is {self.regime!r}; it must be one of {', '.join(get_args(PowerRegime))}")

    @property
    def level_alpha(self) -> float:
        """Alpha of one comparison."""
        return self.alpha / self.comparisons

    @property
    def spread(self) -> float:
        """Variance of the difference times units, for a variance of 1 in both arms."""
        return 1.0 / self.control_share + 1.0 / (1.0 - self.control_share)

    def critical(self, units: float) -> float:
        """How many standard errors count as significant at `units` units in both arms."""
        if self.regime == "fixed":
            return float(-special.ndtri(self.level_alpha / 2.0))
        m = units * rho_squared(self.level_alpha, self.tuning)
        return sqrt(2.0 * (m + 1.0) / m * (0.5 * log(m + 1.0) - log(self.level_alpha)))


def achieved_power(base: Baseline, lift: float, units: float, design: Design | None = None) -> float:
    """Probability that a true relative `lift` is called significant with `units` units in both arms together.

    Normal approximation, both tails: Phi(d - c) + Phi(-d - c) with d the lift in standard errors and c the critical
    value. For the sequential regime it counts only the last look, so it is a lower bound.
    Source: Cohen 1988, "Statistical Power Analysis for the Behavioral Sciences", chapter 2.
    """
    design = design or Design()
    _check(base, lift)
    if not units > 0:
        return 0.0
    d = abs(lift) * base.mean / sqrt(base.variance * design.spread / units)
    c = design.critical(units)
    return float(special.ndtr(d - c) + special.ndtr(-d - c))


def required_units(base: Baseline, lift: float, design: Design | None = None) -> int:
    """Smallest number of units, both arms together, with which `lift` is found with the design's power.

    Raises:
        ValueError: a lift of 0, or a baseline that is not positive.
    """
    design = design or Design()
    _check(base, lift)
    low, high = 0.0, 2.0
    while achieved_power(base, lift, high, design) < design.power:
        low, high = high, high * 2.0
    while high - low > 1e-9 * high:
        middle = 0.5 * (low + high)
        low, high = (low, middle) if achieved_power(base, lift, middle, design) >= design.power else (middle, high)
    return max(4, ceil(high - 1e-6))


def detectable_lift(base: Baseline, units: float, design: Design | None = None) -> float:
    """Smallest true relative lift, either way, that `units` units in both arms find with the design's power.

    Raises:
        ValueError: no units, or a baseline that is not positive.
    """
    design = design or Design()
    if not units > 0:
        raise ValueError(f"units is {units!r}; it must be positive")
    _check(base, 1.0)
    error = sqrt(base.variance * design.spread / units) / base.mean
    low, high = 0.0, (design.critical(units) + 10.0) * error
    for _ in range(100):
        middle = 0.5 * (low + high)
        found = middle > 0 and achieved_power(base, middle, units, design) >= design.power
        low, high = (low, middle) if found else (middle, high)
    return high


def duration_days(units: float, new_units_by_day: Sequence[float], *, share: float = 1.0) -> int:
    """Whole days until `units` units are in, from how many new units each day of the past brought.

    The past is replayed from its first day, since returning users are no new units and arrivals thin out; after it,
    days bring what its last seven brought on average. Rounded up to whole weeks by the caller who wants weekdays even.

    Args:
        units: needed in the arms that are compared.
        new_units_by_day: units first seen on each day of a past period, oldest first.
        share: of them that enter these arms (traffic times weights).

    Raises:
        ValueError: no history, negative arrivals, a share outside (0, 1].
        CannotCompute: nobody comes any more, so the number is never reached.
    """
    if not new_units_by_day or min(new_units_by_day) < 0:
        raise ValueError("new_units_by_day must have at least one day, and no day may be negative")
    if not 0 < share <= 1:
        raise ValueError(f"share is {share!r}; it must be above 0 and at most 1")
    left = units
    for day, arrivals in enumerate(new_units_by_day, 1):
        left -= arrivals * share
        if left <= 0:
            return day
    week = new_units_by_day[-7:]
    daily = share * sum(week) / len(week)
    if daily <= 0:
        raise CannotCompute(Code.NO_UNITS, "No new units came in the last week, so the number is never reached.")
    return len(new_units_by_day) + ceil(left / daily)


def _check(base: Baseline, lift: float) -> None:
    if not 0 < base.mean < inf or not 0 < base.variance < inf:
        raise ValueError(
            f"baseline's mean is {base.mean!r} and variance {base.variance!r}; both must be positive to plan a lift"
        )
    if lift == 0:
        raise ValueError("lift is 0; no number of units finds a lift of 0")
