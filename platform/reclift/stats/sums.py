"""`Sums`: all that the statistics need to know of an arm's units, whatever their number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

_PAIRS = {
    "xx": ("x", "x"), "xy": ("x", "y"), "yy": ("y", "y"),
    "xu": ("x", "u"), "yu": ("y", "u"), "uu": ("u", "u"),
    "xv": ("x", "v"), "yv": ("y", "v"), "uv": ("u", "v"), "vv": ("v", "v"),
}  # fmt: skip
"""Field -> the two per-unit values whose product it sums."""

_ROUNDING = 1e-9
"""Relative slack in the checks, for sums that a database added up in another order."""

_UNDERFLOW = 1e-300
"""Slack for squares that are too small for a double's full precision."""


@dataclass(frozen=True, slots=True)
class Sums:
    """One arm's units, added up.

    Per unit: `x` the metric's value (a ratio's numerator), `y` a ratio's denominator, `u` the same unit's value of `x`
    before its exposure (CUPED's covariate), `v` its value of `y` before (ratios only). A one-letter field is the sum
    over units, a two-letter field the sum of products: `xu` is the sum of x times u. `n` counts units.

    Sums add: `a + b` is what all their units together would give; `scale * sums` weights every unit the same.

    Raises:
        ValueError: a field is not finite, `n` is negative, a sum of squares is negative, or the fields contradict each
            other (by Cauchy and Schwarz, `x` squared cannot exceed `n * xx`).
    """

    n: float
    x: float
    xx: float
    y: float = 0.0
    yy: float = 0.0
    xy: float = 0.0
    u: float = 0.0
    uu: float = 0.0
    xu: float = 0.0
    yu: float = 0.0
    v: float = 0.0
    vv: float = 0.0
    xv: float = 0.0
    yv: float = 0.0
    uv: float = 0.0

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if not isfinite(value):
                raise ValueError(f"{f.name} is {value!r}; every sum must be a finite number")
        if self.n < 0:
            raise ValueError(f"n is {self.n!r}; a number of units cannot be negative")
        for name, (a, b) in _PAIRS.items():
            self._check_pair(name, a, b)

    def _check_pair(self, name: str, a: str, b: str) -> None:
        value = getattr(self, name)
        if a == b:
            total = getattr(self, a)
            if value < 0:
                raise ValueError(f"{name} is {value!r}; a sum of squares cannot be negative")
            if total * total > self.n * value * (1 + _ROUNDING) + _UNDERFLOW:
                raise ValueError(
                    f"{name} is {value!r}; with n = {self.n!r} and {a} = {total!r} it must be at least {a}**2 / n"
                )
            return
        aa, bb = getattr(self, a + a), getattr(self, b + b)
        if value * value > aa * bb * (1 + _ROUNDING) + _UNDERFLOW * (1 + aa + bb):
            raise ValueError(f"{name} is {value!r}; its square cannot exceed {a + a} * {b + b}")

    @classmethod
    def from_arrays(
        cls,
        x: Sequence[float] | NDArray[Any],
        y: Sequence[float] | NDArray[Any] | None = None,
        u: Sequence[float] | NDArray[Any] | None = None,
        v: Sequence[float] | NDArray[Any] | None = None,
    ) -> Sums:
        """Adds up per-unit values, all of shape `(units,)`.

        Raises:
            ValueError: missing (NaN) or infinite values, which are refused rather than dropped or taken for 0, because
                either would change the question; unequal lengths; more than one dimension.
        """
        columns = {"x": _column("x", x)}
        for name, values in (("y", y), ("u", u), ("v", v)):
            if values is not None:
                columns[name] = _column(name, values)
                if columns[name].shape != columns["x"].shape:
                    raise ValueError(
                        f"{name} has {columns[name].size} values and x has {columns['x'].size}; each unit needs both"
                    )
        totals = {name: float(column.sum()) for name, column in columns.items()}
        for name, (a, b) in _PAIRS.items():
            if a in columns and b in columns:
                totals[name] = float(columns[a] @ columns[b])
        return cls(n=float(columns["x"].size), **totals)

    @classmethod
    def of_counts(cls, n: float, successes: float) -> Sums:
        """`n` units of which `successes` have the value 1 and the others 0."""
        return cls(n=n, x=successes, xx=successes)

    @classmethod
    def of_moments(cls, n: float, mean: float, variance: float) -> Sums:
        """From a count, a mean and a sample variance (divisor n - 1), as other tools report them."""
        return cls(n=n, x=n * mean, xx=(n - 1) * variance + n * mean * mean)

    @classmethod
    def empty(cls) -> Sums:
        """No units: the neutral element of `+`."""
        return cls(n=0.0, x=0.0, xx=0.0)

    def __add__(self, other: Sums) -> Sums:
        return Sums(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __mul__(self, scale: float) -> Sums:
        if scale < 0:
            raise ValueError(f"scale is {scale!r}; units cannot have a negative weight")
        return Sums(*(getattr(self, f.name) * scale for f in fields(self)))

    __rmul__ = __mul__

    @property
    def units(self) -> int:
        """`n` as a whole number."""
        return round(self.n)

    def mean(self, name: str) -> float:
        """Mean of `x`, `y`, `u` or `v` per unit; `n` must not be 0."""
        return float(getattr(self, name)) / self.n

    def covariance(self, a: str, b: str) -> float:
        """Sample covariance (divisor n - 1) of two of `x`, `y`, `u`, `v`; `n` must be above 1.

        A variance that is not distinguishable from the rounding of the sums is 0: the values do not vary.
        """
        name = a + b if a + b in _PAIRS else b + a
        raw = getattr(self, name)
        centred = raw - getattr(self, a) * getattr(self, b) / self.n
        if a == b and centred <= 1e-12 * raw:
            return 0.0
        return float(centred / (self.n - 1))

    @property
    def has_covariate(self) -> bool:
        """Whether pre-exposure values came with the units."""
        return self.uu > 0

    @property
    def past(self) -> Sums:
        """The same units before their exposure, as a metric of its own: an A/A test in the pre-period."""
        return Sums(self.n, self.u, self.uu, y=self.v, yy=self.vv, xy=self.uv)

    def to_dict(self) -> dict[str, float]:
        """Field -> value."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


def _column(name: str, values: Sequence[float] | NDArray[Any]) -> NDArray[np.float64]:
    column = np.asarray(values, dtype=np.float64)
    if column.ndim != 1:
        raise ValueError(f"{name} has shape {column.shape}; one value a unit is needed, shape (units,)")
    bad = ~np.isfinite(column)
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"{name} has {int(bad.sum())} missing or infinite values, the first at index {first} "
            f"({float(column[first])!r}); give each unit a number or leave the unit out on purpose"
        )
    return column
