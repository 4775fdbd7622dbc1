"""Ramp plans: traffic that grows on a schedule, and stops by itself when a guardrail fails or the sample ratio does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from reclift.domain.experiment import Status
from reclift.domain.problem import Problem
from reclift.flows import holdouts, jobs, report
from reclift.flows.clock import now, rfc3339
from reclift.flows.configuration import record
from reclift.flows.errors import Conflict, FlowError, Invalid
from reclift.flows.experiments import act, change, find
from reclift.storage.tables import ExperimentRow
from reclift.strategy import Registry

log = structlog.get_logger(__name__)

ACTOR = "ramp"
MAX_STEPS = 20


def put(session: Session, key: str, steps: object, actor: str) -> ExperimentRow:
    """Give an experiment its ramp: `[{"traffic": 0.01, "after_hours": 0}, …]`, or none (an empty list)."""
    row = find(session, key, to_change=True)
    if row.kind == holdouts.KIND:
        raise Conflict(f"{key} is a holdout: its share is fixed, so there is no traffic to plan")
    if row.status in {Status.STOPPED, Status.ARCHIVED}:
        raise Conflict(f"{key} is {row.status}: it has no more traffic to plan")
    problems = _problems(steps)
    if problems or not isinstance(steps, Sequence):
        raise Invalid(problems)
    before = {"ramp": row.data.get("ramp")}
    plan = [{"traffic": float(step["traffic"]), "after_hours": float(step["after_hours"])} for step in steps]
    row.data = {**row.data, "ramp": plan, "ramp_stopped": None}
    if plan and row.status == Status.DRAFT:
        row.traffic = plan[0]["traffic"]
    row.updated_at = now()
    session.flush()
    record(session, actor, "ramp", "experiment", key, before, {"ramp": plan})
    return row


def _problems(steps: object) -> list[Problem]:
    if not isinstance(steps, list) or len(steps) > MAX_STEPS:
        return [Problem("ramp", steps, f"must be a list of at most {MAX_STEPS} steps")]
    problems = []
    traffic, hours = 0.0, -1.0
    for place, step in enumerate(steps):
        here = f"ramp.{place}"
        if not isinstance(step, Mapping) or set(step) != {"traffic", "after_hours"}:
            problems.append(Problem(here, step, "must have `traffic` and `after_hours`"))
            continue
        for name, low, high, least in (("traffic", 0.0, 1.0, traffic), ("after_hours", 0.0, 24 * 365.0, hours)):
            value = step[name]
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                problems.append(Problem(f"{here}.{name}", value, f"must be a number from {low:g} to {high:g}"))
            elif value <= least:
                problems.append(Problem(f"{here}.{name}", value, f"must be more than the step before ({least:g})"))
            elif name == "traffic":
                traffic = float(value)
            else:
                hours = float(value)
    if not problems and steps and steps[0]["after_hours"] != 0:
        problems.append(
            Problem("ramp.0.after_hours", steps[0]["after_hours"], "must be 0: the first step is the start")
        )
    return problems


def due_traffic(row: ExperimentRow, at: datetime) -> float | None:
    """The traffic that the ramp wants now; None: no ramp, or not started. A new phase begins it anew."""
    steps = row.data.get("ramp")
    if not steps or row.started_at is None:
        return None
    phase_at = row.data.get("phase_at")
    start = datetime.fromisoformat(phase_at) if phase_at else row.started_at
    hours = (at - start).total_seconds() / 3600
    reached = [step["traffic"] for step in steps if step["after_hours"] <= hours]
    return max(reached, default=None)


def alarm(body: Mapping[str, Any] | None) -> str | None:
    """Why a ramp must not go on, by the latest report: sample ratio, or harm to a guardrail. None: it may."""
    if body is None:
        return None
    if body["srm"]["ok"] is False:
        return f"the sample ratio is not as planned (p = {body['srm']['p_value']:.2g})"
    for metric in body["metrics"]:
        if metric["role"] != "guardrail":
            continue
        for comparison in metric["comparisons"]:
            interval = (comparison["sequential"] or {}).get("lift_ci")
            if interval is None:
                continue
            # Looked at again and again, so only the always-valid interval may speak.
            worse = interval[0] > 0 if metric["direction"] == "decrease" else interval[1] < 0
            if worse:
                return f"{metric['name']} is worse in {comparison['arm']} ({comparison['lift']:+.1%})"
    return None


def advance(session: Session, registry: Registry, queue: jobs.Queue) -> int:
    """One round over all ramps: raise traffic where it is due, pause where there is an alarm. Returns what was done.

    A pause holds until somebody resumes; while the newest report still gives the alarm, the ramp pauses again. Take the
    ramp away to go on all the same. Where a neighbour in the layer is in the way, the traffic stays, people are told
    (`ramp_stopped`), and each round tries again.
    """
    done = 0
    for row in session.scalars(select(ExperimentRow).where(ExperimentRow.status == Status.RUNNING)).all():
        wanted = due_traffic(row, now())
        if wanted is None:
            continue
        newest = report.latest(session, row.key)
        # The report of an earlier phase says nothing about this one.
        why = alarm(newest if newest is not None and newest["phase"] == row.phase else None)
        if why is not None:
            act(session, registry, queue, row.key, "pause", ACTOR)
            stopped = {"at": rfc3339(now()), "reason": why}
            row.data = {**row.data, "ramp_stopped": stopped}
            record(session, ACTOR, "alarm", "experiment", row.key, None, stopped)
            log.warning("ramp_stopped", experiment=row.key, reason=why)
            done += 1
        elif wanted > row.traffic:
            try:
                with session.begin_nested():  # what was half changed is undone
                    change(session, registry, row.key, {"traffic": wanted}, ACTOR)
                    row.data = {**row.data, "ramp_stopped": None}
            except FlowError as error:
                _blocked(session, row, wanted, str(error))
                continue
            done += 1
    return done


def _blocked(session: Session, row: ExperimentRow, wanted: float, why: str) -> None:
    """Tell people, once, why the traffic does not grow."""
    reason = f"traffic cannot be raised to {wanted:.4g}: {why}"
    before = row.data.get("ramp_stopped")
    if before is not None and before["reason"] == reason:
        return
    stopped = {"at": rfc3339(now()), "reason": reason}
    row.data = {**row.data, "ramp_stopped": stopped}
    record(session, ACTOR, "blocked", "experiment", row.key, None, stopped)
    log.warning("ramp_blocked", experiment=row.key, reason=reason)
