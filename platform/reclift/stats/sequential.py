"""Looking at any time: an asymptotic confidence sequence and its always-valid p-value."""

from __future__ import annotations

from math import exp, log, log1p, sqrt

from reclift.stats.result import Interval, check_probability

DEFAULT_TUNING = 5000
"""Units (both arms together) at which the interval is tightest, unless the plan names another number."""


def rho_squared(alpha: float, tuning: float) -> float:
    """The mixture's parameter that makes the sequence tightest at `tuning` units.

    (-2 log a + log(-2 log a + 1)) / tuning. Source: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2021,
    "Time-uniform central limit theory and asymptotic confidence sequences", arXiv 2103.06476, appendix B.2.

    Raises:
        ValueError: `alpha` is not between 0 and 1 or `tuning` is not positive.
    """
    check_probability("alpha", alpha)
    if not tuning > 0:
        raise ValueError(f"tuning is {tuning!r}; it must be a positive number of units, fixed before the start")
    log_alpha = -2.0 * log(alpha)
    return (log_alpha + log(log_alpha + 1.0)) / tuning


def confidence_sequence(
    estimate: float, variance: float, n: float, *, level: float = 0.95, tuning: float = DEFAULT_TUNING
) -> Interval:
    """An interval that covers the truth at all looks together with probability `level`, asymptotically.

    With m = n rho**2: half-width = sqrt(variance) sqrt(2 (m + 1) / m log(sqrt(m + 1) / alpha)).
    Source: Waudby-Smith et al. 2021, arXiv 2103.06476, theorem 2.2.

    Args:
        estimate: a difference or a lift, now.
        variance: its variance, now (not per unit).
        n: units in both arms together, now.
        level: coverage over all looks.
        tuning: units at which it is tightest; must be the same at every look.

    Raises:
        ValueError: `n` or `tuning` is not positive, or `level` is not between 0 and 1.
    """
    if not n > 0:
        raise ValueError(f"n is {n!r}; it must be a positive number of units")
    alpha = 1.0 - level
    m = n * rho_squared(alpha, tuning)
    halfwidth = sqrt(variance) * sqrt(2.0 * (m + 1.0) / m * (0.5 * log(m + 1.0) - log(alpha)))
    return Interval.around(estimate, halfwidth)


def always_valid_p(
    estimate: float, variance: float, n: float, *, level: float = 0.95, tuning: float = DEFAULT_TUNING
) -> float:
    """The p-value that goes with `confidence_sequence`: below alpha exactly when the sequence excludes 0.

    One over the mixture's e-value, at most 1: min(1, sqrt(m + 1) exp(-m / (m + 1) z**2 / 2)). Valid under optional
    stopping. Source: Waudby-Smith et al. 2021, arXiv 2103.06476; Johari, Koomen, Pekelis and Walsh 2022, "Always
    Valid Inference", Operations Research 70(3).

    Raises:
        ValueError: as `confidence_sequence`; also where `variance` is not positive.
    """
    if not n > 0 or not variance > 0:
        raise ValueError(f"n is {n!r} and variance {variance!r}; both must be positive")
    m = n * rho_squared(1.0 - level, tuning)
    z = estimate / sqrt(variance)
    exponent = 0.5 * log(m + 1.0) - 0.5 * z * z * m / (m + 1.0)
    return exp(min(0.0, exponent))


def mixture_p(estimate: float, variance: float, *, tau: float) -> float:
    """Always-valid p-value of the mixture sequential probability ratio test, effects mixed over Normal(0, tau**2).

    min(1, sqrt((V + tau**2) / V) exp(-z**2 / 2 * tau**2 / (V + tau**2))) with V the estimate's variance now. The
    running minimum over looks is valid too. Source: Johari, Koomen, Pekelis and Walsh 2022, "Always Valid Inference:
    Continuous Monitoring of A/B Tests", Operations Research 70(3).

    Args:
        estimate: a difference, now.
        variance: its variance, now.
        tau: what size of effects is expected, in the estimate's units; fixed before the start.

    Raises:
        ValueError: `variance` or `tau` is not positive.
    """
    if not variance > 0 or not tau > 0:
        raise ValueError(f"variance is {variance!r} and tau {tau!r}; both must be positive")
    share = tau * tau / (variance + tau * tau)
    exponent = -0.5 * log1p(-share) - 0.5 * estimate * estimate / variance * share
    return exp(min(0.0, exponent))
