"""Coverage of the catalogue by an arm's lists, read at the same number of units in every arm (rarefaction)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from reclift.stats.attempts import FIXED_FIELDS, Attempts
from reclift.stats.estimate import Estimate
from reclift.stats.readings import Reading, names, plain_effect, read_as
from reclift.stats.result import ArmSummary, CannotCompute, Code, Comparison, Reason, Sequential
from reclift.stats.sequential import DEFAULT_TUNING

METHOD = "rarefaction to equally many units, jackknife over units, Welch t"

PART = 4
"""Coverage is read at a PART-th of the smallest arm's units."""

SMALL_SAMPLE = 30
"""Below so many units in an arm intervals are rough."""

NOT_SEQUENTIAL = Reason(
    Code.NOT_SEQUENTIAL,
    "Coverage grows with the units that it is read at, so no interval of it holds at every look: "
    "it is read once, at the end.",
)


@dataclass(frozen=True, slots=True)
class Spread:
    """How the available items that an arm shows spread over its units.

    Attributes:
        units: of the arm, those that were shown nothing among them.
        lists: that they were shown.
        items: number of units -> how many available items exactly so many units were shown; 0 is left out.
    """

    units: int
    lists: int
    items: Mapping[int, int]

    def __post_init__(self) -> None:
        if any(not 1 <= met <= self.units or count < 0 for met, count in self.items.items()):
            raise ValueError(f"items is {dict(self.items)!r}; each key must be from 1 to {self.units} units")

    @property
    def shown(self) -> int:
        """Different available items that were shown to anybody."""
        return sum(self.items.values())


@dataclass(frozen=True, slots=True)
class Losses:
    """What the expected number of items loses without each unit in turn, summed over units: the jackknife's material.

    Attributes:
        total: sum of the losses.
        squares: sum of their squares.
    """

    total: float
    squares: float


