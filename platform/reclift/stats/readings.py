"""The three readings of one effect: fixed horizon, always valid, Bayesian; each field has a value or a reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from scipy import special

from reclift.stats import bayes, sequential
from reclift.stats.estimate import Estimate, t_quantile, two_sided_p, welch_df, z_quantile
from reclift.stats.lift import Effect, base_is_weak, fieller, lift, lift_variance, require_base
from reclift.stats.result import (
    Bayesian,
    CannotCompute,
    Interval,
    Reason,
    Sequential,
    finite,
    finite_interval,
)
from reclift.stats.sums import Sums

T = TypeVar("T")

DETECTION_POWER = 0.8
"""How often a lift of `detectable_lift` would be called significant."""

FIXED_FIELDS = (
    "lift", "lift_ci", "lift_std_error", "difference", "difference_ci", "std_error", "p_value", "p_value_adjusted",
    "detectable_lift",
)  # fmt: skip
"""The fields of a `Comparison` that the fixed-horizon reading fills."""

_NEED_ERROR = ("difference_ci", "p_value", "p_value_adjusted", "lift_ci", "detectable_lift")
"""Those of them that do not exist where neither arm varies."""


class Attempts:
    """Runs computations and keeps the reason of each that cannot be done, by the fields it would have filled."""

    def __init__(self) -> None:
        self.reasons: dict[str, Reason] = {}

    def __call__(self, names: tuple[str, ...], compute: Callable[[], T]) -> T | None:
        """What `compute` gives, or `None` with its reason under each of `names`."""
        try:
            return compute()
        except CannotCompute as impossible:
            self.reasons |= dict.fromkeys(names, impossible.reason)
            return None


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


_BAYESIAN_FIELDS = ("chance_to_win", "expected_loss", "expected_loss_control", "lift_ci", "difference_ci")


def read_normal(
    effect: Effect | None, reasons: Mapping[str, Reason], prior: bayes.NormalPrior, level: float, higher_is_better: bool
) -> Bayesian:
    """The normal posterior. The prior is on the lift; for the difference it is scaled by the control's mean.

    Where the control's mean is not positive only a flat prior has a meaning, and losses, being relative, have none.
    """
    model = "normal posterior of the difference"
    if effect is None or effect.df is None:
        why = reasons["difference_ci"]
        return Bayesian(None, None, None, None, None, prior.words, model, dict.fromkeys(_BAYESIAN_FIELDS, why))
    attempt = Attempts()

    def of_difference() -> bayes.Reading:
        scaled = prior
        if prior.sd != float("inf"):
            require_base(effect.base)
            scaled = bayes.NormalPrior(prior.mean * effect.base, prior.sd * effect.base)
        return bayes.normal_reading(effect.difference, effect.difference_variance, scaled, level)

    def of_lift() -> Interval:
        fieller(effect, t_quantile(level, effect.required_df))
        reading = bayes.normal_reading(lift(effect), lift_variance(effect), prior, level)
        return finite_interval(*reading.interval, "lift's interval")

    reading = attempt(_BAYESIAN_FIELDS, of_difference)
    if reading is None:
        return Bayesian(None, None, None, None, None, prior.words, model, attempt.reasons)

    def relative_losses() -> tuple[float, float]:
        require_base(effect.base)
        return finite(reading.loss / effect.base, "loss"), finite(reading.loss_control / effect.base, "loss")

    losses = attempt(("expected_loss", "expected_loss_control"), relative_losses)
    lift_ci = attempt(("lift_ci",), of_lift)
    return _directed(reading, losses, lift_ci, (prior.words, model), attempt.reasons, higher_is_better=higher_is_better)


def read_beta(control: Sums, treatment: Sums, prior: bayes.BetaPrior, level: float, higher_is_better: bool) -> Bayesian:
    """The beta-binomial posterior; it exists for every count, 0 included. Losses are relative to the control's."""
    arms = [(sums.n, min(sums.n, max(0.0, sums.x))) for sums in (control, treatment)]
    both = bayes.beta_reading(arms[0], arms[1], prior, level)
    base = (arms[0][1] + prior.alpha) / (arms[0][0] + prior.alpha + prior.beta)
    losses = (both.difference.loss / base, both.difference.loss_control / base)
    words = (prior.words, "beta-binomial")
    return _directed(both.difference, losses, both.lift_ci, words, {}, higher_is_better=higher_is_better)


def _directed(
    reading: bayes.Reading,
    losses: tuple[float, float] | None,
    lift_ci: Interval | None,
    words: tuple[str, str],
    reasons: Mapping[str, Reason],
    *,
    higher_is_better: bool,
) -> Bayesian:
    loss, loss_control = losses or (None, None)
    if not higher_is_better:
        loss, loss_control = loss_control, loss
    return Bayesian(
        chance_to_win=reading.chance if higher_is_better else 1.0 - reading.chance,
        expected_loss=loss,
        expected_loss_control=loss_control,
        lift_ci=lift_ci,
        difference_ci=reading.interval,
        prior=words[0],
        model=words[1],
        reasons=reasons,
    )
