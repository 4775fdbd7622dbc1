"""How many units and days an experiment needs: planned from the placement's own past, and again while it runs."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Literal

import numpy as np
from sqlalchemy.orm import Session

from reclift.domain.analysis import Analysis
from reclift.domain.metric import Metric
from reclift.domain.totals import Measured, compute
from reclift.flows import metrics as metric_flow
from reclift.flows import placements
from reclift.flows.clock import DAY_MICROS, rfc3339
from reclift.flows.errors import Invalid, NotFound
from reclift.flows.report_read import Read
from reclift.stats import power as sizes
from reclift.stats.decision import WORTHWHILE_LIFT
from reclift.stats.plan import Plan
from reclift.stats.result import CannotCompute, Code
from reclift.stats.sums import Sums
from reclift.storage.aggregates_days import daily_counts
from reclift.storage.placement_history import facts_of, first_lists, newest_list
from reclift.storage.tables import ExperimentRow

HISTORY_DAYS = 28
MOST_UNITS = 20_000
"""Units whose facts are read; of more, a random part (always the same one)."""
WEEKS = (7, 14, 21, 28)
_LABEL = "history"


@dataclass(frozen=True, slots=True)
class Question:
    """What is planned. `effect`: relative, 0.05 = 5 %; `traffic`: share of the placement's units that come in.

    `days`: what can be found in so many days is answered, too.
    """

    arms: int = 2
    effect: float = 0.05
    traffic: float = 1.0
    level: float = 0.95
    power: float = 0.8
    regime: Literal["fixed", "sequential"] = "fixed"
    days: int | None = None

    @property
    def design(self) -> sizes.Design:
        """Of one arm against the control, all arms being equally large."""
        return sizes.Design(alpha=1 - self.level, power=self.power, comparisons=self.arms - 1, regime=self.regime)


@dataclass(frozen=True, slots=True)
class Past:
    """A placement's past as one metric sees it: the same for every question.

    Attributes:
        shown: the answer's `history`.
        arrivals: units by day of their first list, since the first of them.
        sums: of these units.
    """

    placement: str
    metric: Metric
    shown: Mapping[str, Any]
    arrivals: Sequence[float]
    sums: Sums


def past(session: Session, placement: str, metric: str) -> Past:
    """Read it; `NotFound` for an unknown placement or metric.

    The past is the placement's last 28 days up to its newest list. Each unit counts from its first list in it, as it
    would in an experiment; its facts are measured by the metric's own rules.
    """
    placements.get(session, placement)
    known = metric_flow.all_metrics(session)
    if metric not in known:
        raise NotFound("metric", metric)
    if known[metric].is_quantile:
        raise Invalid.of(
            "metric", metric, "is a quantile: its power cannot be planned from sums; take a mean or a ratio"
        )
    shown, arrivals, sums = _history(session, placement, known[metric])
    return Past(placement, known[metric], shown, arrivals, sums)


def plan(session: Session, placement: str, metric: str, question: Question) -> dict[str, Any]:
    """Units, days and what can be found in how many days; `reasons` where the past does not tell."""
    return answer(past(session, placement, metric), question)


def answer(past: Past, question: Question) -> dict[str, Any]:
    """The same from a past that was read before."""
    shown, arrivals = dict(past.shown), past.arrivals
    answer: dict[str, Any] = {
        "placement": past.placement, "metric": past.metric.key, "arms": question.arms, "effect": question.effect,
        "traffic": question.traffic, "level": question.level, "power": question.power, "regime": question.regime,
        "history": shown, "units": None, "units_per_arm": None, "days": None, "planned_days": None, "by_days": [],
        "reasons": {},
    }  # fmt: skip
    try:
        base = _baseline(past.sums, past.metric.statistic)
    except CannotCompute as impossible:
        answer["reasons"] = {"units": impossible.reason.to_dict(), "days": impossible.reason.to_dict()}
        return answer
    shown |= {"mean": base.mean, "std_dev": float(np.sqrt(base.variance))}
    # The design is of two arms; all arms are as large as each of them.
    per_arm = ceil(sizes.required_units(base, question.effect, question.design) / 2)
    answer |= {"units": per_arm * question.arms, "units_per_arm": per_arm}
    answer["by_days"] = [
        _found_in(days, units, base, question)
        for days in sorted({*WEEKS, question.days or WEEKS[0]})
        if (units := _units_after(days, arrivals) * question.traffic) >= 4 * question.arms
    ]  # fmt: skip
    try:
        days = sizes.duration_days(per_arm * question.arms, arrivals, share=question.traffic)
    except CannotCompute as impossible:
        answer["reasons"] = {"days": impossible.reason.to_dict()}
        return answer
    # Whole weeks, since weekdays differ.
    return answer | {"days": days, "planned_days": ceil(days / 7) * 7}


def _found_in(days: int, units: float, base: sizes.Baseline, question: Question) -> dict[str, Any]:
    effect = sizes.detectable_lift(base, units * 2 / question.arms, question.design)
    return {"days": days, "units": round(units), "effect": effect}


def during(
    session: Session, row: ExperimentRow, read: Read | None, plan_so_far: Plan, days: int | None
) -> dict[str, Any] | None:
    """The same from the experiment's own units: what is needed in all, what can be found now and at the planned end.

    With CUPED where it was chosen: its gain is in the numbers. None: no primary metric.
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
                                 "reasons": {}}  # fmt: skip
        found.append(entry)
        both = read.sums[control].n + read.sums[arm].n
        try:
            base = _baseline(read.sums[control], read.metric.statistic, cuped=chosen.cuped)
            design = _design(read, control, arm, chosen, plan_so_far, len(arms) - 1)
        except CannotCompute as impossible:
            entry["reasons"] = {"units": impossible.reason.to_dict()}
            continue
        entry["units"] = sizes.required_units(base, effect, design)
        entry["effect_now"] = sizes.detectable_lift(base, both, design)
        share = min(1.0, both / sum(by_day)) if sum(by_day) else 0.0
        if days and share:
            entry["effect_at_end"] = sizes.detectable_lift(base, _units_after(days, by_day) * share, design)
        try:
            entry["days"] = sizes.duration_days(entry["units"], by_day, share=share)
        except CannotCompute as impossible:
            entry["reasons"] = {"days": impossible.reason.to_dict()}
    return {
        "metric": read.metric.key, "effect": effect, "stated": chosen.minimum_effect is not None, "power": 0.8,
        "level": chosen.level, "cuped": chosen.cuped, "planned_days": days, "arms": found,
    }  # fmt: skip


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