def depth(spreads: Iterable[Spread]) -> int:
    """At how many units the arms are read: a `PART`-th of the smallest arm's; 0 where no arm can be read.

    Arms that cannot be read at all (fewer than `PART` units, no lists) do not count. Why not all units: an unbiased
    variance of the number of items that n of N units are shown exists only for n up to N / 2 (Smith and Grassle 1977),
    and the jackknife's, which is never too small on average (Efron and Stein 1981), comes close to it as n / N falls.
    """
    return min((one.units // PART for one in spreads if one.units >= PART and one.lists), default=0)


def _missed(units: int, drawn: int, most: int) -> NDArray[np.float64]:
    """The chance that `drawn` of `units` units miss all that were shown an item, by how many those are: 0 to `most`.

    C(units - f, drawn) / C(units, drawn) for f units, shape `(most + 1,)`.
    """
    f = np.arange(most, dtype=np.float64)
    factors = np.clip(units - drawn - f, 0.0, None) / np.maximum(units - f, 1.0)
    return np.concatenate([[1.0], np.cumprod(factors)])


def expected_items(spread: Spread, drawn: int) -> float:
    """How many different items `drawn` of the arm's units, taken at random, are shown on average; no draw is made.

    Sum over items of 1 - C(N - f, n) / C(N, n), with f of N units shown the item: the only unbiased estimate with the
    least variance. Source: Hurlbert 1971, *Ecology* 52; Smith and Grassle 1977, *Biometrics* 33.
    """
    if not spread.items:
        return 0.0
    missed = _missed(spread.units, drawn, max(spread.items))
    return float(sum(count * (1.0 - missed[met]) for met, count in spread.items.items()))


def item_losses(spread: Spread, drawn: int) -> dict[int, float]:
    """By the number of units that were shown an item: how much it adds to a unit's loss, see `Losses`.

    Leaving a unit out leaves N - 1 with n still drawn: the items of the unit are then shown to one unit fewer.
    """
    if not spread.items:
        return {}
    missed = _missed(spread.units - 1, drawn, max(spread.items))
    return {met: float(missed[met - 1] - missed[met]) for met in spread.items}


def estimate(spread: Spread, drawn: int, catalogue: int, losses: Callable[[Mapping[int, float]], Losses]) -> Estimate:
    """The arm's coverage at `drawn` units, with the delete-one jackknife's variance over units.

    (N - 1)/N times the sum of squares of the units' losses about their mean. Source: Arvesen 1969, *Annals of
    Mathematical Statistics* 40 (jackknifing U-statistics, which rarefaction is one of). The standard error is at least
    1.5/N of an item: that no unit makes a difference among N does not show that none does (the rule of three:
    Hanley and Lippman-Hand 1983, *JAMA* 249).

    Args:
        spread: of the arm.
        drawn: units at which it is read, see `depth`.
        catalogue: available items.
        losses: gives the units' losses from `item_losses`; asked only where there is something to read.

    Raises:
        CannotCompute: an empty catalogue, no units, too few, or no lists.
    """
    if catalogue < 1:
        raise CannotCompute(Code.NO_CATALOGUE, "The catalogue has no available items, so there is nothing to cover.")
    if spread.units == 0:
        raise CannotCompute(Code.NO_UNITS, "The arm has no units.")
    if not spread.lists:
        raise CannotCompute(Code.NO_LISTS, "No list was shown to the arm's units.")
    if spread.units < PART:
        raise CannotCompute(
            Code.TOO_FEW_UNITS,
            f"Coverage is read at {1 / PART:.0%} of the smallest arm's units, so it takes {PART}; there are "
            f"{spread.units}.",
        )
    value = expected_items(spread, drawn)
    lost = losses(item_losses(spread, drawn))
    n = spread.units
    squares = max(0.0, lost.squares - lost.total * lost.total / n)
    variance = max((n - 1) / n * squares, (1.5 / n) ** 2)
    return Estimate(n, value / catalogue, variance * n / catalogue**2)


def summary(read: Estimate | Reason, units: int) -> ArmSummary:
    """Units, coverage as `mean`, its standard error; `None` with the reason for what does not exist."""
    if isinstance(read, Reason):
        return ArmSummary(units, None, None, dict.fromkeys(("mean", "std_error"), read))
    return ArmSummary(units, read.value, read.std_error)


def compare_coverage(control: Estimate | Reason, treatment: Estimate | Reason, **how: Unpack[Reading]) -> Comparison:
    """Reads one arm's coverage against the control's, both at the same number of units; never the always-valid way.

    Raises:
        ValueError: a level outside (0, 1), or a tuning that is not positive.
    """
    attempt = Attempts()
    known: list[Estimate] = []
    for key, read in zip(names(how), (control, treatment), strict=True):
        if isinstance(read, Reason):
            why = Reason(read.code, f"{key}: {read.text}")
            attempt.reasons = dict.fromkeys(FIXED_FIELDS, why) | attempt.reasons
        else:
            known.append(read)
    effect = attempt.all_fields(lambda: plain_effect(*known)) if len(known) == 2 else None
    comparison = read_as(attempt, effect, how, n=sum(one.n for one in known), kind="coverage", method=METHOD)
    fields = ("p_value", "lift_ci", "difference_ci")
    reasons = dict.fromkeys(fields, NOT_SEQUENTIAL)
    tuning = how.get("sequential_tuning", DEFAULT_TUNING)
    never = Sequential(None, None, None, tuning, method="none", reasons=reasons)
    return replace(comparison, sequential=never, warnings=_warnings(known))


def _warnings(known: Sequence[Estimate]) -> tuple[Reason, ...]:
    fewest = min((round(one.n) for one in known), default=SMALL_SAMPLE)
    if fewest >= SMALL_SAMPLE:
        return ()
    return (Reason(Code.SMALL_SAMPLE, f"An arm has {fewest} units; below {SMALL_SAMPLE} the intervals are rough."),)
