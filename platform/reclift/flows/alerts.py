"""Tells people, once, what a report should make them look at: a broken split, harm, a result, silence.

What an alert rests on holds under any number of looks (sequential tests and intervals), since every report is one. An
alert goes out once for each experiment, phase, kind and subject, and again only after it has cleared. Each is a job of
its own, with a run that people see: it counts as sent when the channel took it, and is tried again, later and later, on
the channels that have not had it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog
from sqlalchemy import select

from reclift.flows import jobs
from reclift.flows.alert_channels import Channel
from reclift.flows.clock import now, rfc3339
from reclift.flows.experiments import find
from reclift.flows.job_retries import TryLater
from reclift.flows.report_read import Read, readings
from reclift.stats.evidence import guard, read_evidence
from reclift.stats.plan import Plan
from reclift.storage.database import Database
from reclift.storage.tables import JobRun

log = structlog.get_logger(__name__)

KINDS = ("sample_ratio", "guardrail", "significance", "stale")
_ACTIVE = frozenset({"running", "paused"})
_ANY_TIME = Plan(regime="sequential")


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing to look at. `subject` tells those of one kind apart: a metric and an arm."""

    kind: str
    subject: str
    text: str

    def to_dict(self) -> dict[str, Any]:
        """As the report keeps it."""
        return {"kind": self.kind, "subject": self.subject, "text": self.text}


def found(
    trust: Sequence[Mapping[str, Any]], reads: Sequence[Read], *, plan: Plan, alpha: float, same_arms: bool
) -> list[Alert]:
    """What a report gives reason to tell, in the order of `KINDS`; of the plan, only its correction matters here."""
    checks = {check["check"]: check for check in trust}
    alerts = []
    split = checks.get("sample_ratio_daily", checks.get("sample_ratio", {}))
    if split.get("ok") is False:
        alerts.append(Alert("sample_ratio", "", f"{split['text']}."))
    read = readings(reads)
    for metric in read:
        for comparison in metric.comparisons if metric.role == "guardrail" else ():
            kept = guard(metric.metric, comparison, metric.margin, _ANY_TIME)
            if kept.state == "harmed":
                alerts.append(Alert("guardrail", f"{metric.metric}/{comparison.arm}", kept.sentence))
    primary = [(metric.metric, metric.comparisons) for metric in read if metric.role == "primary"]
    alerts += [
        Alert("significance", f"{evidence.metric}/{evidence.arm}", evidence.sentence)
        for evidence in read_evidence(primary, replace(_ANY_TIME, correction=plan.correction), alpha)
        if evidence.state in {"better", "worse"} and not same_arms
    ]
    if checks.get("freshness", {}).get("ok") is False:
        alerts.append(Alert("stale", "", f"{checks['freshness']['text']}."))
    return alerts


_TITLES = {
    "sample_ratio": "sample ratio mismatch",
    "guardrail": "a guardrail is harmed",
    "significance": "a significant result",
    "stale": "no new data",
}


TASK = "alerts"


def ask(
    database: Database, queue: jobs.Queue, key: str, body: Mapping[str, Any], channels: Sequence[Channel]
) -> list[int]:
    """Ask for a job for each alert of a report that is not told yet; returns their numbers.

    One that already waits for a channel that is down is not asked for twice; one that was given up is asked for again.
    Only experiments that run or are paused tell anything new; imported and replayed ones are history.
    """
    if not channels or body["source"] != "live":
        return []
    with database.write() as session:
        row = find(session, key, to_change=True)
        if row.status not in _ACTIVE or row.phase != body["phase"]:
            return []
        before = dict(row.data.get("alerts") or {})
        told = {_place(body["phase"], one): one for one in body["alerts"]}
        # What has cleared may be told again when it comes back.
        after = {place: names for place, names in before.items() if place in told}
        if after != before:
            row.data = {**row.data, "alerts": after}
        open_runs = session.scalars(select(JobRun).where(JobRun.task == TASK, JobRun.state.in_(["queued", "running"])))
        waiting = {(run.arguments["experiment"], _place(run.arguments["phase"], run.arguments)) for run in open_runs}
        return [
            jobs.request(session, queue, TASK, {"experiment": key, "phase": body["phase"], **one}, jobs.SCHEDULE).id
            for place, one in told.items()
            if (key, place) not in waiting and any(channel.name not in after.get(place, ()) for channel in channels)
        ]


def deliver(
    database: Database, arguments: Mapping[str, Any], channels: Sequence[Channel], *, public_url: str = ""
) -> str:
    """Tell one alert on every channel that has not had it; returns what became of it.

    Each channel on its own: one that is down does not keep the others from hearing. `TryLater` when one did not
    take it: what was taken is on record, so that only that one hears it then.
    """
    key, place = arguments["experiment"], _place(arguments["phase"], arguments)
    with database.read() as session:
        row = find(session, key)
        if row.phase != arguments["phase"]:
            return f"{key}: not sent, its phase is over"
        name, told = row.name or key, list((row.data.get("alerts") or {}).get(place, ()))
    taken: list[str] = []
    failures: list[str] = []
    for channel in channels:
        if channel.name in told:
            continue
        try:
            channel.send(_message(key, name, arguments, public_url))
        except OSError as error:
            log.warning("alert_not_sent", experiment=key, channel=channel.name, reason=str(error))
            failures.append(f"{channel.name}: {error}")
        else:
            taken.append(channel.name)
    if taken:
        with database.write() as session:
            row = find(session, key, to_change=True)
            known = dict(row.data.get("alerts") or {})
            row.data = {**row.data, "alerts": {**known, place: [*known.get(place, ()), *taken]}}
    if failures:
        raise TryLater("; ".join(failures))
    return f"{key}: {_TITLES[arguments['kind']]}, told by {', '.join(taken) or 'nobody: all have had it'}"


def _place(phase: int, alert: Mapping[str, Any]) -> str:
    return f"{phase}/{alert['kind']}/{alert['subject']}"


def _message(key: str, name: str, alert: Mapping[str, Any], public_url: str) -> dict[str, Any]:
    title = f"{name}: {_TITLES[alert['kind']]}"
    return {
        "kind": alert["kind"],
        "experiment": key,
        "subject": alert["subject"] or None,
        "title": title,
        "detail": alert["text"],
        "text": f"{title}. {alert['text']}",
        "url": f"{public_url.rstrip('/')}/app/experiments/{key}" if public_url else None,
        "at": rfc3339(now()),
    }
