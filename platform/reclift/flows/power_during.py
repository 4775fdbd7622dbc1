"""How many units and days an experiment still needs: estimated again while it runs, from its own units."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy.orm import Session

from reclift.domain.analysis import Analysis
from reclift.flows.power_past import baseline, found_in, units_after
from reclift.flows.report_read import Read
from reclift.stats import power as sizes
from reclift.stats.decision import WORTHWHILE_LIFT
from reclift.stats.plan import Plan
from reclift.stats.result import CannotCompute, Code, Comparison
from reclift.storage.aggregates_days import daily_counts
from reclift.storage.tables import ExperimentRow


def during(
    session: Session, row: ExperimentRow, read: Read | None, plan_so_far: Plan, days: int | None
) -> dict[str, Any] | None:
    """The same from the experiment's own units: what is needed in all, what can be found now and at the planned end.

    With CUPED or strata where they were chosen: `gain` is the share of the variance that they take, and
    `units_without` what would be needed without them. `cuped_gain` is what CUPED takes or would take. None: no primary
    metric.
    """
    if read is None:
        return None
    chosen = Analysis.from_dict(row.data.get("analysis"))
    arms = [arm.key for arm in row.arms]
    control = next(arm.key for arm in row.arms if arm.control)
    arrivals = daily_counts(session, row.key, row.phase, arms)
    by_day = [float(sum(arrivals.get(day, ()))) for day in range(min(arrivals), max(arrivals) + 1)] if arrivals else []
    effect = chosen.minimum_effect or WORTHWHILE_LIFT
    found = []
    for arm in (one for one in arms if one != control):
        entry: dict[str, Any] = {"arm": arm, "units": None, "days": None, "effect_now": None, "effect_at_end": None,
                                 "gain": None, "units_without": None, "cuped_gain": None, "reasons": {}}  # fmt: skip
        found.append(entry)
        both = read.sums[control].n + read.sums[arm].n
        try:
            plain = _plain(read, control)
            entry["cuped_gain"] = _cuped_gain(read, control, plain)
            base = _after_gain(read, arm, chosen, plain)
            comparisons = 1 if chosen.correction_primary == "none" else len(arms) - 1
            design = _design(read, control, arm, chosen, plan_so_far, comparisons)
        except CannotCompute as impossible:
            entry["reasons"] = {"units": impossible.reason.to_dict()}
            continue
        entry["units"] = sizes.required_units(base, effect, design)
        if (chosen.cuped or chosen.stratify is not None) and not read.metric.is_quantile:
            entry["gain"] = 1.0 - base.variance / plain.variance
            entry["units_without"] = sizes.required_units(plain, effect, design)
        entry["effect_now"] = found_in(base, both, design)
        share = min(1.0, both / sum(by_day)) if sum(by_day) else 0.0
        if days and share:
            entry["effect_at_end"] = found_in(base, units_after(days, by_day) * share, design)
        try:
            entry["days"] = sizes.duration_days(entry["units"], by_day, share=share)
        except CannotCompute as impossible:
            entry["reasons"] = {"days": impossible.reason.to_dict()}
    return {
        "metric": read.metric.key, "effect": effect, "stated": chosen.minimum_effect is not None, "power": 0.8,
        "level": chosen.level, "cuped": chosen.cuped, "stratify": chosen.stratify, "planned_days": days, "arms": found,
    }  # fmt: skip


def _plain(read: Read, control: str) -> sizes.Baseline:
    """The control's level and variance so far, with nothing taken out."""
    if not read.metric.is_quantile:
        return baseline(read.sums[control], read.metric.statistic)
    level = read.levels[control]
    if level.mean is None or level.std_error is None:
        raise CannotCompute(level.reasons["std_error"].code, level.reasons["std_error"].text)
    return sizes.quantile_baseline(level.mean, level.std_error, read.sums[control].n)


def _after_gain(read: Read, arm: str, chosen: Analysis, plain: sizes.Baseline) -> sizes.Baseline:
    """The baseline after what was chosen to take variance out."""
    if read.metric.is_quantile:
        return plain
    if chosen.cuped:
        return baseline(read.sums[_control(read, arm)], read.metric.statistic, cuped=True)
    reduction = _comparison(read, arm).variance_reduction if chosen.stratify is not None else None
    if reduction == 1.0:
        raise CannotCompute(Code.ZERO_VARIANCE, "Within strata no unit differs from another.")
    return plain if reduction is None else replace(plain, variance=plain.variance * (1.0 - reduction))


def _comparison(read: Read, arm: str) -> Comparison:
    return next(one for one in read.comparisons if one.arm == arm)


def _control(read: Read, arm: str) -> str:
    return _comparison(read, arm).control


def _cuped_gain(read: Read, control: str, plain: sizes.Baseline) -> float | None:
    """Share of the control's variance that its units' past explains; None where it has no past, and of quantiles."""
    if read.metric.is_quantile:
        return None
    try:
        base = sizes.baseline(read.sums[control], read.metric.statistic, cuped=True)
        return 1.0 - base.variance / plain.variance
    except CannotCompute:
        return None


def _design(read: Read, control: str, arm: str, chosen: Analysis, plan_so_far: Plan, comparisons: int) -> sizes.Design:
    a, b = read.sums[control].n, read.sums[arm].n
    if not a or not b:
        raise CannotCompute(Code.NO_UNITS, f"{control if not a else arm} has no units yet.")
    return sizes.Design(
        alpha=1 - chosen.level,
        control_share=a / (a + b),
        comparisons=comparisons,
        # A group-sequential design needs few more units than a fixed one.
        regime="sequential" if plan_so_far.effective_regime == "sequential" else "fixed",
        tuning=chosen.tuning,
    )
