"""How much variance CUPED would take out of a metric: measured in a placement's past, else in its experiments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from reclift.domain.analysis import Analysis
from reclift.domain.metric import Metric
from reclift.stats import power as sizes
from reclift.stats.result import CannotCompute, Code, Reason
from reclift.stats.sums import Sums
from reclift.storage.aggregates import ArmCount, arm_counts, arm_sums, cap_value
from reclift.storage.tables import ExperimentRow

FEWEST_UNITS = 100
"""Units below which a gain is more noise than gain."""
MOST_EXPERIMENTS = 5
_MOST_GAIN = 0.99


@dataclass(frozen=True, slots=True)
class Gain:
    """What CUPED would take.

    Attributes:
        share: of the variance per unit, 0 to 1; or why it is not known.
        units: that it was measured in.
        source: `history`: the placement's past, split in two; `experiment`: the past units of one that ran there.
        experiment: its key.
    """

    share: float | Reason
    units: int = 0
    source: str | None = None
    experiment: str | None = None

    def to_dict(self, past_days: int | None) -> dict[str, Any]:
        """As the plan tells it."""
        return {
            "gain": None if isinstance(self.share, Reason) else self.share, "units": self.units, "source": self.source,
            "experiment": self.experiment, "days": past_days,
            "reasons": {"gain": self.share.to_dict()} if isinstance(self.share, Reason) else {},
        }  # fmt: skip


def measured_gain(session: Session, placement: str, metric: Metric, past_days: int | None, history: Sums) -> Gain:
    """The gain in `history` (units' values with those before in `u` and `v`), else in the placement's experiments.

    Those are the newest that read this metric with a past of as many days, by their control's units.
    """
    if metric.is_quantile:
        return Gain(Reason(Code.NO_COVARIATE, "Of a quantile, CUPED takes no variance out."))
    first = _gain(history, metric)
    if not isinstance(first, Reason):
        return Gain(first, round(history.n), "history")
    for key, sums in _experiments(session, placement, metric, past_days):
        share = _gain(sums, metric)
        if not isinstance(share, Reason):
            return Gain(share, round(sums.n), "experiment", key)
    return Gain(first, round(history.n))


def _gain(sums: Sums, metric: Metric) -> float | Reason:
    if sums.n < FEWEST_UNITS:
        text = f"Only {sums.n:,.0f} users came back in the placement's past; it takes {FEWEST_UNITS} to tell a gain."
        return Reason(Code.TOO_FEW_UNITS, text)
    try:
        plain = sizes.baseline(sums, metric.statistic)
        adjusted = sizes.baseline(sums, metric.statistic, cuped=True)
    except CannotCompute as impossible:
        return impossible.reason
    if not plain.variance > 0:
        return Reason(Code.ZERO_VARIANCE, "No unit differs from another.")
    return min(_MOST_GAIN, max(0.0, 1.0 - adjusted.variance / plain.variance))


def _experiments(session: Session, placement: str, metric: Metric, past_days: int | None) -> Sequence[tuple[str, Sums]]:
    rows = session.scalars(
        select(ExperimentRow)
        .where(ExperimentRow.placement == placement, ExperimentRow.started_at.is_not(None), ExperimentRow.kind == "ab")
        .order_by(ExperimentRow.started_at.desc())
    )
    found: list[tuple[str, Sums]] = []
    for row in rows:
        read = [row.metrics.get("primary"), *row.metrics.get("secondary", ()), *row.metrics.get("guardrails", ())]
        if metric.key not in read or Analysis.from_dict(row.data.get("analysis")).cuped_days != past_days:
            continue
        control = next(arm.key for arm in row.arms if arm.control)
        counts = arm_counts(session, row.key, row.phase)
        units = sum(count.units for count in counts.values())
        cap = cap_value(session, row.key, row.phase, metric, units)
        mine = {control: counts.get(control, ArmCount(0, 0, 0))}
        found.append((row.key, arm_sums(session, row.key, row.phase, metric, mine, cap=cap)[control]))
        if len(found) == MOST_EXPERIMENTS:
            break
    return found
