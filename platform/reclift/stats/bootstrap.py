"""Bootstrap: a cross-check of the formulas that assumes nothing but that units are independent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reclift.stats.cuped import joint
from reclift.stats.estimators import Kind, estimate
from reclift.stats.lift import require_base
from reclift.stats.result import CannotCompute, Code, Interval, check_level
from reclift.stats.sums import Sums

ENOUGH_GROUPS = 50
"""Groups of units an arm must have for resampling them to mean anything."""


GROUPS = 1000
"""Groups that `grouped` makes."""


class UnitValues(NamedTuple):
    """One arm's units, a value each of `x`, `y`, `u`, `v` (as in `Sums`); shape `(units,)`."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    u: NDArray[np.float64]
    v: NDArray[np.float64]


def grouped(values: UnitValues, units: int, seed: int) -> list[Sums]:
    """Units put together at random into at most `GROUPS` groups, each added up.

    `units` counts all of the arm's: those beyond `values` have zeros everywhere, so it does not matter which are where,
    only how many each group has, which is multinomial.
    """
    rng = np.random.default_rng(seed)
    groups = min(GROUPS, units)
    if groups == 0:
        return []
    group = rng.integers(0, groups, values.x.size)
    count = np.bincount(group, minlength=groups)
    count = count + rng.multinomial(max(0, units - values.x.size), np.full(groups, 1.0 / groups))
    columns = dict(zip(UnitValues._fields, values, strict=True))
    weights = dict(columns)
    for name in (f.name for f in fields(Sums) if len(f.name) == 2):
        weights[name] = columns[name[0]] * columns[name[1]]
    totals = {name: np.bincount(group, weights=column, minlength=groups) for name, column in weights.items()}
    return [
        Sums(n=float(count[place]), **{name: float(total[place]) for name, total in totals.items()})
        for place in range(groups)
        if count[place]
    ]


@dataclass(frozen=True, slots=True)
class BootstrapReading:
    """Percentile intervals of the difference and of the lift over `draws` resamples."""

    difference: float
    difference_ci: Interval
    difference_std_error: float
    lift: float
    lift_ci: Interval
    draws: int

    def to_dict(self) -> dict[str, Any]:
        """As the report shows it."""
        return {
            "difference_ci": list(self.difference_ci),
            "difference_std_error": self.difference_std_error,
            "lift_ci": list(self.lift_ci),
            "draws": self.draws,
        }


def bootstrap(
    control: Sequence[Sums],
    treatment: Sequence[Sums],
    *,
    kind: Kind,
    cuped: bool = False,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> BootstrapReading:
    """Resamples groups of units with replacement, within each arm.

    A group is one unit, or a bucket of units that were put together at random (by hash): buckets keep the cost down
    with millions of units. Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13.

    Raises:
        CannotCompute: fewer than 50 groups in an arm, a control's mean that is not positive (in some resamples).
        ValueError: `draws` below 100, or a level outside (0, 1).
    """
    check_level(level)
    if draws < 100:
        raise ValueError(f"draws is {draws!r}; an interval needs at least 100")
    rng = np.random.default_rng(seed)
    arms = []
    for groups in (control, treatment):
        if len(groups) < ENOUGH_GROUPS:
            raise CannotCompute(
                Code.TOO_FEW_UNITS, f"An arm has {len(groups)} groups of units; resampling needs {ENOUGH_GROUPS}."
            )
        table = np.array([[getattr(group, f.name) for f in fields(Sums)] for group in groups])
        arms.append(_resample(table, draws, rng))
    whole_control, whole_treatment = sum(control, Sums.empty()), sum(treatment, Sums.empty())
    base = estimate(whole_control, kind).value
    require_base(base)
    level_of_treatment = estimate(whole_treatment, kind).value
    with np.errstate(divide="ignore", invalid="ignore"):
        differences, bases = _statistics(arms[0], arms[1], kind, cuped=cuped)
    if not np.isfinite(differences).all():
        raise CannotCompute(Code.ZERO_DENOMINATOR, "The denominator is 0 in some resamples, so they have no ratio.")
    if (bases <= 0).any():
        raise CannotCompute(
            Code.UNBOUNDED, "The control's mean is 0 or less in some resamples, so lifts have no bounds."
        )
    difference = level_of_treatment - base
    if cuped:
        difference -= _theta(whole_control + whole_treatment, kind) * (
            joint(whole_treatment, kind).pre - joint(whole_control, kind).pre
        )
    tails = [(1.0 - level) / 2.0, (1.0 + level) / 2.0]
    return BootstrapReading(
        difference=difference,
        difference_ci=Interval(*(float(x) for x in np.quantile(differences, tails))),
        difference_std_error=float(differences.std(ddof=1)),
        lift=difference / base,
        lift_ci=Interval(*(float(x) for x in np.quantile(differences / bases, tails))),
        draws=draws,
    )


def _resample(table: NDArray[np.float64], draws: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Sums of `draws` resamples of the table's rows, in chunks that fit in memory; shape (draws, fields)."""
    rows = table.shape[0]
    chunk = max(1, 4_000_000 // rows)
    share = np.full(rows, 1.0 / rows)
    parts = [rng.multinomial(rows, share, size=min(chunk, draws - start)) @ table for start in range(0, draws, chunk)]
    return np.concatenate(parts)


def _statistics(
    control: NDArray[np.float64], treatment: NDArray[np.float64], kind: Kind, *, cuped: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The difference and the control's mean in each resample."""
    names = [f.name for f in fields(Sums)]
    a, b = ({name: arm[:, i] for i, name in enumerate(names)} for arm in (control, treatment))

    def level(arm: dict[str, NDArray[Any]], top: str, bottom: str) -> NDArray[np.float64]:
        result: NDArray[np.float64] = arm[top] / arm[bottom]
        return result

    bottom = "y" if kind == "ratio" else "n"
    base = level(a, "x", bottom)
    difference = level(b, "x", bottom) - base
    if cuped:
        past = "v" if kind == "ratio" and a["vv"].any() else "n"
        theta = np.array(
            [
                _theta(Sums(*row_a) + Sums(*row_b), kind)
                for row_a, row_b in zip(control.tolist(), treatment.tolist(), strict=True)
            ]
        )
        difference = difference - theta * (level(b, "u", past) - level(a, "u", past))
    return difference, base


def _theta(both: Sums, kind: Kind) -> float:
    moments = joint(both, kind)
    if moments.pre_variance <= 0:
        raise CannotCompute(Code.NO_COVARIATE, "No unit's value before the experiment differs from another's.")
    return moments.covariance / moments.pre_variance
