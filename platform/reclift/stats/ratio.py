"""Ratios of sums whose unit is the user: clicks per impression, revenue per order."""

from __future__ import annotations

from reclift.stats.estimate import Estimate
from reclift.stats.mean import require_units
from reclift.stats.result import CannotCompute, Code, finite
from reclift.stats.sums import Sums


def ratio(sums: Sums) -> Estimate:
    """Sum of `x` over sum of `y`, with the variance of the units that were randomised, not of impressions.

    R = mean(x) / mean(y); by the delta method the variance per unit is
    (var x - 2 R cov(x, y) + R**2 var y) / mean(y)**2.
    Source: Deng, Knoblich and Lu 2018, "Applying the Delta Method in Metric Analytics", KDD.

    Raises:
        CannotCompute: fewer than two units, or a denominator that sums to 0 or less.
    """
    require_units(sums)
    require_denominator(sums.y)
    denominator = sums.mean("y")
    r = sums.x / sums.y
    variance = sums.covariance("x", "x") - 2 * r * sums.covariance("x", "y") + r * r * sums.covariance("y", "y")
    # x proportional to y leaves rounding of either sign where the true variance is 0
    scale = sums.covariance("x", "x") + r * r * sums.covariance("y", "y")
    variance = 0.0 if variance <= 1e-12 * scale else variance
    return Estimate(sums.n, r, finite(variance / denominator / denominator, "ratio's variance"))


def require_denominator(total: float) -> None:
    """`CannotCompute` where a ratio's denominator is 0 or negative."""
    if total == 0:
        raise CannotCompute(Code.ZERO_DENOMINATOR, "The ratio's denominator sums to 0.")
    if total < 0:
        raise CannotCompute(
            Code.NEGATIVE_DENOMINATOR, f"The ratio's denominator sums to {total:g}; it must be positive."
        )
