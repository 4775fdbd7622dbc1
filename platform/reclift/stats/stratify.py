"""Post-stratification: units sorted by something known before exposure, and compared like with like."""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum

from reclift.stats.attempts import Attempts
from reclift.stats.comparison import Kind, estimate
from reclift.stats.lift import Effect
from reclift.stats.readings import read_comparison
from reclift.stats.result import CannotCompute, Code, Comparison
from reclift.stats.sequential import DEFAULT_TUNING
from reclift.stats.sums import Sums

METHOD = "post-stratified Welch t"


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


def compare_stratified(
    strata: Sequence[tuple[Sums, Sums]],
    *,
    kind: Kind,
    level: float = 0.95,
    arm: str = "treatment",
    control_arm: str = "control",
    sequential_tuning: int = DEFAULT_TUNING,
    higher_is_better: bool = True,
) -> Comparison:
    """Reads one arm against the control within strata; `variance_reduction` is against the same units unstratified.

    Raises:
        ValueError: unknown kind, a level outside (0, 1), a tuning that is not positive.
    """
    attempt = Attempts()
    effect = attempt.all_fields(lambda: stratified_effect(strata, kind))
    reduction = None
    if effect is not None:
        control = sum((c for c, _ in strata), Sums.empty())
        treatment = sum((t for _, t in strata), Sums.empty())
        plain = estimate(control, kind).error_variance + estimate(treatment, kind).error_variance
        reduction = min(1.0, max(0.0, 1.0 - effect.difference_variance / plain)) if plain > 0 else 0.0
    return read_comparison(
        attempt,
        effect,
        n=fsum(c.n + t.n for c, t in strata),
        kind=kind,
        method=METHOD,
        level=level,
        names=(control_arm, arm),
        sequential_tuning=sequential_tuning,
        higher_is_better=higher_is_better,
        variance_reduction=reduction,
    )
