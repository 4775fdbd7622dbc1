"""`compare`: one arm against the control on one metric, read in every way that the report shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import sqrt

from reclift.stats import bayes, binary, sequential
from reclift.stats.attempts import FIXED_FIELDS, Attempts
from reclift.stats.cuped import Adjusted
from reclift.stats.cuped import cuped as adjust_by_the_past
from reclift.stats.estimators import Kind, estimate
from reclift.stats.lift import Effect, base_is_weak
from reclift.stats.mean import as_counts
from reclift.stats.posterior import read_beta
from reclift.stats.readings import plain_effect, read_comparison
from reclift.stats.result import ArmSummary, CannotCompute, Code, Comparison, Reason, finite
from reclift.stats.stratify import stratified
from reclift.stats.sums import Sums
from reclift.stats.words import percent, share

_METHODS = {
    "proportion": "Welch t",
    "mean": "Welch t",
    "ratio": "Welch t on ratios with the unit's variance (delta method)",
}

TWYMAN_LIFT = 0.3
"""A significant lift beyond this, either way, is more often a bug than a discovery."""

SMALL_SAMPLE = 30
"""Units in an arm below which a mean's normal approximation is doubtful."""

IMBALANCE_P = 0.001
"""p-value of the arms being alike before the experiment, below which a warning says so."""


def arm_summary(sums: Sums, kind: Kind) -> ArmSummary:
    """Units, mean (or ratio) and standard error of one arm; `None` with a reason for what does not exist.

    Raises:
        ValueError: unknown kind.
    """
    attempt = Attempts()
    whole = attempt(("mean", "std_error"), lambda: estimate(sums, kind))
    if whole is not None:
        level = attempt(("mean",), lambda: finite(whole.value, "mean"))
        return ArmSummary(sums.units, level, attempt(("std_error",), lambda: finite(whole.std_error, "standard error")),
                          attempt.reasons)  # fmt: skip
    if sums.n > 0 and attempt.reasons["mean"].code is Code.TOO_FEW_UNITS:
        # one unit has a level, only no error
        total = sums.y if kind == "ratio" else sums.n
        if total > 0:
            del attempt.reasons["mean"]
            return ArmSummary(sums.units, sums.x / total, None, attempt.reasons)
    return ArmSummary(sums.units, None, None, attempt.reasons)


@dataclass(frozen=True, slots=True)
class _Basis:
    """What a comparison is computed from."""

    effect: Effect
    method: str
    adjusted: Adjusted | None = None
    reduction: float | None = None


def compare(
    control: Sums,
    treatment: Sums,
    *,
    kind: Kind,
    level: float = 0.95,
    arm: str = "treatment",
    control_arm: str = "control",
    cuped: bool = False,
    strata: Sequence[tuple[Sums, Sums]] | None = None,
    sequential_tuning: int = sequential.DEFAULT_TUNING,
    prior: bayes.NormalPrior | None = None,
    rate_prior: bayes.BetaPrior | None = None,
    higher_is_better: bool = True,
) -> Comparison:
    """Reads one arm against the control: fixed horizon, always valid, and Bayesian.

    Args:
        control: the control's units, added up.
        treatment: the arm's units, added up.
        kind: `proportion` (x is 0 or 1), `mean` (x per unit) or `ratio` (sum of x over sum of y).
        level: of every interval; 1 - level is the false positive rate that the tests are about.
        arm: the treatment's key, for the result and its sentences.
        control_arm: the control's key.
        cuped: adjust by the values before exposure in `u` (and `v`).
        strata: the same units as (control, treatment) of each stratum: post-stratification, instead of CUPED. With few
            successes it gives way to the exact reading of all units.
        sequential_tuning: units at which the always-valid interval is tightest; fixed before the start.
        prior: of the relative lift, for means, ratios and adjusted proportions; flat by default.
        rate_prior: of each arm's rate, for proportions; uniform by default.
        higher_is_better: the metric's direction, for chance to win and expected loss.

    Returns:
        A `Comparison`; what cannot be computed is `None` and has its reason, whatever the data.

    Raises:
        ValueError: unknown kind, a level outside (0, 1), a tuning that is not positive.
    """
    attempt = Attempts()
    few = kind == "proportion" and not cuped and _has_few(control, treatment)
    basis = _basis(
        attempt, (control_arm, control), (arm, treatment), kind, None if few else strata, use_covariate=cuped
    )
    comparison = read_comparison(
        attempt,
        basis.effect if basis else None,
        n=control.n + treatment.n,
        kind=kind,
        method=basis.method if basis else _METHODS[kind],
        level=level,
        names=(control_arm, arm),
        sequential_tuning=sequential_tuning,
        higher_is_better=higher_is_better,
        variance_reduction=basis.reduction if basis else None,
        prior=prior,
    )
    if basis is None:
        return comparison
    few = False
    if kind == "proportion" and basis.reduction is None:
        a, b = as_counts(control), as_counts(treatment)
        few = binary.has_few(a, b)
        if few:
            comparison = binary.read_few(comparison, a, b)
        reading = read_beta(a, b, rate_prior or bayes.BetaPrior(), level, higher_is_better=higher_is_better)
        comparison = replace(comparison, bayesian=reading)
    warnings = _warnings(comparison, basis, min(control.units, treatment.units), few=few)
    return replace(comparison, warnings=tuple(warnings))


