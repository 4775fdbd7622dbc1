"""Tells people, once, what a report should make them look at: a broken split, harm, a result, silence.

What an alert rests on holds under any number of looks (sequential tests and intervals), since every report is one. An
alert goes out once for each experiment, phase, kind and subject, and again only after it has cleared. It counts as sent
when the channel took it: what fails is tried again after the next report, on the channels that have not had it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from reclift.flows import jobs
from reclift.flows.alert_channels import Channel
from reclift.flows.clock import now, rfc3339
from reclift.flows.experiments import find
from reclift.flows.report_read import Read, readings
from reclift.stats.evidence import guard, read_evidence
from reclift.stats.plan import Plan
from reclift.storage.database import Database

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


def found(trust: Sequence[Mapping[str, Any]], reads: Sequence[Read], *, alpha: float, same_arms: bool) -> list[Alert]:
    """What a report gives reason to tell, in the order of `KINDS`."""
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
        for evidence in read_evidence(primary, _ANY_TIME, alpha)
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


def notify(
    database: Database, key: str, body: Mapping[str, Any], channels: Sequence[Channel], *, public_url: str = ""
) -> int:
    """Send what is new in a report; returns how many messages went out. Trouble is on record as a failed run.

    Only experiments that run or are paused tell anything; imported and replayed ones are history.
    """
    if not channels or body["source"] != "live":
        return 0
    with database.read() as session:
        row = find(session, key)
        if row.status not in _ACTIVE or row.phase != body["phase"]:
            return 0
        name, before = row.name or key, dict(row.data.get("alerts") or {})
    told = {f"{body['phase']}/{one['kind']}/{one['subject']}": one for one in body["alerts"]}
    due = [
        (place, one, channel)
        for place, one in told.items()
        for channel in channels
        if channel.name not in before.get(place, ())
    ]
    sent: dict[str, list[str]] = {place: list(before.get(place, ())) for place in told}
    if due:
        _send(database, key, name, due, sent, public_url)
    if sent != before:
        with database.write() as session:
            row = find(session, key, to_change=True)
            row.data = {**row.data, "alerts": sent}
    return sum(len(names) for names in sent.values()) - sum(len(before.get(place, ())) for place in sent)


def _send(
    database: Database,
    key: str,
    name: str,
    due: Sequence[tuple[str, Mapping[str, Any], Channel]],
    sent: dict[str, list[str]],
    public_url: str,
) -> None:
    """Each on its own: one channel that is down does not keep the others from hearing. `sent` gets what was taken."""
    failures: list[str] = []
    try:
        with jobs.recorded(database, "alerts", {"experiment": key}) as note:
            for place, one, channel in due:
                try:
                    channel.send(_message(key, name, one, public_url))
                except OSError as error:
                    log.warning("alert_not_sent", experiment=key, channel=channel.name, reason=str(error))
                    failures.append(f"{channel.name}: {error}")
                else:
                    sent[place].append(channel.name)
            note(f"{key}: {len(due) - len(failures)} sent")
            if failures:
                raise jobs.JobError("; ".join(dict.fromkeys(failures)))
    except jobs.JobError:
        log.warning("alerts_failed", experiment=key, failed=len(failures))


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
