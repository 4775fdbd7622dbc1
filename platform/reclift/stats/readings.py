"""The readings of one effect: fixed horizon and always valid; and the comparison that holds all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict

from scipy import special

from reclift.stats import bayes, sequential
from reclift.stats.attempts import Attempts
from reclift.stats.estimate import Estimate, t_quantile, two_sided_p, welch_df, z_quantile
from reclift.stats.lift import Effect, base_is_weak, fieller, lift, lift_variance
from reclift.stats.posterior import read_normal
from reclift.stats.result import (
    CannotCompute,
    Comparison,
    Interval,
    Reason,
    Sequential,
    check_level,
    finite,
    finite_interval,
)

DETECTION_POWER = 0.8
"""How often a true lift of `detectable_lift` would be called significant."""

_NEED_ERROR = ("difference_ci", "p_value", "p_value_adjusted", "lift_ci", "detectable_lift")
"""Fields that do not exist where neither arm varies."""


class Reading(TypedDict, total=False):
    """How an arm is read against the control; the same for every kind of metric.

    Keys:
        level: of every interval, 0.95 by default; 1 - level is the false positive rate that the tests are about.
        arm: the treatment's key, for the result and its sentences.
        control_arm: the control's key.
        sequential_tuning: units at which the always-valid interval is tightest; fixed before the start.
        higher_is_better: the metric's direction, for chance to win and expected loss.
        prior: of the relative lift; flat by default.
    """

    level: float
    arm: str
    control_arm: str
    sequential_tuning: int
    higher_is_better: bool
    prior: bayes.NormalPrior | None


@dataclass(frozen=True, slots=True)
class Fixed:
    """The fixed-horizon part of a `Comparison`; the fields mean what they mean there."""

    lift: float | None
    lift_ci: Interval | None
    lift_std_error: float | None
    lift_ci_fieller: Interval | None
    difference: float | None
    difference_ci: Interval | None
    std_error: float | None
    p_value: float | None
    detectable_lift: float | None


def plain_effect(control: Estimate, treatment: Estimate) -> Effect:
    """The effect of two independent arms, unadjusted.

    Raises:
        CannotCompute: a number that overflows.
    """
    finite(control.error_variance + treatment.error_variance, "variance")
    difference = finite(treatment.value - control.value, "difference")
    try:
        df: float | None = welch_df(control, treatment)
    except CannotCompute:
        df = None
    return Effect(
        difference=difference,
        difference_variance=control.error_variance + treatment.error_variance,
        observed_difference=difference,
        base=control.value,
        base_variance=control.error_variance,
        covariance=-control.error_variance,
        df=df,
    )


def read_fixed(attempt: Attempts, effect: Effect | None, level: float) -> Fixed:
    """Difference and lift with t intervals, and the test of no difference."""
    if effect is None:
        return Fixed(None, None, None, None, None, None, None, None, None)
    relative = attempt(("lift", "lift_ci", "lift_std_error", "detectable_lift"), lambda: lift(effect))
    quantile = attempt(
        ("difference_ci", "p_value", "p_value_adjusted", "lift_ci", "detectable_lift"),
        lambda: t_quantile(level, effect.required_df),
    )
    lift_se = None
    if relative is not None:
        lift_se = attempt(("lift_std_error", "lift_ci"), lambda: finite(lift_variance(effect) ** 0.5, "lift's error"))
    lift_ci = difference_ci = p_value = by_fieller = detectable = None
    if quantile is not None:
        reach = quantile * effect.std_error
        difference_ci = attempt(
            ("difference_ci",),
            lambda: finite_interval(effect.difference - reach, effect.difference + reach, "difference's interval"),
        )
        if relative is not None:
            in_errors = z_quantile(level) + float(special.ndtri(DETECTION_POWER))
            detectable = attempt(
                ("detectable_lift",), lambda: finite(in_errors * effect.std_error / effect.base, "detectable lift")
            )
        p_value = two_sided_p(effect.difference, effect.std_error, effect.required_df)
        if relative is not None and lift_se is not None:
            lift_ci = attempt(("lift_ci",), lambda: _lift_interval(effect, relative, lift_se, quantile))
            by_fieller = fieller(effect, quantile) if lift_ci and base_is_weak(effect) else None
    return Fixed(
        lift=relative,
        lift_ci=lift_ci,
        lift_std_error=lift_se,
        lift_ci_fieller=by_fieller,
        difference=effect.difference,
        difference_ci=difference_ci,
        std_error=effect.std_error,
        p_value=p_value,
        detectable_lift=detectable,
    )


def _lift_interval(effect: Effect, relative: float, std_error: float, quantile: float) -> Interval:
    fieller(effect, quantile)  # raises where the control's mean cannot be told from 0
    return finite_interval(relative - quantile * std_error, relative + quantile * std_error, "lift's interval")


def read_sequential(
    effect: Effect | None, reasons: Mapping[str, Reason], n: float, level: float, tuning: int
) -> Sequential:
    """The always-valid reading; `reasons` are the fixed one's, which hold here too."""
    if effect is None or effect.df is None:
        why = reasons["difference_ci"]
        fields = ("p_value", "lift_ci", "difference_ci")
        return Sequential(None, None, None, tuning, reasons=dict.fromkeys(fields, why))
    attempt = Attempts()

    def interval(estimate: float, variance: float, what: str) -> Interval:
        return finite_interval(*sequential.confidence_sequence(estimate, variance, n, level=level, tuning=tuning), what)

    def of_lift() -> Interval:
        fieller(effect, t_quantile(level, effect.required_df))
        return interval(lift(effect), lift_variance(effect), "lift's interval")

    variance = effect.difference_variance
    return Sequential(
        p_value=sequential.always_valid_p(effect.difference, variance, n, level=level, tuning=tuning),
        lift_ci=attempt(("lift_ci",), of_lift),
        difference_ci=attempt(
            ("difference_ci",), lambda: interval(effect.difference, variance, "difference's interval")
        ),
        tuning=tuning,
        reasons=attempt.reasons,
    )


