"""How many units and days an experiment needs: planned from the placement's own past, and again while it runs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
from reclift.stats.result import CannotCompute, Code, Comparison
from reclift.stats.sequential import DEFAULT_TUNING
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
    """What is planned.

    Attributes:
        arms: with the control; equally large, unless `weights` says how large they are, the control's first.
        effect: relative lift to find, 0.05 = 5 %.
        traffic: share of the placement's units that come in.
        tuning: units at which the always-valid interval is tightest (sequential only).
        corrected: whether the arms' comparisons are corrected for being several.
        days: a length for which to say what is found, beside whole weeks.
    """

    arms: int = 2
    effect: float = 0.05
    traffic: float = 1.0
    level: float = 0.95
    power: float = 0.8
    regime: Literal["fixed", "sequential"] = "fixed"
    tuning: int = DEFAULT_TUNING
    corrected: bool = True
    weights: tuple[float, ...] = ()
    days: int | None = None

    def __post_init__(self) -> None:
        if self.weights and (len(self.weights) != self.arms or not all(0 < w < float("inf") for w in self.weights)):
            raise ValueError(f"weights are {self.weights!r}; there must be {self.arms}, each above 0")

    @property
    def shares(self) -> list[float]:
        """Of all units, by arm, the control first."""
        weights = self.weights or (1.0,) * self.arms
        return [weight / sum(weights) for weight in weights]

    @property
    def pair(self) -> float:
        """The share of the units that the control and the smallest other arm hold: that comparison needs the most."""
        control, *others = self.shares
        return control + min(others)

    @property
    def design(self) -> sizes.Design:
        """Of the smallest arm against the control."""
        return sizes.Design(
            alpha=1 - self.level, power=self.power, control_share=self.shares[0] / self.pair,
            comparisons=self.arms - 1 if self.corrected else 1, regime=self.regime, tuning=self.tuning,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Past:
    """A placement's last 28 days up to its newest list, in one metric: all that a plan rests on.

    Attributes:
        history: when, how many units; as in the answer.
        arrivals: new units by day.
        sums: of the metric, over units.
        kind: the metric's statistic.
    """

    history: dict[str, Any]
    arrivals: list[float]
    sums: Sums
    kind: Literal["proportion", "mean", "ratio"]


def plan(session: Session, placement: str, metric: str, question: Question) -> dict[str, Any]:
    """Units, days and what can be found in how many days; `reasons` where the past does not tell.

    Each unit counts from its first list in the past, as it would in an experiment; its facts are measured by the
    metric's own rules.
    """
    return answer(past(session, placement, metric), placement, metric, question)


def past(session: Session, placement: str, metric: str) -> Past:
    """Read what plans rest on: the slow part, which is the same for every question."""
    placements.get(session, placement)
    known = metric_flow.all_metrics(session)
    if metric not in known:
        raise NotFound("metric", metric)
    if known[metric].is_coverage:
        raise Invalid.of(
            "metric",
            metric,
            "is coverage: its power cannot be planned, no unit has a share of it; take a mean or a ratio",
        )
    if known[metric].is_quantile:
        raise Invalid.of(
            "metric", metric, "is a quantile: its power cannot be planned from sums; take a mean or a ratio"
        )
    return Past(*_history(session, placement, known[metric]), known[metric].statistic)


def answer(known: Past, placement: str, metric: str, question: Question) -> dict[str, Any]:
    """The plan for a question from a past; see `plan`."""
    told: dict[str, Any] = {
        "placement": placement, "metric": metric, "arms": question.arms, "effect": question.effect,
        "traffic": question.traffic, "level": question.level, "power": question.power, "regime": question.regime,
        "history": known.history, "units": None, "units_per_arm": None, "units_by_arm": None, "days": None,
        "planned_days": None, "by_days": [], "reasons": {},
    }  # fmt: skip
    try:
        base = _baseline(known.sums, known.kind)
    except CannotCompute as impossible:
        told["reasons"] = {"units": impossible.reason.to_dict(), "days": impossible.reason.to_dict()}
        return told
    told["history"] = known.history | {"mean": base.mean, "std_dev": float(np.sqrt(base.variance))}
    # The design is of two arms; rounded, since a share of what is shared out must not end a hair above.
    total = sizes.required_units(base, question.effect, question.design) / question.pair
    by_arm = [ceil(round(total * share, 6)) for share in question.shares]
    told |= {"units": sum(by_arm), "units_per_arm": min(by_arm), "units_by_arm": by_arm}
    lengths = sorted({*WEEKS, question.days} if question.days else WEEKS)
    told["by_days"] = [
        _found_in(days, units, base, question)
        for days in lengths
        if (units := _units_after(days, known.arrivals) * question.traffic) * min(question.shares) >= 4
    ]  # fmt: skip
    try:
        days = sizes.duration_days(sum(by_arm), known.arrivals, share=question.traffic)
    except CannotCompute as impossible:
        told["reasons"] = {"days": impossible.reason.to_dict()}
        return told
    # Whole weeks, since weekdays differ.
    return told | {"days": days, "planned_days": ceil(days / 7) * 7}


def _found_in(days: int, units: float, base: sizes.Baseline, question: Question) -> dict[str, Any]:
    effect = sizes.detectable_lift(base, units * question.pair, question.design)
    return {"days": days, "units": round(units), "effect": effect}


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
            plain = _baseline(read.sums[control], read.metric.statistic)
            entry["cuped_gain"] = _cuped_gain(read.sums[control], read.metric.statistic, plain)
            base = _after_gain(read, arm, chosen, plain)
            comparisons = 1 if chosen.correction_primary == "none" else len(arms) - 1
            design = _design(read, control, arm, chosen, plan_so_far, comparisons)
        except CannotCompute as impossible:
            entry["reasons"] = {"units": impossible.reason.to_dict()}
            continue
        entry["units"] = sizes.required_units(base, effect, design)
        if chosen.cuped or chosen.stratify is not None:
            entry["gain"] = 1.0 - base.variance / plain.variance
            entry["units_without"] = sizes.required_units(plain, effect, design)
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
        "level": chosen.level, "cuped": chosen.cuped, "stratify": chosen.stratify, "planned_days": days, "arms": found,
    }  # fmt: skip


def _after_gain(read: Read, arm: str, chosen: Analysis, plain: sizes.Baseline) -> sizes.Baseline:
    """The baseline after what was chosen to take variance out."""
    if chosen.cuped:
        return _baseline(read.sums[_control(read, arm)], read.metric.statistic, cuped=True)
    reduction = _comparison(read, arm).variance_reduction if chosen.stratify is not None else None
    if reduction == 1.0:
        raise CannotCompute(Code.ZERO_VARIANCE, "Within strata no unit differs from another.")
    return plain if reduction is None else replace(plain, variance=plain.variance * (1.0 - reduction))


def _comparison(read: Read, arm: str) -> Comparison:
    return next(one for one in read.comparisons if one.arm == arm)


def _control(read: Read, arm: str) -> str:
    return _comparison(read, arm).control


def _cuped_gain(sums: Sums, kind: Literal["proportion", "mean", "ratio"], plain: sizes.Baseline) -> float | None:
    """Share of the control's variance that its units' past explains; None where it has no past."""
    try:
        return 1.0 - sizes.baseline(sums, kind, cuped=True).variance / plain.variance
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
