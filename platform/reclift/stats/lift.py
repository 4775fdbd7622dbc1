"""Relative lifts: the delta method, and Fieller's interval where the control's mean is weak."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from reclift.stats.result import CannotCompute, Code, Interval, finite, finite_interval

WEAK = 0.1
"""Where the control's standard error is above this share of its mean, the delta method is rough: Fieller is added."""


@dataclass(frozen=True, slots=True)
class Effect:
    """A difference between two arms and the base that it is related to.

    Attributes:
        difference: treatment minus control, after any adjustment.
        difference_variance: its variance.
        observed_difference: the same before any adjustment.
        base: the control's mean.
        base_variance: its variance.
        covariance: of `difference` with `base`; minus `base_variance` for independent arms without adjustment.
        df: degrees of freedom for t intervals; `None` where neither arm varies.
    """

    difference: float
    difference_variance: float
    observed_difference: float
    base: float
    base_variance: float
    covariance: float
    df: float | None

    @property
    def std_error(self) -> float:
        """Standard error of the difference."""
        return sqrt(self.difference_variance)

    @property
    def required_df(self) -> float:
        """`df`; `CannotCompute` where there is no error to reckon with."""
        if self.df is None:
            raise CannotCompute(Code.ZERO_VARIANCE, "No unit differs from another in its arm, so the error is unknown.")
        return self.df


def require_base(base: float) -> None:
    """`CannotCompute` where a relative lift does not exist: a control's mean of 0, or below it."""
    if base == 0:
        raise CannotCompute(Code.ZERO_DENOMINATOR, "The control's mean is 0, so a relative lift does not exist.")
    if base < 0:
        raise CannotCompute(
            Code.NEGATIVE_DENOMINATOR,
            f"The control's mean is negative ({base:g}), so a relative lift would mislead; read the difference.",
        )


def lift(effect: Effect) -> float:
    """The difference as a share of the base.

    Raises:
        CannotCompute: the base is 0 or negative.
    """
    require_base(effect.base)
    return finite(effect.difference / effect.base, "lift")


def lift_variance(effect: Effect) -> float:
    """Variance of the lift by the delta method on (difference, base).

    With D the difference and m the base: (Var D - 2 L Cov(D, m) + L**2 Var m) / m**2. For independent arms that is
    Var b / a**2 + b**2 Var a / a**4, the usual form. The gradient is taken at the means as observed, so L is the
    unadjusted lift; with CUPED it differs from the adjusted one by what vanishes as units grow.
    Source: Deng, Knoblich and Lu 2018, "Applying the Delta Method in Metric Analytics", KDD.

    Raises:
        CannotCompute: the base is 0 or negative, the variance overflows, or it is 0 although the arms vary (a
            treatment without a single success: at a lift of -100 % the delta method knows no error).
    """
    require_base(effect.base)
    at = effect.observed_difference / effect.base
    numerator = effect.difference_variance - 2.0 * at * effect.covariance + at * at * effect.base_variance
    if numerator <= 1e-14 * effect.difference_variance and effect.df is not None:
        raise CannotCompute(Code.ZERO_VARIANCE, "The delta method finds no error in this lift, so it has no interval.")
    return finite(max(0.0, numerator) / effect.base / effect.base, "lift's variance")


def base_is_weak(effect: Effect) -> bool:
    """Whether the control's mean is uncertain enough (`WEAK`) for Fieller's interval to be shown too."""
    return effect.base > 0 and sqrt(effect.base_variance) > WEAK * effect.base


def fieller(effect: Effect, quantile: float) -> Interval:
    """Fieller's interval of the lift: every lift L for which D - L m is within `quantile` standard errors of 0.

    It excludes 0 exactly when the test of the difference with the same quantile rejects, which the delta method does
    not promise. Source: Fieller 1954, "Some Problems in Interval Estimation", JRSS B 16.

    Raises:
        CannotCompute: the base is 0 or negative, or so uncertain that the interval has no end.
    """
    require_base(effect.base)
    t2 = quantile * quantile
    a = effect.base**2 - t2 * effect.base_variance
    if a <= 0:
        raise CannotCompute(
            Code.UNBOUNDED, "The control's mean cannot be told from 0 at this level, so the lift has no bounds."
        )
    b = effect.difference * effect.base - t2 * effect.covariance
    c = effect.difference**2 - t2 * effect.difference_variance
    root = sqrt(max(0.0, b * b - a * c))
    return finite_interval((b - root) / a, (b + root) / a, "lift's interval")
