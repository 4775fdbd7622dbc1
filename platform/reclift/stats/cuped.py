"""CUPED: what units did before the experiment takes noise out of what they do in it; means and ratios alike."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from scipy import special

from reclift.stats.estimate import Estimate, welch_df
from reclift.stats.lift import Effect
from reclift.stats.mean import require_units
from reclift.stats.ratio import ratio, require_denominator
from reclift.stats.result import CannotCompute, Code
from reclift.stats.sums import Sums


@dataclass(frozen=True, slots=True)
class Joint:
    """A metric and its pre-exposure value in one group of units; variances and covariance are per unit."""

    n: float
    value: float
    variance: float
    pre: float
    pre_variance: float
    covariance: float


@dataclass(frozen=True, slots=True)
class Adjusted:
    """CUPED's answer.

    Attributes:
        effect: the adjusted difference, against the control's mean as observed.
        theta: the coefficient, from all units of both arms together.
        reduction: share of the difference's variance that went away, 0 to 1.
        pre_p_value: two-sided p of the arms being alike before the experiment (an A/A test on the covariate).
    """

    effect: Effect
    theta: float
    reduction: float
    pre_p_value: float


def joint(sums: Sums, kind: str) -> Joint:
    """Moments of the metric with its covariate.

    Means and proportions use `x` with `u`. Ratios use the linearised unit values (x - R y) / mean(y); their covariate
    is linearised the same way where `v` is there, else it is `u` itself.
    Source: Deng, Xu, Kohavi and Walker 2013, appendix B ("non-user metrics").

    Raises:
        CannotCompute: fewer than two units, or a denominator that is not positive.
    """
    require_units(sums)
    cov = sums.covariance
    r, d = 0.0, 1.0
    value, variance = sums.mean("x"), cov("x", "x")
    if kind == "ratio":
        estimate = ratio(sums)
        value, variance, r, d = estimate.value, estimate.variance, estimate.value, sums.mean("y")
    r0, d0 = 0.0, 1.0
    pre, pre_variance = sums.mean("u"), cov("u", "u")
    if kind == "ratio" and sums.vv > 0:
        require_denominator(sums.v)
        r0, d0 = sums.u / sums.v, sums.mean("v")
        pre = r0
        pre_variance = max(0.0, cov("u", "u") - 2 * r0 * cov("u", "v") + r0 * r0 * cov("v", "v")) / d0 / d0
    covariance = (cov("x", "u") - r0 * cov("x", "v") - r * cov("y", "u") + r * r0 * cov("y", "v")) / d / d0
    return Joint(sums.n, value, variance, pre, pre_variance, covariance)


def cuped(control: Sums, treatment: Sums, kind: str = "mean") -> Adjusted:
    """The difference with the covariate's own difference taken out: D = (b - a) - theta (pre b - pre a).

    theta = cov(metric, covariate) / var(covariate), over the units of both arms together; it is the same for both arms,
    so a treatment that changes nothing still gives an expectation of 0. Units without a past have the covariate 0.
    The relative lift's base is the control's mean as observed; its delta method takes the covariance of D with it.
    Source: Deng, Xu, Kohavi and Walker 2013, "Improving the Sensitivity of Online Controlled Experiments by Utilizing
    Pre-Experiment Data", WSDM.

    Raises:
        CannotCompute: an arm has too few units, the covariate is missing or does not vary, a ratio has no denominator.
    """
    a, b, both = joint(control, kind), joint(treatment, kind), joint(control + treatment, kind)
    if both.pre_variance <= 0:
        raise CannotCompute(Code.NO_COVARIATE, "No unit's value before the experiment differs from another's.")
    theta = both.covariance / both.pre_variance
    adjusted_a, adjusted_b = _adjust(a, theta), _adjust(b, theta)
    difference = (b.value - a.value) - theta * (b.pre - a.pre)
    variance = adjusted_a.error_variance + adjusted_b.error_variance
    plain = a.variance / a.n + b.variance / b.n
    effect = Effect(
        difference=difference,
        difference_variance=variance,
        observed_difference=b.value - a.value,
        base=a.value,
        base_variance=a.variance / a.n,
        covariance=-(a.variance - theta * a.covariance) / a.n,
        df=welch_df(adjusted_a, adjusted_b),
    )
    reduction = min(1.0, max(0.0, 1.0 - variance / plain)) if plain > 0 else 0.0
    pre_error = sqrt(a.pre_variance / a.n + b.pre_variance / b.n)
    pre_p = float(2 * special.ndtr(-abs(b.pre - a.pre) / pre_error)) if pre_error > 0 else 1.0
    return Adjusted(effect, theta, reduction, pre_p)


def _adjust(arm: Joint, theta: float) -> Estimate:
    variance = arm.variance - 2 * theta * arm.covariance + theta * theta * arm.pre_variance
    # a perfect covariate leaves rounding of either sign
    scale = arm.variance + theta * theta * arm.pre_variance
    return Estimate(arm.n, arm.value - theta * arm.pre, 0.0 if variance <= 1e-12 * scale else variance)
