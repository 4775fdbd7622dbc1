"""Post-stratification: units sorted by something known before exposure, and compared like with like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum

from reclift.stats.estimators import Kind, estimate
from reclift.stats.lift import Effect
from reclift.stats.result import CannotCompute, Code
from reclift.stats.sums import Sums

ENOUGH = 30
"""Units that a stratum must have in each arm to stand by itself."""


def stratified_effect(strata: Sequence[tuple[Sums, Sums]], kind: Kind) -> Effect:
    """The strata's differences, weighted by their shares of all units.

    A stratum is a pair (control, treatment) of units that were alike before exposure. With w a stratum's share of the
    units of both arms: difference = sum of w (b - a), its variance = sum of w**2 (Var a + Var b); the base is the
    control's stratified mean, sum of w a. For ratios w is the stratum's share of the denominator, so that the
    stratified ratio is again one of sums. Degrees of freedom by Satterthwaite over all cells.
    Source: Miratrix, Sekhon and Yu 2013, "Adjusting Treatment Effect Estimates by Post-Stratification", JRSS B 75.

    Raises:
        CannotCompute: no strata, or a stratum in which an arm has fewer than two units (merge small strata).
    """
    sizes = [(c + t).y if kind == "ratio" else c.n + t.n for c, t in strata]
    total = fsum(sizes)
    if total <= 0:
        raise CannotCompute(Code.NO_UNITS, "No stratum has any units.")
    difference = base = variance = base_variance = squares = 0.0
    for size, (control, treatment) in zip(sizes, strata, strict=True):
        a, b = estimate(control, kind), estimate(treatment, kind)
        w = size / total
        difference += w * (b.value - a.value)
        base += w * a.value
        base_variance += w * w * a.error_variance
        variance += w * w * (a.error_variance + b.error_variance)
        squares += w**4 * (a.error_variance**2 / (a.n - 1) + b.error_variance**2 / (b.n - 1))
    return Effect(
        difference=difference,
        difference_variance=variance,
        observed_difference=difference,
        base=base,
        base_variance=base_variance,
        covariance=-base_variance,
        df=variance**2 / squares if squares > 0 else None,
    )


def merged(strata: Sequence[tuple[Sums, Sums]], kind: Kind) -> list[tuple[Sums, Sums]]:
    """The strata with the small ones put together, so that each has enough units (and a denominator) in both arms.

    Strata with fewer than `ENOUGH` units in an arm become one; where that is still too small it joins the smallest of
    the others. What belongs where depends on the sizes only, never on what units did (but for a ratio's denominator).
    """

    def stands(pair: tuple[Sums, Sums]) -> bool:
        return all(side.n >= ENOUGH and (kind != "ratio" or side.y > 0) for side in pair)

    kept = [pair for pair in strata if stands(pair)]
    small = [pair for pair in strata if not stands(pair)]
    if not small:
        return kept
    rest = (sum((c for c, _ in small), Sums.empty()), sum((t for _, t in small), Sums.empty()))
    if kept and not stands(rest):
        smallest = min(range(len(kept)), key=lambda place: kept[place][0].n + kept[place][1].n)
        control, treatment = kept.pop(smallest)
        rest = (control + rest[0], treatment + rest[1])
    return [*kept, rest]


@dataclass(frozen=True, slots=True)
class Stratified:
    """The stratified effect; `reduction` is the share of the variance that stratification took away, 0 to 1."""

    effect: Effect
    strata: int
    reduction: float


def stratified(strata: Sequence[tuple[Sums, Sums]], kind: Kind) -> Stratified:
    """The effect over `merged` strata, beside the variance of the same units unstratified.

    Raises:
        CannotCompute: as `stratified_effect`.
    """
    parts = merged(strata, kind)
    effect = stratified_effect(parts, kind)
    control = sum((c for c, _ in parts), Sums.empty())
    treatment = sum((t for _, t in parts), Sums.empty())
    plain = estimate(control, kind).error_variance + estimate(treatment, kind).error_variance
    reduction = min(1.0, max(0.0, 1.0 - effect.difference_variance / plain)) if plain > 0 else 0.0
    return Stratified(effect, len(parts), reduction)