def _has_few(control: Sums, treatment: Sums) -> bool:
    try:
        return binary.has_few(as_counts(control), as_counts(treatment))
    except CannotCompute:
        return False


def _basis(
    attempt: Attempts,
    control: tuple[str, Sums],
    treatment: tuple[str, Sums],
    kind: Kind,
    strata: Sequence[tuple[Sums, Sums]] | None,
    *,
    use_covariate: bool,
) -> _Basis | None:
    estimates = []
    for key, sums in (control, treatment):
        try:
            estimates.append(estimate(sums, kind))
        except CannotCompute as impossible:
            reason = Reason(impossible.reason.code, f"{key}: {impossible.reason.text}")
            attempt.reasons |= dict.fromkeys(FIXED_FIELDS, reason)
            return None
    a, b = estimates
    plain = attempt.all_fields(lambda: plain_effect(a, b))
    if plain is None:
        return None
    if strata is not None:
        parted = attempt(("variance_reduction",), lambda: stratified(strata, kind))
        if parted is None:
            return _Basis(plain, _METHODS[kind])
        count = f"{parted.strata} strat{'um' if parted.strata == 1 else 'a'}"
        method = f"{_METHODS[kind]}, post-stratified ({count})"
        return _Basis(parted.effect, method, reduction=parted.reduction)
    if not use_covariate:
        return _Basis(plain, _METHODS[kind])
    adjusted = attempt(("variance_reduction",), lambda: adjust_by_the_past(control[1], treatment[1], kind))
    if adjusted is None:
        return _Basis(plain, _METHODS[kind])
    return _Basis(adjusted.effect, f"{_METHODS[kind]}, with CUPED", adjusted, adjusted.reduction)


def _warnings(comparison: Comparison, basis: _Basis, fewest_units: int, *, few: bool) -> Iterator[Reason]:
    effect = basis.effect
    if few:
        yield Reason(
            Code.SMALL_COUNTS,
            f"An arm has fewer than {binary.FEW} successes or failures, so it is read by Newcombe's interval and "
            "Fisher's exact test, which hold for small counts.",
        )
    elif base_is_weak(effect):
        uncertainty = share(sqrt(effect.base_variance) / effect.base)
        yield Reason(
            Code.WEAK_DENOMINATOR,
            f"The control's mean is uncertain (standard error {uncertainty} of it), so the lift's interval is rough; "
            "the p-value is about the difference, and Fieller's interval of the lift agrees with it.",
        )
    if comparison.kind != "proportion" and fewest_units < SMALL_SAMPLE:
        yield Reason(
            Code.SMALL_SAMPLE,
            f"An arm has {fewest_units} units; below {SMALL_SAMPLE} the intervals are rough.",
        )
    p, relative = comparison.p_value, comparison.lift
    if p is not None and p < 1.0 - comparison.ci_level and relative is not None and abs(relative) >= TWYMAN_LIFT:
        yield Reason(
            Code.TWYMAN,
            f"A lift of {percent(relative)} is unusually large; look for a fault in logging or set-up before believing "
            "it (Twyman's law).",
        )
    if basis.adjusted and basis.adjusted.pre_p_value < IMBALANCE_P:
        yield Reason(
            Code.COVARIATE_IMBALANCE,
            f"The arms already differed before the experiment (p = {basis.adjusted.pre_p_value:.2g}); "
            "look for a carry-over or a broken split.",
        )
