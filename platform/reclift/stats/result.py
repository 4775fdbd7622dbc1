"""What the statistics answer with: frozen results that carry their method, level, warnings and reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import isfinite
from types import MappingProxyType
from typing import Any, NamedTuple


class Code(StrEnum):
    """Why something could not be computed (reasons), or what a reader should know about a number (warnings)."""

    NO_UNITS = "no_units"
    TOO_FEW_UNITS = "too_few_units"
    ZERO_VARIANCE = "zero_variance"
    ZERO_DENOMINATOR = "zero_denominator"
    NEGATIVE_DENOMINATOR = "negative_denominator"
    UNBOUNDED = "unbounded"
    NOT_BINARY = "not_binary"
    NO_COVARIATE = "no_covariate"
    NOT_FINITE = "not_finite"
    NO_LISTS = "no_lists"
    NO_CATALOGUE = "no_catalogue"
    NOT_SEQUENTIAL = "not_sequential"
    WEAK_DENOMINATOR = "weak_denominator"
    SMALL_SAMPLE = "small_sample"
    SMALL_COUNTS = "small_counts"
    TWYMAN = "twyman"
    COVARIATE_IMBALANCE = "covariate_imbalance"
    UNCORRECTED = "uncorrected"


@dataclass(frozen=True, slots=True)
class Reason:
    """A machine-readable code and one sentence for people."""

    code: Code
    text: str

    def to_dict(self) -> dict[str, str]:
        """`{"code", "text"}`."""
        return {"code": self.code.value, "text": self.text}


class CannotCompute(ArithmeticError):  # noqa: N818 - it is an answer, caught and shown, rather than an error
    """Raised inside the engine where a number does not exist; `reason` says why."""

    def __init__(self, code: Code, text: str) -> None:
        """`code` for machines, `text` as a whole sentence for people."""
        super().__init__(text)
        self.reason = Reason(code, text)


class Interval(NamedTuple):
    """Two finite bounds, lower first."""

    low: float
    high: float

    @staticmethod
    def around(centre: float, halfwidth: float) -> Interval:
        """`centre` minus and plus `halfwidth`."""
        return Interval(centre - halfwidth, centre + halfwidth)


NO_REASONS: Mapping[str, Reason] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ArmSummary:
    """One arm's level of one metric: the mean (or ratio) and its standard error, or the reasons why not."""

    units: int
    mean: float | None
    std_error: float | None
    reasons: Mapping[str, Reason] = field(default_factory=lambda: NO_REASONS)

    def to_dict(self) -> dict[str, Any]:
        """API.md's `metrics[].arms[]` without the arm's name."""
        return {"units": self.units, "mean": self.mean, "std_error": self.std_error} | _reasons(self.reasons)


@dataclass(frozen=True, slots=True)
class Sequential:
    """The reading that stays valid at every look. `tuning` is the number of units where it is tightest."""

    p_value: float | None
    lift_ci: Interval | None
    difference_ci: Interval | None
    tuning: int
    method: str = "asymptotic confidence sequence"
    reasons: Mapping[str, Reason] = field(default_factory=lambda: NO_REASONS)

    def to_dict(self) -> dict[str, Any]:
        """API.md's `sequential`."""
        return {
            "p_value": self.p_value,
            "lift_ci": _pair(self.lift_ci),
            "difference_ci": _pair(self.difference_ci),
            "method": self.method,
            "tuning": self.tuning,
        } | _reasons(self.reasons)


