"""Metrics, as data that people make."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from reclift.domain.metric import Metric, MetricError
from reclift.domain.problem import Problem
from reclift.flows.clock import now
from reclift.flows.configuration import bump, record
from reclift.flows.errors import Conflict, Invalid
from reclift.storage.tables import ExperimentRow, MetricRow

_ROLES = (("secondary", "secondary"), ("guardrails", "guardrail"))


def all_metrics(session: Session) -> dict[str, Metric]:
    """All metrics by key."""
    rows = session.scalars(select(MetricRow).order_by(MetricRow.key))
    return {row.key: Metric.from_dict(row.definition) for row in rows}


def problems(payload: Mapping[str, Any]) -> list[Problem]:
    """Everything that is wrong with a definition, not only the first: field (`numerator.event`), value and rule."""
    left = copy.deepcopy(dict(payload))
    found: list[Problem] = []
    while True:
        try:
            Metric.from_dict(left)
        except MetricError as error:
            problem = _problem(error, left)
            if problem in found:
                return found
            found.append(problem)
            if not _mend(left, problem.field):
                return found
        else:
            return found


def _problem(error: MetricError, payload: Mapping[str, Any]) -> Problem:
    text = str(error)
    field = re.split("[=:]", text, maxsplit=1)[0]
    value: Any = payload
    for part in field.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    for start in (f"{field}={value!r}: ", f"{field}: "):
        if text.startswith(start):
            return Problem(field, value, text.removeprefix(start))
    return Problem(field, value, text)


def _mend(payload: dict[str, Any], field: str) -> bool:
    """Put something right in place of what is wrong, so that the rest can be checked; False: it cannot be."""
    if field in {"kind", "numerator"}:
        return False
    if field == "key":
        payload["key"] = "key"
    elif field == "denominator":
        if payload.get("denominator") is None:
            payload["denominator"] = {"event": "any"}
        else:
            del payload["denominator"]
    elif "." in field:
        payload[field.split(".", 1)[0]] = {"event": "any"}  # its other parts depend on each other
    elif field in payload:
        del payload[field]
    else:
        return False
    return True


def create(session: Session, payload: Mapping[str, Any], actor: str) -> Metric:
    """Add a metric. A definition never changes afterwards: reports would not mean what they meant."""
    wrong = problems(payload)
    if wrong:
        raise Invalid(wrong)
    metric = Metric.from_dict(payload)
    if session.get(MetricRow, metric.key) is not None:
        raise Conflict(f"there is already a metric {metric.key!r}; metrics do not change, give a new one another key")
    at = now()
    session.add(MetricRow(key=metric.key, definition=metric.to_dict(), created_at=at, updated_at=at))
    bump(session)
    record(session, actor, "create", "metric", metric.key, None, metric.to_dict())
    return metric


def uses(session: Session) -> dict[str, list[dict[str, Any]]]:
    """By metric, the experiments that read it, the newest first: key, name, status and role."""
    found: dict[str, list[dict[str, Any]]] = {}
    columns = ExperimentRow.key, ExperimentRow.name, ExperimentRow.status, ExperimentRow.metrics
    for key, name, status, chosen in session.execute(select(*columns).order_by(ExperimentRow.id.desc())):
        roles = [(chosen.get("primary"), "primary")]
        roles += [(metric, role) for field, role in _ROLES for metric in chosen.get(field) or ()]
        for metric, role in roles:
            if metric is not None:
                entry = {"experiment": key, "name": name, "status": status, "role": role}
                found.setdefault(metric, []).append(entry)
    return found
