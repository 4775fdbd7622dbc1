"""The lift by days since exposure: whether it fades (novelty) or grows (users learn)."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from reclift.domain.analysis import Analysis
from reclift.domain.metric import Metric
from reclift.flows.clock import DAY_MICROS
from reclift.flows.report_read import Read
from reclift.stats.comparison import compare
from reclift.stats.result import Comparison
from reclift.stats.trend import lift_trend
from reclift.stats.words import continued
from reclift.storage.aggregates_days import sums_since_exposure
from reclift.storage.tables import ExperimentRow

MOST_DAYS = 28
_FEWEST_UNITS = 30


def novelty(session: Session, row: ExperimentRow, read: Read | None, until: int | None) -> dict[str, Any] | None:
    """The primary metric's lift on each day since the unit's exposure (0: the day of it), and each arm's trend.

    Only whole days count, and on each day only units that have been in for so long: so no day compares other units in
    one arm than in the other. None: no primary metric, nothing to read yet, or a quantile, which no day's share of the
    values tells.
    """
    if read is None or until is None or read.metric.is_quantile:
        return None
    arms = [arm.key for arm in sorted(row.arms, key=lambda arm: not arm.control)]
    last = until // DAY_MICROS - 1
    days = sums_since_exposure(session, row.key, row.phase, read.metric, arms, last, _length(read.metric), read.cap)
    level = Analysis.from_dict(row.data.get("analysis")).level
    result = []
    for place, arm in enumerate(arms[1:], 1):
        compared = [
            (
                day,
                compare(
                    sums[0],
                    sums[place],
                    kind=read.metric.statistic,
                    level=level,
                    arm=arm,
                    control_arm=arms[0],
                    higher_is_better=read.metric.direction == "increase",
                ),
            )
            for day, sums in enumerate(days)
            if min(sums[0].n, sums[place].n) >= _FEWEST_UNITS
        ]
        # Each arm is one more chance to see a trend where there is none.
        trend = lift_trend(compared, alpha=(1 - level) / (len(arms) - 1))
        units = [round(sums[0].n + sums[place].n) for sums in days]
        result.append({
            "arm": arm,
            "days": [_day(day, units[day], comparison) for day, comparison in compared],
            "trend": trend.to_dict(),
        })  # fmt: skip
    return {"metric": read.metric.key, "arms": result}


def check(found: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The trends as checks of trust: only those that could be read. A lift that fades is not the one to come."""
    return [
        {
            "check": "novelty",
            "ok": arm["trend"]["shape"] != "novelty",
            "text": f"in {arm['arm']}: {continued(arm['trend']['sentence'])}",
        }
        for arm in (found or {}).get("arms", ())
        if arm["trend"]["shape"] != "unknown"
    ]


def _length(metric: Metric) -> int:
    """Whole days of the metric's window: the last, broken one would be shorter for late visitors."""
    return MOST_DAYS if metric.window_hours is None else min(MOST_DAYS, int(metric.window_hours // 24))


def _day(day: int, units: int, comparison: Comparison) -> dict[str, Any]:
    shown = comparison.to_dict()
    return {"day": day, "units": units, "lift": shown["lift"], "lift_ci": shown["lift_ci"]}