@dataclass(frozen=True, slots=True)
class Bayesian:
    """The reading under a stated prior.

    Attributes:
        chance_to_win: posterior probability that the treatment is better than the control, in the metric's direction.
        expected_loss: what choosing the treatment is expected to cost if it is the worse one, relative to the
            control's mean (0.0002 = 0.02 % of it).
        expected_loss_control: the same for keeping the control.
        difference_ci: equal-tailed credible interval of the difference.
        prior: in words.
    """

    chance_to_win: float | None
    expected_loss: float | None
    expected_loss_control: float | None
    lift_ci: Interval | None
    difference_ci: Interval | None
    prior: str
    model: str
    reasons: Mapping[str, Reason] = field(default_factory=lambda: NO_REASONS)

    def to_dict(self) -> dict[str, Any]:
        """API.md's `bayesian`."""
        return {
            "chance_to_win": self.chance_to_win,
            "expected_loss": self.expected_loss,
            "expected_loss_control": self.expected_loss_control,
            "lift_ci": _pair(self.lift_ci),
            "difference_ci": _pair(self.difference_ci),
            "prior": self.prior,
            "model": self.model,
        } | _reasons(self.reasons)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One arm against the control on one metric.

    A field is `None` where `reasons` (by field name) says why, or where it was not asked for (`variance_reduction`
    without CUPED; `lift_ci_fieller` unless the control's mean is weak).

    Attributes:
        lift: difference / control's mean; 0.12 = +12 %.
        lift_ci: by the delta method, at `ci_level`.
        lift_std_error: the delta method's standard error of the lift.
        lift_ci_fieller: Fieller's interval, given where the control's mean is uncertain and the delta method rough.
        p_value: two-sided, of no difference; always about the difference, never about the relative lift.
        p_value_adjusted: after `reclift.stats.multiple.adjust`; until then the same as `p_value` (a family of one).
        variance_reduction: share of the difference's variance that CUPED took away, 0 to 1 (0 where it did not help).
        detectable_lift: the true relative lift, either way, that data of this size and noise call significant with 80 %
            probability.
        higher_is_better: the metric's direction; signs of lift and difference are as measured, never flipped.
    """

    arm: str
    control: str
    kind: str
    lift: float | None
    lift_ci: Interval | None
    difference: float | None
    difference_ci: Interval | None
    p_value: float | None
    p_value_adjusted: float | None
    ci_level: float
    method: str
    sequential: Sequential
    bayesian: Bayesian
    lift_std_error: float | None = None
    std_error: float | None = None
    lift_ci_fieller: Interval | None = None
    variance_reduction: float | None = None
    detectable_lift: float | None = None
    higher_is_better: bool = True
    warnings: tuple[Reason, ...] = ()
    reasons: Mapping[str, Reason] = field(default_factory=lambda: NO_REASONS)

    def to_dict(self) -> dict[str, Any]:
        """API.md's `comparisons[]`: `None` plus `reasons` for what cannot be computed, never NaN or infinity."""
        return {
            "arm": self.arm,
            "control": self.control,
            "lift": self.lift,
            "lift_ci": _pair(self.lift_ci),
            "lift_std_error": self.lift_std_error,
            "lift_ci_fieller": _pair(self.lift_ci_fieller),
            "difference": self.difference,
            "difference_ci": _pair(self.difference_ci),
            "std_error": self.std_error,
            "p_value": self.p_value,
            "p_value_adjusted": self.p_value_adjusted,
            "ci_level": self.ci_level,
            "method": self.method,
            "sequential": self.sequential.to_dict(),
            "bayesian": self.bayesian.to_dict(),
            "variance_reduction": self.variance_reduction,
            "detectable_lift": self.detectable_lift,
            "warnings": [warning.text for warning in self.warnings],
            "warning_codes": [warning.code.value for warning in self.warnings],
        } | _reasons(self.reasons)


def finite(value: float, what: str) -> float:
    """`value` as a float; `CannotCompute` where it overflowed, so that no infinity leaves the engine."""
    if not isfinite(value):
        raise CannotCompute(Code.NOT_FINITE, f"The {what} is too large to be represented.")
    return float(value)


def finite_interval(low: float, high: float, what: str) -> Interval:
    """An interval whose bounds are finite; `CannotCompute` otherwise."""
    return Interval(finite(low, what), finite(high, what))


def _pair(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]


def _reasons(reasons: Mapping[str, Reason]) -> dict[str, Any]:
    return {"reasons": {name: reason.to_dict() for name, reason in reasons.items()}}


def check_level(level: float) -> float:
    """`level` where it is a confidence level strictly between 0 and 1; `ValueError` otherwise."""
    if not 0.0 < level < 1.0:
        raise ValueError(f"level is {level!r}; it must be between 0 and 1, for example 0.95")
    return level


def check_probability(name: str, value: float) -> float:
    """`value` where it is strictly between 0 and 1; `ValueError` naming it otherwise."""
    if not 0.0 < value < 1.0:
        raise ValueError(f"{name} is {value!r}; it must be between 0 and 1, both exclusive")
    return value


def check_p_values(p_values: Sequence[float]) -> None:
    """`ValueError` naming the first p-value that is not in [0, 1]."""
    for index, p in enumerate(p_values):
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"p_values[{index}] is {p!r}; a p-value must be in [0, 1]")
