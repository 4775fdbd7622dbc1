"""The lift report: from units' totals through the statistics to one stored document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from reclift.domain.events import parse_time
from reclift.domain.metric import Metric
from reclift.flows import metrics as metric_flow
from reclift.flows import report_parts, rollup
from reclift.flows.clock import now, rfc3339, to_datetime
from reclift.flows.configuration import version
from reclift.flows.errors import Conflict, Invalid, NotFound
from reclift.flows.experiments import find
from reclift.stats.comparison import arm_summary, compare
from reclift.stats.decision import Decision, MetricReading, decide
from reclift.stats.multiple import adjust
from reclift.stats.plan import Plan
from reclift.stats.result import Comparison
from reclift.stats.srm import SrmResult, srm
from reclift.stats.sums import Sums
from reclift.storage.aggregates import (
    ArmCount,
    Segment,
    arm_counts,
    arm_sums,
    cap_value,
    data_until,
    first_exposure,
    units_between,
)
from reclift.storage.database import Database
from reclift.storage.tables import ExperimentRow, ReportRow

Role = Literal["primary", "secondary", "guardrail"]

LEVEL = 0.95
_MOST_UNITS_NOW = 5_000


@dataclass(frozen=True, slots=True)
class Read:
    """One metric with its arms' sums and its comparisons."""

    metric: Metric
    role: Role
    cap: float | None
    sums: Mapping[str, Sums]
    comparisons: Sequence[Comparison]


def roles(row: ExperimentRow, known: Mapping[str, Metric]) -> list[tuple[Metric, Role]]:
    """The experiment's metrics in the report's order; one that stands in several roles keeps the first."""
    wanted: list[tuple[str, Role]] = [(row.metrics.get("primary") or "", "primary")]
    wanted += [(key, "secondary") for key in row.metrics.get("secondary", ())]
    wanted += [(key, "guardrail") for key in row.metrics.get("guardrails", ())]
    result: dict[str, tuple[Metric, Role]] = {}
    for key, role in wanted:
        if key in known and key not in result:
            result[key] = (known[key], role)
    return list(result.values())


def read_metrics(
    session: Session,
    row: ExperimentRow,
    counts: dict[str, ArmCount],
    *,
    segment: Segment | None = None,
    only: Role | None = None,
) -> list[Read]:
    """Sums and comparisons of every metric; p-values are adjusted within their role.

    Primary and guardrails by Holm (no false alarm among them), secondary ones by Benjamini-Hochberg (few among many).
    """
    control = next(arm.key for arm in row.arms if arm.control)
    known = metric_flow.all_metrics(session)
    reads = []
    units = sum(count.units for count in counts.values())
    for metric, role in roles(row, known):
        if only is not None and role != only:
            continue
        cap = cap_value(session, row.key, row.phase, metric, units)
        sums = arm_sums(session, row.key, row.phase, metric, counts, cap=cap, segment=segment)
        comparisons = [
            compare(
                sums[control],
                sums[arm.key],
                kind=metric.statistic,
                level=LEVEL,
                arm=arm.key,
                control_arm=control,
                higher_is_better=metric.direction == "increase",
            )
            for arm in row.arms
            if not arm.control
        ]
        reads.append(Read(metric, role, cap, sums, comparisons))
    return _adjusted(reads)


def _adjusted(reads: Sequence[Read]) -> list[Read]:
    result = list(reads)
    for role in ("primary", "secondary", "guardrail"):
        places = [place for place, read in enumerate(result) if read.role == role]
        family = [comparison for place in places for comparison in result[place].comparisons]
        corrected = iter(adjust(family, "benjamini-hochberg" if role == "secondary" else "holm"))
        for place in places:
            read = result[place]
            result[place] = replace(read, comparisons=[next(corrected) for _ in read.comparisons])
    return result


