"""Means and proportions of units."""

from __future__ import annotations

from reclift.stats.estimate import Estimate
from reclift.stats.result import CannotCompute, Code
from reclift.stats.sums import Sums

_LARGEST = 1e30
"""Typical size of values beyond which, or below one over which, squares of squares leave double precision."""


def require_units(sums: Sums, at_least: int = 2) -> None:
    """`CannotCompute` where an arm has no units, too few to see how much they vary, or values of absurd size."""
    if sums.n <= 0:
        raise CannotCompute(Code.NO_UNITS, "The arm has no units.")
    if sums.n < at_least:
        raise CannotCompute(Code.TOO_FEW_UNITS, f"The arm has {sums.units} unit; a variance needs at least {at_least}.")
    for name in ("x", "y", "u", "v"):
        square = getattr(sums, name + name) / sums.n
        if square != 0 and not _LARGEST**-2 <= square <= _LARGEST**2:
            raise CannotCompute(
                Code.NOT_FINITE, f"The values are of a size (about {square**0.5:.1g}) that cannot be computed with."
            )


def mean(sums: Sums) -> Estimate:
    """Mean of `x` per unit, with the sample variance (divisor n - 1).

    Raises:
        CannotCompute: fewer than two units.
    """
    require_units(sums)
    return Estimate(sums.n, sums.mean("x"), sums.covariance("x", "x"))


def proportion(sums: Sums) -> Estimate:
    """Share of units whose `x` is 1, with the binomial variance p (1 - p).

    Raises:
        CannotCompute: fewer than two units, or values other than 0 and 1.
    """
    require_units(sums)
    counts = as_counts(sums)
    p = counts.x / counts.n
    return Estimate(sums.n, p, p * (1.0 - p))


def as_counts(sums: Sums) -> Sums:
    """`n` and `x` alone, without the rounding of a sum of ones.

    Raises:
        CannotCompute: the sums cannot be those of zeros and ones.
    """
    slack = 1e-9 * max(1.0, sums.n)
    if not -slack <= sums.x <= sums.n + slack or abs(sums.xx - sums.x) > slack:
        raise CannotCompute(
            Code.NOT_BINARY,
            f"A proportion needs values of 0 and 1 only; the values of {sums.units} units sum to {sums.x:g} and "
            f"their squares to {sums.xx:g}.",
        )
    whole = round(sums.x)
    return Sums.of_counts(sums.n, min(sums.n, max(0.0, whole if abs(sums.x - whole) <= slack else sums.x)))
