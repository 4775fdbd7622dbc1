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
from reclift.domain.totals import Measured, Total, UnitFacts, compute
from reclift.flows import metrics as metric_flow
from reclift.flows import placements
from reclift.flows.clock import DAY_MICROS, rfc3339
from reclift.flows.errors import Invalid, NotFound
from reclift.flows.power_audience import EVERYBODY, Admitted, Who, admitted
from reclift.flows.power_gain import Gain, measured_gain
from reclift.stats import power as sizes
from reclift.stats.quantile import quantile
from reclift.stats.result import CannotCompute, Code, Reason
from reclift.stats.sums import Sums
from reclift.storage.placement_history import Start, facts_of, first_lists, newest_list

HISTORY_DAYS = 28
MOST_UNITS = 20_000
"""Units whose facts are read; of more, a random part (always the same one)."""
_LABEL, _HALF = "history", "half"
Kind = Literal["proportion", "mean", "ratio"]


@dataclass(frozen=True, slots=True)
class Past:
    """A placement's last 28 days up to its newest list, in one metric: all that a plan rests on.

    Attributes:
        history: when, how many units, the metric's level and spread; as in the answer.
        arrivals: new units by day.
        base: the metric's level and variance per unit, or why there are none.
        admitted: what the past tells of the audience; None: everybody is let in. Where a part of the units is known to
            be, level and variance are theirs and the arrivals are that share of all.
        gain: what CUPED would take out of the variance, with units' past being `past_days` long.
        past_days: None: as long as the metric's window.
    """

    history: dict[str, Any]
    arrivals: list[float]
    base: sizes.Baseline | Reason
    admitted: Admitted | None
    gain: Gain
    past_days: int | None


def past(session: Session, placement: str, metric: str, who: Who = EVERYBODY, past_days: int | None = None) -> Past:
    """Read what plans rest on: the slow part, which is the same for every question.

    Each unit counts from its first list in the past, as it would in an experiment; its facts are measured by the
    metric's own rules. For CUPED's gain the past is split in two: what units that came in its second half did in that
    half, by what they had done before it.
    """
    placements.get(session, placement)
    known = metric_flow.all_metrics(session)
    if metric not in known:
        raise NotFound("metric", metric)
    if known[metric].is_coverage:
        rule = "is coverage: its power cannot be planned, no unit has a share of it; take a mean or a ratio"
        raise Invalid.of("metric", metric, rule)
    newest = newest_list(session, placement)
    if newest is None:
        unseen = {"from": None, "until": None, "units": 0, "units_read": 0, "mean": None, "std_dev": None}
        nothing = Reason(Code.NO_UNITS, "No list was shown here yet, so there is no past to plan from.")
        return Past(unseen, [], nothing, None, Gain(nothing), past_days)
    until = newest + 1
    starts = first_lists(session, placement, until - HISTORY_DAYS * DAY_MICROS, until)
    opened = min(at for _, at in starts)
    days = max(1, ceil((until - opened) / DAY_MICROS))
    arrivals = np.bincount([(at - opened) // DAY_MICROS for _, at in starts], minlength=days)
    came = len(starts)
    if len(starts) > MOST_UNITS:
        starts = random.Random(placement).sample(starts, MOST_UNITS)  # noqa: S311 (a sample, no secret)
    part = 1.0
    inside = admitted(session, [unit for unit, _ in starts], who)
    read = len(starts)
    if inside is not None and inside.units is not None:
        starts = [(unit, at) for unit, at in starts if unit in inside.units]
        part = inside.share or 0.0
    middle = until - (until - opened) // 2
    totals, halves = _measure(session, known[metric], placement, starts, (until, middle), past_days)
    history: dict[str, Any] = {"from": rfc3339(opened), "until": rfc3339(newest), "units": came,
               "units_read": read, "mean": None, "std_dev": None}  # fmt: skip
    base = _told(known[metric], totals)
    if inside is not None and inside.units is not None and not starts:
        base = Reason(
            Code.NO_UNITS, f"The audience lets in none of the {inside.known:,} users whose attributes are known here."
        )
    if isinstance(base, sizes.Baseline):
        history |= {"mean": base.mean, "std_dev": float(np.sqrt(base.variance))}
    gain = measured_gain(session, placement, known[metric], past_days, _sums(known[metric], halves))
    return Past(history, [float(count) * part for count in arrivals], base, inside, gain, past_days)


def _measure(
    session: Session, metric: Metric, placement: str, starts: Sequence[tuple[str, int]], edges: tuple[int, int],
    past_days: int | None,
) -> tuple[list[Total | None], list[Total | None]]:  # fmt: skip
    """Each unit's total since its first list; and since its first one in the second half, of those who came in it."""
    until, middle = edges
    one = Measured([metric], everything=True, placement=placement, past_days=past_days)
    measured = {(_LABEL, 1): one, (_HALF, 1): one}
    whole: list[Total | None] = []
    half: list[Total | None] = []
    for facts in facts_of(session, starts, until, _LABEL):
        later = [shown.at for shown in facts.impressions if shown.placement == placement and shown.at >= middle]
        exposures = list(facts.exposures)
        if later:
            exposures.append(Start(_HALF, 1, "", min(later)))
        found = compute(UnitFacts(exposures, facts.impressions, facts.events), measured)
        whole.append(found[_LABEL, 1].totals.get(metric.key))
        if later:
            half.append(found[_HALF, 1].totals.get(metric.key))
    return whole, half


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
    """Of units' totals, with those before in `u` and `v`; nobody's are empty."""
    if not totals:
        return Sums.empty()
    columns = np.zeros((4, len(totals)))
    for place, total in enumerate(totals):
        if total is not None:
            columns[:, place] = total.numerator, total.denominator, total.pre_numerator, total.pre_denominator
    x, y, u, v = columns
    cap = _cap(metric, x)
    return Sums.from_arrays(np.minimum(x, cap), y, u=np.minimum(u, cap), v=v)


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