def plan_of(row: ExperimentRow, units: int, first: int | None, until: int | None) -> Plan:
    """How far the experiment's plan is. Replayed and imported data have a time of their own."""
    days_planned = row.data.get("planned_days")
    phase_at = row.data.get("phase_at")
    start: datetime | None = datetime.fromisoformat(phase_at) if phase_at else row.started_at
    end = row.stopped_at or now()
    if row.source != "live" and first is not None and until is not None:
        start, end = to_datetime(first), to_datetime(until)
    days_run = (end - start).total_seconds() / 86_400 if start is not None else 0.0
    return Plan(
        regime=row.data.get("regime", "fixed" if days_planned else "sequential"),
        days_planned=days_planned,
        days_run=days_run,
        units=units,
        minimum_effect=row.data.get("minimum_effect"),
        finished=row.status in {"stopped", "archived"},
    )


def planned_shares(session: Session, row: ExperimentRow, counts: Mapping[str, ArmCount]) -> list[float]:
    """What each arm's size should be in proportion to: its weight, or, where weights changed on the way, the mixture
    of weights that held when the units came in.
    """
    now_planned = {arm.key: arm.weight for arm in row.arms}
    changes = row.data.get("weight_changes") or []
    if not changes or not any(count.units for count in counts.values()):
        return list(now_planned.values())
    edges = [parse_time(change["until"]) for change in changes]
    came = units_between(session, row.key, row.phase, edges)
    planned = [change["weights"] for change in changes] + [now_planned]
    return [
        sum(units * weights[arm.key] / sum(weights.values()) for units, weights in zip(came, planned, strict=True))
        for arm in row.arms
    ]


def compute(session: Session, row: ExperimentRow) -> dict[str, Any]:
    """The whole report of the experiment's present phase, in API.md's shape and more."""
    counts = {arm.key: ArmCount(0, 0, 0) for arm in row.arms}
    counts |= {arm: count for arm, count in arm_counts(session, row.key, row.phase).items() if arm in counts}
    ratio = srm([counts[arm.key].units for arm in row.arms], planned_shares(session, row, counts))
    reads = read_metrics(session, row, counts)
    until, first = data_until(session, row.key, row.phase), first_exposure(session, row.key, row.phase)
    units = sum(count.units for count in counts.values())
    plan = plan_of(row, units, first, until)
    decision = _decide(ratio, reads, plan)
    waiting = rollup.waiting(session)
    return {
        "experiment": row.key,
        "phase": row.phase,
        "source": row.source,
        "computed_at": rfc3339(now()),
        "data_until": rfc3339(until),
        "configuration_version": version(session),
        "day": max(1, int(plan.days_run or 0) + 1) if units else 0,
        "planned_days": row.data.get("planned_days"),
        "srm": ratio.to_dict(),
        "trust": report_parts.trust(session, row, counts, ratio, reads[0].metric if reads else None, until, waiting),
        "multi_arm_units": sum(count.several for count in counts.values()),
        "arms": [
            {
                "arm": arm.key,
                "control": arm.control,
                "strategy": arm.strategy,
                "units": counts[arm.key].units,
                "impressions": counts[arm.key].impressions,
            }
            for arm in row.arms
        ],
        "metrics": [_metric_view(row, read) for read in reads],
        "decision": decision.to_dict(),
        "series": report_parts.series(
            session, row, [(read.metric, read.cap) for read in reads if read.role != "guardrail"]
        ),
        "positions": report_parts.position_view(session, row),
        "lists": report_parts.lists(session, row),
        "method": {
            "level": LEVEL,
            "means": "Welch's t; relative lift by the delta method",
            "ratios": "delta method, the unit is the user",
            "adjustment": "Holm for the primary metric and guardrails, Benjamini-Hochberg for secondary metrics",
            "regime": plan.effective_regime,
        },
    }


def _decide(ratio: SrmResult, reads: Sequence[Read], plan: Plan) -> Decision:
    readings = [
        MetricReading(
            read.metric.name, read.role, read.comparisons, read.metric.margin if read.role == "guardrail" else None
        )
        for read in reads
    ]
    return decide(ratio, readings, plan, alpha=1 - LEVEL)