def _baseline(sums: Sums, kind: Literal["proportion", "mean", "ratio"], *, cuped: bool = False) -> sizes.Baseline:
    try:
        base = sizes.baseline(sums, kind, cuped=cuped)
    except CannotCompute as impossible:
        if impossible.reason.code is not Code.NO_COVARIATE:
            raise
        base = sizes.baseline(sums, kind)
    if not base.variance > 0:
        raise CannotCompute(Code.ZERO_VARIANCE, "No unit differs from another, so no number of them can be computed.")
    return base


def _history(session: Session, placement: str, metric: Metric) -> tuple[dict[str, Any], list[float], Sums]:
    newest = newest_list(session, placement)
    if newest is None:
        return (
            {"from": None, "until": None, "units": 0, "units_read": 0, "mean": None, "std_dev": None},
            [],
            Sums.empty(),
        )
    until = newest + 1
    since = until - HISTORY_DAYS * DAY_MICROS
    starts = first_lists(session, placement, since, until)
    opened = min(at for _, at in starts)
    days = max(1, ceil((until - opened) / DAY_MICROS))
    arrivals = np.bincount([(at - opened) // DAY_MICROS for _, at in starts], minlength=days)
    if len(starts) > MOST_UNITS:
        starts = random.Random(placement).sample(starts, MOST_UNITS)  # noqa: S311 (a sample, no secret)
    measured = {(_LABEL, 1): Measured([metric], everything=True, placement=placement)}
    columns = np.zeros((2, len(starts)))
    for place, facts in enumerate(facts_of(session, starts, until, _LABEL)):
        total = compute(facts, measured)[_LABEL, 1].totals.get(metric.key)
        if total is not None:
            columns[:, place] = total.numerator, total.denominator
    x = np.minimum(columns[0], _cap(metric, columns[0]))
    past = {"from": rfc3339(opened), "until": rfc3339(newest), "units": int(arrivals.sum()),
            "units_read": len(starts), "mean": None, "std_dev": None}  # fmt: skip
    return past, [float(count) for count in arrivals], Sums.from_arrays(x, columns[1])


def _cap(metric: Metric, numbers: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    caps = [float("inf")] if metric.cap is None else [metric.cap]
    if metric.cap_percentile is not None and len(numbers):
        caps.append(float(np.quantile(numbers, metric.cap_percentile)))
    return min(caps)


def _units_after(days: int, arrivals: Sequence[float]) -> float:
    """Units in after so many days; beyond the past, days bring what its last seven brought on average."""
    week = arrivals[-7:]
    beyond = max(0, days - len(arrivals)) * (sum(week) / len(week) if week else 0.0)
    return sum(arrivals[:days]) + beyond
