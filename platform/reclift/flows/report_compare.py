"""Compares arms as the experiment chose before its start, with what it asked for beside the formulas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from reclift.domain.analysis import Analysis
from reclift.domain.metric import Metric
from reclift.stats.bayes import BetaPrior, NormalPrior
from reclift.stats.bootstrap import GROUPS, bootstrap, grouped
from reclift.stats.comparison import compare
from reclift.stats.group_sequential import Look, latest_look, looks, repeated_interval
from reclift.stats.quantile import Sample, compare_samples
from reclift.stats.rarefaction import NOT_SEQUENTIAL
from reclift.stats.result import CannotCompute, Comparison
from reclift.stats.sums import Sums
from reclift.storage.aggregates_units import strata_sums, unit_values
from reclift.storage.tables import ExperimentRow


def control_of(row: ExperimentRow) -> str:
    """The control's key."""
    return next(arm.key for arm in row.arms if arm.control)


def prior(chosen: Analysis) -> NormalPrior:
    """What is believed of the relative lift before the data."""
    return NormalPrior(chosen.prior_mean, float("inf") if chosen.prior_sd is None else chosen.prior_sd)


def compare_arms(
    session: Session,
    row: ExperimentRow,
    metric: Metric,
    sums: Mapping[str, Sums],
    *,
    cap: float | None = None,
    within: bool = False,
) -> list[Comparison]:
    """Each arm against the control. `within` a segment there are no strata: its units are alike already."""
    chosen = Analysis.from_dict(row.data.get("analysis"))
    control = control_of(row)
    strata: Sequence[Mapping[str, Sums]] | None = None
    if chosen.stratify is not None and not within:
        strata = strata_sums(session, row.key, row.phase, metric, chosen.stratify, cap)
    return [
        compare(
            sums[control],
            sums[arm.key],
            kind=metric.statistic,
            level=chosen.level,
            cuped=chosen.cuped,
            strata=None if strata is None else _pairs(strata, control, arm.key),
            sequential_tuning=chosen.tuning,
            prior=prior(chosen),
            rate_prior=BetaPrior(chosen.rate_prior_alpha, chosen.rate_prior_beta),
            arm=arm.key,
            control_arm=control,
            higher_is_better=metric.direction == "increase",
        )
        for arm in row.arms
        if not arm.control
    ]


def compare_quantile(row: ExperimentRow, metric: Metric, found: Mapping[str, Sample]) -> list[Comparison]:
    """Each arm's quantile against the control's; CUPED and strata have no part in it."""
    chosen = Analysis.from_dict(row.data.get("analysis"))
    control = control_of(row)
    return [
        compare_samples(
            found[control],
            found[arm.key],
            metric.quantile,
            level=chosen.level,
            sequential_tuning=chosen.tuning,
            prior=prior(chosen),
            arm=arm.key,
            control_arm=control,
            higher_is_better=metric.direction == "increase",
        )
        for arm in row.arms
        if not arm.control
    ]


def _pairs(strata: Sequence[Mapping[str, Sums]], control: str, arm: str) -> list[tuple[Sums, Sums]]:
    return [(one.get(control, Sums.empty()), one.get(arm, Sums.empty())) for one in strata]


def bootstraps(
    session: Session, row: ExperimentRow, metric: Metric, sums: Mapping[str, Sums], cap: float | None
) -> dict[str, dict[str, Any]]:
    """Arm -> the bootstrap's reading of all units (with CUPED where it was chosen, never within strata), if chosen."""
    chosen = Analysis.from_dict(row.data.get("analysis"))
    if not chosen.bootstrap:
        return {}
    values = unit_values(session, row.key, row.phase, metric.key, list(sums), cap)
    # Each arm its own random numbers: with the same ones their groups would go together.
    groups = {
        arm: grouped(values[arm], sums[arm].units, chosen.bootstrap_seed + place) for place, arm in enumerate(sums)
    }
    control = control_of(row)
    found = {}
    for arm in sums:
        if arm == control:
            continue
        entry: dict[str, Any] = {
            "difference_ci": None, "difference_std_error": None, "lift_ci": None, "draws": chosen.bootstrap,
            "seed": chosen.bootstrap_seed, "groups": min(GROUPS, sums[control].units, sums[arm].units),
            "method": f"bootstrap of groups of units{', with CUPED' if chosen.cuped else ''}", "reasons": {},
        }  # fmt: skip
        try:
            read = bootstrap(
                groups[control], groups[arm], kind=metric.statistic, cuped=chosen.cuped, level=chosen.level,
                draws=chosen.bootstrap, seed=chosen.bootstrap_seed,
            )  # fmt: skip
            entry |= read.to_dict()
        except CannotCompute as impossible:
            entry["reasons"] = {"lift_ci": impossible.reason.to_dict(), "difference_ci": impossible.reason.to_dict()}
        found[arm] = entry
    return found


def design_of(chosen: Analysis) -> tuple[Look, ...]:
    """The planned looks of a group-sequential experiment."""
    shares = [look / chosen.looks for look in range(1, chosen.looks + 1)]
    return looks(shares, alpha=1 - chosen.level, family=chosen.family, rho=chosen.rho)


def repeated(chosen: Analysis, share: float | None, comparison: Comparison) -> dict[str, Any] | None:
    """The interval that goes with the latest planned look; None where no looks were planned.

    `share` of the planned length that is over; None: no length was planned, so there are no looks.
    """
    if chosen.regime != "group_sequential":
        return None
    answer: dict[str, Any] = {
        "look": None, "looks": chosen.looks, "bound": None, "nominal_alpha": None, "difference_ci": None,
        "lift_ci": None, "method": "repeated confidence interval", "reasons": {},
    }  # fmt: skip

    def missing(text: str) -> dict[str, Any]:
        reason = {"code": "no_look", "text": text}
        return answer | {"reasons": {"difference_ci": reason, "lift_ci": reason}}

    if comparison.kind == "coverage":
        reason = NOT_SEQUENTIAL.to_dict()
        return answer | {"reasons": {"difference_ci": reason, "lift_ci": reason}}
    if share is None:
        return missing("No length was planned, so there are no planned looks.")
    reached = latest_look(design_of(chosen), share)
    if reached is None:
        return missing("The first planned look has not been reached.")
    place, look = reached
    answer |= {"look": place, "bound": look.bound, "nominal_alpha": look.nominal_alpha}
    reasons = {}
    for name, value, error in (
        ("difference", comparison.difference, comparison.std_error),
        ("lift", comparison.lift, comparison.lift_std_error),
    ):
        known = getattr(comparison, f"{name}_ci")
        if known is not None and value is not None and error is not None:
            answer[f"{name}_ci"] = list(repeated_interval(value, error, look))
        elif f"{name}_ci" in comparison.reasons:
            reasons[f"{name}_ci"] = comparison.reasons[f"{name}_ci"].to_dict()
    return answer | {"reasons": reasons}
