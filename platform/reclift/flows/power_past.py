"""What plans rest on: a placement's last weeks in one metric, read once for every question about it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from reclift.domain.metric import Metric
from reclift.domain.totals import Measured, Total, compute
from reclift.flows import metrics as metric_flow
from reclift.flows import placements
from reclift.flows.clock import DAY_MICROS, rfc3339
from reclift.flows.errors import NotFound
from reclift.stats import power as sizes
from reclift.stats.quantile import quantile
from reclift.stats.result import CannotCompute, Code, Reason
from reclift.stats.sums import Sums
from reclift.storage.placement_history import facts_of, first_lists, newest_list

HISTORY_DAYS = 28
MOST_UNITS = 20_000
"""Units whose facts are read; of more, a random part (always the same one)."""
_LABEL = "history"
Kind = Literal["proportion", "mean", "ratio"]


@dataclass(frozen=True, slots=True)
class Past:
    """A placement's last 28 days up to its newest list, in one metric: all that a plan rests on.

    Attributes:
        history: when, how many units, the metric's level and spread; as in the answer.
        arrivals: new units by day.
        base: the metric's level and variance per unit, or why there are none.
    """

    history: dict[str, Any]
    arrivals: list[float]
    base: sizes.Baseline | Reason


def past(session: Session, placement: str, metric: str) -> Past:
    """Read what plans rest on: the slow part, which is the same for every question.

    Each unit counts from its first list in the past, as it would in an experiment; its facts are measured by the
    metric's own rules.
    """
    placements.get(session, placement)
    known = metric_flow.all_metrics(session)
    if metric not in known:
        raise NotFound("metric", metric)
    newest = newest_list(session, placement)
    if newest is None:
        unseen = {"from": None, "until": None, "units": 0, "units_read": 0, "mean": None, "std_dev": None}
        return Past(unseen, [], Reason(Code.NO_UNITS, "No list was shown here yet, so there is no past to plan from."))
    until = newest + 1
    starts = first_lists(session, placement, until - HISTORY_DAYS * DAY_MICROS, until)
    opened = min(at for _, at in starts)
    days = max(1, ceil((until - opened) / DAY_MICROS))
    arrivals = np.bincount([(at - opened) // DAY_MICROS for _, at in starts], minlength=days)
    if len(starts) > MOST_UNITS:
        starts = random.Random(placement).sample(starts, MOST_UNITS)  # noqa: S311 (a sample, no secret)
    measured = {(_LABEL, 1): Measured([known[metric]], everything=True, placement=placement)}
    totals = [
        compute(facts, measured)[_LABEL, 1].totals.get(metric) for facts in facts_of(session, starts, until, _LABEL)
    ]
    history: dict[str, Any] = {"from": rfc3339(opened), "until": rfc3339(newest), "units": int(arrivals.sum()),
               "units_read": len(starts), "mean": None, "std_dev": None}  # fmt: skip
    base = _told(known[metric], totals)
    if isinstance(base, sizes.Baseline):
        history |= {"mean": base.mean, "std_dev": float(np.sqrt(base.variance))}
    return Past(history, [float(count) for count in arrivals], base)


def _told(metric: Metric, totals: Sequence[Total | None]) -> sizes.Baseline | Reason:
    try:
        if metric.is_quantile:
            return _of_quantile(metric, totals)
        return baseline(_sums(metric, totals), metric.statistic)
    except CannotCompute as impossible:
        return impossible.reason


def _of_quantile(metric: Metric, totals: Sequence[Total | None]) -> sizes.Baseline:
    samples = [total.sample or () for total in totals if total is not None]
    if not any(samples):
        raise CannotCompute(Code.NO_UNITS, "Nothing in the placement's past has a value of this metric.")
    values = np.array([value for sample in samples for value in sample], dtype=np.float64)
    units = np.repeat(np.arange(len(samples)), [len(sample) for sample in samples])
    found = quantile(values, metric.quantile, units=units)
    return sizes.quantile_baseline(found.value, found.estimate.std_error, len(totals))


def _sums(metric: Metric, totals: Sequence[Total | None]) -> Sums:
    columns = np.zeros((2, len(totals)))
    for place, total in enumerate(totals):
        if total is not None:
            columns[:, place] = total.numerator, total.denominator
    return Sums.from_arrays(np.minimum(columns[0], _cap(metric, columns[0])), columns[1])


def _cap(metric: Metric, numbers: NDArray[np.float64]) -> float:
    caps = [float("inf")] if metric.cap is None else [metric.cap]
    if metric.cap_percentile is not None and len(numbers):
        caps.append(float(np.quantile(numbers, metric.cap_percentile)))
    return min(caps)


def baseline(sums: Sums, kind: Kind, *, cuped: bool = False) -> sizes.Baseline:
    """The level and variance of units seen so far, after CUPED where it is asked for and they have a past.

    Raises:
        CannotCompute: too few units, a mean that is not positive, or nothing that varies.
    """
    try:
        base = sizes.baseline(sums, kind, cuped=cuped)
    except CannotCompute as impossible:
        if impossible.reason.code is not Code.NO_COVARIATE:
            raise
        base = sizes.baseline(sums, kind)
    if not base.variance > 0:
        raise CannotCompute(Code.ZERO_VARIANCE, "No unit differs from another, so no number of them can be computed.")
    return base


def found_in(base: sizes.Baseline, units: float, design: sizes.Design) -> float | None:
    """The smallest lift that so many units find; None: no lift, however large."""
    try:
        return sizes.detectable_lift(base, units, design)
    except CannotCompute:
        return None


def units_after(days: int, arrivals: Sequence[float]) -> float:
    """Units in after so many days; beyond the past, days bring what its last seven brought on average."""
    week = arrivals[-7:]
    beyond = max(0, days - len(arrivals)) * (sum(week) / len(week) if week else 0.0)
    return sum(arrivals[:days]) + beyond