def read_comparison(
    attempt: Attempts,
    effect: Effect | None,
    *,
    n: float,
    kind: str,
    method: str,
    level: float,
    names: tuple[str, str],
    sequential_tuning: int,
    higher_is_better: bool,
    variance_reduction: float | None = None,
    prior: bayes.NormalPrior | None = None,
) -> Comparison:
    """All three readings of an effect; `names` are the control's and the arm's, `n` the units of both.

    Raises:
        ValueError: a level outside (0, 1), a tuning that is not positive.
    """
    check_level(level)
    sequential.rho_squared(1.0 - level, sequential_tuning)
    fixed = read_fixed(attempt, effect, level)
    reasons = dict(attempt.reasons)
    return Comparison(
        arm=names[1],
        control=names[0],
        kind=kind,
        lift=fixed.lift,
        lift_ci=fixed.lift_ci,
        lift_std_error=fixed.lift_std_error,
        lift_ci_fieller=fixed.lift_ci_fieller,
        difference=fixed.difference,
        difference_ci=fixed.difference_ci,
        std_error=fixed.std_error,
        p_value=fixed.p_value,
        p_value_adjusted=fixed.p_value,
        ci_level=level,
        method=method,
        sequential=read_sequential(effect, reasons, n, level, sequential_tuning),
        bayesian=read_normal(effect, reasons, prior or bayes.NormalPrior(), level, higher_is_better=higher_is_better),
        variance_reduction=variance_reduction,
        detectable_lift=fixed.detectable_lift,
        higher_is_better=higher_is_better,
        reasons=attempt.reasons,
    )


def names(how: Reading) -> tuple[str, str]:
    """The control's key and the arm's."""
    return how.get("control_arm", "control"), how.get("arm", "treatment")


def read_as(attempt: Attempts, effect: Effect | None, how: Reading, *, n: float, kind: str, method: str) -> Comparison:
    """All three readings of an effect by what was chosen, and by the usual where nothing was."""
    return read_comparison(
        attempt,
        effect,
        n=n,
        kind=kind,
        method=method,
        level=how.get("level", 0.95),
        names=names(how),
        sequential_tuning=how.get("sequential_tuning", sequential.DEFAULT_TUNING),
        higher_is_better=how.get("higher_is_better", True),
        prior=how.get("prior"),
    )
