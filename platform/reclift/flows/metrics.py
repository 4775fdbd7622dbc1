"""Metrics, as data that people make."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from reclift.domain.metric import Metric, MetricError
from reclift.flows.clock import now
from reclift.flows.configuration import bump, record
from reclift.flows.errors import Conflict, Invalid
from reclift.storage.tables import MetricRow


def all_metrics(session: Session) -> dict[str, Metric]:
    """All metrics by key."""
    rows = session.scalars(select(MetricRow).order_by(MetricRow.key))
    return {row.key: Metric.from_dict(row.definition) for row in rows}


def create(session: Session, payload: Mapping[str, Any], actor: str) -> Metric:
    """Add a metric. A definition never changes afterwards: reports would not mean what they meant."""
    try:
        metric = Metric.from_dict(payload)
    except MetricError as error:
        field = str(error).split("=", 1)[0].split(":", 1)[0]
        raise Invalid.of(field, payload.get(field), str(error)) from error
    if session.get(MetricRow, metric.key) is not None:
        raise Conflict(f"there is already a metric {metric.key!r}; metrics do not change, give a new one another key")
    at = now()
    session.add(MetricRow(key=metric.key, definition=metric.to_dict(), created_at=at, updated_at=at))
    bump(session)
    record(session, actor, "create", "metric", metric.key, None, metric.to_dict())
    return metric
