"""An arm's level with its variance, and the t test that means, proportions and ratios share."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from scipy import special

from reclift.stats.result import CannotCompute, Code


@dataclass(frozen=True, slots=True)
class Estimate:
    """An arm's estimated level.

    Attributes:
        n: units.
        value: the mean, proportion or ratio.
        variance: per unit, so that the estimate's own variance is `variance / n`.
    """

    n: float
    value: float
    variance: float

    @property
    def error_variance(self) -> float:
        """Variance of `value`."""
        return self.variance / self.n

    @property
    def std_error(self) -> float:
        """Standard error of `value`."""
        return sqrt(self.error_variance)


def welch_df(control: Estimate, treatment: Estimate) -> float:
    """Degrees of freedom of a difference with unequal variances (Welch 1947, Satterthwaite 1946).

    Raises:
        CannotCompute: neither arm varies.
    """
    a, b = control.error_variance, treatment.error_variance
    if a + b <= 0.0:
        raise CannotCompute(
            Code.ZERO_VARIANCE, "No unit differs from another in its arm, so the difference has no known error."
        )
    # shares of the total first: squares of tiny variances would underflow
    share = a / (a + b)
    return 1.0 / (share**2 / (control.n - 1) + (1 - share) ** 2 / (treatment.n - 1))


def two_sided_p(estimate: float, std_error: float, df: float) -> float:
    """Two-sided p-value of `estimate` = 0 by Student's t; the tail itself, so tiny p-values keep their digits."""
    return float(2.0 * special.stdtr(df, -abs(estimate) / std_error))


def t_quantile(level: float, df: float) -> float:
    """How many standard errors a two-sided interval at `level` reaches."""
    return float(-special.stdtrit(df, (1.0 - level) / 2.0))


def z_quantile(level: float) -> float:
    """The same for the normal distribution."""
    return float(-special.ndtri((1.0 - level) / 2.0))