def _metric_view(row: ExperimentRow, read: Read) -> dict[str, Any]:
    metric = read.metric
    return {
        "metric": metric.key,
        "name": metric.name,
        "description": metric.description,
        "role": read.role,
        "kind": metric.statistic,
        "format": metric.format,
        "direction": metric.direction,
        "window_hours": metric.window_hours,
        "arms": [
            {
                "arm": arm.key,
                "control": arm.control,
                "total": read.sums[arm.key].x,
                "denominator": read.sums[arm.key].y if metric.statistic == "ratio" else read.sums[arm.key].n,
                **arm_summary(read.sums[arm.key], metric.statistic).to_dict(),
            }
            for arm in row.arms
        ],
        "comparisons": [comparison.to_dict() for comparison in read.comparisons],
    }


def refresh(database: Database, key: str, *, keep: int = 50) -> dict[str, Any]:
    """Compute the report now and store it; the oldest beyond `keep` are forgotten."""
    with database.read() as session:
        row = find(session, key)
        if row.started_at is None:
            raise Conflict(f"experiment {key!r} has not been started: there is nothing to report")
        body = compute(session, row)
        phase = row.phase
    with database.write() as session:
        session.add(ReportRow(experiment=key, phase=phase, computed_at=now(), body=body))
        session.flush()
        stale = session.scalars(
            select(ReportRow.id)
            .where(ReportRow.experiment == key, ReportRow.phase == phase)
            .order_by(ReportRow.id.desc())
            .offset(keep)
        ).all()
        if stale:
            session.execute(delete(ReportRow).where(ReportRow.id.in_(stale)))
    return body


def latest(session: Session, key: str) -> dict[str, Any] | None:
    """The newest stored report, or None."""
    return session.scalar(
        select(ReportRow.body).where(ReportRow.experiment == key).order_by(ReportRow.id.desc()).limit(1)
    )


def latest_or_now(database: Database, key: str, *, segment: str | None = None, keep: int = 50) -> dict[str, Any]:
    """The newest stored report; the first one is computed on the spot. `segment` adds a breakdown by an attribute.

    Nobody waits for a long rollup: what is still waiting after some of it is the worker's, and the report says so.
    """
    with database.read() as session:
        row = find(session, key)
        body = latest(session, key)
    if body is None:
        rollup.roll_up(database, most=_MOST_UNITS_NOW)
        body = refresh(database, key, keep=keep)
    if segment is not None:
        with database.read() as session:
            body = {**body, "segments": segments(session, row, segment)}
    return body


def segments(session: Session, row: ExperimentRow, attribute: str, most: int = 10) -> list[dict[str, Any]]:
    """The primary metric by value of an attribute, the most frequent values first."""
    # SQLite's JSON paths cannot quote a quote.
    if not 1 <= len(attribute) <= 64 or '"' in attribute or not attribute.isprintable():
        raise Invalid.of(
            "segment", attribute, "must be an attribute's name of 1 to 64 printable characters without quotes"
        )
    result = []
    from reclift.storage.aggregates import segment_values

    for value, units in segment_values(session, row.key, row.phase, attribute, most):
        part = Segment(attribute, value)
        counts = {arm.key: ArmCount(0, 0, 0) for arm in row.arms}
        counts |= {a: c for a, c in arm_counts(session, row.key, row.phase, part).items() if a in counts}
        reads = read_metrics(session, row, counts, segment=part, only="primary")
        result.append(
            {
                "attribute": attribute,
                "value": value,
                "units": units,
                "metrics": [_metric_view(row, read) for read in reads],
            }
        )
    return result


def due(session: Session) -> list[str]:
    """Experiments whose report the schedule keeps fresh: those that run or are paused, and those stopped since."""
    keys = []
    for row in session.scalars(select(ExperimentRow).where(ExperimentRow.status.in_(["running", "paused", "stopped"]))):
        if row.status != "stopped":
            keys.append(row.key)
            continue
        newest = session.scalar(
            select(ReportRow.computed_at).where(ReportRow.experiment == row.key).order_by(ReportRow.id.desc()).limit(1)
        )
        # Conversions of the last days still come in: windows are a week.
        if newest is None or (row.stopped_at is not None and (newest - row.stopped_at).days < 8):
            keys.append(row.key)
    return keys


def find_report(session: Session, key: str) -> dict[str, Any]:
    """The newest stored report; `NotFound` when there is none."""
    body = latest(session, key)
    if body is None:
        raise NotFound("report of experiment", key)
    return body
