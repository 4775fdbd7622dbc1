"""Proportions with few successes or failures: score intervals and an exact test instead of a normal curve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy import special

from reclift.stats.estimate import z_quantile
from reclift.stats.result import Code, Comparison, Interval, Reason, Sequential
from reclift.stats.sums import Sums

FEW = 10
"""Successes or failures in an arm below which a proportion is read by the methods of this file."""

METHOD = "Newcombe interval and Fisher's exact test"


def has_few(*arms: Sums) -> bool:
    """Whether some arm has fewer than `FEW` successes or failures."""
    return any(min(arm.x, arm.n - arm.x) < FEW for arm in arms)


def too_few_to_look(control: Sums, treatment: Sums) -> bool:
    """Whether both arms together have fewer than twice `FEW` successes or failures: too early for a normal curve."""
    both = control + treatment
    return min(both.x, both.n - both.x) < 2 * FEW


TOO_FEW_TO_LOOK = Reason(
    Code.SMALL_COUNTS,
    f"The always-valid reading starts when both arms together have {2 * FEW} successes and {2 * FEW} failures.",
)


def wilson(n: float, successes: float, level: float = 0.95) -> Interval:
    """Score interval of one proportion.

    Source: Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 22.
    """
    z2 = z_quantile(level) ** 2
    centre = successes + z2 / 2.0
    reach = sqrt(z2) * sqrt(successes * (n - successes) / n + z2 / 4.0)
    low, high = (centre - reach) / (n + z2), (centre + reach) / (n + z2)
    return Interval(0.0 if successes == 0 else max(0.0, low), 1.0 if successes == n else min(1.0, high))


def newcombe(control: Sums, treatment: Sums, level: float = 0.95) -> Interval:
    """Interval of the difference of two proportions from their score intervals (square-and-add).

    Source: Newcombe 1998, "Interval Estimation for the Difference Between Independent Proportions", Statistics in
    Medicine 17, method 10.
    """
    p, q = control.x / control.n, treatment.x / treatment.n
    a, b = wilson(control.n, control.x, level), wilson(treatment.n, treatment.x, level)
    d = q - p
    return Interval(d - sqrt((q - b.low) ** 2 + (a.high - p) ** 2), d + sqrt((b.high - q) ** 2 + (p - a.low) ** 2))


def lift_interval(control: Sums, treatment: Sums, level: float = 0.95) -> Interval:
    """Interval of the relative lift from the two score intervals (MOVER for ratios); the control must have successes.

    Source: Donner and Zou 2012, "Closed-form Confidence Intervals for Functions of the Normal Mean and Standard
    Deviation", Statistical Methods in Medical Research 21; Fagerland and Newcombe 2013, Statistics in Medicine 32.
    """
    p, q = control.x / control.n, treatment.x / treatment.n
    a, b = wilson(control.n, control.x, level), wilson(treatment.n, treatment.x, level)
    product = p * q
    above, below = a.high * (2.0 * p - a.high), a.low * (2.0 * p - a.low)
    low_part, high_part = b.low * (2.0 * q - b.low), b.high * (2.0 * q - b.high)
    # the lower bound in the form without cancellation, which also holds where `above` is 0
    divisor = product + sqrt(max(0.0, product * product - low_part * above))
    low = low_part / divisor if divisor > 0 else 0.0
    high = (product + sqrt(max(0.0, product * product - high_part * below))) / below
    return Interval(low - 1.0, high - 1.0)


def fisher_exact(control: Sums, treatment: Sums) -> float:
    """Two-sided exact p-value: all tables with the same margins that are no likelier than the observed one.

    Source: Fisher 1935, "The Logic of Inductive Inference", JRSS 98. Conservative: it errs to the larger p.
    """
    n1, n2 = round(control.n), round(treatment.n)
    observed, successes = round(treatment.x), round(control.x) + round(treatment.x)
    k = np.arange(max(0, successes - n1), min(successes, n2) + 1, dtype=np.float64)
    log_mass = _log_choose(n2, k) + _log_choose(n1, successes - k) - _log_choose(n1 + n2, np.asarray(float(successes)))
    at = log_mass[observed - round(k[0])]
    # equally likely tables differ by rounding
    return float(min(1.0, np.exp(log_mass[log_mass <= at + 1e-7]).sum()))


def _log_choose(n: float, k: NDArray[np.float64]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = special.gammaln(n + 1.0) - special.gammaln(k + 1.0) - special.gammaln(n - k + 1.0)
    return result


def read_few(comparison: Comparison, control: Sums, treatment: Sums) -> Comparison:
    """`comparison` with intervals and p-value by this file's methods; they exist without variance too (0 of n)."""
    settled = {"difference_ci", "p_value", "p_value_adjusted"} | ({"lift_ci"} if comparison.lift is not None else set())
    p = fisher_exact(control, treatment)
    level = comparison.ci_level
    return replace(
        comparison,
        lift_ci=lift_interval(control, treatment, level) if comparison.lift is not None else None,
        lift_ci_fieller=None,
        difference_ci=newcombe(control, treatment, level),
        p_value=p,
        p_value_adjusted=p,
        method=METHOD,
        sequential=_too_early(comparison.sequential) if too_few_to_look(control, treatment) else comparison.sequential,
        reasons={name: reason for name, reason in comparison.reasons.items() if name not in settled},
    )


def _too_early(sequential: Sequential) -> Sequential:
    fields = ("p_value", "lift_ci", "difference_ci")
    reasons: Mapping[str, Reason] = dict.fromkeys(fields, TOO_FEW_TO_LOOK)
    return replace(sequential, p_value=None, lift_ci=None, difference_ci=None, reasons=reasons)
