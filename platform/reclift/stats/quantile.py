"""Quantiles of a metric's values (latency, order value), with intervals that know which values share a unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, sqrt
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from reclift.stats.attempts import FIXED_FIELDS, Attempts
from reclift.stats.estimate import Estimate, z_quantile
from reclift.stats.readings import Reading, names, plain_effect, read_as
from reclift.stats.result import (
    ArmSummary,
    CannotCompute,
    Code,
    Comparison,
    Reason,
    check_level,
    check_probability,
)

METHOD = "quantiles with order-statistic intervals, Welch t"

_ENOUGH = 5.0
"""Expected values on either side of the quantile below which it has no usable interval."""


@dataclass(frozen=True, slots=True)
class QuantileEstimate:
    """One arm's quantile with its interval.

    Attributes:
        n: values (not units).
        value: the sample quantile.
        low: lower bound of its two-sided interval at `level`.
        high: upper bound.
        level: of that interval.
        units: whose the values are; `None`: each value is another unit's.
    """

    n: int
    value: float
    low: float
    high: float
    level: float = 0.95
    units: int | None = None

    def __post_init__(self) -> None:
        check_level(self.level)
        if not all(isfinite(bound) for bound in (self.value, self.low, self.high)):
            raise ValueError(f"quantile {self.value!r} [{self.low!r}, {self.high!r}] is not finite")
        if not self.low <= self.value <= self.high:
            raise ValueError(f"quantile {self.value!r} lies outside its interval [{self.low!r}, {self.high!r}]")

    @property
    def estimate(self) -> Estimate:
        """Level and variance: the interval's width in standard errors, with n - 1 of n units as a variance has it."""
        std_error = (self.high - self.low) / (2.0 * z_quantile(self.level))
        n = self.n if self.units is None else self.units
        return Estimate(n, self.value, std_error * std_error * (n - 1))


def quantile(
    values: Sequence[float] | NDArray[Any],
    q: float,
    *,
    units: Sequence[Any] | NDArray[Any] | None = None,
    level: float = 0.95,
) -> QuantileEstimate:
    """The `q` quantile of one arm's values, its interval from order statistics, without any density estimate.

    The share of values at or below the true quantile is q; its standard error s gives the ranks n (q -/+ z s), whose
    values are the bounds. Where a unit brings several values, s is that of a ratio over units (delta method), so that
    correlated values do not count as independent ones.
    Source: Deng, Knoblich and Lu 2018, "Applying the Delta Method in Metric Analytics", KDD, section 4.

    Args:
        values: all values of the arm, shape `(values,)`.
        q: between 0 and 1; 0.9 for the 90th percentile.
        units: whose each value is, same shape; `None` where every value is another unit's.
        level: of the interval.

    Raises:
        CannotCompute: no values, too few beyond the quantile, or a single unit.
        ValueError: missing values, unequal lengths, `q` or `level` out of range.
    """
    check_probability("q", q)
    check_level(level)
    column = np.asarray(values, dtype=np.float64)
    if column.ndim != 1:
        raise ValueError(f"values has shape {column.shape}; one row of values is needed, shape (values,)")
    if not np.isfinite(column).all():
        raise ValueError(f"values has {int((~np.isfinite(column)).sum())} missing or infinite values; leave them out")
    n = column.size
    if n == 0:
        raise CannotCompute(Code.NO_UNITS, "The arm has no values.")
    ordered = np.sort(column)
    rank = max(1, ceil(n * q - 1e-9))
    value = float(ordered[rank - 1])
    error = sqrt(q * (1.0 - q) / n) if units is None else _clustered_error(column <= value, units, q)
    reach = z_quantile(level) * error * n
    low, high = floor(n * q - reach), ceil(n * q + reach)
    if min(q, 1.0 - q) * n < _ENOUGH or low < 1 or high > n:
        raise CannotCompute(Code.TOO_FEW_UNITS, f"{n} values are too few for an interval of the {q:g} quantile.")
    whose = None if units is None else int(np.unique(np.asarray(units)).size)
    return QuantileEstimate(n, value, float(ordered[low - 1]), float(ordered[high - 1]), level, whose)


def _clustered_error(below: NDArray[np.bool_], units: Sequence[Any] | NDArray[Any], q: float) -> float:
    """Standard error of the share of values below, with the unit as what was randomised."""
    names, index = np.unique(np.asarray(units), return_inverse=True)
    if index.size != below.size:
        raise ValueError(f"units has {index.size} entries and values {below.size}; each value needs its unit")
    k = names.size
    if k < 2:
        raise CannotCompute(Code.TOO_FEW_UNITS, "All values are one unit's; how much units vary is unknown.")
    size = np.bincount(index, minlength=k).astype(np.float64)
    residual = np.bincount(index, weights=below, minlength=k) - q * size
    return float(residual.std(ddof=1) / (sqrt(k) * size.mean()))


def compare_quantiles(control: QuantileEstimate, treatment: QuantileEstimate, **how: Unpack[Reading]) -> Comparison:
    """Reads one arm's quantile against the control's, as `compare` reads means.

    Raises:
        ValueError: a level outside (0, 1), or a tuning that is not positive.
    """
    attempt = Attempts()
    a, b = control.estimate, treatment.estimate
    return read_as(
        attempt, attempt.all_fields(lambda: plain_effect(a, b)), how, n=a.n + b.n, kind="quantile", method=METHOD
    )


@dataclass(frozen=True, slots=True)
class Sample:
    """One arm's values and whose each is: two arrays of shape `(values,)`."""

    values: NDArray[np.float64]
    units: NDArray[np.int64]


def quantile_summary(sample: Sample, q: float) -> ArmSummary:
    """Units with values, the quantile as `mean`, its standard error; `None` with a reason for what does not exist."""
    units = int(np.unique(sample.units).size)
    attempt = Attempts()
    found = attempt(("mean", "std_error"), lambda: quantile(sample.values, q, units=sample.units))
    if found is None:
        return ArmSummary(units, None, None, attempt.reasons)
    return ArmSummary(units, found.value, found.estimate.std_error, attempt.reasons)


def compare_samples(control: Sample, treatment: Sample, q: float, **how: Unpack[Reading]) -> Comparison:
    """Reads one arm's quantile against the control's, with the unit as what was randomised.

    Raises:
        ValueError: values that are not finite, `q` or `level` out of range, or a tuning that is not positive.
    """
    attempt = Attempts()
    found = []
    for key, sample in zip(names(how), (control, treatment), strict=True):
        try:
            found.append(quantile(sample.values, q, units=sample.units, level=how.get("level", 0.95)))
        except CannotCompute as impossible:
            reason = Reason(impossible.reason.code, f"{key}: {impossible.reason.text}")
            attempt.reasons = dict.fromkeys(FIXED_FIELDS, reason) | attempt.reasons
    if attempt.reasons:
        return read_as(attempt, None, how, n=0.0, kind="quantile", method=METHOD)
    return compare_quantiles(*found, **how)
