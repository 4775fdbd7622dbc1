"""The lift report: from units' totals through the statistics to one stored document."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from reclift.domain.analysis import Analysis
from reclift.flows import alerts, power_during, report_lists, report_novelty, report_parts, report_trust, rollup
from reclift.flows.clock import now, rfc3339
from reclift.flows.configuration import version
from reclift.flows.errors import Conflict, NotFound
from reclift.flows.experiments import find
from reclift.flows.report_read import Read, metric_view, plan_of, planned_days, planned_shares, read_metrics, readings
from reclift.flows.report_segments import read_segments
from reclift.stats.decision import Decision, decide
from reclift.stats.plan import Plan
from reclift.stats.srm import SrmResult, srm
from reclift.storage.aggregates import ArmCount, arm_counts, data_until, first_exposure
from reclift.storage.database import Database
from reclift.storage.tables import ExperimentRow, ReportRow

_MOST_UNITS_NOW = 5_000
_MOST_CONNECTIONS = 4


def compute(session: Session, row: ExperimentRow) -> dict[str, Any]:
    """The whole report of the experiment's present phase, in API.md's shape and more."""
    counts = {arm.key: ArmCount(0, 0, 0) for arm in row.arms}
    counts |= {arm: count for arm, count in arm_counts(session, row.key, row.phase).items() if arm in counts}
    shares = planned_shares(session, row, counts)
    ratio = srm([counts[arm.key].units for arm in row.arms], shares)
    reads = read_metrics(session, row, counts)
    until, first = data_until(session, row.key, row.phase), first_exposure(session, row.key, row.phase)
    units = sum(count.units for count in counts.values())
    plan = plan_of(row, units, first, until)
    share = min(1.0, (plan.days_run or 0.0) / plan.days_planned) if plan.days_planned else None
    decision = _decide(row, ratio, reads, plan)
    chosen = Analysis.from_dict(row.data.get("analysis"))
    waiting = rollup.waiting(session)
    primary = next((read for read in reads if read.role == "primary"), None)
    novelty = report_novelty.novelty(session, row, primary, until)
    trust = report_trust.trust(session, row, counts, ratio, shares, reads, until, waiting)
    told = alerts.found(trust, reads, plan=plan, alpha=1 - chosen.level, same_arms=same_arms(row))
    return {
        "experiment": row.key,
        "phase": row.phase,
        "source": row.source,
        "computed_at": rfc3339(now()),
        "data_until": rfc3339(until),
        "configuration_version": version(session),
        "day": max(1, int(plan.days_run or 0) + 1) if units else 0,
        "planned_days": planned_days(row),
        "srm": ratio.to_dict(),
        "trust": [*trust, *report_novelty.check(novelty)],
        "alerts": [alert.to_dict() for alert in told],
        "novelty": novelty,
        "power": power_during.during(session, row, primary, plan, planned_days(row)),
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
        "metrics": [metric_view(row, read, share) for read in reads],
        "decision": decision.to_dict(),
        "series": report_parts.series(
            session,
            row,
            [(read.metric, read.cap) for read in reads if read.role != "guardrail" and read.metric.by_sums],
        ),
        "positions": report_parts.position_view(session, row),
        "lists": report_lists.lists(session, row),
        "method": {
            "level": chosen.level,
            "means": "Welch's t; relative lift by the delta method",
            "ratios": "delta method, the unit is the user",
            "adjustment": _adjustment(chosen),
            "past": _past(chosen),
            "regime": plan.effective_regime,
            "same_arms": same_arms(row),
            "analysis": chosen.to_dict(),
        },
    }


_CORRECTIONS = {"holm": "Holm", "benjamini_hochberg": "Benjamini-Hochberg", "none": "none"}


def _adjustment(chosen: Analysis) -> str:
    primary, secondary = _CORRECTIONS[chosen.correction_primary], _CORRECTIONS[chosen.correction_secondary]
    return f"{primary} for the primary metric, {secondary} for secondary metrics, none for guardrails"


def _past(chosen: Analysis) -> str:
    """Which days before a unit's exposure are its past, and what is made of them."""
    days = "as long as the metric's window, 7 days where it has none"
    if chosen.cuped_days is not None:
        days = f"{chosen.cuped_days} day{'' if chosen.cuped_days == 1 else 's'}"
    use = "CUPED adjusts by it" if chosen.cuped else "only checked for arms being alike; no CUPED"
    return f"{days} before the exposure: {use}"


def same_arms(row: ExperimentRow) -> bool:
    """Whether it is an A/A test: all arms do the same. Of imported ones nobody knows what their arms did."""
    ways = [(arm.strategy, arm.params, arm.model) for arm in row.arms]
    return row.source != "imported" and all(way == ways[0] for way in ways)


def _decide(row: ExperimentRow, ratio: SrmResult, reads: Sequence[Read], plan: Plan) -> Decision:
    level = Analysis.from_dict(row.data.get("analysis")).level
    return decide(ratio, readings(reads), plan, alpha=1 - level, same_arms=same_arms(row))


def refresh(database: Database, key: str, *, keep: int = 50) -> dict[str, Any]:
    """Compute the report now and store it; the oldest beyond `keep` are forgotten."""
    with database.read_abreast(min(_MOST_CONNECTIONS, os.cpu_count() or 1)) as session:
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
            read = read_segments(session, row, segment)
        body = {**body, "segments": read.values, "segment_test": read.test}
    return body


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
